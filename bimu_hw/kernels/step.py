"""Whole relaxed training steps in one kernel: forward pass, loss, backward pass and update of all layers.

Nothing is computed here that does not also run by itself (`relaxed`, `network`, `update`), so a step in one kernel has
the bits of one in several; what goes is the time between them. The ranks of a team (`bimu_hw.kernels.team`) run the
same step, each on its own share of every large layer, and rank 0 does what is between the layers. A share is whole
chunks of pairs of blocks, forwards and in the update, so a rank finds the weights that it left in its own cache.
"""

from __future__ import annotations

import numpy as np

from bimu_hw.kernels import inline, jit
from bimu_hw.kernels.bits import fold
from bimu_hw.kernels.blocks import CHUNK
from bimu_hw.kernels.gradient import gradient_is_zero
from bimu_hw.kernels.network import loss_gradient, normalise_backward
from bimu_hw.kernels.programming import STOCHASTIC
from bimu_hw.kernels.relaxed import relaxed_backward, relaxed_finish, relaxed_product
from bimu_hw.kernels.team import EVENT, LABEL, NOTHING, SLOT, arrive, await_step, call, meet
from bimu_hw.kernels.update import update_layer

_I64 = np.int64
_U64 = np.uint64

#: Weight samples of a layer and pass from which on it is shared out: what a meeting takes, a microsecond or two, and
#: caches that must be filled anew are then less than what is saved.
WORTH_SHARING = 50_000


@inline(borrowed=True)
def _share(weights, partial, rank, ranks):
    """Return the chunks of a layer that a rank works on: the first, and the one behind the last."""
    n_chunks = partial.shape[0]
    if weights.size < WORTH_SHARING:
        return _I64(0), (n_chunks if rank == 0 else _I64(0))
    return n_chunks * rank // ranks, n_chunks * (rank + 1) // ranks


@inline(borrowed=True)
def _forward(
    board, rank, slot, event, x, keys, rows, activation, mean, weights, partial, work, words, sample_keys, normal,
    deviation, h,
):  # fmt: skip
    """Send the example through all layers; return False if ranks shall leave."""
    last_layer = len(mean) - 1
    for k in range(len(mean)):
        shared = weights[k].size >= WORTH_SHARING
        if shared and k > 0 and not meet(board, rank):
            return False
        first, last = _share(weights[k], partial[k], rank, _I64(board.shape[0] - 1))
        if last > first:
            relaxed_product(
                x[slot] if k == 0 else h[k - 1][slot], mean[k], fold(keys[0, k], _U64(event)), rows[k], first, last,
                sample_keys[k][rank], work[k][rank], words[k][rank], weights[k], partial[k],
            )  # fmt: skip
        if shared and not meet(board, rank):
            return False
        if rank == 0:
            next_activation = activation if k < last_layer else -1
            relaxed_finish(partial[k], normal[k][slot], deviation[k], next_activation, h[k][slot])
    return True


@inline(borrowed=True)
def _backward(slot, label, x, epsilon, rows, activation, weights, work, normal, deviation, h, delta, busy):
    """Leave the gradient of each layer's sums in `delta`; return the loss and whether the whole gradient is zero."""
    last = len(weights) - 1
    loss = loss_gradient(normal[last][slot], label, delta[last])
    for k in range(last, -1, -1):
        normalise_backward(delta[k], normal[k][slot], deviation[k], delta[k])
        if k > 0:
            relaxed_backward(delta[k], weights[k], rows[k], normal[k - 1][slot], activation, delta[k - 1])
    # From the last layer back: as a rule its first block says that the gradient is not zero.
    zero = True
    for k in range(last, -1, -1):
        inputs = x[slot] if k == 0 else h[k - 1][slot]
        zero = zero and gradient_is_zero(
            inputs, delta[k], weights[k], True, epsilon, rows[k], busy[k].size, work[k][0]
        )
    return loss, zero


@jit(borrowed=True)
def relaxed_step(
    board, rank, slot, event, label, x, keys, rows, activation, mean, sech2, lam, weights, partial, work, words,
    sample_keys, counts, normal, deviation, h, delta, rule, coefficient, lam_prior, epsilon, policy, scales, residue,
    requested, busy, tally,
):  # fmt: skip
    """Learn one example on exact continuous elements: the share of one rank.

    These are tuples of one array per layer: `mean` (tanh lam), `sech2`, `lam`,
    `weights`, `partial`, `deviation`, `delta`, `lam_prior`, `residue`, `requested`, `counts` and `busy` as in
    `relaxed_product`, `relaxed_finish` and `update_layer`; `work`, `words` and `sample_keys` with one more axis in
    front, the rank; `normal` and `h` with the slot in front.

    Parameters
    ----------
    board : int64[rank + 1, 8]
        Of the team; of one rank if there is none.
    rank : int
    slot : int
        Place of the example among those that are learned in one call.
    event : int
        Index of the query.
    label : int
    x : float32[slot, 1, wordline]
    keys : uint64[2, layer]
        Keys of the relaxed weights and of the rounding, before the event.
    rows : int64[layer]
        Word lines per block.
    activation : int
    rule, epsilon, policy
        As in `update_layer`.
    coefficient : float32[5]
    scales : float32[layer, 4]
        As in `update_layer`.
    tally : int64[rank, layer, 8]
        What `update_layer` returns, the rest of a cache line unused. *Mutates* all that those kernels do, and `tally`.

    Returns
    -------
    tuple of (float, bool)
        Loss, and whether the whole gradient is exactly zero, in which case nothing was asked of any element. For ranks
        other than 0 of no meaning.
    """
    ranks = _I64(board.shape[0] - 1)
    loss = 0.0
    if not _forward(
        board, rank, slot, event, x, keys, rows, activation, mean, weights, partial, work, words, sample_keys, normal,
        deviation, h,
    ):  # fmt: skip
        return loss, True
    if rank == 0:
        loss, zero = _backward(
            slot, label, x, epsilon, rows, activation, weights, work, normal, deviation, h, delta, busy
        )
        board[ranks, NOTHING] = _I64(zero)
    if not meet(board, rank) or board[ranks, NOTHING] != 0:
        return loss, True
    for k in range(len(mean)):
        first, last = _share(weights[k], partial[k], rank, ranks)
        tally[rank, k] = 0
        if last > first:
            key = fold(keys[1, k], _U64(event)) if policy == STOCHASTIC else keys[1, k]
            some, up, plain = update_layer(
                x[slot] if k == 0 else h[k - 1][slot], delta[k], weights[k], True, epsilon, rule, coefficient,
                lam_prior[k], policy, (scales[k, 0], scales[k, 1], scales[k, 2], scales[k, 3]), True, key, residue[k],
                requested[k], rows[k], first * CHUNK, min(last * CHUNK, busy[k].size // 2), work[k][rank], lam[k],
                mean[k], sech2[k], counts[k], busy[k],
            )  # fmt: skip
            tally[rank, k, 0], tally[rank, k, 1], tally[rank, k, 2] = some, up, plain
    meet(board, rank)
    return loss, False


@jit(borrowed=True)
def relaxed_steps(board, n, first_event, labels, losses, outcome, busy, tally, *step):
    """Learn examples one after the other, the share of rank 0: no time passes between them.

    Parameters
    ----------
    board : int64[rank + 1, 8]
    n : int
        How many.
    first_event : int
        Index of the query in slot 0.
    labels : int64[slot]
    losses : float64[slot]
    outcome : int64[slot, layer, 4]
        What `update_layer` returns, all ranks together, and whether nothing was asked of any element. *Mutates*
        `losses`, `outcome` and all that `relaxed_step` does.
    busy, tally, *step
        The arguments of `relaxed_step` from `x` on, the last two first.

    Returns
    -------
    int
        How many were learned: where some cells get pulses and others none, these are listed before the next step.
    """
    for slot in range(n):
        event = first_event + slot
        call(board, slot, event, labels[slot])
        losses[slot], nothing = relaxed_step(board, 0, slot, event, labels[slot], *step, busy, tally)
        must_list = False
        for k in range(len(busy)):
            outcome[slot, k] = 0
            outcome[slot, k, 3] = nothing
            if not nothing:
                for rank in range(tally.shape[0]):
                    for i in range(3):
                        outcome[slot, k, i] += tally[rank, k, i]
                must_list = must_list or outcome[slot, k, 2] != busy[k].size
        if must_list:
            return slot + 1
    return n


@jit(borrowed=True)
def serve(board, rank, *step):
    """Do a rank's share of every step that is called for, until there is none for long or ranks shall leave."""
    everyone = board.shape[0] - 1
    arrive(board, rank)
    while await_step(board, rank):
        relaxed_step(board, rank, board[everyone, SLOT], board[everyone, EVENT], board[everyone, LABEL], *step)
