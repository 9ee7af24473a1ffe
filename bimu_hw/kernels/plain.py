"""The product of one plane of inputs and sampled binary weights where nothing stands between them.

Cells without spread, one look of one plane, exact converters: then `bimu_hw.kernels.mvm.tile_sums` comes down to
sums of +-x, and these are its bits, four word lines at a time: for one input, or for many inputs of held weights, which
stay in registers for two inputs at once. Of wide arrays the sums of 56 bit lines stay in registers all along a tile.
"""

from __future__ import annotations

import numpy as np

from bimu_hw.kernels import inline, jit
from bimu_hw.kernels.lanes import (
    LANES,
    add,
    load,
    load_bytes,
    multiply,
    negate,
    signed_by_0,
    signed_by_1,
    signed_by_2,
    signed_by_3,
    spread,
    store,
)

_F = np.float32


@inline(borrowed=True)
def _add_line(x, w, total):
    for j in range(total.size):
        total[j] += x * _F(w[j])


#: Bit lines whose sums a pass keeps in registers, by the width of the array. A pass over the last bit lines may begin
#: before the end of the one before it: the same sums, computed twice.
_WIDE, _MIDDLE, _NARROW = 8 * LANES, 4 * LANES + 4, 2 * LANES
_MIDDLE_SUMS = 5 * LANES


@inline
def _passes(n_out):
    """Return how many sums the passes over `n_out` bit lines keep, and how many of the passes are wide and narrow."""
    if n_out >= _MIDDLE:
        wide, rest = n_out // _WIDE, n_out % _WIDE
        wide += np.int64(rest > _MIDDLE)
        return wide * _WIDE + (_MIDDLE_SUMS if 0 < rest <= _MIDDLE else 0), wide, 0
    if n_out >= _NARROW:
        narrow = -(-n_out // _NARROW)
        return narrow * _NARROW, 0, narrow
    return n_out, 0, 0


@jit
def sum_columns(n_out):
    """Return how many sums `add_lines` keeps of a sample of `n_out` bit lines."""
    return _passes(n_out)[0]


@inline(borrowed=True)
def clear(total):
    """Set all sums to zero."""
    for j in range(total.size):
        total[j] = _F(0.0)


@inline(borrowed=True)
def _add_wide(x, w, n_out, start, stop, c, total, at):
    """Go on with the sums of 64 bit lines, the first of which is `c` cells behind the first of its word line."""
    t0, t1, t2, t3 = load(total, at), load(total, at + 8), load(total, at + 16), load(total, at + 24)
    t4, t5, t6, t7 = load(total, at + 32), load(total, at + 40), load(total, at + 48), load(total, at + 56)
    c += start * n_out
    for i in range(start, stop):
        p = spread(x, i)
        m = negate(p)
        t0 = add(t0, signed_by_0(p, m, w, c))
        t1 = add(t1, signed_by_1(p, m, w, c))
        t2 = add(t2, signed_by_2(p, m, w, c))
        t3 = add(t3, signed_by_3(p, m, w, c))
        t4 = add(t4, signed_by_0(p, m, w, c + 32))
        t5 = add(t5, signed_by_1(p, m, w, c + 32))
        t6 = add(t6, signed_by_2(p, m, w, c + 32))
        t7 = add(t7, signed_by_3(p, m, w, c + 32))
        c += n_out
    store(total, at, t0)
    store(total, at + 8, t1)
    store(total, at + 16, t2)
    store(total, at + 24, t3)
    store(total, at + 32, t4)
    store(total, at + 40, t5)
    store(total, at + 48, t6)
    store(total, at + 56, t7)


@inline(borrowed=True)
def _add_middle(x, w, n_out, start, stop, c, total, at):
    """Go on with the sums of 36 bit lines; those of the last eight lie in order."""
    t0, t1, t2, t3 = load(total, at), load(total, at + 8), load(total, at + 16), load(total, at + 24)
    t4 = load(total, at + 32)
    c += start * n_out
    for i in range(start, stop):
        p = spread(x, i)
        m = negate(p)
        t0 = add(t0, signed_by_0(p, m, w, c))
        t1 = add(t1, signed_by_1(p, m, w, c))
        t2 = add(t2, signed_by_2(p, m, w, c))
        t3 = add(t3, signed_by_3(p, m, w, c))
        t4 = add(t4, multiply(p, load_bytes(x, w, c + 28)))
        c += n_out
    store(total, at, t0)
    store(total, at + 8, t1)
    store(total, at + 16, t2)
    store(total, at + 24, t3)
    store(total, at + 32, t4)


@inline(borrowed=True)
def _add_narrow(x, w, n_out, start, stop, c, total, at):
    """Go on with the sums of 16 bit lines."""
    t0, t1 = load(total, at), load(total, at + 8)
    c += start * n_out
    for i in range(start, stop):
        p = spread(x, i)
        t0 = add(t0, multiply(p, load_bytes(x, w, c)))
        t1 = add(t1, multiply(p, load_bytes(x, w, c + 8)))
        c += n_out
    store(total, at, t0)
    store(total, at + 8, t1)


@inline(borrowed=True)
def add_lines(x, w, n_out, start, stop, total):
    """Go on with the sums of +-x over the word lines `start` to `stop` - 1, one after the other.

    Parameters
    ----------
    x : float32[wordline]
    w : int8[cell]
    n_out, start, stop : int
    total : float32[sum_columns(n_out)]
        In an order of its own (`spread_sums`). *Mutates* `total`.
    """
    _, wide, narrow = _passes(n_out)
    at = 0
    for k in range(wide):
        _add_wide(x, w, n_out, start, stop, min(k * _WIDE, n_out - _WIDE), total, at)
        at += _WIDE
    for k in range(narrow):
        _add_narrow(x, w, n_out, start, stop, min(k * _NARROW, n_out - _NARROW), total, at)
        at += _NARROW
    if at == total.size:
        return
    if n_out >= _MIDDLE:
        _add_middle(x, w, n_out, start, stop, n_out - _MIDDLE, total, at)
        return
    fours = start + (stop - start) // 4 * 4
    for i in range(start, fours, 4):
        c = i * n_out
        x0, x1, x2, x3 = x[i], x[i + 1], x[i + 2], x[i + 3]
        w0, w1 = w[c : c + n_out], w[c + n_out : c + 2 * n_out]
        w2, w3 = w[c + 2 * n_out : c + 3 * n_out], w[c + 3 * n_out : c + 4 * n_out]
        for j in range(n_out):
            t = total[j] + x0 * _F(w0[j])
            t = t + x1 * _F(w1[j])
            t = t + x2 * _F(w2[j])
            total[j] = t + x3 * _F(w3[j])
    for i in range(fours, stop):
        _add_line(x[i], w[i * n_out : (i + 1) * n_out], total)


@inline(borrowed=True)
def spread_sums(total, out):
    """Write the sums of `add_lines` in the order of the bit lines."""
    n_out = out.size
    _, wide, narrow = _passes(n_out)
    at = 0
    for k in range(wide):
        j = min(k * _WIDE, n_out - _WIDE)
        for b in range(8):
            first = j + b // 4 * 32 + b % 4
            for lane in range(LANES):
                out[first + 4 * lane] = total[at + b * LANES + lane]
        at += _WIDE
    for k in range(narrow):
        j = min(k * _NARROW, n_out - _NARROW)
        for b in range(_NARROW):
            out[j + b] = total[at + b]
        at += _NARROW
    if at == total.size:
        return
    if n_out < _MIDDLE:
        for b in range(n_out):
            out[b] = total[b]
        return
    j = n_out - _MIDDLE
    for b in range(4):
        for lane in range(LANES):
            out[j + b + 4 * lane] = total[at + b * LANES + lane]
    for lane in range(LANES):
        out[j + 28 + lane] = total[at + 32 + lane]


@inline(borrowed=True)
def add_tile(part, total):
    """Add the sums of a tile to those of the tiles before it."""
    for j in range(total.size):
        total[j] += part[j]


@jit(borrowed=True)
def plain_product(x, weights, tile_rows, first, last, sums, out):
    """Multiply inputs by sampled binary weights, for samples `first` to `last` - 1.

    Parameters
    ----------
    x : float32[1 or sample, wordline]
        Inputs; one row is shared by all samples.
    weights : int8[sample, wordline, bitline]
    tile_rows : int
        Word lines per tile; tiles are summed by themselves.
    first, last : int
    sums : float32[sample, 2, sum_columns(bitline)]
        Work space.
    out : float32[sample, bitline]
        *Mutates* `sums`, `out`.
    """
    n_in, n_out = weights.shape[1], weights.shape[2]
    own = np.int64(x.shape[0] != 1)
    for s in range(first, last):
        v, w, part, total = x[s * own], weights[s].reshape(n_in * n_out), sums[s, 0], sums[s, 1]
        clear(total)
        for start in range(0, n_in, tile_rows):
            clear(part)
            add_lines(v, w, n_out, start, min(start + tile_rows, n_in), part)
            add_tile(part, total)
        spread_sums(total, out[s])


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
            clear(out[n, s])
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
                clear(t)
                clear(u)
                for i in range(0, fours, 4):
                    _add_four_lines_twice(v, z, i, held[i], held[i + 1], held[i + 2], held[i + 3], t, u)
                for i in range(fours, stop - start):
                    _add_line(v[i], held[i], t)
                    _add_line(z[i], held[i], u)
                y, y_z = out[n, s], out[n + 1, s]
                for j in range(y.size):
                    y[j] += t[j]
                    y_z[j] += u[j]
