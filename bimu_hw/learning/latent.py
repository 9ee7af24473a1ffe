"""Two rules whose weight is the sign of a latent number, as exact and readable NumPy: STE and synaptic metaplasticity.

A synapse holds a real latent weight, in place of the natural parameter and under its name `lam`; its weight is +1 where
the latent weight is not negative, else -1, and nothing is drawn. The gradient with respect to the weight passes
straight through the sign (`bimu_hw.learning.loss_and_grad`, gradient "straight_through"), and the Adam method moves the
latent weight. Weight decay is added to the gradient.

Sources: Hubara, Courbariaux, Soudry, El-Yaniv, Bengio, "Binarized neural networks", NeurIPS 2016, arXiv:1602.02830
(straight through; latent weights clipped to [-1, 1]); Laborieux, Ernoult, Hirtzlin, Querlioz, "Synaptic metaplasticity
in binarized neural networks", Nat. Commun. 12, 2549 (2021), arXiv:2003.03533 (the brake on steps towards 0); Kingma,
Ba, "Adam", ICLR 2015, arXiv:1412.6980.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bimu_hw.errors import ScenarioError
from bimu_hw.learning.metrics import Floats, as_floats

#: Adam's own defaults (Kingma, Ba, ICLR 2015): decay of the first and second moment, and what is added to the root.
BETA1, BETA2, ADAM_EPS = 0.9, 0.999, 1e-8
#: Latent weights of STE stay within +-1 (Hubara et al. 2016).
STE_BOUND = 1.0


class Moments(NamedTuple):
    """Adam's running means of the gradient and of its square, and the number of updates in them."""

    first: Floats
    second: Floats
    updates: int


def no_moments(shape: tuple[int, ...], dtype: npt.DTypeLike = np.float64) -> Moments:
    """Return the moments before the first update."""
    return Moments(np.zeros(shape, dtype), np.zeros(shape, dtype), 0)


def adam_delta(
    lam: npt.ArrayLike, grad: npt.ArrayLike, moments: Moments, *, lr: float, weight_decay: float = 0.0
) -> tuple[Floats, Moments]:
    """Return the change that Adam asks for, -eta m / (sqrt(v) + epsilon), and the new moments.

    With g = grad + weight_decay lam and t updates, this one included: m = (b1 m' + (1 - b1) g) / (1 - b1^t) and
    v = (b2 v' + (1 - b2) g^2) / (1 - b2^t), where m' and v' are the moments so far, kept without the divisors.

    Parameters
    ----------
    lam, grad : array_like
        Latent weight, and d loss / d weight; equal shapes.
    moments : Moments
    lr, weight_decay : float
        At least 0.

    Raises
    ------
    ScenarioError
        If a shape does not match, a value is not finite or a parameter is out of range.
    """
    lam, grad = _checked(lam, grad, moments, lr=lr, weight_decay=weight_decay)
    g = grad + weight_decay * lam
    first = BETA1 * moments.first + (1.0 - BETA1) * g
    second = BETA2 * moments.second + (1.0 - BETA2) * g * g
    t = moments.updates + 1
    step = lr * (first / (1.0 - BETA1**t)) / (np.sqrt(second / (1.0 - BETA2**t)) + ADAM_EPS)
    return -step, Moments(first, second, t)


def ste_delta(
    lam: npt.ArrayLike, grad: npt.ArrayLike, moments: Moments, *, lr: float, weight_decay: float = 0.0
) -> tuple[Floats, Moments]:
    """Return the change that STE asks for: Adam's, cut where it would lead beyond +-1; arguments as in `adam_delta`."""
    delta, moments = adam_delta(lam, grad, moments, lr=lr, weight_decay=weight_decay)
    lam = as_floats(lam)
    return np.clip(lam + delta, -STE_BOUND, STE_BOUND) - lam, moments


def metaplasticity_delta(
    lam: npt.ArrayLike, grad: npt.ArrayLike, moments: Moments, *, lr: float, metaplasticity: float,
    weight_decay: float = 0.0,
) -> tuple[Floats, Moments]:  # fmt: skip
    """Return the change that synaptic metaplasticity asks for; other arguments as in `adam_delta`.

    Adam's change, times 1 - tanh^2(m |lam|) where it would shrink |lam|.

    Parameters
    ----------
    metaplasticity : float
        m, at least 0; with 0 there is no brake.

    Raises
    ------
    ScenarioError
        As `adam_delta`, or if m is negative.
    """
    if not metaplasticity >= 0.0:
        raise ScenarioError(
            f"metaplasticity_delta, metaplasticity: got {metaplasticity!r}; expected a number of at least 0."
        )
    delta, moments = adam_delta(lam, grad, moments, lr=lr, weight_decay=weight_decay)
    lam = as_floats(lam)
    brake = 1.0 - np.tanh(metaplasticity * np.abs(lam)) ** 2
    return np.where(lam * delta < 0.0, brake * delta, delta), moments


def _checked(lam: npt.ArrayLike, grad: npt.ArrayLike, moments: Moments, **numbers: float) -> tuple[Floats, Floats]:
    for name, number in numbers.items():
        if not (number >= 0.0 and np.isfinite(number)):
            raise ScenarioError(f"adam_delta, {name}: got {number!r}; expected a number of at least 0.")
    values, gradient = as_floats(lam), as_floats(grad)
    for name, array in (("grad", gradient), ("moments", moments.first), ("moments", moments.second)):
        if array.shape != values.shape:
            raise ScenarioError(
                f"adam_delta, {name}: got shape {array.shape}; expected {values.shape}, the shape of lam."
            )
    if not (np.isfinite(values).all() and np.isfinite(gradient).all()):
        raise ScenarioError("adam_delta: got a value that is not finite; expected finite numbers.")
    return values, gradient
