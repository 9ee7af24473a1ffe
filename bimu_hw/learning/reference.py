"""The binary Bayesian network and its learning rules, as exact and readable NumPy.

A synapse holds a natural parameter lam of a Bernoulli posterior over w in {-1, +1}: P(w = +1) = sigma(2 lam).
One Monte Carlo sample draws every weight; a layer computes y = W x and normalises y over its units, without
affine parameters, the output layer too. The noise is an argument: equal uniforms give equal results, bit for
bit.

The forward pass and the gradients are computed in float64 whatever comes in, since this is what the fast
kernels are held against. The element-wise rules keep the dtype of lam, so that they also show what float32
does to them.

Sources: Cottart, Ballet, Bonnet, Querlioz, "Active continual learning with metaplastic binary Bayesian neural
networks", ICML 2026, arXiv:2605.30198 (network, relaxed gradient, BiMU); Meng, Bachmann, Khan, "Training
binary neural networks using the Bayesian learning rule", ICML 2020, arXiv:2002.10778 (BayesBiNN); Hubara,
Courbariaux, Soudry, El-Yaniv, Bengio, "Binarized neural networks", NeurIPS 2016, arXiv:1602.02830 (sign
activation).
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bimu_hw.errors import ScenarioError, did_you_mean
from bimu_hw.learning.metrics import Floats, as_floats, plasticity

Array = npt.NDArray[np.float64]

LAYER_NORM_EPS = 1e-5  # inside the root
BAYESBINN_EPS = 1e-7  # in numerator and denominator of the BayesBiNN gradient

WEIGHTS = ("relaxed", "hard", "sign")
GRADIENTS = ("relaxed", "hard", "bayesbinn", "straight_through")
ACTIVATIONS = ("reverse_binary_gate", "sign")


def bimu_delta(
    lam: npt.ArrayLike,
    grad: npt.ArrayLike,
    *,
    lr: float,
    lr_max: float,
    likelihood_multiplier: float,
    kl_multiplier: float,
    memory_window: float,
) -> Floats:
    """Return the change of the natural parameter that BiMU asks for, element by element.

    With g = L grad and s = K sech^2(lam), the step size is alpha = 1 / (s + 2 g tanh(lam) + 2 |g| +
    1/eta_max), and the change is -alpha (eta g + lam s / N). Where the data push a confident lam back towards
    0, alpha shrinks by 4 |g|; where they confirm it, the two terms in g cancel.

    There is no gate: a zero gradient relaxes lam towards 0. Whether an example that was not queried may do so
    is the caller's decision (it may not), taken on the gradient of all layers together.

    Parameters
    ----------
    lam : array_like
        Natural parameter, any shape.
    grad : array_like
        d loss / d lam of one example, as `loss_and_grad` returns it; the shape of `lam`, or a scalar.
    lr, lr_max : float
        eta >= 0 and eta_max > 0.
    likelihood_multiplier, kl_multiplier : float
        L >= 0 and K >= 0.
    memory_window : float
        N > 0, in examples. Infinity switches forgetting off. N is no time constant: near lam = 0 the
        e-folding of the relaxation is N (K + 1/eta_max) / K examples.

    Returns
    -------
    numpy.ndarray
        The change, with the shape and dtype of `lam` (integers count as float64).

    Raises
    ------
    ScenarioError
        If a shape does not match, a value is not finite or a parameter is out of range.

    Notes
    -----
    Source: arXiv:2605.30198.
    """
    lr = _hyperparameter("bimu_delta, lr", lr)
    lr_max = _hyperparameter("bimu_delta, lr_max", lr_max, positive=True)
    likelihood_multiplier = _hyperparameter("bimu_delta, likelihood_multiplier", likelihood_multiplier)
    kl_multiplier = _hyperparameter("bimu_delta, kl_multiplier", kl_multiplier)
    memory_window = _hyperparameter("bimu_delta, memory_window", memory_window, positive=True, infinite=True)
    lam = _finite("bimu_delta, lam", lam)
    g = likelihood_multiplier * _like(lam, "bimu_delta, grad", grad)

    s = kl_multiplier * plasticity(lam)
    # The two terms in g cancel where the data confirm lam. Their sum is never negative, so alpha is positive.
    alpha = 1.0 / (s + 2.0 * (g * np.tanh(lam) + np.abs(g)) + 1.0 / lr_max)
    return -alpha * (lr * g + lam * s / memory_window)


def bayesbinn_delta(
    lam: npt.ArrayLike,
    grad_mean: npt.ArrayLike,
    *,
    lr: float,
    prior_strength: float,
    lam_prior: npt.ArrayLike,
) -> Floats:
    """Return the change that BayesBiNN asks for: -eta (grad_mean + rho (lam - lam_prior)).

    Parameters
    ----------
    lam : array_like
        Natural parameter, any shape.
    grad_mean : array_like
        d loss / d mu, mu = tanh(lam) the mean weight: `loss_and_grad(..., gradient="bayesbinn")`. Shape of
        `lam`, or scalar.
    lr, prior_strength : float
        eta >= 0 and rho >= 0.
    lam_prior : array_like
        The prior's natural parameter: 0 at first, then the lam of the end of the last task. Shape of `lam`,
        or scalar.

    Returns
    -------
    numpy.ndarray
        The change, with the shape and dtype of `lam` (integers count as float64).

    Raises
    ------
    ScenarioError
        If a shape does not match, a value is not finite or a parameter is out of range.

    Notes
    -----
    Source: Meng, Bachmann, Khan, ICML 2020, arXiv:2002.10778, for streams of tasks as in arXiv:2605.30198.
    """
    lr = _hyperparameter("bayesbinn_delta, lr", lr)
    prior_strength = _hyperparameter("bayesbinn_delta, prior_strength", prior_strength)
    lam = _finite("bayesbinn_delta, lam", lam)
    pull = lam - _like(lam, "bayesbinn_delta, lam_prior", lam_prior)
    return -lr * (_like(lam, "bayesbinn_delta, grad_mean", grad_mean) + prior_strength * pull)


def forward(
    lams: Sequence[npt.ArrayLike],
    x: npt.ArrayLike,
    uniforms: Sequence[npt.ArrayLike],
    *,
    weights: str = "relaxed",
    temperature: float = 1.0,
    activation: str = "reverse_binary_gate",
) -> Array:
    """Return the logits of one example, one row for each Monte Carlo weight sample.

    Parameters
    ----------
    lams : sequence of array_like
        Natural parameters, `lams[k]` is [n_in, n_out] of layer k.
    x : array_like
        One input, [n_in].
    uniforms : sequence of array_like
        The noise, `uniforms[k]` is [sample, n_in, n_out], strictly between 0 and 1.
    weights : str
        "relaxed": w = tanh((lam + logit(u)/2) / T). "hard": w = +1 where u > 1 - sigma(2 lam), else -1. From
        the same u the two have the same sign. "sign": w = +1 where lam >= 0, else -1, whatever u.
    temperature : float
        T > 0 of the relaxed weights. Hard weights have none: it must be 1.
    activation : str
        Of the hidden layers. "reverse_binary_gate": 1 if |y| > 1, else 0. "sign": +1 if y >= 0, else -1.

    Returns
    -------
    numpy.ndarray
        Logits after layer normalisation, float64, [sample, class].

    Raises
    ------
    ScenarioError
        If a shape, a value or a name is not allowed.
    """
    _check_name("forward, weights", weights, WEIGHTS)
    network = _check_network("forward", lams, x, uniforms, weights, temperature, activation)
    return _run(network, weights, activation)[-1].normalised


def loss_and_grad(
    lams: Sequence[npt.ArrayLike],
    x: npt.ArrayLike,
    label: int,
    uniforms: Sequence[npt.ArrayLike],
    *,
    gradient: str = "relaxed",
    temperature: float = 1.0,
    activation: str = "reverse_binary_gate",
) -> tuple[float, list[Array]]:
    """Return the loss of one example and its gradient, layer by layer.

    The loss is -(1/S) sum_s log_softmax(z_s)[label]. With l_s the term of sample s, the gradients are

    - "relaxed": d loss / d lam = (1/S) sum_s dl_s/dw_s (1 - w_s^2) / T, on relaxed weights;
    - "hard": d loss / d lam = (1/S) sum_s dl_s/dw_s sech^2(lam), on binary weights: what a chip can compute;
    - "bayesbinn": d loss / d mu = (1/S) sum_s dl_s/dw_s (1 - w_s^2 + e) / (T (1 - mu^2 + e)), on relaxed
      weights, with the mean weight mu = tanh(lam) and e = 1e-7;
    - "straight_through": (1/S) sum_s dl_s/dw_s, on the signs of lam, for the rules of `bimu_hw.learning.latent`.

    The hidden activations have no derivative; these surrogates stand in for it:

    - "reverse_binary_gate": +1 for 0.5 < y < 1.5, -1 for -1.5 < y < -0.5, else 0;
    - "sign": straight through inside the hard-tanh window, 1 for |y| <= 1, else 0 (Hubara et al. 2016).

    Parameters
    ----------
    lams, x, uniforms, temperature, activation
        As in `forward`; one call there with the same uniforms gives the logits of this loss.
    label : int
        The true class, 0 <= label < class.
    gradient : str
        "relaxed", "hard", "bayesbinn" or "straight_through".

    Returns
    -------
    loss : float
        In nats.
    grads : list of numpy.ndarray
        `grads[k]` is [n_in, n_out], float64.

    Raises
    ------
    ScenarioError
        If a shape, a value or a name is not allowed.
    """
    _check_name("loss_and_grad, gradient", gradient, GRADIENTS)
    weights = {"hard": "hard", "straight_through": "sign"}.get(gradient, "relaxed")
    network = _check_network("loss_and_grad", lams, x, uniforms, weights, temperature, activation)
    layers = _run(network, weights, activation)
    log_p = log_softmax(layers[-1].normalised)
    n_samples, n_class = log_p.shape
    true = _class_index(label, n_class)

    upstream = np.exp(log_p)  # d l_s / d (output of the layer), [sample, unit]
    upstream[:, true] -= 1.0
    grads: list[Array] = []
    for k in reversed(range(len(layers))):
        layer, lam, u = layers[k], network.lams[k], network.uniforms[k]
        from_sums = _layer_norm_backward(upstream, layer)
        by_weight = layer.inputs[:, :, np.newaxis] * from_sums[:, np.newaxis, :]
        slope = _weight_slope(lam, u, gradient, network.temperature)
        grads.append((by_weight * slope).sum(axis=0) / n_samples)
        if k > 0:
            from_inputs = np.einsum("sio,so->si", layer.weights, from_sums)
            upstream = from_inputs * _activation_slope(layers[k - 1].normalised, activation)
    return float(-log_p[:, true].mean()), grads[::-1]


def log_softmax(z: Array) -> Array:
    """Return the logarithm of the softmax over the last axis."""
    shifted = z - z.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


class _Network(NamedTuple):
    """The checked arguments of a pass."""

    lams: list[Array]  # [n_in, n_out]
    x: Array  # [n_in]
    uniforms: list[Array]  # [sample, n_in, n_out]
    temperature: float


class _Layer(NamedTuple):
    """What the backward pass needs of a layer's forward pass."""

    inputs: Array  # [sample, n_in]
    weights: Array  # [sample, n_in, n_out]
    normalised: Array  # [sample, n_out]
    std: Array  # [sample, 1]


def _run(network: _Network, weights: str, activation: str) -> list[_Layer]:
    layers: list[_Layer] = []
    inputs = np.tile(network.x, (len(network.uniforms[0]), 1))
    for lam, u in zip(network.lams, network.uniforms, strict=True):
        if layers:
            inputs = _activate(layers[-1].normalised, activation)
        w = _sample_weights(lam, u, weights, network.temperature)
        sums = np.einsum("si,sio->so", inputs, w)
        std = np.sqrt(sums.var(axis=1, keepdims=True) + LAYER_NORM_EPS)
        layers.append(_Layer(inputs, w, (sums - sums.mean(axis=1, keepdims=True)) / std, std))
    return layers


def _sample_weights(lam: Array, u: Array, weights: str, temperature: float) -> Array:
    if weights == "hard":
        # 1 - sigma(2 lam) = sigma(-2 lam), in the form that neither overflows nor cancels.
        return np.where(u > np.exp(-np.logaddexp(0.0, 2.0 * lam)), 1.0, -1.0)
    if weights == "sign":
        return np.broadcast_to(np.where(lam >= 0.0, 1.0, -1.0), u.shape)
    return np.tanh(_relaxed_argument(lam, u, temperature))


def _relaxed_argument(lam: Array, u: Array, temperature: float) -> Array:
    return (lam + 0.5 * (np.log(u) - np.log1p(-u))) / temperature


def _weight_slope(lam: Array, u: Array, gradient: str, temperature: float) -> Array:
    """Return the factor of dl_s/dw_s; 1 - w^2 is sech^2 of w's argument, a form that does not cancel."""
    if gradient == "straight_through":
        return np.ones_like(lam)
    if gradient == "hard":
        return np.asarray(plasticity(lam), dtype=np.float64)
    variance = np.asarray(plasticity(_relaxed_argument(lam, u, temperature)), dtype=np.float64)
    if gradient == "relaxed":
        return variance / temperature
    return (variance + BAYESBINN_EPS) / (temperature * (plasticity(lam) + BAYESBINN_EPS))


def _activate(y: Array, activation: str) -> Array:
    if activation == "sign":
        return np.where(y >= 0.0, 1.0, -1.0)
    return np.where(np.abs(y) > 1.0, 1.0, 0.0)


def _activation_slope(y: Array, activation: str) -> Array:
    if activation == "sign":
        return np.where(np.abs(y) <= 1.0, 1.0, 0.0)
    return np.where((np.abs(y) > 0.5) & (np.abs(y) < 1.5), np.sign(y), 0.0)


def _layer_norm_backward(upstream: Array, layer: _Layer) -> Array:
    """Return d l_s / d sums from d l_s / d normalised, both [sample, n_out]."""
    z = layer.normalised
    mean = upstream.mean(axis=1, keepdims=True)
    along_z = (upstream * z).mean(axis=1, keepdims=True)
    return (upstream - mean - z * along_z) / layer.std


def _check_network(
    where: str,
    lams: Sequence[npt.ArrayLike],
    x: npt.ArrayLike,
    uniforms: Sequence[npt.ArrayLike],
    weights: str,
    temperature: float,
    activation: str,
) -> _Network:
    """Return the arguments as float64 arrays, or raise on the first that does not fit."""
    _check_name(f"{where}, activation", activation, ACTIVATIONS)
    temperature = _hyperparameter(f"{where}, temperature", temperature, positive=True)
    if weights != "relaxed" and temperature != 1.0:
        raise ScenarioError(f"{where}, temperature: got {temperature}; {weights} weights have none, leave it at 1.0.")
    if len(lams) == 0 or len(lams) != len(uniforms):
        raise ScenarioError(
            f"{where}: got {len(lams)} layers in lams and {len(uniforms)} in uniforms; "
            "expected as many of both, not none."
        )
    inputs = _finite(f"{where}, x", x).astype(np.float64)
    if inputs.ndim != 1:
        raise ScenarioError(f"{where}, x: got shape {inputs.shape}; expected one input, [n_in].")
    checked_lams, checked_uniforms = [], []
    n_in, n_samples = len(inputs), None
    for k, (given_lam, given_u) in enumerate(zip(lams, uniforms, strict=True)):
        lam = _finite(f"{where}, lams[{k}]", given_lam).astype(np.float64)
        if lam.ndim != 2 or lam.shape[0] != n_in or lam.size == 0:
            raise ScenarioError(
                f"{where}, lams[{k}]: got shape {lam.shape}; expected ({n_in}, n_out), n_out at least 1."
            )
        u = _finite(f"{where}, uniforms[{k}]", given_u).astype(np.float64)
        n_samples = (len(u) if u.ndim else 0) if n_samples is None else n_samples
        if u.shape != (n_samples, *lam.shape) or n_samples == 0:
            raise ScenarioError(
                f"{where}, uniforms[{k}]: got shape {u.shape}; expected (sample, {lam.shape[0]}, "
                f"{lam.shape[1]}), equally many samples, at least one, in each layer."
            )
        if not (u.min() > 0.0 and u.max() < 1.0):
            raise ScenarioError(
                f"{where}, uniforms[{k}]: got values from {u.min()} to {u.max()}; "
                "expected values strictly between 0 and 1."
            )
        checked_lams.append(lam)
        checked_uniforms.append(u)
        n_in = lam.shape[1]
    return _Network(checked_lams, inputs, checked_uniforms, temperature)


def _class_index(label: int, n_class: int) -> int:
    try:
        index = operator.index(label)
    except TypeError:
        index = -1
    if not 0 <= index < n_class:
        raise ScenarioError(f"loss_and_grad, label: got {label!r}; expected an integer from 0 to {n_class - 1}.")
    return index


def _check_name(where: str, given: str, allowed: tuple[str, ...]) -> None:
    if given not in allowed:
        raise ScenarioError(f"{where}: got {given!r}. {did_you_mean(str(given), allowed)}")


def _hyperparameter(where: str, value: Any, *, positive: bool = False, infinite: bool = False) -> float:
    # Returned as a plain float: a float64 scalar of NumPy would widen a float32 lam.
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    in_range = number > 0.0 if positive else number >= 0.0
    if not in_range or (math.isinf(number) and not infinite):
        raise ScenarioError(f"{where}: got {value!r}; expected a number {'above 0' if positive else 'of at least 0'}.")
    return number


def _finite(where: str, values: npt.ArrayLike) -> Floats:
    array = as_floats(values)
    if not np.isfinite(array).all():
        raise ScenarioError(f"{where}: got a value that is not finite; expected finite numbers.")
    return array


def _like(lam: Floats, where: str, values: npt.ArrayLike) -> Floats:
    """Return finite `values` in the dtype of lam, of its shape or scalar."""
    array = _finite(where, values)
    if array.ndim and array.shape != lam.shape:
        raise ScenarioError(f"{where}: got shape {array.shape}; expected {lam.shape}, the shape of lam, or a scalar.")
    return array.astype(lam.dtype)
