"""The learning rules, element by element: from a gradient to the change that the rule asks of lam.

The rules only ask. What a device makes of the request is decided by the programming policy
(`bimu_hw.kernels.programming`) and the device model. Sources: BiMU, Cottart et al., ICML 2026, arXiv:2605.30198;
BayesBiNN, Meng, Bachmann, Khan, ICML 2020, arXiv:2002.10778.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bimu_hw.kernels import inline, jit
from bimu_hw.kernels.elementary import shape_block

_F = np.float32


#: Numbers by which `request_block` knows a rule.
BIMU, BAYESBINN, NATIVE = 0, 1, 2


class Coefficients(NamedTuple):
    """A learning rule in numbers.

    Attributes
    ----------
    rule : int
        BIMU, BAYESBINN or NATIVE.
    coefficient : float32[5]
        The arguments of the rule's function below between `through_weight` and the arrays.
    lam_prior : float32[cell]
        Empty if the rule has none.
    """

    rule: int
    coefficient: npt.NDArray[np.float32]
    lam_prior: npt.NDArray[np.float32]


def coefficients_of(rule: int, *values: float, lam_prior: npt.NDArray[np.float32] | None = None) -> Coefficients:
    """Return a rule in numbers."""
    coefficient = np.zeros(5, np.float32)
    coefficient[: len(values)] = values
    return Coefficients(rule, coefficient, np.zeros(0, np.float32) if lam_prior is None else lam_prior)


@inline(borrowed=True)
def _bimu(lam, tanh, sech2, gradient, through_weight, lr, inverse_lr_max, likelihood, kl, inverse_window, out):
    through_lam = _F(1.0) - through_weight
    for c in range(out.size):
        t, v = tanh[c], sech2[c]
        # Not 1 + through_weight * (v - 1): that rounds v to a multiple of 2**-24, a tenth of it at |lam| of 8.
        g = likelihood * gradient[c] * (through_weight * v + through_lam)
        s = kl * v
        below = s + _F(2.0) * (g * t + abs(g)) + inverse_lr_max
        out[c] = -(lr * g + lam[c] * s * inverse_window) / below


@inline(borrowed=True)
def _bayesbinn(lam, sech2, gradient, through_weight, lr, prior_strength, lam_prior, out):
    relaxed = _F(1.0) - through_weight
    for c in range(out.size):
        scale = through_weight + relaxed * (sech2[c] + _F(1e-7))
        out[c] = -lr * (gradient[c] / scale + prior_strength * (lam[c] - lam_prior[c]))


@inline(borrowed=True)
def _native(gradient, lr, out):
    for c in range(out.size):
        out[c] = -lr * gradient[c]


@inline(borrowed=True)
def request_block(rule, coefficient, lam, tanh, sech2, lam_prior, gradient, through_weight, out):
    """Write the change of lam that a rule asks for (`Coefficients`); arrays float32, flat, of the same cells."""
    k = coefficient
    if rule == BIMU:
        _bimu(lam, tanh, sech2, gradient, through_weight, k[0], k[1], k[2], k[3], k[4], out)
    elif rule == BAYESBINN:
        _bayesbinn(lam, sech2, gradient, through_weight, k[0], k[1], lam_prior, out)
    else:
        _native(gradient, k[0], out)


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
    tanh, sech2 = np.empty_like(lam), np.empty_like(lam)
    shape_block(lam, tanh, sech2)
    _bimu(lam, tanh, sech2, gradient, through_weight, lr, inverse_lr_max, likelihood, kl, inverse_window, out)


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
    tanh, sech2 = np.empty_like(lam), np.empty_like(lam)
    shape_block(lam, tanh, sech2)
    _bayesbinn(lam, sech2, gradient, through_weight, lr, prior_strength, lam_prior, out)


@jit
def native_request(gradient, lr, out):
    """Write the change of lam that is asked of a device whose own response is the rule: -lr * gradient.

    Parameters
    ----------
    gradient : float32[cell]
    lr : float32
        lam per unit of gradient.
    out : float32[cell]
        *Mutates* `out`.
    """
    _native(gradient, lr, out)
