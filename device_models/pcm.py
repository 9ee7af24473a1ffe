"""A differential pair of phase-change memories that only SET in small steps: lam ~ G_plus - G_minus, one 2T2R cell.

Partial crystallisation raises a conductance pulse by pulse; there is no small step down. A pulse that raises lam goes
to the plus device, one that lowers it to the minus device. With x the conductance as a share of its range and L the
last level, one pulse raises a device, in levels, by

    step (step_floor + step_excess exp(-step_decay x))

plus noise of standard deviation ``sigma_c2c (the step itself + L (c2c_floor + c2c_slope x))``, and the first pulse of
an event adds ``L (write_floor + write_slope x + write_curve x**2)``. Both devices climb, so a pair is refreshed when
one of them is above `refresh_above` and the other above `refresh_common` of the range, or when a pulse would push it
past its end: the pair is read, both are RESET, and the difference is programmed anew, with the error of an event and
of `refresh_noise`. `refresh_count` counts refreshes; none of them costs a pulse in `pulse_count`;
the account charges three pulses for each.

A conductance drifts from its value at t_0 = `drift_start` after the last pulse on the device,

    G(t) = G(t_0) (t / t_0)**-nu,   nu = drift max(0, mu(x) + z sd(x)),

mu(x) and sd(x) being linear in ln x and clipped, z a standard normal of each device. A pulse builds on G(t_0) and
starts the clock again. One look adds to each conductance noise that has grown, 1/f, to
G min(flicker / x**flicker_power, flicker_cap) sqrt(ln((t + t_r) / (2 t_r))); correlation in time between looks is not
modelled.

Sources of the model: Nandakumar et al., Front. Neurosci. 14, 406 (2020), doi:10.3389/fnins.2020.00406 (training with
SET pulses); Nandakumar et al., ICECS 2019, IEEE Xplore document 8964852 (programming noise, drift, read noise); both
with the formulas and fits of the open aihwkit project, which also has the refresh of a pair.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bimu_hw.devices import ParamSpec, StateVar, StorageModel
from bimu_hw.kernels import inline, jit
from bimu_hw.kernels.bits import cell_bits, fold, key_halves, normal_from_bits
from bimu_hw.kernels.elementary import exp32, log32
from device_models.nonidealities import (
    LAM_WINDOW,
    READ_NOISE,
    STUCK,
    add_pulses,
    device_words,
    draw_fault,
    fault_level,
    level_window,
    pulse_words,
    relative_spread,
    sub_pulses,
    two_normals,
)  # fmt: skip

_F = np.float32
_I = np.int32
_U32 = np.uint32
_U64 = np.uint64
# Stored deviates are in steps of 2**-12 standard deviations, so that they fit 16 bits.
_DEVIATE = 2.0**-12


class Params(NamedTuple):
    """See `MODEL.specs`."""

    step_floor: float
    step_excess: float
    step_decay: float
    sigma_d2d: float
    sigma_range: float
    sigma_c2c: float
    c2c_floor: float
    c2c_slope: float
    write_floor: float
    write_slope: float
    write_curve: float
    refresh_above: float
    refresh_common: float
    refresh_noise: float
    drift: float
    drift_start: float
    drift_mean_slope: float
    drift_mean_offset: float
    drift_mean_low: float
    drift_mean_high: float
    drift_spread_slope: float
    drift_spread_offset: float
    drift_spread_low: float
    drift_spread_high: float
    read_noise: float
    flicker: float
    flicker_power: float
    flicker_cap: float
    flicker_start: float
    stuck_on: float
    stuck_off: float
    stuck_random: float
    g_min: float
    g_max: float
    lam_window: float


class State(NamedTuple):
    """Two devices per cell: ``[cell, 0]`` raises lam, ``[cell, 1]`` lowers it.

    `level` is the difference of `height`, both at t_0: of two numbers of which one follows from the other, the first
    is the exact one.
    """

    level: np.ndarray
    height: np.ndarray
    step: np.ndarray
    top: np.ndarray
    drift_deviate: np.ndarray
    since: np.ndarray
    pulse_count: np.ndarray
    refresh_count: np.ndarray
    fault: np.ndarray


class _Law(NamedTuple):
    """The parameters of one pulse in float32; lengths in levels."""

    floor: np.float32
    excess: np.float32
    decay: np.float32
    end_step: np.float32
    c2c: np.float32
    c2c_floor: np.float32
    c2c_slope: np.float32
    write_floor: np.float32
    write_slope: np.float32
    write_curve: np.float32
    above: np.float32
    common: np.float32
    refresh_noise: np.float32
    window: np.float32
    inverse_window: np.float32
    level_max: np.float32


class _Clock(NamedTuple):
    """The parameters of drift in float32."""

    drift: np.float32
    inverse_start: np.float64
    mean_slope: np.float32
    mean_offset: np.float32
    mean_low: np.float32
    mean_high: np.float32
    spread_slope: np.float32
    spread_offset: np.float32
    spread_low: np.float32
    spread_high: np.float32
    inverse_window: np.float32


@inline
def _law(params, grid):
    window = level_window(grid, params.lam_window)
    floor, excess, decay = _F(params.step_floor), _F(params.step_excess), _F(params.step_decay)
    return _Law(
        floor, excess, decay, floor + excess * exp32(-decay),
        _F(params.sigma_c2c), _F(params.c2c_floor) * window, _F(params.c2c_slope),
        _F(params.write_floor) * window, _F(params.write_slope), _F(params.write_curve) / window,
        _F(params.refresh_above) * window, _F(params.refresh_common) * window, _F(params.refresh_noise) * window,
        window, _F(1.0) / window, _F(grid.level_max),
    )  # fmt: skip


@inline
def _clock(params, grid):
    return _Clock(
        _F(params.drift), 1.0 / params.drift_start, _F(params.drift_mean_slope), _F(params.drift_mean_offset),
        _F(params.drift_mean_low), _F(params.drift_mean_high), _F(params.drift_spread_slope),
        _F(params.drift_spread_offset), _F(params.drift_spread_low), _F(params.drift_spread_high),
        _F(1.0) / level_window(grid, params.lam_window),
    )  # fmt: skip


@inline
def _clip(value, low, high):
    return min(max(value, low), high)


@inline
def _remaining(height, deviate, since, clock, now):
    """Return the share (float32) of a device's conductance that drift has left at `now`."""
    x = log32(max(height * clock.inverse_window, _F(1e-6)))
    mean = _clip(clock.mean_slope * x + clock.mean_offset, clock.mean_low, clock.mean_high)
    spread = _clip(clock.spread_slope * x + clock.spread_offset, clock.spread_low, clock.spread_high)
    nu = clock.drift * max(mean + spread * _F(_F(deviate) * _F(_DEVIATE)), _F(0.0))
    age = max(_F((now - np.float64(since)) * clock.inverse_start), _F(1.0))
    return exp32(-nu * log32(age))


@inline
def _drifted(level, height, deviate, since, clock, c, now):
    """Return a cell's level (float32) at `now`."""
    plus, minus = 2 * c, 2 * c + 1
    lost_plus = height[plus] * (_F(1.0) - _remaining(height[plus], deviate[plus], since[plus], clock, now))
    lost_minus = height[minus] * (_F(1.0) - _remaining(height[minus], deviate[minus], since[minus], clock, now))
    return level[c] - lost_plus + lost_minus


@inline
def _write_noise(height, law):
    """Return the standard deviation (float32, levels) with which a device is programmed to a height."""
    return law.write_floor + height * (law.write_slope + law.write_curve * height)


@inline
def _one_pulse(height, take, step, top, c2c_normal, write_normal, law):
    """Return by how much a device rises (float32) in a pulse of `take` steps: 1 on a grid of levels."""
    x = height * law.inverse_window
    rise = take * (step * (law.floor + law.excess * exp32(-law.decay * x)))
    write = _write_noise(height + rise, law)
    rise += law.c2c * (rise + _F(np.sqrt(take)) * (law.c2c_floor + law.c2c_slope * height)) * c2c_normal
    rise += write * write_normal
    # A device that program-and-verify put beyond the end its pulses reach stays there.
    return _clip(rise, -height, max(top - height, _F(0.0)))


@inline
def _raise_device(state, c, count, take, law, key, pulse, first):
    """Send one SET pulse to the device that `count` asks for. *Mutates* `level`, `height`."""
    level, height, step, top = state
    a, b, _, _ = pulse_words(key, c, pulse)
    n0, n1 = two_normals(a, b)
    # All numbers of both devices are loaded and stored, whichever is pulsed: that keeps the loop over cells SIMD code.
    plus, minus = 2 * c, 2 * c + 1
    up = count > _F(0.0)
    from_plus, from_minus = height[plus], height[minus]
    step_plus, step_minus, top_plus, top_minus = step[plus], step[minus], top[plus], top[minus]
    mine, end = (from_plus if up else from_minus), (top_plus if up else top_minus)
    rise = _one_pulse(mine, take, step_plus if up else step_minus, end, n0, n1 if first else _F(0.0), law)
    rise = rise if (end > _F(0.0)) & (take > _F(0.0)) else _F(0.0)
    height[plus] = from_plus + (rise if up else _F(0.0))
    height[minus] = from_minus + (_F(0.0) if up else rise)
    level[c] = _clip(level[c] + (rise if up else -rise), -law.level_max, law.level_max)


@inline
def _is_full(height, step, top, c, count, take, law):
    """Return whether the pair must be refreshed before the pulse."""
    plus, minus = 2 * c, 2 * c + 1
    up = count > _F(0.0)
    mine, other = (height[plus] if up else height[minus]), (height[minus] if up else height[plus])
    crowded = (mine > law.above) & (other > law.common)
    further = take * (step[plus] if up else step[minus]) * law.end_step
    at_end = (mine + further > (top[plus] if up else top[minus])) & (other >= _F(0.5))
    return (crowded | at_end) & (top[plus] > _F(0.0)) & (top[minus] > _F(0.0)) & (take > _F(0.0))


@inline
def _refresh(state, deviate, since, refresh_count, c, law, clock, key, pulse, now):
    """RESET both devices and program the difference anew. *Mutates* all of a cell but its step, top and fault."""
    level, height, _, top = state
    _, _, a, b = pulse_words(key, c, pulse)
    normals = two_normals(a, b)
    seen = _drifted(level, height, deviate, since, clock, c, now)
    change = _F(0.0)
    for i in range(2):
        d = 2 * c + i
        target = min(max(seen if i == 0 else -seen, _F(0.0)), max(top[d], height[d]))
        write = _write_noise(target, law) if target > _F(0.0) else _F(0.0)
        sigma = _F(np.sqrt(write * write + law.refresh_noise * law.refresh_noise))
        height[d] = _clip(target + sigma * normals[i], _F(0.0), max(top[d], target))
        error = height[d] - max(seen if i == 0 else -seen, _F(0.0))
        change += error if i == 0 else -error
        since[d] = _F(now)
    level[c] = _clip(seen + change, -law.level_max, law.level_max)
    refresh_count[c] += _I(1)


@inline
def _restart_clock(since, c, count, now):
    """Let drift begin anew on the device that was pulsed. *Mutates* `since`."""
    since[2 * c] = _F(now) if count > _F(0.0) else since[2 * c]
    since[2 * c + 1] = _F(now) if count < _F(0.0) else since[2 * c + 1]


@jit
def fabricate(state, params, grid, key):
    """Draw each device's step, range, drift and fault. *Mutates* all of `state` but times and counters."""
    window = level_window(grid, params.lam_window)
    for c in range(state.level.size):
        for d in range(2):
            a, b, which, where = device_words(key, c, d, 0)
            of_step, of_range = two_normals(a, b)
            a, b, _, _ = device_words(key, c, d, 1)
            of_drift, _ = two_normals(a, b)
            state.step[c, d] = _F(relative_spread(np.float64(of_step), params.sigma_d2d))
            state.top[c, d] = _F(grid.level_max * min(relative_spread(np.float64(of_range), params.sigma_range), 1.0))
            state.drift_deviate[c, d] = np.int16(np.rint(of_drift / _F(_DEVIATE)))
            state.fault[c, d] = draw_fault(which, params.stuck_on, params.stuck_off, params.stuck_random)
            stuck = _F(0.5) * (window + fault_level(state.fault[c, d], where, window))
            state.height[c, d] = stuck if state.fault[c, d] != 0 else _F(0.0)
            # One array less for the loop over pulses to look at: LLVM gives up SIMD code at too many of them.
            state.top[c, d] = _F(-1.0) if state.fault[c, d] != 0 else state.top[c, d]
        state.level[c] = state.height[c, 0] - state.height[c, 1]


@jit
def program(state, target, params, grid, now):
    """Set every pair to `target` (float32[cell], levels), one device at 0 unless a stuck partner needs a balance.

    *Mutates* `state.level`, `state.height`, `state.since`.
    """
    height, fault = state.height, state.fault
    top = _F(grid.level_max)
    for c in range(state.level.size):
        t = _clip(target[c], -top, top)
        if fault[c, 0] == 0:
            height[c, 0] = max(t, _F(0.0)) if fault[c, 1] == 0 else _clip(t + height[c, 1], _F(0.0), top)
        if fault[c, 1] == 0:
            height[c, 1] = max(-t, _F(0.0)) if fault[c, 0] == 0 else _clip(height[c, 0] - t, _F(0.0), top)
        state.since[c, 0] = _F(now)
        state.since[c, 1] = _F(now)
        state.level[c] = _clip(height[c, 0] - height[c, 1], -top, top)


@jit
def pulse(state, cells, counts, params, grid, key, now):
    """Send the listed cells their counts. *Mutates* all of `state` that is not drawn at fabrication.

    Noise of a pulse is a function of (key, cell, pulse of the event).
    """
    law, clock = _law(params, grid), _clock(params, grid)
    level, pulse_count, refresh_count = state.level, state.pulse_count, state.refresh_count
    n = level.size
    height, step, top = state.height.reshape(2 * n), state.step.reshape(2 * n), state.top.reshape(2 * n)
    since, deviate = state.since.reshape(2 * n), state.drift_deviate.reshape(2 * n)
    devices = (level, height, step, top)
    dense = cells.size == n
    done = _I(0)
    if dense:
        # The first pulse of every cell in a loop without branches, between the rare ones: refreshes and second pulses.
        most = _I(0)
        for c in range(n):
            n_pulses = sub_pulses(counts[c], grid.level_max)
            most = max(most, n_pulses)
            take = abs(counts[c]) / _F(max(n_pulses, _I(1)))
            if _is_full(height, step, top, c, counts[c], take, law):
                _refresh(devices, deviate, since, refresh_count, c, law, clock, key, 0, now)
        for c in range(n):
            take = abs(counts[c]) / _F(max(sub_pulses(counts[c], grid.level_max), _I(1)))
            _raise_device(devices, c, counts[c], take, law, key, 0, True)
        for c in range(n):
            _restart_clock(since, c, counts[c], now)
            pulse_count[c] = add_pulses(pulse_count[c], counts[c])
        if most <= 1:
            return
        done = _I(1)
    for i in range(cells.size):
        c = cells[i]
        n_pulses = sub_pulses(counts[i], grid.level_max)
        take = abs(counts[i]) / _F(max(n_pulses, _I(1)))
        for p in range(done, n_pulses):
            if _is_full(height, step, top, c, counts[i], take, law):
                _refresh(devices, deviate, since, refresh_count, c, law, clock, key, p, now)
            _raise_device(devices, c, counts[i], take, law, key, p, p == 0)
        if not dense:
            _restart_clock(since, c, counts[i], now)
            pulse_count[c] = add_pulses(pulse_count[c], counts[i])


@jit
def peek(state, cells, params, grid, now, out):
    """Write the noise-free level of the listed cells at `now` to ``out[cells]``."""
    clock = _clock(params, grid)
    n = state.level.size
    height, deviate = state.height.reshape(2 * n), state.drift_deviate.reshape(2 * n)
    since = state.since.reshape(2 * n)
    if cells.size == n:
        for c in range(n):
            out[c] = _drifted(state.level, height, deviate, since, clock, c, now)
    else:
        for i in range(cells.size):
            out[cells[i]] = _drifted(state.level, height, deviate, since, clock, cells[i], now)


@inline
def _flicker(height, since, params, inverse_window, now):
    """Return the standard deviation (float32) of one look at a device that stands at `height` by now, in levels."""
    x = max(height * inverse_window, _F(1e-6))
    share = min(_F(params.flicker) * exp32(_F(-params.flicker_power) * log32(x)), _F(params.flicker_cap))
    start = params.flicker_start
    age = max(now - np.float64(since), start)
    return height * share * _F(np.sqrt(max(log32(_F((age + start) / (2.0 * start))), _F(0.0))))


@jit
def read(state, params, grid, key, now, out):
    """Write the level of all cells as one look at `now` sees it, white and 1/f noise included."""
    clock = _clock(params, grid)
    n = state.level.size
    height, deviate = state.height.reshape(2 * n), state.drift_deviate.reshape(2 * n)
    since = state.since.reshape(2 * n)
    white = _F(params.read_noise)
    low, high = key_halves(key)
    low_b, high_b = key_halves(fold(key, _U64(1)))
    for c in range(n):
        plus, minus = 2 * c, 2 * c + 1
        left = _remaining(height[plus], deviate[plus], since[plus], clock, now)
        right = _remaining(height[minus], deviate[minus], since[minus], clock, now)
        a = _flicker(height[plus] * left, since[plus], params, clock.inverse_window, now)
        b = _flicker(height[minus] * right, since[minus], params, clock.inverse_window, now)
        noise = normal_from_bits(cell_bits(low, high, _U32(c)), cell_bits(low_b, high_b, _U32(c)))
        seen = state.level[c] - height[plus] * (_F(1.0) - left) + height[minus] * (_F(1.0) - right)
        out[c] = seen + _F(np.sqrt(white * white + a * a + b * b)) * noise


@jit
def conductance(state, params, grid, now, out):
    """Write the conductance of each device at `now`, linear in its height."""
    clock = _clock(params, grid)
    g_min, g_max = _F(params.g_min), _F(params.g_max)
    for c in range(state.level.size):
        for d in range(2):
            height = state.height[c, d]
            left = height * _remaining(height, state.drift_deviate[c, d], state.since[c, d], clock, now)
            out[c, d] = g_min + (g_max - g_min) * min(left * clock.inverse_window, _F(1.0))


@jit
def advance(state, params, grid, key, since, now):
    """Do nothing: the conductances of a moment follow from the last pulses and from `now`."""


_SHARE = ", as a share of the range"

MODEL = StorageModel(
    name="pcm",
    family="memristor",
    summary="differential pair of phase-change memories: SET pulses only, refresh, drift, 1/f noise",
    params=Params,
    state=State,
    specs=(
        ParamSpec("step_floor", "1", "step of a pulse far up the range, in levels", 0.0, 1e3, 1.0),
        ParamSpec("step_excess", "1", "by how much the first step from RESET is larger, in levels", 0.0, 1e4, 0.0),
        ParamSpec("step_decay", "1", "how often the excess decays e-fold over the range", 0.0, 80.0),
        ParamSpec("sigma_d2d", "1", "relative standard deviation of the step, log-normal", 0.0, 10.0, 0.0),
        ParamSpec("sigma_range", "1", "relative standard deviation of the end that pulses reach; never beyond the grid",
                  0.0, 10.0, 0.0),
        ParamSpec("sigma_c2c", "1", "noise of a pulse over (its step + c2c_floor + c2c_slope x)", 0.0, 100.0, 0.0),
        ParamSpec("c2c_floor", "1", "what adds to the step in the noise of a pulse" + _SHARE, 0.0, 1.0),
        ParamSpec("c2c_slope", "1", "what adds to it in proportion to the conductance", 0.0, 10.0),
        ParamSpec("write_floor", "1", "programming noise of an event: at x = 0" + _SHARE, 0.0, 1.0, 0.0),
        ParamSpec("write_slope", "1", "programming noise of an event: coefficient of x" + _SHARE, -10.0, 10.0, 0.0),
        ParamSpec("write_curve", "1", "programming noise of an event: coefficient of x**2" + _SHARE, -10.0, 10.0, 0.0),
        ParamSpec("refresh_above", "1", "a pair is refreshed if one device is above this" + _SHARE, 0.0, 1.0),
        ParamSpec("refresh_common", "1", "and the other above this" + _SHARE, 0.0, 1.0),
        ParamSpec("refresh_noise", "1", "standard deviation of a device after a refresh" + _SHARE, 0.0, 1.0, 0.0),
        ParamSpec("drift", "1", "factor on the drift exponent: 1 as the card says, 0 no drift", 0.0, 100.0, 0.0),
        ParamSpec("drift_start", "s", "time after a pulse from which drift counts", 1e-9, 1e9),
        ParamSpec("drift_mean_slope", "1", "mean drift exponent: coefficient of ln x", -1.0, 1.0),
        ParamSpec("drift_mean_offset", "1", "mean drift exponent at x = 1, before the limits", -1.0, 1.0),
        ParamSpec("drift_mean_low", "1", "lower limit of the mean drift exponent", 0.0, 1.0),
        ParamSpec("drift_mean_high", "1", "upper limit of the mean drift exponent", 0.0, 1.0),
        ParamSpec("drift_spread_slope", "1", "spread of the drift exponent: coefficient of ln x", -1.0, 1.0),
        ParamSpec("drift_spread_offset", "1", "spread of the drift exponent at x = 1, before the limits", -1.0, 1.0),
        ParamSpec("drift_spread_low", "1", "lower limit of the spread", 0.0, 1.0),
        ParamSpec("drift_spread_high", "1", "upper limit of the spread", 0.0, 1.0),
        READ_NOISE,
        ParamSpec("flicker", "1", "1/f read noise relative to the conductance, at x = 1", 0.0, 10.0, 0.0),
        ParamSpec("flicker_power", "1", "it grows as x to minus this power", 0.0, 4.0),
        ParamSpec("flicker_cap", "1", "up to this", 0.0, 10.0),
        ParamSpec("flicker_start", "s", "time t_r from which 1/f noise builds up", 1e-12, 1.0),
        *STUCK,
        ParamSpec("g_min", "S", "conductance of a device after RESET", low=0.0),
        ParamSpec("g_max", "S", "conductance of a device at the end of its range", low=0.0),
        LAM_WINDOW,
    ),
    variables=(
        StateVar("level", "float32", "1", "level of the pair at the start of drift, centred"),
        StateVar("height", "float32", "1", "conductance at the start of drift, in levels above RESET", per_device=True),
        StateVar("step", "float32", "1", "step of the device relative to the nominal one", per_device=True),
        StateVar("top", "float32", "1", "height of the end that pulses reach, -1 if stuck", per_device=True),
        StateVar("drift_deviate", "int16", "1", "deviation of the drift exponent, 4096ths of a sigma", per_device=True),
        StateVar("since", "float32", "s", "time of the last pulse", per_device=True),
        StateVar("pulse_count", "int32", "1", "pulses received since fabrication", recorded=True),
        StateVar("refresh_count", "int32", "1", "refreshes of the pair since fabrication", recorded=True),
        StateVar("fault", "int8", "1", "fault code", per_device=True, recorded=True),
    ),
    fabricate=fabricate,
    program=program,
    pulse=pulse,
    peek=peek,
    read=read,
    conductance=conductance,
    n_devices=2,
    noisy_reads=("read_noise", "flicker"),
    advance=advance,
    evolves=("drift",),
    refreshes="refresh_count",
    refresh_pulses=3,  # RESET of both, and one to program the difference
)  # fmt: skip
