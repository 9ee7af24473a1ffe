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
from bimu_hw.kernels.draw import draw_look
from bimu_hw.kernels.elementary import exp32, log32
from device_models.ideal_sampler import bernoulli_threshold
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
    ParamSpec("overdrive_gain", "1", "growth of the rate with V / V_c - 1, in attempt rates", 1e-3, 1e4),
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


class Law(NamedTuple):
    """The nominal law as float32: ln(t_p / tau_0), Delta, n, 1 / n, g, and the converter's voltages over V_c."""

    log_ratio: np.float32
    delta: np.float32
    exponent: np.float32
    inverse_exponent: np.float32
    gain: np.float32
    low: np.float32
    high: np.float32
    step: np.float32


@inline
def log_hazard(x, delta, law):
    """Return ln H (float32) of a device of barrier `delta` at the voltage x = V / V_c >= 0."""
    height = exp32(law.exponent * log32(max(_F(1.0) - x, _F(1e-30))))
    above = log32(_F(1.0) + law.gain * max(x - _F(1.0), _F(0.0)))
    return law.log_ratio + (-delta * height if x <= _F(1.0) else above)


@inline
def voltage_of_lam(lam, law):
    """Return V / V_c (float32) with nominal P = sigma(2 lam), H = ln(1 + e**(2 lam)); not below 0."""
    t = exp32(_F(-2.0) * abs(lam))
    growth = log32(_F(1.0) + t)
    # ln(ln(1 + t) / t) as a series where the difference from 1 would cancel.
    series = t * (_F(-0.5) + t * (_F(5.0 / 24.0) - t * _F(0.125)))
    rare = _F(2.0) * lam + series if t < _F(0.05) else log32(max(growth, _F(1e-30)))
    wanted = rare if lam < _F(0.0) else log32(_F(2.0) * max(lam, _F(0.0)) + max(growth, _F(1e-30)))
    barrier = (law.log_ratio - wanted) / law.delta
    below = _F(1.0) - exp32(law.inverse_exponent * log32(max(barrier, _F(1e-30))))
    above = _F(1.0) + (exp32(wanted - law.log_ratio) - _F(1.0)) / law.gain
    return max(below, _F(0.0)) if barrier >= _F(0.0) else above


@inline
def half_logit(log_hazard_value):
    """Return lam (float32) with sigma(2 lam) = 1 - exp(-H): half the logit, (H + ln(1 - exp(-H))) / 2."""
    hazard = exp32(min(log_hazard_value, _F(6.0)))
    rare = log_hazard_value + hazard * (_F(0.5) + hazard * _F(1.0 / 24.0))
    common = hazard + log32(max(_F(1.0) - exp32(-hazard), _F(1e-30)))
    return _F(0.5) * (rare if hazard < _F(0.05) else common)


@inline
def law_of(params):
    """Return the `Law` of the nominal device; a perfect converter has the step 0."""
    ratio, n = _F(math.log(params.pulse_width / params.attempt_time)), _F(params.barrier_exponent)
    delta, gain = _F(params.delta), _F(params.overdrive_gain)
    perfect = Law(ratio, delta, n, _F(1.0) / n, gain, _F(0.0), _F(0.0), _F(0.0))
    low = voltage_of_lam(_F(-params.dac_lam_max), perfect)
    high = voltage_of_lam(_F(params.dac_lam_max), perfect)
    step = (high - low) / _F(2.0**params.dac_bits - 1.0) if params.dac_bits > 0.0 else _F(0.0)
    return Law(ratio, delta, n, _F(1.0) / n, gain, low, high, step)


@inline
def converted(x, law):
    """Return the voltage (over V_c) that the converter puts out for x."""
    code = np.floor((min(max(x, law.low), law.high) - law.low) / max(law.step, _F(1e-30)) + _F(0.5))
    return law.low + law.step * code if law.step > _F(0.0) else x


@inline
def effective_lam(lam, critical, barrier, law):
    """Return the lam (float32) with which a device draws that has these shares of the nominal values.

    Nominal and own answer are computed alike, so that their difference is exactly 0 for a nominal device.
    """
    x = voltage_of_lam(lam, law)
    own = half_logit(log_hazard(converted(x, law) / critical, law.delta * barrier, law))
    return lam + (own - half_logit(log_hazard(x, law.delta, law)))


@inline
def _set(state, c, lam, law):
    lam_eff = effective_lam(lam, state.critical[c], state.barrier[c], law)
    state.threshold[c] = bernoulli_threshold(lam_eff, _I(23))


@jit
def fabricate(state, params, site, key):
    """Draw each device's critical voltage and barrier, and set it for lam = 0. *Mutates* all of `state`."""
    law = law_of(params)
    for c in range(state.threshold.size):
        a, b, _, _ = device_words(key, c, 0, 0)
        n0, n1 = two_normals(a, b)
        state.critical[c] = _F(relative_spread(np.float64(n0), params.sigma_critical))
        state.barrier[c] = _F(relative_spread(np.float64(n1), params.sigma_delta))
        _set(state, c, _F(0.0), law)


@jit
def bias(state, lam, cells, params, site, now):
    """Choose the write voltage of the listed cells from `lam` (float32[cell]). *Mutates* `state.threshold`."""
    law = law_of(params)
    if cells.size == state.threshold.size:
        for c in range(cells.size):
            _set(state, c, lam[c], law)
    else:
        for n in range(cells.size):
            _set(state, cells[n], lam[cells[n]], law)


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
    law = law_of(params)
    scale = params.critical_voltage * (1.0 + params.transfer_time / params.pulse_width)
    for i in range(lam.size):
        out[i] = scale * np.float64(converted(voltage_of_lam(_F(lam[i]), law), law))


def drive(params, lam):
    """Return the write voltage (float64, volts) that the converter puts out for each lam."""
    lam = np.ascontiguousarray(lam, np.float64)
    out = np.empty_like(lam)
    _fill_drive(lam, params, out)
    return out
