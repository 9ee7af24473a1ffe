"""One analog device per cell against a reference, with the statistics that pulsed arrays show.

The soft-bounds device of array studies: with L the last level of the grid, b+ and b- the bounds of this device and s+,
s- its steps, a pulse changes the level l by

    up:   + s+ (1 - nonlinearity l / b+)    (never below 0)
    down: - s- (1 + nonlinearity l / b-)    (never below 0)

plus cycle-to-cycle noise s sigma_c2c, which belongs to the device's own step and not to what the bound leaves of it;
then the level is clipped to the device's range and to the grid. A device at or beyond its bound does not answer a
pulse towards it. Several pulses of one event follow each other; a continuous element takes an event of any real count
as one pulse, its bounds infinitely far.

Drawn once per device: the step, log-normal around the median `step_size`; a difference between up and down of standard
deviation sigma_asymmetry; both bounds, L |normal(1, sigma_bound)|; the error of the reference that is subtracted, in
units of L, which moves both bounds and with them the step at level 0. A corrupt device stands still, within
+-corrupt_range L.

*Write noise.* An event leaves two values: the hidden level, on which the next pulse acts, and an error of standard
deviation `write_noise`, drawn anew at every event and fixed until the next. A look, and so the weights, sees their
sum; ``peek``, and so the learning rule, the hidden level. It does not accumulate.

Source of the model and its fits: Gong, Rasch et al., IEDM 2022, IEEE Xplore document 10019569, and the device presets
and simulator of the aihwkit project, which define what the fitted numbers mean.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from bimu_hw.devices import ParamSpec, StateVar, StorageModel
from bimu_hw.kernels import inline, jit
from bimu_hw.kernels.bits import cell_bits, fold, key_halves, normal_from_bits
from device_models.nonidealities import (
    LAM_WINDOW,
    READ_NOISE,
    add_pulses,
    conductance_of,
    device_words,
    draw_fault,
    fault_level,
    level_window,
    pulse_words,
    sub_pulses,
    two_normals,
)  # fmt: skip

_F = np.float32
_I = np.int32
_U32 = np.uint32
_U64 = np.uint64

#: No device has a bound nearer to level 0 than this share of L: a bound at 0 would divide by it.
_NEAREST = 1e-3


class Params(NamedTuple):
    """See `MODEL.specs`."""

    step_size: float
    nonlinearity: float
    asymmetry: float
    sigma_step: float
    sigma_asymmetry: float
    sigma_bound_up: float
    sigma_bound_down: float
    sigma_reference: float
    sigma_c2c: float
    write_noise: float
    read_noise: float
    stuck_corrupt: float
    corrupt_range: float
    g_min: float
    g_max: float
    lam_window: float


class State(NamedTuple):
    """Hidden level, what a look sees besides it, and the device's own steps and bounds (both positive)."""

    level: np.ndarray
    write_error: np.ndarray
    step_up: np.ndarray
    step_down: np.ndarray
    bound_up: np.ndarray
    bound_down: np.ndarray
    pulse_count: np.ndarray
    fault: np.ndarray


class _Law(NamedTuple):
    """What all cells share, float32."""

    bend: np.float32
    c2c: np.float32
    write: np.float32
    top: np.float32


@inline
def _one_pulse(level, take, step_up, step_down, bound_up, bound_down, fault, normal, law):
    """Return the hidden level (float32) after `take` steps: 1 or -1 on a grid of levels."""
    up = take > _F(0.0)
    sign = _F(1.0) if up else _F(-1.0)
    step = step_up if up else step_down
    bound = bound_up if up else bound_down
    towards = sign * level
    size = abs(take)
    # One way to compute it: a quotient x / y, or a sum of two products, the compiler may do differently in the loop
    # over a list than in that over all cells; the bound on the noise keeps its product apart.
    inverse = _F(1.0) / bound
    room = max(_F(1.0) - law.bend * towards * inverse, _F(0.0))
    noise = min(law.c2c * _F(np.sqrt(size)) * normal, _F(1e30))
    # Added to the level itself and not to its mirror image, which would turn 0 into -0.
    new = level + sign * step * (size * room + noise)
    # Noise may carry a device backwards, at most to its other end; one programmed beyond it only comes back.
    high, low = min(bound_up, law.top), -min(bound_down, law.top)
    new = min(max(new, min(low, level) if up else low), high if up else max(high, level))
    answers = (fault == 0) & (size > _F(0.0)) & (towards < bound)
    return new if answers else level


@jit
def fabricate(state, params, grid, key):
    """Draw each device's steps, bounds and fault. *Mutates* all of `state` but the counter and the write error."""
    window = level_window(grid, params.lam_window)
    for c in range(state.level.size):
        a, b, which, where = device_words(key, c, 0, 0)
        n_step, n_asymmetry = two_normals(a, b)
        a, b, a2, b2 = device_words(key, c, 0, 1)
        n_up, n_down = two_normals(a, b)
        n_reference, _ = two_normals(a2, b2)
        gain = math.exp(params.sigma_step * np.float64(n_step))
        tilt = params.sigma_asymmetry * np.float64(n_asymmetry)
        reference = params.sigma_reference * np.float64(n_reference)
        up = max(abs(1.0 + params.sigma_bound_up * np.float64(n_up)), _NEAREST)
        down = max(abs(1.0 + params.sigma_bound_down * np.float64(n_down)), _NEAREST)
        # Against a reference that is off by r, 1 - (l + r) / b is (1 - l / (b - r)) (b - r) / b.
        near_up, near_down = max(up - reference, _NEAREST), max(down + reference, _NEAREST)
        state.step_up[c] = _F(params.step_size * abs(gain * (1.0 + params.asymmetry) + tilt) * near_up / up)
        state.step_down[c] = _F(params.step_size * abs(gain * (1.0 - params.asymmetry) - tilt) * near_down / down)
        state.bound_up[c] = _F(grid.level_max * near_up)
        state.bound_down[c] = _F(grid.level_max * near_down)
        state.fault[c] = draw_fault(which, 0.0, 0.0, params.stuck_corrupt)
        state.level[c] = fault_level(state.fault[c], where, _F(window * params.corrupt_range))


@jit
def program(state, target, params, grid, now):
    """Set every sound device to `target` (float32[cell], levels), without write error.

    An ideal program-and-verify also reaches levels beyond a device's own bound; pulses only lead back from there.
    *Mutates* `state.level`, `state.write_error`.
    """
    level, write_error, fault = state.level, state.write_error, state.fault
    top = _F(grid.level_max)
    for c in range(level.size):
        level[c] = min(max(target[c], -top), top) if fault[c] == 0 else level[c]
        write_error[c] = _F(0.0)


@jit
def pulse(state, cells, counts, params, grid, key, now):
    """Send the listed cells their counts. *Mutates* `state.level`, `state.write_error`, `state.pulse_count`.

    Noise of a pulse is a function of (key, cell, pulse of the event); the write error comes with the first.
    """
    bend = _F(params.nonlinearity if grid.level_max < np.inf else 0.0)
    law = _Law(bend, _F(params.sigma_c2c), _F(params.write_noise), _F(grid.level_max))
    level, write_error, fault, pulse_count = state.level, state.write_error, state.fault, state.pulse_count
    step_up, step_down, bound_up, bound_down = state.step_up, state.step_down, state.bound_up, state.bound_down
    dense = cells.size == level.size
    done = _I(0)
    if dense:
        # The first pulse of every cell in a loop without branches; the few cells that get more follow below.
        most = _I(0)
        for c in range(level.size):
            take = counts[c] / _F(max(sub_pulses(counts[c], grid.level_max), _I(1)))
            a, b, _, _ = pulse_words(key, c, 0)
            n0, n1 = two_normals(a, b)
            level[c] = _one_pulse(
                level[c], take, step_up[c], step_down[c], bound_up[c], bound_down[c], fault[c], n0, law
            )
            written = (fault[c] == 0) & (take != _F(0.0))
            write_error[c] = law.write * n1 if written else write_error[c]
        for c in range(level.size):
            most = max(most, sub_pulses(counts[c], grid.level_max))
            pulse_count[c] = add_pulses(pulse_count[c], counts[c])
        if most <= 1:
            return
        done = _I(1)
    for n in range(cells.size):
        c = cells[n]
        n_pulses = sub_pulses(counts[n], grid.level_max)
        take = counts[n] / _F(max(n_pulses, _I(1)))
        for p in range(done, n_pulses):
            a, b, _, _ = pulse_words(key, c, p)
            n0, n1 = two_normals(a, b)
            level[c] = _one_pulse(
                level[c], take, step_up[c], step_down[c], bound_up[c], bound_down[c], fault[c], n0, law
            )
            if p == 0:
                written = (fault[c] == 0) & (take != _F(0.0))
                write_error[c] = law.write * n1 if written else write_error[c]
        if not dense:
            pulse_count[c] = add_pulses(pulse_count[c], counts[n])


@jit
def peek(state, cells, params, grid, now, out):
    """Write the hidden level of the listed cells to ``out[cells]``."""
    level = state.level
    if cells.size == level.size:
        for c in range(level.size):
            out[c] = level[c]
    else:
        for n in range(cells.size):
            out[cells[n]] = level[cells[n]]


@jit
def read(state, params, grid, key, now, out):
    """Write the level of all cells as one look sees it: with the write error of the last event, and read noise."""
    level, write_error = state.level, state.write_error
    sigma = _F(params.read_noise)
    low, high = key_halves(key)
    low_b, high_b = key_halves(fold(key, _U64(1)))
    for c in range(level.size):
        noise = normal_from_bits(cell_bits(low, high, _U32(c)), cell_bits(low_b, high_b, _U32(c)))
        out[c] = level[c] + write_error[c] + sigma * noise


@jit
def conductance(state, params, grid, now, out):
    """Write the conductance of each device, write error included, linear in the level and clipped to the range."""
    level, write_error = state.level, state.write_error
    window = level_window(grid, params.lam_window)
    g_min, g_max = _F(params.g_min), _F(params.g_max)
    for c in range(level.size):
        out[c, 0] = conductance_of(level[c] + write_error[c], window, g_min, g_max)


def _spread(name: str, doc: str) -> ParamSpec:
    return ParamSpec(name, "1", doc, 0.0, 10.0, 0.0)


MODEL = StorageModel(
    name="pulsed_array",
    family="memristor",
    summary="analog device with log-normal steps, spread soft bounds, write noise and corrupt devices",
    params=Params,
    state=State,
    specs=(
        ParamSpec("step_size", "1", "median step of one pulse at level 0, in levels", 1e-6, 1e3, 1.0),
        ParamSpec("nonlinearity", "1", "how far the step has shrunk at its bound: 1 to nothing", 0.0, 1.0, 0.0),
        ParamSpec("asymmetry", "1", "median step up over median step down is (1 + a) / (1 - a)", -0.99, 0.99, 0.0),
        _spread("sigma_step", "standard deviation of the logarithm of a device's step"),
        _spread("sigma_asymmetry", "standard deviation of a device's half difference of steps up and down, in steps"),
        _spread("sigma_bound_up", "relative standard deviation of a device's upper bound"),
        _spread("sigma_bound_down", "relative standard deviation of a device's lower bound"),
        _spread("sigma_reference", "standard deviation of a device's reference, in units of the last level"),
        ParamSpec("sigma_c2c", "1", "standard deviation of one pulse, in steps of that device", 0.0, 100.0, 0.0),
        ParamSpec(
            "write_noise", "1", "standard deviation of what a look sees beyond the hidden level, in levels",
            0.0, 1e3, 0.0,
        ),
        READ_NOISE,
        ParamSpec("stuck_corrupt", "1", "fraction of corrupt devices, fixed near level 0", 0.0, 1.0, 0.0),
        ParamSpec("corrupt_range", "1", "corrupt devices stand within this share of the last level", 0.0, 1.0),
        ParamSpec("g_min", "S", "conductance of a device at its lowest level", low=0.0),
        ParamSpec("g_max", "S", "conductance of a device at its highest level", low=0.0),
        LAM_WINDOW,
    ),
    variables=(
        StateVar("level", "float32", "1", "hidden level of the device, centred"),
        StateVar("write_error", "float32", "1", "what a look sees beyond the hidden level, in levels", recorded=True),
        StateVar("step_up", "float32", "1", "step up of the device at level 0"),
        StateVar("step_down", "float32", "1", "step down of the device at level 0"),
        StateVar("bound_up", "float32", "1", "upper bound of the device in levels"),
        StateVar("bound_down", "float32", "1", "lower bound of the device in levels, sign dropped"),
        StateVar("pulse_count", "int32", "1", "pulses received since fabrication", recorded=True),
        StateVar("fault", "int8", "1", "fault code", recorded=True),
    ),
    fabricate=fabricate,
    program=program,
    pulse=pulse,
    peek=peek,
    read=read,
    conductance=conductance,
    noisy_reads=("read_noise", "write_noise"),
)  # fmt: skip
