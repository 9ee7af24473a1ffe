"""An update in one pass over a layer: gradient, request of the rule and programming policy, block by block.

Every part is the code that also runs by itself (`gradient`, `rules`, `programming`), so an update in one pass has the
bits of one in several; only the arrays stay in the first-level cache from part to part.
"""

from __future__ import annotations

import numpy as np

from bimu_hw.kernels import inline, jit
from bimu_hw.kernels.blocks import block_range
from bimu_hw.kernels.elementary import shape_block
from bimu_hw.kernels.gradient import gradient_block, spread_delta
from bimu_hw.kernels.programming import accumulate_block, round_block
from bimu_hw.kernels.rules import request_block

_F = np.float32
_I = np.int32
_U32 = np.uint32


@inline
def _tally(counts):
    """Return how many counts are not zero, and how many are above."""
    some, up = _I(0), _I(0)
    for c in range(counts.size):
        some += _I(counts[c] != _F(0.0))
        up += _I(counts[c] > _F(0.0))
    return some, up


@inline
def _move(counts, top, level, pulse_count):
    """What `pulse` of an exact continuous element does (`bimu_hw.devices.StorageModel.exact`)."""
    for c in range(counts.size):
        level[c] = min(max(level[c] + counts[c], -top), top)
    for c in range(counts.size):
        size = abs(counts[c])
        whole = _I(min(size, _F(1e9)) + _F(0.5))
        whole = max(whole, _I(size > _F(0.0)))
        pulse_count[c] = _I(pulse_count[c] + min(whole, _I(_I(2147483647) - pulse_count[c])))


@inline
def _copy(values, out):
    for c in range(values.size):
        out[c] = values[c]


@jit
def update_layer(
    x, delta, weights, relaxed, epsilon, rule, coefficient, lam_prior, policy, scales, key, residue, requested, rows, first,
    last, level, pulse_count, lam, tanh, sech2, counts, busy,
):  # fmt: skip
    """Work out the pulse counts of the blocks `first` to `last` - 1, and send them if the elements are exact.

    Parameters
    ----------
    x, delta, weights, relaxed, epsilon, rows, first, last
        As in `bimu_hw.kernels.gradient.gradient`.
    rule, coefficient, lam_prior
        As in `bimu_hw.kernels.rules.request_block`; `lam_prior` is float32[cell] or empty.
    policy : int
    scales : (float32 inverse_step, float32 quantum, float32 register_step, float32 level_max)
        As in `bimu_hw.kernels.programming.accumulate_residue`, and the last level.
    key : uint64
        Key of the rounding of this layer and update.
    residue : float32[cell]
        Residue registers; empty unless the policy has them.
    requested : float64[cell]
        Running total of the requests; empty if nobody keeps it.
    level : float32[cell]
        Levels of an exact continuous element, or empty: then nothing is sent.
    pulse_count : int32[cell]
        Pulses received; empty if `level` is.
    lam, tanh, sech2 : float32[cell]
        lam as the device holds it, its tanh and its sech**2. With an exact element they follow its new level.
    counts : float32[cell]
        The pulse counts. With an exact element only those of blocks in which some count is zero.
    busy : int32[block]
        How many of a block's counts are not zero. *Mutates* `residue`, `requested`, `level`, `pulse_count`, `lam`,
        `tanh`, `sech2`, `counts`, `busy`.

    Returns
    -------
    tuple of int
        Counts that are not zero, counts above zero.
    """
    n_sample, n_out = delta.shape
    inverse_step, quantum, register_step, top = scales
    through_weight = _F(0.0) if relaxed else _F(1.0)
    spread = np.empty((n_sample + 1, rows * n_out), np.float32)
    work = np.empty((4, rows * n_out), np.float32)
    spread_delta(delta, rows, spread)
    total, total_up = np.int64(0), np.int64(0)
    for block in range(first, last):
        i, end = block_range(block, rows, x.shape[1])
        a, b = i * n_out, end * n_out
        slope, ask = work[2, : b - a], work[3, : b - a]
        gradient_block(x[:, i:end], n_out, spread, weights, block, relaxed, epsilon, work[:2], slope)
        request_block(rule, coefficient, lam[a:b], tanh[a:b], sech2[a:b], lam_prior[a:b], slope, through_weight, ask)
        if requested.size:
            accumulate_block(ask, requested[a:b])
        round_block(policy, ask, a, inverse_step, quantum, register_step, key, residue[a:b])
        some, up = _tally(ask)
        busy[block] = some
        total += some
        total_up += up
        if level.size == 0:
            _copy(ask, counts[a:b])
            continue
        if some < b - a:
            _copy(ask, counts[a:b])
        _move(ask, top, level[a:b], pulse_count[a:b])
        _copy(level[a:b], lam[a:b])
        shape_block(lam[a:b], tanh[a:b], sech2[a:b])
    return total, total_up


@jit
def list_counts(counts, busy, rows, n_in, exact, cells, listed):
    """List the cells whose count is not zero, ascending, with their counts; return the length of the list.

    Parameters
    ----------
    counts : float32[cell]
    busy : int32[block]
        As left by `update_layer`.
    rows, n_in : int
        Word lines per block, and of the layer.
    exact : bool
        Whether the counts of full blocks were left out; their listed counts are then 1, for all that is still asked of
        them is whether they are zero.
    cells : int32[cell]
    listed : float32[cell]
        *Mutates* `cells`, `listed`.
    """
    n_out = counts.size // n_in
    found = 0
    for block in range(busy.size):
        if busy[block] == 0:
            continue
        i, end = block_range(block, rows, n_in)
        full = exact and busy[block] == (end - i) * n_out
        for c in range(i * n_out, end * n_out):
            count = _F(1.0) if full else counts[c]
            if count != _F(0.0):
                cells[found] = c
                listed[found] = count
                found += 1
    return found
