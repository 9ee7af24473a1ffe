"""The product of one plane of inputs and sampled binary weights where nothing stands between them.

Cells without spread, one look of one plane, exact converters: then `bimu_hw.kernels.mvm.tile_sums` comes down to
sums of +-x, and these are its bits, four word lines at a time: for one input, or for many inputs of held weights, which
stay in registers for two inputs at once. Of wide arrays the sums of 56 bit lines stay in registers all along a tile.
"""

from __future__ import annotations

import numpy as np

from bimu_hw.kernels import inline, jit
from bimu_hw.kernels.lanes import LANES, add, load_bytes, multiply, splat, spread, store

_F = np.float32


@inline(borrowed=True)
def _add_line(x, w, total):
    for j in range(total.size):
        total[j] += x * _F(w[j])


@inline(borrowed=True)
def _add_four_lines(x0, x1, x2, x3, w0, w1, w2, w3, total):
    for j in range(total.size):
        t = total[j] + x0 * _F(w0[j])
        t = t + x1 * _F(w1[j])
        t = t + x2 * _F(w2[j])
        total[j] = t + x3 * _F(w3[j])


@inline(borrowed=True)
def _clear(total):
    for j in range(total.size):
        total[j] = _F(0.0)


#: Bit lines whose sums are kept in registers: seven vectors leave room for the input and the weights.
_WIDE = 7 * LANES


@inline(borrowed=True)
def _add_lines_wide(x, w, n_out, start, stop, j, total):
    """Write the sums of bit lines j .. j + 55 over the word lines `start` to `stop` - 1; `w` is int8[cell]."""
    t0 = t1 = t2 = t3 = t4 = t5 = t6 = splat(x, 0.0)
    c = start * n_out + j
    for i in range(start, stop):
        v = spread(x, i)
        t0 = add(t0, multiply(v, load_bytes(x, w, c)))
        t1 = add(t1, multiply(v, load_bytes(x, w, c + LANES)))
        t2 = add(t2, multiply(v, load_bytes(x, w, c + 2 * LANES)))
        t3 = add(t3, multiply(v, load_bytes(x, w, c + 3 * LANES)))
        t4 = add(t4, multiply(v, load_bytes(x, w, c + 4 * LANES)))
        t5 = add(t5, multiply(v, load_bytes(x, w, c + 5 * LANES)))
        t6 = add(t6, multiply(v, load_bytes(x, w, c + 6 * LANES)))
        c += n_out
    store(total, j, t0)
    store(total, j + LANES, t1)
    store(total, j + 2 * LANES, t2)
    store(total, j + 3 * LANES, t3)
    store(total, j + 4 * LANES, t4)
    store(total, j + 5 * LANES, t5)
    store(total, j + 6 * LANES, t6)


@inline(borrowed=True)
def _add_tile(x, w, start, stop, total):
    """Write the sums of +-x over the word lines `start` to `stop` - 1; `w` is int8[wordline, bitline]."""
    n_out = total.size
    if n_out >= _WIDE:
        flat = w.reshape(w.size)
        for j in range(0, n_out, _WIDE):
            # The last bit lines once more where they are not a multiple: the same sums, written twice.
            _add_lines_wide(x, flat, n_out, start, stop, min(j, n_out - _WIDE), total)
        return
    fours = start + (stop - start) // 4 * 4
    _clear(total)
    for i in range(start, fours, 4):
        _add_four_lines(x[i], x[i + 1], x[i + 2], x[i + 3], w[i], w[i + 1], w[i + 2], w[i + 3], total)
    for i in range(fours, stop):
        _add_line(x[i], w[i], total)


@jit(borrowed=True)
def plain_product(x, weights, tile_rows, first, last, partial, out):
    """Multiply inputs by sampled binary weights, for samples `first` to `last` - 1.

    Parameters
    ----------
    x : float32[1 or sample, wordline]
        Inputs; one row is shared by all samples.
    weights : int8[sample, wordline, bitline]
    tile_rows : int
        Word lines per tile; tiles are summed by themselves.
    first, last : int
    partial : float32[sample, bitline]
        Work space.
    out : float32[sample, bitline]
        *Mutates* `partial`, `out`.
    """
    n_in = weights.shape[1]
    own = np.int64(x.shape[0] != 1)
    for s in range(first, last):
        v, w, total, y = x[s * own], weights[s], partial[s], out[s]
        _clear(y)
        for start in range(0, n_in, tile_rows):
            _add_tile(v, w, start, min(start + tile_rows, n_in), total)
            for j in range(y.size):
                y[j] += total[j]


@inline(borrowed=True)
def _add_four_lines_twice(x, z, i, w0, w1, w2, w3, total, total_z):
    x0, x1, x2, x3 = x[i], x[i + 1], x[i + 2], x[i + 3]
    z0, z1, z2, z3 = z[i], z[i + 1], z[i + 2], z[i + 3]
    for j in range(total.size):
        a, b, c, d = w0[j], w1[j], w2[j], w3[j]
        t = total[j] + x0 * a
        u = total_z[j] + z0 * a
        t = t + x1 * b
        u = u + z1 * b
        t = t + x2 * c
        u = u + z2 * c
        total[j] = t + x3 * d
        total_z[j] = u + z3 * d


@jit(borrowed=True)
def plain_products(x, weights, tile_rows, first, last, held, partial, out):
    """Do what `plain_product` does for many inputs and samples `first` to `last` - 1: the same bits for each input.

    Parameters
    ----------
    x : float32[input, 1 or sample, wordline]
        An even number of inputs.
    weights : int8[sample, wordline, bitline]
    tile_rows, first, last : int
        As in `plain_product`.
    held : float32[tile_rows, bitline]
    partial : float32[2, bitline]
        Work space.
    out : float32[input, sample, bitline]
        *Mutates* `held`, `partial`, `out`.
    """
    n_in = weights.shape[1]
    own = np.int64(x.shape[1] != 1)
    for s in range(first, last):
        for n in range(x.shape[0]):
            _clear(out[n, s])
        for start in range(0, n_in, tile_rows):
            stop = min(start + tile_rows, n_in)
            fours = (stop - start) // 4 * 4
            for i in range(start, stop):
                w, line = weights[s, i], held[i - start]
                for j in range(line.size):
                    line[j] = _F(w[j])
            for n in range(0, x.shape[0], 2):
                v, z = x[n, s * own, start:stop], x[n + 1, s * own, start:stop]
                t, u = partial[0], partial[1]
                _clear(t)
                _clear(u)
                for i in range(0, fours, 4):
                    _add_four_lines_twice(v, z, i, held[i], held[i + 1], held[i + 2], held[i + 3], t, u)
                for i in range(fours, stop - start):
                    _add_line(v[i], held[i], t)
                    _add_line(z[i], held[i], u)
                y, y_z = out[n, s], out[n + 1, s]
                for j in range(y.size):
                    y[j] += t[j]
                    y_z[j] += u[j]
