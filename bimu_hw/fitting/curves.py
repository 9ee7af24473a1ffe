"""The curve of a one-way device fitted to its readings against the number of pulses received.

w(x) = f0 - D (1 - exp(-kappa x / N)) / (1 - exp(-kappa)), with N the longest sweep measured: kappa = 0 is the straight
line f0 - D x / N, and kappa = N / tau the exponential c + a exp(-x / tau). A device takes v x in place of x, with v its
efficacy, normal around 1, and each reading has white noise.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares

from bimu_hw.errors import DataError
from bimu_hw.fitting.estimates import Estimate, Fit, enough_devices, span_of
from bimu_hw.fitting.likelihood import Z_99, maximise
from bimu_hw.fitting.pulses import Pulses

Array = npt.NDArray[np.float64]

MODEL = "magneto_ionic"
_MOST_BENT = 20.0
# theta: f0, log D, kappa, log of the spread of efficacies, log of the reading noise; lengths in units of the span.
_F0, _D, _KAPPA, _D2D, _READ = range(5)


def curve(x: Array, f0: float | Array, depth: float | Array, kappa: float, n_pulses: float) -> Array:
    """Return w after `x` pulses; kappa = 0 is the straight line."""
    u = np.asarray(x, np.float64) / n_pulses
    share = u if abs(kappa) < 1e-9 else np.expm1(-kappa * u) / math.expm1(-kappa)
    return np.asarray(f0 - depth * share)


def fit_curve(x: Array, w: Array) -> tuple[float, float, float]:
    """Fit one curve by least squares.

    Parameters
    ----------
    x : float64[reading]
        Numbers of pulses, from 0.
    w : float64[reading]

    Returns
    -------
    tuple of float
        f0, D and kappa, for N = the largest x.
    """
    x, w = np.asarray(x, np.float64), np.asarray(w, np.float64)
    scale, n_pulses = float(np.ptp(w)) or 1.0, float(x.max())

    def miss(p: Array) -> Array:
        return (curve(x, p[0], p[1], p[2], n_pulses) - w / scale) * 1e3

    # Two starts, for the straight line lies at the edge of the range.
    found = [
        least_squares(
            miss, [w[0] / scale, (w[0] - w[-1]) / scale, kappa], xtol=1e-15, ftol=1e-15, gtol=1e-15, x_scale="jac",
            bounds=([-np.inf, -np.inf, 0.0], [np.inf, np.inf, _MOST_BENT]), max_nfev=2000,
        )
        for kappa in (1e-3, 2.0)
    ]  # fmt: skip
    slope, offset = np.polyfit(x, w, 1)
    line = np.array([offset, -slope * n_pulses, 0.0]) / scale
    best = min([f.x for f in found] + [line], key=lambda p: float(np.sum(miss(p) ** 2)))
    return float(best[0] * scale), float(best[1] * scale), float(best[2])


def fit(pulses: Pulses, known: Mapping[str, float]) -> Fit:
    """Fit `magneto_ionic`; nothing that is known otherwise changes it.

    Raises
    ------
    DataError
        If there are too few devices, two directions, or readings that rise.
    """
    enough_devices(pulses, MODEL)
    signs = set(np.unique(pulses.direction).tolist()) - {0}
    if len(signs) > 1:
        raise DataError(f"{pulses.file_name}: has pulses up and down; a device of {MODEL} answers one direction only.")
    low, span = span_of(pulses)
    x = np.cumsum(np.abs(pulses.direction), axis=1).astype(np.float64)
    n_pulses = float(x.max())
    value = (pulses.value - low) / span
    seen = np.isfinite(value) & ((pulses.direction != 0) | (np.arange(value.shape[1]) == 0))
    mean = [float(value[:, t][seen[:, t]].mean()) for t in range(value.shape[1]) if seen[:, t].any()]
    if mean[-1] >= mean[0]:
        raise DataError(f"{pulses.file_name}: readings rise with the pulses; {MODEL} is a device whose w falls.")

    def expected(theta: Array, v: Array) -> Array:
        return curve(np.abs(v)[:, :, None] * x[:, None, :], theta[_F0], math.exp(theta[_D]), theta[_KAPPA], n_pulses)

    def likelihood(theta: Array, v: Array) -> Array:
        variance = math.exp(2.0 * theta[_READ])
        miss = np.where(seen[:, None, :], value[:, None, :] - expected(theta, v), 0.0)
        return np.asarray(-0.5 * ((miss**2).sum(axis=2) / variance + seen.sum(axis=1)[:, None] * (
            math.log(2.0 * np.pi) + 2.0 * theta[_READ])))  # fmt: skip

    def population(theta: Array, v: Array) -> Array:
        variance = math.exp(2.0 * theta[_D2D])
        return np.asarray(-0.5 * ((v - 1.0) ** 2 / variance + math.log(2.0 * np.pi * variance)))

    f0, depth, kappa = fit_curve(np.arange(len(mean), dtype=np.float64), np.array(mean))
    start = np.array([f0, math.log(depth), max(kappa, 0.05), math.log(0.15), math.log(0.02)])
    bounds = [(-10.0, 10.0), (-7.0, 5.0), (-_MOST_BENT, _MOST_BENT), (math.log(1e-3), 0.0), (math.log(1e-5), 0.0)]
    best = maximise(likelihood, population, start, bounds, (0.02, 3.0), len(pulses.names), pulses.file_name)
    theta = best.theta
    depth = span * math.exp(theta[_D])
    fresh, gradient = low + span * theta[_F0], np.zeros(theta.size)
    gradient[[_F0, _D]] = span, -depth
    end = Estimate.normal(fresh - depth, math.sqrt(float(gradient @ best.covariance @ gradient)))
    # Free to be negative in the fit, so that an interval around a straight line is an honest one.
    bent, error = theta[_KAPPA], best.error[_KAPPA] * Z_99
    if bent + error < 0.0:
        raise DataError(
            f"{pulses.file_name}: the steps grow with the number of pulses; {MODEL} is a device whose steps shrink."
        )
    estimates = {
        "n_levels": Estimate.derived(2.0 * n_pulses + 1.0, "twice the pulses of the longest sweep, and 1"),
        "n_pulses": Estimate.derived(n_pulses, "the longest sweep: beyond it the curve is not known"),
        "curvature": Estimate(max(bent, 0.0), max(bent - error, 0.0), min(bent + error, _MOST_BENT)),
        "w_range": Estimate.log_normal(theta[_D], best.error[_D], span),
        "sigma_d2d": Estimate.log_normal(theta[_D2D], best.error[_D2D]),
        "read_noise": Estimate.log_normal(theta[_READ], best.error[_READ], span, "instrument included"),
    }
    if pulses.unit == "S":
        estimates["g_min"] = end
        estimates["g_max"] = Estimate.normal(fresh, span * best.error[_F0])
    predicted = np.where(seen, expected(theta, best.z[:, None])[:, 0], np.nan)
    middle = curve(x[0], fresh, depth, theta[_KAPPA], n_pulses)
    return Fit(
        MODEL, estimates, _assumed(), low + span * predicted, middle, (value - predicted) / math.exp(theta[_READ]),
        f"{len(pulses.names)} devices, {pulses.n_pulses} pulses; maximum of the marginal likelihood, 99 % interval",
    )  # fmt: skip


def _assumed() -> dict[str, tuple[float, str]]:
    stuck = "readings of devices that answer say nothing of those that do not; give the yield if it is known"
    return {
        "smallest_pulse": (0.0, "pulses of one size say nothing of smaller ones"),
        "stuck_on": (0.0, stuck),
        "stuck_off": (0.0, stuck),
        "stuck_random": (0.0, stuck),
        "lam_window": (4.0, "used only if the element is continuous; |lam| of trained networks stays below about 4"),
    }
