"""The learning rules, element by element: from a gradient to the change that the rule asks of lam.

The rules only ask. What a device makes of the request is decided by the programming policy
(`bimu_hw.kernels.programming`) and the device model. Sources: BiMU, Cottart et al., ICML 2026, arXiv:2605.30198;
BayesBiNN, Meng, Bachmann, Khan, ICML 2020, arXiv:2002.10778.
"""

from __future__ import annotations

import numpy as np

from bimu_hw.kernels import jit
from bimu_hw.kernels.elementary import tanh_sech2

_F = np.float32


@jit
def bimu_request(lam, gradient, through_weight, lr, inverse_lr_max, likelihood, kl, inverse_window, out):
    """Write the change of lam that BiMU asks for.

    With t = tanh lam, v = sech**2 lam, g = likelihood * gradient and s = kl * v:
    change = -(lr * g + lam * s / N) / (s + 2 g t + 2 |g| + 1 / lr_max).

    Parameters
    ----------
    lam : float32[cell]
    gradient : float32[cell]
        Gradient of the loss with respect to lam, or to the sampled weight if `through_weight` is 1; the factor
        sech**2 lam that leads from the second to the first is applied here.
    through_weight : float32
        0 or 1.
    lr, inverse_lr_max, likelihood, kl, inverse_window : float32
        eta, 1 / eta_max, L, K, 1 / N.
    out : float32[cell]
        *Mutates* `out`.
    """
    through_lam = _F(1.0) - through_weight
    for c in range(lam.size):
        x = lam[c]
        t, v = tanh_sech2(x)
        # Not 1 + through_weight * (v - 1): that rounds v to a multiple of 2**-24, a tenth of it at |lam| of 8.
        g = likelihood * gradient[c] * (through_weight * v + through_lam)
        s = kl * v
        out[c] = -(lr * g + x * s * inverse_window) / (s + _F(2.0) * (g * t + abs(g)) + inverse_lr_max)


@jit
def bayesbinn_request(lam, gradient, through_weight, lr, prior_strength, lam_prior, out):
    """Write the change of lam that BayesBiNN asks for: -lr (dL/dmu + rho (lam - lam_prior)).

    Parameters
    ----------
    lam, lam_prior : float32[cell]
    gradient : float32[cell]
        mean over samples of x_i delta_j, if `through_weight` is 1 (the gradient with respect to the sampled weight
        is the gradient with respect to the mean weight mu); else mean of x_i delta_j (1 - w**2 + 1e-7), which is
        divided here by 1 - tanh**2 lam + 1e-7.
    through_weight : float32
        0 or 1.
    lr, prior_strength : float32
        eta and rho.
    out : float32[cell]
        *Mutates* `out`.
    """
    relaxed = _F(1.0) - through_weight
    for c in range(lam.size):
        _, v = tanh_sech2(lam[c])
        scale = through_weight + relaxed * (v + _F(1e-7))
        out[c] = -lr * (gradient[c] / scale + prior_strength * (lam[c] - lam_prior[c]))
