"""A layer of binary weights drawn and used at once: thresholds to activations, a few word lines at a time.

Weights are drawn for all samples (`bimu_hw.kernels.draw`), multiplied while they are in the first-level cache
(`bimu_hw.kernels.plain`) and left behind for who reads them later. Drawing all of them first, then multiplying, gives
the same bits.
"""

from __future__ import annotations

import numpy as np

from bimu_hw.kernels import inline, jit
from bimu_hw.kernels.bits import cell_bits, fold
from bimu_hw.kernels.draw import GROUP, draw_number, first_weyl, list_ties, look_keys, lowest
from bimu_hw.kernels.network import activate, normalise
from bimu_hw.kernels.plain import add_lines, add_tile, clear, spread_sums

_I8 = np.int8
_I32 = np.int32
_U16 = np.uint16
_U32 = np.uint32
_U64 = np.uint64

#: Cells whose weights are drawn before they are multiplied: those of five samples fill half a first-level cache.
DRAWN = 3200

_SAMPLE = _U64(40)
_CELL = _U64(2**40 - 1)


@inline
def _split(threshold):
    """Return the leading eight bits of a threshold as a signed number, and the other fifteen.

    2**23, which no number reaches, is 255 and 2**15.
    """
    high = min(threshold >> _I32(15), _I32(255))
    return _I8(high - _I32(128)), _U16(threshold - _I32(high << _I32(15)))


@jit
def split_thresholds(threshold, cells, coarse, fine):
    """Split the thresholds of the listed cells for `drawn_product`.

    Parameters
    ----------
    threshold : int32[cell]
        In units of 2**-23, 0 to 2**23.
    cells : int32[n]
        A list as long as the array means all of them.
    coarse : int8[cell]
    fine : uint16[cell]
        *Mutates* `coarse`, `fine`.
    """
    if cells.size == threshold.size:
        for c in range(threshold.size):
            coarse[c], fine[c] = _split(threshold[c])
    else:
        for n in range(cells.size):
            c = cells[n]
            coarse[c], fine[c] = _split(threshold[c])


@jit(borrowed=True)
def _draw_more(coarse, fine, keys, start, stop, first, last, ties, weights):
    """Draw cells `start` to `stop` - 1, groups of 64, of samples `first` to `last` - 1 (int8[sample, cell])."""
    found = _U64(0)
    for s in range(first, last):
        k, w, code = keys[s], weights[s, start:stop], _U64(_U64(s) << _SAMPLE) + _U64(start)
        found = list_ties(coarse[start:stop], first_weyl(k, start), k[1], code, found, ties, w)
    for n in range(_U64(0), found, _U64(2)):
        mask = ties[n + _U64(1)]
        while mask != _U64(0):
            tie = _U64(ties[n] + lowest(mask))  # type: ignore[call-arg]  # numba passes the context
            t, c = tie >> _SAMPLE, tie & _CELL
            rest = cell_bits(keys[t, 2], keys[t, 3], _U32(c)) >> _U32(17)
            weights[t, c] = _I8(1) if rest >= _U32(fine[c]) else _I8(-1)
            mask &= _U64(mask - _U64(1))


@inline(borrowed=True)
def _draw_singly(coarse, fine, keys, start, out):
    """Draw the weights of the cells from `start` on by whole numbers."""
    for c in range(start, out.size):
        number = draw_number(keys[0], keys[1], keys[2], keys[3], _U32(c)) >> _U32(9)
        threshold = ((_I32(coarse[c]) + _I32(128)) << _I32(15)) + _I32(fine[c])
        out[c] = _I8(1) if _I32(number) >= threshold else _I8(-1)


@jit(borrowed=True)
def drawn_product(x, coarse, fine, key, event, tile_rows, first, last, keys, ties, sums, weights, out):
    """Draw weights of samples `first` to `last` - 1 and multiply inputs by them.

    Parameters
    ----------
    x : float32[1 or sample, wordline]
        Inputs; one row is shared by all samples.
    coarse : int8[cell]
    fine : uint16[cell]
        From `split_thresholds`.
    key, event : uint64
        The key of the stream of noise and the index of the query; sample s draws from both folded, folded with s.
    tile_rows : int
        Word lines per tile; tiles are summed by themselves.
    first, last : int
    keys : uint32[sample, 4]
    ties : uint64[`ties_size`]
    sums : float32[sample, 2, `sum_columns`]
        Work space.
    weights : int8[sample, wordline, bitline]
    out : float32[sample, bitline]
        *Mutates* `keys`, `ties`, `sums`, `weights`, `out`.
    """
    n_in, n_out = weights.shape[1], weights.shape[2]
    n, own = n_in * n_out, np.int64(x.shape[0] != 1)
    flat = weights.reshape((weights.shape[0], n))
    for s in range(first, last):
        look_keys(fold(fold(key, event), _U64(s)), keys[s])
        clear(sums[s, 1])
    whole, drawn = n // GROUP * GROUP, 0
    rows = max(1, DRAWN // n_out)
    for top in range(0, n_in, rows):
        start, stop = top, min(top + rows, n_in)
        wanted = min(-(-stop * n_out // GROUP) * GROUP, whole)
        _draw_more(coarse, fine, keys, drawn, wanted, first, last, ties, flat)
        drawn = wanted
        if stop == n_in and whole < n:
            if n >= GROUP and n % 4 == 0:
                # The last 64 cells, some of them once more: the same weights, drawn twice.
                _draw_more(coarse, fine, keys, n - GROUP, n, first, last, ties, flat)
            else:
                for s in range(first, last):
                    _draw_singly(coarse, fine, keys[s], whole, flat[s])
        while start < stop:
            end = min(stop, (start // tile_rows + 1) * tile_rows)
            for s in range(first, last):
                part = sums[s, 0]
                if start % tile_rows == 0:
                    clear(part)
                add_lines(x[s * own], flat[s], n_out, start, end, part)
                if end % tile_rows == 0 or end == n_in:
                    add_tile(part, sums[s, 1])
            start = end
    for s in range(first, last):
        spread_sums(sums[s, 1], out[s])


@jit(borrowed=True)
def drawn_layer(
    x, coarse, fine, key, event, tile_rows, keys, ties, sums, weights, y, activation, normal, inverse_deviation, h
):
    """Do what `drawn_product`, `normalise` and `activate` do, for all samples; no activation: -1.

    *Mutates* `keys`, `ties`, `sums`, `weights`, `y`, `normal`, `inverse_deviation`, `h`.
    """
    drawn_product(x, coarse, fine, key, event, tile_rows, 0, weights.shape[0], keys, ties, sums, weights, y)
    normalise(y, normal, inverse_deviation)
    if activation >= 0:
        activate(normal, activation, h)


def ties_size(n_sample: int, n_out: int) -> int:
    """Return the length of the list of ties that `drawn_product` needs as work space."""
    return 2 * (n_sample * (max(DRAWN, n_out) // GROUP + 2) + 1)
