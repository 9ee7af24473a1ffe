"""The soft-bounds device fitted to pulse responses of single devices.

A hidden conductance g moves by the law of `soft_bounds_pair`, for one device and in siemens, and is read with noise:

    up:   g + s (1 + a) (1 - (g - m) / h)      s = s0 exp(sigma z - sigma^2 / 2), one z per device
    down: g - s (1 - a) (1 + (g - m) / h)      plus s sigma_c2c times a normal per pulse
    reading: g plus white noise

which is linear and Gaussian, so that the likelihood of a device is exact (Kalman filter), and cycle-to-cycle noise,
which accumulates, is told from reading noise, which does not. m + h and m - h are where the steps up and down vanish.

Readings alone do not say where a device would stop: without `g_min` and `g_max` those two conductances are taken as the
range, and nonlinearity is 1 by definition. With them m is the middle of the range and nonlinearity
(g_max - g_min) / (2 h).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from bimu_hw.errors import DataError
from bimu_hw.fitting.estimates import Estimate, Fit, enough_devices, span_of
from bimu_hw.fitting.likelihood import Z_99, maximise
from bimu_hw.fitting.pulses import Pulses

Array = npt.NDArray[np.float64]

MODEL = "soft_bounds_pair"
#: Lowest logarithm of a spread or noise: below it the effect is taken as absent.
_NONE = math.log(1e-3)
# theta: middle m and log h (units of the span), log s0, atanh a, log of relative d2d, of c2c, of reading noise.
_M, _H, _S, _A, _D2D, _C2C, _READ = range(7)


def fit(pulses: Pulses, known: Mapping[str, float]) -> Fit:
    """Fit `soft_bounds_pair`; `known` may hold both g_min and g_max.

    Raises
    ------
    DataError
        If there are too few devices, only one direction, or too little curvature to tell the range.
    """
    enough_devices(pulses, MODEL)
    for sign, name in ((1, "up"), (-1, "down")):
        if not (pulses.direction == sign).any():
            raise DataError(f"{pulses.file_name}: has no pulse {name}; {MODEL} needs pulses of both directions.")
    if ("g_min" in known) != ("g_max" in known):
        raise DataError("devices fit: g_min and g_max belong together; set both or neither.")
    low, span = span_of(pulses)
    value = (pulses.value - low) / span
    limits = None
    if "g_min" in known:
        limits = ((known["g_min"] - low) / span, (known["g_max"] - low) / span)
        if not limits[0] < limits[1]:
            raise DataError("devices fit: g_min must lie below g_max.")

    def likelihood(theta: Array, z: Array) -> Array:
        return _filter(theta, z, value, pulses.direction, limits)[0]

    def population(theta: Array, z: Array) -> Array:
        variance = math.log1p(math.exp(2.0 * theta[_D2D]))
        return np.asarray(-0.5 * ((z - theta[_S] + 0.5 * variance) ** 2 / variance + math.log(2 * np.pi * variance)))

    step = np.nanmedian(np.abs(np.diff(value, axis=1))) + 0.01
    start = np.array([0.5, math.log(0.7), math.log(step), 0.0, math.log(0.2), math.log(0.3), math.log(0.03)])
    bounds = [(-20.0, 20.0), (-3.0, 4.0), (-9.0, 1.0), (-3.0, 3.0), (_NONE, 1.5), (_NONE, 3.0), (math.log(1e-5), 0.0)]
    if limits is not None:
        # The law of the model bends around the middle of its range.
        start[_M] = sum(limits) / 2.0
        bounds[_M] = (start[_M], start[_M])
    best = maximise(likelihood, population, start, bounds, (-9.0, 1.5), len(pulses.names), pulses.file_name)
    theta, error = best.theta, best.error
    h = math.exp(theta[_H])
    if limits is None and (h > 2.5 or not np.isfinite(error[_H])):
        raise DataError(
            f"{pulses.file_name}: the response hardly bends: its ends would be {2 * h:.1f} times as far apart as the "
            "readings; give the range of the device with --set params.g_min=... --set params.g_max=...."
        )
    estimates = _estimates(theta, error, best.covariance, low, span, limits)
    _, predicted, deviation = _filter(theta, best.z[:, None], value, pulses.direction, limits)
    alone = np.array([theta[_S] - 0.5 * math.log1p(math.exp(2.0 * theta[_D2D]))])[:, None]
    track = np.full_like(value[:1], np.nan)
    track[0, 0] = np.nanmean(value[:, 0])
    _, mean, _ = _filter(theta, alone, track, pulses.direction[:1], limits)
    mean[0, 0] = track[0, 0]
    return Fit(
        MODEL, estimates, _assumed(), low + span * predicted, low + span * mean[0], (value - predicted) / deviation,
        f"{len(pulses.names)} devices, {pulses.n_pulses} pulses; maximum of the marginal likelihood, 99 % interval",
    )  # fmt: skip


def _filter(
    theta: Array, z: Array, value: Array, direction: npt.NDArray[np.int8], limits: tuple[float, float] | None
) -> tuple[Array, Array, Array]:
    """Return the log likelihood [device, node]; of the first node, prediction and deviation [device, reading]."""
    read = math.exp(2.0 * theta[_READ])
    a, middle, h = math.tanh(theta[_A]), theta[_M], math.exp(theta[_H])
    step = np.exp(z)
    process = (step * math.exp(theta[_C2C])) ** 2
    # One pulse takes g to factor g + offset: by direction, 0 for none, so that a sign is an index.
    factor, offset, noise = ({0: np.full_like(z, k), 1: z, -1: z} for k in (1.0, 0.0, 0.0))
    for sign in (1, -1):
        gain = step * (1.0 + sign * a)
        factor[sign], offset[sign], noise[sign] = 1.0 - gain / h, sign * gain * (1.0 + sign * middle / h), process
    state = np.broadcast_to(value[:, :1], z.shape).copy()
    variance = np.full_like(z, read)
    n_readings = value.shape[1]
    miss, expected = np.zeros((n_readings, *z.shape)), np.ones((n_readings, *z.shape))
    predicted = np.full_like(value, np.nan)
    seen = np.isfinite(value) & (direction != 0)
    for t in range(1, n_readings):
        signs = direction[:, t : t + 1]
        one, alike = int(signs[0, 0]), bool((signs == signs[0, 0]).all())
        move, shift, add = (
            table[one] if alike else np.choose(signs + 1, (table[-1], table[0], table[1]))
            for table in (factor, offset, noise)
        )
        state = state * move + shift
        if limits is not None:
            state = np.clip(state, *limits)
        variance = variance * (move * move) + add
        predicted[:, t] = np.where(signs[:, 0] != 0, state[:, 0], np.nan)
        np.add(variance, read, out=expected[t])
        share = variance / expected[t]
        np.subtract(value[:, t : t + 1], state, out=miss[t])
        if not seen[:, t].all():
            hidden = ~seen[:, t]
            miss[t, hidden], share[hidden] = 0.0, 0.0
            variance = np.where(hidden[:, None], variance, share * read)
        else:
            variance = share * read
        state = state + share * miss[t]
    counted = seen.T[1:, :, None]
    terms = -0.5 * (miss[1:] ** 2 / expected[1:] + np.log(2.0 * np.pi * expected[1:]))
    return np.where(counted, terms, 0.0).sum(axis=0), predicted, np.sqrt(expected[:, :, 0]).T


def _estimates(
    theta: Array, error: Array, covariance: Array, low: float, span: float, limits: tuple[float, float] | None
) -> dict[str, Estimate]:
    h, step = math.exp(theta[_H]), math.exp(theta[_S])

    def linear(value: float, gradient: Array) -> tuple[float, float]:
        return value, math.sqrt(max(float(gradient @ covariance @ gradient), 0.0))

    unit = np.eye(theta.size)
    if limits is None:
        half = h
        bent = Estimate.derived(1.0, "the range is defined by it: g_min and g_max are where the step vanishes")
        ends = [
            Estimate.normal(low + span * v, span * e)
            for v, e in (linear(theta[_M] + s * h, unit[_M] + s * h * unit[_H]) for s in (-1.0, 1.0))
        ]
        ratio = linear(math.log(2.0 * h / step), unit[_H] - unit[_S])
    else:
        half = (limits[1] - limits[0]) / 2.0
        bent = Estimate.log_normal(math.log(half) - theta[_H], error[_H])
        if bent.value > 1.0:
            bent = Estimate(1.0, min(bent.low, 1.0), 1.0, f"{bent.value:.3g} in the given range, cut at 1")
        else:
            bent = Estimate(bent.value, bent.low, min(bent.high, 1.0))
        ends = [Estimate.derived(low + span * v, "given") for v in limits]
        ratio = linear(math.log(2.0 * half / step), -unit[_S])
    steps = Estimate.log_normal(*ratio)
    n_levels = max(2, round(steps.value + 1.0))
    scale = (n_levels - 1) / steps.value
    reading = Estimate.log_normal(theta[_READ], error[_READ], (n_levels - 1) / (2.0 * half) / math.sqrt(2.0))
    tilt, tilt_error = theta[_A], Z_99 * error[_A]
    return {
        "n_levels": Estimate(
            n_levels, max(2, math.floor(steps.low + 1.0)), math.ceil(steps.high + 1.0),
            f"the range is {steps.value:.4g} mean steps ({steps.low:.4g} to {steps.high:.4g}); a step is then "
            f"{scale:.3f} levels, and the model takes it as 1",
        ),
        "nonlinearity": bent,
        "asymmetry": Estimate(math.tanh(tilt), math.tanh(tilt - tilt_error), math.tanh(tilt + tilt_error)),
        "sigma_d2d": Estimate.log_normal(theta[_D2D], error[_D2D]),
        "sigma_c2c": Estimate.log_normal(theta[_C2C], error[_C2C]),
        "read_noise": Estimate(
            reading.value, reading.low, reading.high,
            "noise of one reading of a device, instrument included, over sqrt(2) for the pair, in levels",
        ),
        "g_min": ends[0],
        "g_max": ends[1],
    }  # fmt: skip


def _assumed() -> dict[str, tuple[float, str]]:
    stuck = "readings of devices that answer say nothing of those that do not; give the yield if it is known"
    return {
        "write_noise": (0.0, "with one pulse per reading it cannot be told from cycle-to-cycle noise, which holds it"),
        "stuck_on": (0.0, stuck),
        "stuck_off": (0.0, stuck),
        "stuck_random": (0.0, stuck),
        "lam_window": (4.0, "used only if the element is continuous; |lam| of trained networks stays below about 4"),
    }
