"""Normalisation of each unit by running statistics of its own; float32[sample, unit], statistics float32[unit].

Source: Ioffe, Szegedy, "Batch normalization", ICML 2015, arXiv:1502.03167, as used at inference: by running statistics.
"""

from __future__ import annotations

import math

import numpy as np

from bimu_hw.kernels import jit

_F = np.float32
_EPSILON = _F(1e-5)


@jit
def normalise_units(y, mean, variance, out):
    """Write (y - mean) / sqrt(variance + 1e-5). *Mutates* `out`."""
    for s in range(y.shape[0]):
        for j in range(y.shape[1]):
            out[s, j] = (y[s, j] - mean[j]) / _F(math.sqrt(variance[j] + _EPSILON))


@jit
def normalise_units_backward(delta, variance):
    """Divide a gradient by sqrt(variance + 1e-5): the statistics count as constants. *Mutates* `delta`."""
    for s in range(delta.shape[0]):
        for j in range(delta.shape[1]):
            delta[s, j] = delta[s, j] / _F(math.sqrt(variance[j] + _EPSILON))


@jit
def update_statistics(y, share, mean, variance):
    """Let each sample move the running mean and variance by `share` of the way. *Mutates* `mean`, `variance`."""
    for s in range(y.shape[0]):
        for j in range(y.shape[1]):
            d = y[s, j] - mean[j]
            mean[j] += share * d
            variance[j] += share * (d * d * (_F(1.0) - share) - variance[j])
