"""The gradient of a layer, averaged over the samples, block of word lines by block.

Relaxed: mean over samples of x_i delta_j (1 - w**2 + epsilon), the gradient with respect to lam for epsilon = 0. Hard:
mean over samples of x_i delta_j, the gradient with respect to the sampled weight.
"""

from __future__ import annotations

import numpy as np

from bimu_hw.kernels import inline, jit
from bimu_hw.kernels.blocks import block_range, spread_rows

_F = np.float32


@inline(borrowed=True)
def spread_delta(delta, rows, out):
    """Write delta / n_sample to every word line of a block, float32[sample, block cell], and their sum behind it.

    Parameters
    ----------
    delta : float32[sample, bitline]
    out : float32[sample + 1, block cell]
    """
    n_sample, n_out = delta.shape
    scale = _F(1.0) / _F(n_sample)
    out[n_sample] = _F(0.0)
    for s in range(n_sample):
        for r in range(rows):
            row = out[s, r * n_out : (r + 1) * n_out]
            for j in range(n_out):
                row[j] = delta[s, j] * scale
        for c in range(rows * n_out):
            out[n_sample, c] += out[s, c]


@inline(borrowed=True)
def _add_one(d, w, base, out):
    for c in range(out.size):
        out[c] += d[c] * (base - w[c] * w[c])


@inline(borrowed=True)
def _set_one(d, w, base, out):
    for c in range(out.size):
        out[c] = d[c] * (base - w[c] * w[c])


@inline(borrowed=True)
def _set_four(d0, d1, d2, d3, w0, w1, w2, w3, base, out):
    for c in range(out.size):
        a = d0[c] * (base - w0[c] * w0[c]) + d1[c] * (base - w1[c] * w1[c])
        out[c] = a + d2[c] * (base - w2[c] * w2[c]) + d3[c] * (base - w3[c] * w3[c])


@inline(borrowed=True)
def _multiply(x, d, out):
    for c in range(out.size):
        out[c] = x[c] * d[c]


@inline(borrowed=True)
def _scale(x, out):
    for c in range(out.size):
        out[c] *= x[c]


@inline(borrowed=True)
def _add_one_and_scale(x, d, w, base, out):
    for c in range(out.size):
        out[c] = x[c] * (out[c] + d[c] * (base - w[c] * w[c]))


@inline(borrowed=True)
def _add_product(x, d, out):
    for c in range(out.size):
        out[c] += x[c] * d[c]


@inline(borrowed=True)
def gradient_block(x, n_out, spread, weights, block, relaxed, epsilon, work, out):
    """Write the gradient of one block of word lines.

    Parameters
    ----------
    x : float32[1 or sample, block wordline]
    n_out : int
    spread : float32[sample + 1, block cell]
        From `spread_delta`.
    weights : float32[block, sample, block cell]
        As left by `relaxed_product`; not looked at if hard.
    block : int
    relaxed : bool
    epsilon : float32
    work : float32[2, block cell]
    out : float32[cell]
        Of this block.
    """
    n_sample = spread.shape[0] - 1
    base = _F(1.0) + epsilon
    if x.shape[0] == 1:
        # The input is the same for all samples: it goes in at the end.
        spread_rows(x[0], n_out, work[0])
        if not relaxed:
            _multiply(work[0], spread[n_sample], out)
            return
        w = weights[block]
        # Four samples in the first pass: each pass loads and stores the sum.
        first = 4 if n_sample >= 4 else 1
        if n_sample >= 4:
            _set_four(spread[0], spread[1], spread[2], spread[3], w[0], w[1], w[2], w[3], base, out)
        else:
            _set_one(spread[0], w[0], base, out)
        for s in range(first, n_sample - 1):
            _add_one(spread[s], w[s], base, out)
        if n_sample > first:
            _add_one_and_scale(work[0], spread[n_sample - 1], w[n_sample - 1], base, out)
        else:
            _scale(work[0], out)
        return
    out[:] = _F(0.0)
    for s in range(n_sample):
        spread_rows(x[s], n_out, work[0])
        if relaxed:
            _multiply(work[0], spread[s], work[1])
            _add_one(work[1], weights[block, s], base, out)
        else:
            _add_product(work[0], spread[s], out)


@jit(borrowed=True)
def gradient(x, delta, weights, relaxed, epsilon, rows, first, last, work, out):
    """Write the gradient of the blocks `first` to `last` - 1.

    Parameters
    ----------
    x : float32[1 or sample, wordline]
        Inputs; one row is shared by all samples.
    delta : float32[sample, bitline]
        Gradient of the sample's loss with respect to the layer's products.
    weights : float32[block, sample, block cell]
        As left by `relaxed_product`.
    relaxed : bool
    epsilon : float32
        0 for BiMU, 1e-7 for BayesBiNN (Meng, Bachmann, Khan, ICML 2020).
    rows : int
        Word lines per block.
    first, last : int
    work : float32[sample + 5, block cell]
        Work space.
    out : float32[cell]
        *Mutates* `work`, `out`.

    Returns
    -------
    bool
        Whether any of it is not zero.
    """
    n_out = delta.shape[1]
    spread = work[4:]
    spread_delta(delta, rows, spread)
    found = False
    for block in range(first, last):
        i, end = block_range(block, rows, x.shape[1])
        part = out[i * n_out : end * n_out]
        gradient_block(x[:, i:end], n_out, spread, weights, block, relaxed, epsilon, work[:2], part)
        for c in range(part.size):
            found |= part[c] != _F(0.0)
    return found


@jit(borrowed=True)
def gradient_is_zero(x, delta, weights, relaxed, epsilon, rows, n_blocks, work):
    """Return whether the whole gradient of a layer is exactly zero; as a rule the first block says no.

    *Mutates* `work`.
    """
    n_out = delta.shape[1]
    spread = work[4:]
    spread_delta(delta, rows, spread)
    for block in range(n_blocks):
        i, end = block_range(block, rows, x.shape[1])
        part = work[2, : (end - i) * n_out]
        gradient_block(x[:, i:end], n_out, spread, weights, block, relaxed, epsilon, work[:2], part)
        for c in range(part.size):
            if part[c] != _F(0.0):
                return False
    return True
