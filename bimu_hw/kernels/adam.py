"""Rules on a latent weight whose sign is the weight: Adam, STE's bound, and the brake of synaptic metaplasticity.

Sources: Kingma, Ba, ICLR 2015, arXiv:1412.6980 (Adam); Hubara et al., NeurIPS 2016, arXiv:1602.02830 (latent weights
stay within a bound); Laborieux et al., Nat. Commun. 12, 2549 (2021) (the brake). The readable twin is
`bimu_hw.learning.latent`.
All arrays are float32, flat, of the same cells.
"""

from __future__ import annotations

import math

import numpy as np

from bimu_hw.kernels import jit
from bimu_hw.kernels.elementary import tanh_sech2

_F = np.float32


@jit
def adam_request(lam, gradient, numbers, first, second, out):
    """Write the change of lam that Adam asks for, and bring its moments up to date.

    Parameters
    ----------
    lam, gradient : float32[cell]
        Latent weight, and d loss / d weight.
    numbers : float32[6]
        Weight decay, b1, b2, eta / (1 - b1**t), 1 / (1 - b2**t), epsilon; t counts updates, this one included.
    first, second : float32[cell]
        Moments, without the divisors.
    out : float32[cell]
        *Mutates* `first`, `second`, `out`.
    """
    decay, b1, b2, step, inverse, epsilon = numbers[0], numbers[1], numbers[2], numbers[3], numbers[4], numbers[5]
    c1, c2 = _F(1.0) - b1, _F(1.0) - b2
    for c in range(out.size):
        g = gradient[c] + decay * lam[c]
        m = b1 * first[c] + c1 * g
        v = b2 * second[c] + c2 * (g * g)
        first[c] = m
        second[c] = v
        out[c] = -step * m / (_F(math.sqrt(v * inverse)) + epsilon)


@jit
def bound_request(lam, bound, out):
    """Cut changes where they lead beyond +-bound. *Mutates* `out`."""
    for c in range(out.size):
        out[c] = min(max(lam[c] + out[c], -bound), bound) - lam[c]


@jit
def brake_request(lam, metaplasticity, out):
    """Multiply changes that would shrink the magnitude of lam by 1 - tanh(metaplasticity * lam)**2. *Mutates* `out`."""
    for c in range(out.size):
        _, v = tanh_sech2(metaplasticity * lam[c])
        out[c] = out[c] * v if lam[c] * out[c] < _F(0.0) else out[c]
