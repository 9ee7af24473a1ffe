"""The product of one plane of inputs and sampled binary weights where nothing stands between them.

Cells without spread, one look of one plane, exact converters: then `bimu_hw.kernels.mvm.tile_sums` comes down to
sums of +-x, and these are its bits, four word lines at a time.
"""

from __future__ import annotations

import numpy as np

from bimu_hw.kernels import inline, jit

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
            stop = min(start + tile_rows, n_in)
            fours = start + (stop - start) // 4 * 4
            _clear(total)
            for i in range(start, fours, 4):
                _add_four_lines(v[i], v[i + 1], v[i + 2], v[i + 3], w[i], w[i + 1], w[i + 2], w[i + 3], total)
            for i in range(fours, stop):
                _add_line(v[i], w[i], total)
            for j in range(y.size):
                y[j] += total[j]
