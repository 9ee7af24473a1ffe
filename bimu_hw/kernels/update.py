"""An update in one pass over a layer: gradient, request of the rule and programming policy, block by block.

Every part is the code that also runs by itself (`gradient`, `rules`, `programming`), so an update in one pass has the
bits of one in several; only the arrays stay in the first-level cache from part to part.
"""

from __future__ import annotations

import numpy as np

from bimu_hw.kernels import inline, jit
from bimu_hw.kernels.blocks import block_range
from bimu_hw.kernels.elementary import float_bits, move_and_shape
from bimu_hw.kernels.gradient import gradient_block, spread_delta
from bimu_hw.kernels.programming import accumulate_block, round_block
from bimu_hw.kernels.rules import request_block

_F = np.float32
_I = np.int32


#: Between these magnitudes, 2**-66 and 1.5, a request on a continuous grid is its own rounded value, and one pulse; as
#: the bits of a float32, which are in the order of the numbers.
_SMALL, _LARGE = (np.int32(np.float32(size).view(np.int32)) for size in (2.0**-66, 1.5))
_SIZE = np.int32(2**31 - 1)


@inline(borrowed=True)
def _look_over(request):
    """Return whether all requests lie within the plain range, and how many are then above zero."""
    least, most, up = _SIZE, _I(0), _I(0)
    for c in range(request.size):
        bits = float_bits(request[c])  # type: ignore[call-arg, var-annotated]  # numba passes the context
        size = _I(bits & _SIZE)
        least, most = min(least, size), max(most, size)
        up = _I(up + _I(bits >= _I(0)))
    return (least >= _SMALL) & (most < _LARGE), up


@inline(borrowed=True)
def _tally(counts):
    """Return how many counts are not zero, and how many are above."""
    some, up = _I(0), _I(0)
    for c in range(counts.size):
        some = _I(some + _I(counts[c] != _F(0.0)))
        up = _I(up + _I(counts[c] > _F(0.0)))
    return some, up


@inline(borrowed=True)
def _copy(values, out):
    for c in range(values.size):
        out[c] = values[c]


@jit(borrowed=True)
def update_layer(
    x, delta, weights, relaxed, epsilon, rule, coefficient, lam_prior, policy, scales, exact, key, residue, requested,
    rows, first, last, work, lam, tanh, sech2, counts, busy,
):  # fmt: skip
    """Work out the pulse counts of the pairs of blocks `first` to `last` - 1, and send them if the elements are exact.

    The pairs are worked on from the last to the first: the forward pass, which goes the other way, left the last ones
    in the cache.

    Parameters
    ----------
    x, delta, weights, relaxed, epsilon, rows
        As in `bimu_hw.kernels.gradient.gradient`.
    rule, coefficient, lam_prior
        As in `bimu_hw.kernels.rules.request_block`; `lam_prior` is float32[cell] or empty.
    policy : int
    scales : (float32 inverse_step, float32 quantum, float32 register_step, float32 level_max)
        As in `bimu_hw.kernels.programming.accumulate_residue`, and the last level.
    exact : bool
        Whether this is a continuous element whose level is `lam` and moves by what is asked.
    key : uint64
        Key of the rounding of this layer and update.
    residue : float32[cell]
        Residue registers; empty unless the policy has them.
    requested : float64[cell]
        Running total of the requests; empty if nobody keeps it.
    first, last : int
    work : float32[sample + 5, block cell]
        Work space.
    lam, tanh, sech2 : float32[cell]
        lam as the device holds it, its tanh and its sech**2; they move if `exact`.
    counts : float32[cell]
        The pulse counts, of plain blocks left out.
    busy : int32[block]
        How many of a block's counts are not zero; -1 for a plain block: each count is one pulse. *Mutates* `work`,
        `residue`, `requested`, `lam`, `tanh`, `sech2`, `counts`, `busy`.

    Returns
    -------
    tuple of int
        Counts that are not zero, counts above zero, plain blocks.
    """
    n_out = delta.shape[1]
    inverse_step, quantum, register_step, top = scales
    through_weight = _F(0.0) if relaxed else _F(1.0)
    spread = work[4:]
    spread_delta(delta, rows, spread)
    total, total_up, n_plain = np.int64(0), np.int64(0), np.int64(0)
    n_pairs = busy.size // 2
    for n in range(2 * (last - first)):
        block = last - 1 - n // 2 + (n_pairs if n % 2 == 0 else 0)
        i, end = block_range(block, rows, x.shape[1])
        a, b = i * n_out, end * n_out
        slope, ask = work[2, : b - a], work[3, : b - a]
        gradient_block(x[:, i:end], n_out, spread, weights, block, relaxed, epsilon, work[:2], slope)
        request_block(rule, coefficient, lam[a:b], tanh[a:b], sech2[a:b], lam_prior[a:b], slope, through_weight, ask)
        if requested.size:
            accumulate_block(ask, requested[a:b])
        plain, up = False, _I(0)
        if exact:
            plain, up = _look_over(ask)
        if plain:
            busy[block] = -1
            total += b - a
            n_plain += 1
        else:
            round_block(policy, ask, a, inverse_step, quantum, register_step, key, residue[a:b])
            some, up = _tally(ask)
            busy[block] = some
            total += some
            _copy(ask, counts[a:b])
        total_up += up
        if exact:
            move_and_shape(ask, top, lam[a:b], tanh[a:b], sech2[a:b])
    return total, total_up, n_plain


@jit
def list_counts(counts, busy, rows, n_in, cells, listed):
    """List the cells whose count is not zero, ascending, with their counts; return the length of the list.

    Parameters
    ----------
    counts : float32[cell]
    busy : int32[block]
        As left by `update_layer`. The counts of plain blocks are listed as 1.
    rows, n_in : int
        Word lines per block, and of the layer.
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
        if busy[block] < 0:
            for c in range(i * n_out, end * n_out):
                cells[found] = c
                listed[found] = _F(1.0)
                found += 1
            continue
        for start in range(i * n_out, end * n_out, 16):
            stop = min(start + 16, end * n_out)
            some = False
            for c in range(start, stop):
                some |= counts[c] != _F(0.0)
            if some:
                # Written in any case, kept if not zero: the branch would be a coin toss.
                for c in range(start, stop):
                    cells[found] = c
                    listed[found] = counts[c]
                    found += counts[c] != _F(0.0)
    return found
