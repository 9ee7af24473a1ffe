"""Relaxed (concrete) weights for the reference algorithm on ideal hardware: forward product and gradient.

At temperature 1 the relaxed weight w = tanh(lam + 1/2 logit u) is rational in the mean weight m = tanh lam and v =
2u - 1: w = (v + m) / (1 + v m), so the loops need no transcendental function. The forward product leaves the slopes
1 - w**2 behind for the gradient: reading them back from the second-level cache takes half the time of drawing
again.

Source: Cottart, Ballet, Bonnet, Querlioz, ICML 2026, arXiv:2605.30198 (relaxation of a Bernoulli weight); the rational
form is the addition theorem of tanh.
"""

from __future__ import annotations

import numpy as np

from bimu_hw.kernels import inline, jit
from bimu_hw.kernels.bits import WEYL, cell_bits, fold, key_halves, scramble

_F = np.float32
_U32 = np.uint32
_U64 = np.uint64


@inline
def _relaxed_weight(bits, mean):
    v = _F(_F(np.int32(bits >> _U32(9))) + _F(0.5)) * _F(2.0**-22) - _F(1.0)
    return (v + mean) / (_F(1.0) + v * mean)


@inline
def _sample_keys(key, n_sample):
    low = np.empty(n_sample, np.uint32)
    high = np.empty(n_sample, np.uint32)
    for s in range(n_sample):
        low[s], high[s] = key_halves(fold(key, _U64(s)))
    return low, high


@jit
def relaxed_forward(x, mean, key, first, last, tile_rows, partial, slope, out):
    """Multiply inputs by freshly drawn relaxed weights, for samples `first` to `last` - 1.

    Parameters
    ----------
    x : float32[1 or sample, wordline]
        Inputs; one row is shared by all samples.
    mean : float32[wordline, bitline]
        Mean weights, tanh lam.
    key : uint64
        Key of this layer and event; folded with the sample index.
    first, last : int
        Range of samples.
    tile_rows : int
        Word lines per tile: partial sums are formed tile by tile, as the hardware does.
    partial : float32[sample, bitline]
        Work space.
    slope : float32[wordline, sample, bitline]
        The derivative of each weight with respect to its lam, 1 - w**2.
    out : float32[sample, bitline]
        Products. *Mutates* `partial`, `slope`, `out`.
    """
    n_in, n_out = mean.shape
    own_row = np.int64(x.shape[0] != 1)
    low, high = _sample_keys(key, last)
    out[first:last] = _F(0.0)
    for start in range(0, n_in, tile_rows):
        partial[first:last] = _F(0.0)
        for i in range(start, min(start + tile_rows, n_in)):
            m = mean[i]
            for s in range(first, last):
                # No test for a zero input: without a condition the check that arrays do not overlap leaves the loop.
                xi = x[s * own_row, i]
                weyl = _U32(_U32(_U32(i * n_out) + low[s]) * WEYL)
                top = high[s]
                row = partial[s]
                slope_row = slope[i, s]
                for j in range(n_out):
                    w = _relaxed_weight(scramble(weyl, top), m[j])
                    weyl = _U32(weyl + WEYL)
                    row[j] += xi * w
                    slope_row[j] = _F(1.0) - w * w
        for s in range(first, last):
            for j in range(n_out):
                out[s, j] += partial[s, j]


@jit
def relaxed_gradient(x, delta, slope, epsilon, out):
    """Average the gradient of the loss over the samples, through the relaxed weights.

    Computes mean over samples of x_i delta_j (1 - w**2 + epsilon), the gradient with respect to lam for epsilon = 0.

    Parameters
    ----------
    x : float32[1 or sample, wordline]
    delta : float32[sample, bitline]
        Gradient of the sample's loss with respect to the layer's products.
    slope : float32[wordline, sample, bitline]
        As left by `relaxed_forward`; finite everywhere.
    epsilon : float32
        0 for BiMU, 1e-7 for BayesBiNN (Meng, Bachmann, Khan, ICML 2020).
    out : float32[wordline, bitline]
        *Mutates* `out`.
    """
    n_in, n_out = out.shape
    n_sample = delta.shape[0]
    own_row = np.int64(x.shape[0] != 1)
    scale = _F(1.0) / _F(n_sample)
    paired = n_sample - n_sample % 2
    for i in range(n_in):
        row = out[i]
        for j in range(n_out):
            row[j] = _F(0.0)
        # Two samples per pass over the row: half the loads and stores of the sum.
        for s in range(0, paired, 2):
            xa = x[s * own_row, i] * scale
            xb = x[(s + 1) * own_row, i] * scale
            da, db = delta[s], delta[s + 1]
            sa, sb = slope[i, s], slope[i, s + 1]
            for j in range(n_out):
                row[j] += xa * da[j] * (sa[j] + epsilon) + xb * db[j] * (sb[j] + epsilon)
        for s in range(paired, n_sample):
            xa = x[s * own_row, i] * scale
            da = delta[s]
            sa = slope[i, s]
            for j in range(n_out):
                row[j] += xa * da[j] * (sa[j] + epsilon)


@jit
def relaxed_transposed(delta, mean, key, out):
    """Multiply output gradients by the transpose of the relaxed weights of `relaxed_forward`.

    Parameters
    ----------
    delta : float32[sample, bitline]
    mean : float32[wordline, bitline]
    key : uint64
        The same key as in `relaxed_forward`: the same weights.
    out : float32[sample, wordline]
        *Mutates* `out`.
    """
    n_in, n_out = mean.shape
    n_sample = delta.shape[0]
    low, high = _sample_keys(key, n_sample)
    for s in range(n_sample):
        top = high[s]
        for i in range(n_in):
            base = _U32(_U32(i * n_out) + low[s])
            total = _F(0.0)
            for j in range(n_out):
                total += delta[s, j] * _relaxed_weight(cell_bits(base, top, _U32(j)), mean[i, j])
            out[s, i] = total
