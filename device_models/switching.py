"""Stochastic switching of a thermally stable tunnel junction by a write pulse: what spin-transfer and spin-orbit share.

A reset pulse puts the junction into state -1; a write pulse of width t_p and amplitude V then switches it to +1 with
probability

    P = 1 - exp(-H),  H = (t_p / tau_0) exp(-Delta (1 - V / V_c)**n)        for V <= V_c (Neel-Brown)
                      H = (t_p / tau_0) (1 + g (V / V_c - 1))              for V > V_c (precessional)

The barrier exponent n is disputed, 1 or 2 (Taniguchi, Imamura, arXiv:1010.5845, derive 2), and so is the attempt time
tau_0, from femtoseconds to nanoseconds. Above V_c the rate grows linearly with the overdrive and joins the other branch
continuously; its exact form was not found in a source that could be read, so g is a parameter.

The controller writes the voltage at which the nominal device has P = sigma(2 lam), through a converter of n bits. A
device with another V_c or Delta answers with another probability. All of it is expressed as a shift of lam: the device
draws with lam_eff = lam + [logit P_device(V) - logit P_nominal(V(lam))] / 2, which is lam itself, exactly, for a
nominal device behind a perfect converter.

Validity: the thermal law shapes P for pulses above some 10 ns; between 1 and 10 ns regimes mix, and below 1 ns thermal
noise hardly acts (Hu, arXiv:2505.00418).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from bimu_hw.devices import TMR_HALF_VOLTAGE, ParamSpec, StateVar
from bimu_hw.kernels import inline, jit
from bimu_hw.kernels.bits import cell_bits, fold, key_halves
from device_models.ideal_sampler import bernoulli_threshold, draw_look
from device_models.nonidealities import device_words, relative_spread, two_normals

_F = np.float32
_I = np.int32
_U32 = np.uint32
_U64 = np.uint64

#: Tells the draw of a failed reset from the draw of the bit.
_RESET = np.uint64(0x7265736574)


class Params(NamedTuple):
    """See `SPECS`."""

    delta: float
    critical_voltage: float
    attempt_time: float
    barrier_exponent: float
    overdrive_gain: float
    pulse_width: float
    transfer_time: float
    sigma_delta: float
    sigma_critical: float
    dac_bits: float
    dac_lam_max: float
    reset_error: float
    tmr_half_voltage: float


class State(NamedTuple):
    """Each device's share of the nominal critical voltage and barrier, its threshold, and its state."""

    critical: np.ndarray
    barrier: np.ndarray
    threshold: np.ndarray
    last: np.ndarray


SPECS = (
    ParamSpec("delta", "1", "energy barrier without voltage, in units of k T", 1.0, 1000.0),
    ParamSpec("critical_voltage", "V", "voltage at which the barrier vanishes, for a long pulse", 1e-6, 1e3),
    ParamSpec("attempt_time", "s", "inverse of the attempt rate", 1e-18, 1.0),
    ParamSpec("barrier_exponent", "1", "n in the barrier Delta (1 - V / V_c)**n", 1.0, 2.0),
    ParamSpec("overdrive_gain", "1", "growth of the rate with V / V_c - 1, in attempt rates", 1e-3, 1e6),
    ParamSpec("pulse_width", "s", "duration of the write pulse", 1e-15, 1.0),
    ParamSpec(
        "transfer_time", "s", "the critical voltage of a pulse of width t is larger by 1 + transfer_time / t",
        0.0, 1.0, 0.0,
    ),
    ParamSpec(
        "sigma_delta", "1", "relative standard deviation of the barrier between devices, log-normal", 0.0, 1.0, 0.0
    ),
    ParamSpec(
        "sigma_critical", "1", "relative standard deviation of the critical voltage between devices, log-normal",
        0.0, 1.0, 0.0,
    ),
    ParamSpec("dac_bits", "1", "bits of the write voltage; 0 for a perfect converter", 0.0, 24.0, 0.0, integer=True),
    ParamSpec("dac_lam_max", "1", "|lam| at the ends of the converter's range", 0.1, 100.0),
    ParamSpec("reset_error", "1", "probability that a reset pulse leaves a +1 where it is", 0.0, 0.5, 0.0),
    TMR_HALF_VOLTAGE,
)  # fmt: skip

VARIABLES = (
    StateVar("critical", "float32", "1", "critical voltage over its nominal value"),
    StateVar("barrier", "float32", "1", "energy barrier over its nominal value"),
    StateVar("threshold", "int32", "1", "random bits at or above it give weight +1"),
    StateVar("last", "int8", "1", "state since the last write"),
)


@inline
def log_hazard(x, log_ratio, delta, exponent, gain):
    """Return ln H at the voltage x = V / V_c >= 0, with log_ratio = ln(t_p / tau_0)."""
    if x <= 1.0:
        return log_ratio - delta * (1.0 - x) ** exponent
    return log_ratio + math.log1p(gain * (x - 1.0))


@inline
def voltage_of_lam(lam, log_ratio, params):
    """Return V / V_c at which the nominal device has P = sigma(2 lam), not below 0; P = 1 - exp(-H), H = softplus."""
    hazard = math.log1p(math.exp(-abs(2.0 * lam))) + max(2.0 * lam, 0.0)
    wanted = math.log(max(hazard, 1e-300))
    barrier = (log_ratio - wanted) / params.delta
    if barrier >= 0.0:
        return max(1.0 - barrier ** (1.0 / params.barrier_exponent), 0.0)
    return 1.0 + math.expm1(wanted - log_ratio) / params.overdrive_gain


@inline
def half_logit(log_hazard_value):
    """Return lam with sigma(2 lam) = 1 - exp(-H): half the logit, (H + ln(1 - exp(-H))) / 2."""
    hazard = math.exp(min(log_hazard_value, 6.0))
    return 0.5 * (hazard + math.log(-math.expm1(-hazard)))


@inline
def converter(params):
    """Return ln(t_p / tau_0), and the lowest, the highest and the step of the voltages (over V_c) of the converter.

    A perfect one has the step 0.
    """
    log_ratio = math.log(params.pulse_width / params.attempt_time)
    low = voltage_of_lam(-params.dac_lam_max, log_ratio, params)
    high = voltage_of_lam(params.dac_lam_max, log_ratio, params)
    return log_ratio, low, high, (high - low) / (2.0**params.dac_bits - 1.0) if params.dac_bits > 0.0 else 0.0


@inline
def converted(x, low, high, step):
    """Return the voltage (over V_c) that the converter puts out for x."""
    return low + step * math.floor((min(max(x, low), high) - low) / step + 0.5) if step > 0.0 else x


@inline
def effective_lam(lam, critical, barrier, params, settings):
    """Return the lam (float64) with which a device draws that has these shares of the nominal values.

    `settings` is what `converter` returns.
    """
    log_ratio, low, high, step = settings
    x = voltage_of_lam(lam, log_ratio, params)
    nominal = half_logit(log_hazard(x, log_ratio, params.delta, params.barrier_exponent, params.overdrive_gain))
    x = converted(x, low, high, step) / critical
    answer = log_hazard(x, log_ratio, params.delta * barrier, params.barrier_exponent, params.overdrive_gain)
    return lam + (half_logit(answer) - nominal)


@inline
def _set(state, c, lam, params, settings):
    critical, barrier = np.float64(state.critical[c]), np.float64(state.barrier[c])
    effective = effective_lam(np.float64(lam), critical, barrier, params, settings)
    state.threshold[c] = bernoulli_threshold(_F(effective), _I(23))


@jit
def fabricate(state, params, site, key):
    """Draw each device's critical voltage and barrier, and set it for lam = 0. *Mutates* all of `state`."""
    settings = converter(params)
    for c in range(state.threshold.size):
        a, b, _, _ = device_words(key, c, 0, 0)
        n0, n1 = two_normals(a, b)
        state.critical[c] = _F(relative_spread(np.float64(n0), params.sigma_critical))
        state.barrier[c] = _F(relative_spread(np.float64(n1), params.sigma_delta))
        _set(state, c, _F(0.0), params, settings)


@jit
def bias(state, lam, cells, params, site, now):
    """Choose the write voltage of the listed cells from `lam` (float32[cell]). *Mutates* `state.threshold`."""
    settings = converter(params)
    for n in range(cells.size):
        _set(state, cells[n], lam[cells[n]], params, settings)


@jit
def sample(state, params, site, key, first, interval, now, out):
    """Reset and write every cell, int8[look, cell]. *Mutates* `state.last`."""
    failures = _I(params.reset_error * 2.0**23 + 0.5)
    for n in range(out.shape[0]):
        look = fold(key, _U64(first + n))
        draw_look(state.threshold, look, out[n])
        if failures > 0:
            before = state.last if n == 0 else out[n - 1]
            low, high = key_halves(fold(look, _RESET))
            for c in range(before.size):
                fails = _I(cell_bits(low, high, _U32(c)) >> _U32(9)) < failures
                out[n, c] = np.int8(1) if fails and before[c] > 0 else out[n, c]
    if failures > 0 and out.shape[0] > 0:
        state.last[:] = out[out.shape[0] - 1]


@jit
def _fill_drive(lam, params, out):
    log_ratio, low, high, step = converter(params)
    scale = params.critical_voltage * (1.0 + params.transfer_time / params.pulse_width)
    for i in range(lam.size):
        out[i] = scale * converted(voltage_of_lam(lam[i], log_ratio, params), low, high, step)


def drive(params, lam):
    """Return the write voltage (float64, volts) that the converter puts out for each lam."""
    lam = np.ascontiguousarray(lam, np.float64)
    out = np.empty_like(lam)
    _fill_drive(lam, params, out)
    return out
