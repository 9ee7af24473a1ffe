"""Relaxed (concrete) weights for the reference algorithm on ideal hardware: forward product and transposed product.

At temperature 1 the relaxed weight w = tanh(lam + 1/2 logit u) is rational in the mean weight m = tanh lam and v =
2u - 1: w = (v + m) / (1 + v m), so the loops need no transcendental function. The forward product leaves the weights
behind for the gradient (`bimu_hw.kernels.gradient`): reading them back takes a third of the time of drawing again.

Word lines are worked on in blocks (`bimu_hw.kernels.blocks`), which stay in the first-level cache.

Source: Cottart, Ballet, Bonnet, Querlioz, ICML 2026, arXiv:2605.30198 (relaxation of a Bernoulli weight); the rational
form is the addition theorem of tanh.
"""

from __future__ import annotations

import numpy as np

from bimu_hw.kernels import inline, jit
from bimu_hw.kernels.bits import WEYL, fill_pairs, fold, key_halves
from bimu_hw.kernels.blocks import CHUNK, add_rows, spread_rows, sum_chunks
from bimu_hw.kernels.network import activate, activate_backward, normalise

_F = np.float32
_I = np.int32
_U32 = np.uint32
_U64 = np.uint64

#: v = V_STEP * word, the word taken as signed: the open interval (-1, 1), for the conversion to float32 rounds.
V_STEP = np.float32(2.0**-31 * (1.0 - 2.0**-24))


@inline(borrowed=True)
def _scale_mean(mean, out):
    for c in range(mean.size):
        out[c] = V_STEP * mean[c]


@inline(borrowed=True)
def _weigh(words, mean, scaled, x, weights, total):
    """Turn words into relaxed weights and add x times each to its running total, cell by cell.

    With `scaled` = V_STEP * mean, numerator and denominator are a multiply-add each of the word itself.
    """
    for c in range(mean.size):
        word = _F(_I(words[c]))
        w = (word * V_STEP + mean[c]) / (word * scaled[c] + _F(1.0))
        total[c] += x[c] * w
        weights[c] = w


@jit(borrowed=True)
def relaxed_product(x, mean, key, rows, first, last, keys, work, words, weights, partial):
    """Multiply inputs by freshly drawn relaxed weights, for the chunks `first` to `last` - 1 of the word lines.

    Parameters
    ----------
    x : float32[1 or sample, wordline]
        Inputs; one row is shared by all samples.
    mean : float32[cell]
        Mean weights, tanh lam.
    key : uint64
        Key of this layer and event; folded with the sample index.
    rows : int
        Word lines per block.
    first, last : int
        Range of chunks: each has partial sums of its own, so that the result does not depend on who computes which.
    keys : uint32[sample, 2]
    work : float32[4 + sample, block cell]
    words : uint32[2, block cell]
        Work space.
    weights : float32[block, sample, block cell]
        The weights, for the gradient; blocks of the first half of the word lines, then those of the second.
    partial : float32[chunk, sample, bitline]
        Products over the word lines of each chunk. *Mutates* `keys`, `work`, `words`, `weights`,
        `partial`.
    """
    n_in = x.shape[1]
    n_sample, n_out = partial.shape[1], partial.shape[2]
    half = (n_in + 1) // 2
    n_pairs = -(-half // rows)
    own = np.int64(x.shape[0] != 1)
    for s in range(n_sample):
        keys[s, 0], keys[s, 1] = key_halves(fold(key, _U64(s)))
    for chunk in range(first, last):
        work[4 : 4 + n_sample] = _F(0.0)
        for b in range(chunk * CHUNK, min((chunk + 1) * CHUNK, n_pairs)):
            i, end = b * rows, min((b + 1) * rows, half)
            # The partners in the second half; with an odd number of word lines the last one has none.
            k, k_end = half + i, min(half + end, n_in)
            lower, upper = mean[i * n_out : end * n_out], mean[k * n_out : k_end * n_out]
            _scale_mean(lower, work[2])
            _scale_mean(upper, work[3])
            for s in range(n_sample):
                if s * own == s:
                    spread_rows(x[s, i:end], n_out, work[0])
                    spread_rows(x[s, k:k_end], n_out, work[1])
                weyl = _U32(_U32(_U32(i * n_out) + keys[s, 0]) * WEYL)
                fill_pairs(weyl, keys[s, 1], words[0, : lower.size], words[1])
                _weigh(words[0], lower, work[2], work[0], weights[b, s], work[4 + s])
                _weigh(words[1], upper, work[3], work[1], weights[n_pairs + b, s], work[4 + s])
        for s in range(n_sample):
            partial[chunk, s] = _F(0.0)
            add_rows(work[4 + s], rows, partial[chunk, s])


@jit(borrowed=True)
def relaxed_transposed(delta, weights, rows, n_in, out):
    """Multiply output gradients by the transpose of the relaxed weights that `relaxed_product` left.

    Parameters
    ----------
    delta : float32[sample, bitline]
    weights : float32[block, sample, block cell]
    rows, n_in : int
        Word lines per block, and of the layer.
    out : float32[sample, wordline]
        *Mutates* `out`.
    """
    n_sample, n_out = delta.shape
    half = (n_in + 1) // 2
    n_pairs = -(-half // rows)
    for s in range(n_sample):
        for i in range(n_in):
            inside = i - half if i >= half else i
            block = inside // rows + (n_pairs if i >= half else 0)
            w = weights[block, s, (inside % rows) * n_out : (inside % rows + 1) * n_out]
            total = _F(0.0)
            for j in range(n_out):
                total += delta[s, j] * w[j]
            out[s, i] = total


@jit(borrowed=True)
def relaxed_finish(partial, normal, inverse_deviation, activation, h):
    """Add up the products of a layer, normalise them and, unless `activation` is -1, activate the result.

    Arguments as in `relaxed_product` and `bimu_hw.kernels.network`. *Mutates* `normal`, `inverse_deviation`, `h`.
    """
    sum_chunks(partial, h)
    normalise(h, normal, inverse_deviation)
    if activation >= 0:
        activate(normal, activation, h)


@jit(borrowed=True)
def relaxed_backward(delta, weights, rows, normal_below, activation, delta_below):
    """Take output gradients back through the weights and the activation of the layer below. *Mutates* `delta_below`."""
    relaxed_transposed(delta, weights, rows, delta_below.shape[1], delta_below)
    activate_backward(delta_below, normal_below, activation, delta_below)


@jit
def fill_v(words, out):
    """Write the v = 2u - 1 that relaxed weights are made of (float32, flat) for words from `fill_look`."""
    for c in range(words.size):
        out[c] = _F(_I(words[c])) * V_STEP
