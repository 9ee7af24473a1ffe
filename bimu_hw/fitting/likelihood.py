"""Maximum of a marginal likelihood: parameters that all devices share, and one number of each device integrated out.

Devices differ, each is known only up to its noise, and the spread between them is what is asked for. Fitting each
device and taking the spread of the fits would add the fits' errors to it. Here the likelihood of a device is integrated
over its own number z (its step, its efficacy), weighted by the population it comes from, and the sum over devices is
maximised: mean, spread and noise come out together, and the curvature at the maximum gives their intervals, each cause
of uncertainty included once. The integral is a Gauss-Hermite sum around each device's own best z (Liu and Pierce,
Biometrika 81, 624 (1994)); its nodes are kept during a maximisation, so that the sum is smooth, and renewed before the
next.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from bimu_hw.errors import DataError

Array = npt.NDArray[np.float64]

#: Standard deviations on either side of a 99 % interval.
Z_99 = 2.5758293035489004
_NODES, _WEIGHTS = np.polynomial.hermite.hermgauss(9)


@dataclass(frozen=True)
class Maximum:
    """Where the likelihood is largest.

    Attributes
    ----------
    theta : float64[parameter]
    error : float64[parameter]
        Standard error; infinite for a parameter that ended at a bound.
    covariance : float64[parameter, parameter]
        Of the parameters; zero for one at a bound.
    z : float64[device]
        Each device's own best number.
    log_likelihood : float
    """

    theta: Array
    error: Array
    covariance: Array
    z: Array
    log_likelihood: float


def maximise(
    log_likelihood: Callable[[Array, Array], Array],
    log_population: Callable[[Array, Array], Array],
    start: Array,
    bounds: list[tuple[float, float]],
    z_range: tuple[float, float],
    n_devices: int,
    what: str,
) -> Maximum:
    """Maximise the marginal likelihood.

    Parameters
    ----------
    log_likelihood : callable
        Of (theta, z), z float64[device, node]: log density of each device's readings, the same shape.
    log_population : callable
        Of (theta, z): log density of z in the population.
    start : float64[parameter]
    bounds : list of tuple
        Of each parameter.
    z_range : tuple of float
        Where to look for the devices' own numbers.
    n_devices : int
    what : str
        What is fitted, for the message.

    Raises
    ------
    DataError
        If the data do not determine the parameters.
    """
    theta = np.array(start, np.float64)
    low, high = (np.array(side) for side in zip(*bounds, strict=True))
    value, centre, width = 0.0, np.zeros(n_devices), np.ones(n_devices)
    for _ in range(3):
        centre, width = _locate(log_likelihood, theta, z_range, n_devices)
        nodes = centre[:, None] + np.sqrt(2.0) * width[:, None] * _NODES
        scale = np.log(np.sqrt(2.0) * width)[:, None] + _NODES**2 + np.log(_WEIGHTS)

        def cost(at: Array, nodes: Array = nodes, scale: Array = scale) -> float:
            terms = log_likelihood(at, nodes) + log_population(at, nodes) + scale
            top = terms.max(axis=1)
            total = float(np.sum(top + np.log(np.exp(terms - top[:, None]).sum(axis=1))))
            return -total if np.isfinite(total) else 1e12

        found = minimize(cost, theta, method="L-BFGS-B", bounds=bounds, options={"maxiter": 200, "ftol": 1e-10})
        theta, value = found.x, -float(found.fun)
    free = (theta > low + 1e-6) & (theta < high - 1e-6)
    covariance = np.zeros((theta.size, theta.size))
    covariance[np.ix_(free, free)] = _covariance(cost, theta, free, what)
    error = np.where(free, np.sqrt(np.diag(covariance)), np.inf)
    return Maximum(theta, error, covariance, centre, value)


def _locate(
    log_likelihood: Callable[[Array, Array], Array], theta: Array, z_range: tuple[float, float], n_devices: int
) -> tuple[Array, Array]:
    """Return each device's best z and the width of its likelihood there, by a search that narrows."""
    low, high = np.full(n_devices, z_range[0]), np.full(n_devices, z_range[1])
    steps = np.linspace(0.0, 1.0, 33)
    rows = np.arange(n_devices)
    for _ in range(6):
        z = low[:, None] + (high - low)[:, None] * steps
        heights = log_likelihood(theta, z)
        best = np.clip(heights.argmax(axis=1), 1, steps.size - 2)
        low, high = z[rows, best - 1], z[rows, best + 1]
        left, middle, right = (heights[rows, best + k] for k in (-1, 0, 1))
        centre, spacing = z[rows, best], z[rows, best] - low
        bend = (2.0 * middle - left - right) / spacing**2
        if np.all(2.0 * middle - left - right < 1.0):  # the parabola now resolves the peak
            break
    whole = z_range[1] - z_range[0]
    width = np.clip(1.0 / np.sqrt(np.maximum(bend, 1e-12)), 1e-9 * whole, 0.2 * whole)
    return centre, width


def _covariance(cost: Callable[[Array], float], theta: Array, free: npt.NDArray[np.bool_], what: str) -> Array:
    """Return the inverse of the second derivative of the cost in the free parameters, by central differences.

    The step of each parameter is chosen so that the cost rises by about a half, where rounding does not matter.
    """
    index = np.flatnonzero(free)
    base, steps = cost(theta), np.full(index.size, 1e-3)

    def at(*moves: tuple[int, float]) -> float:
        moved = theta.copy()
        for i, by in moves:
            moved[index[i]] += by
        return cost(moved)

    for i in range(index.size):
        for _ in range(30):
            rise = 0.5 * (at((i, steps[i])) + at((i, -steps[i]))) - base
            if 0.05 < rise < 1.0:
                break
            steps[i] *= 2.0 if rise <= 0.05 else 0.5
    hessian = np.empty((index.size, index.size))
    for i in range(index.size):
        for j in range(i + 1):
            s, t = steps[i], steps[j]
            if i == j:
                hessian[i, i] = (at((i, s)) + at((i, -s)) - 2.0 * base) / s**2
            else:
                s, t = 0.5 * s, 0.5 * t
                corners = at((i, s), (j, t)) + at((i, -s), (j, -t)) - at((i, s), (j, -t)) - at((i, -s), (j, t))
                hessian[i, j] = hessian[j, i] = corners / (4.0 * s * t)
    scale = np.sqrt(np.maximum(np.diag(hessian), 1e-300))
    values = np.linalg.eigvalsh(hessian / np.outer(scale, scale))
    if values.min() < 1e-8:
        raise DataError(f"{what}: these readings do not determine all parameters; measure more pulses or devices.")
    return np.asarray(np.linalg.inv(hessian), np.float64)
