"""A differential pair of memristors with soft bounds: lam = (l_plus - l_minus) / 2 in levels, one 2T2R cell.

A pulse that raises lam raises the first device and lowers the second. Each device follows the soft-bounds model of
pulsed analog memories: with L the last level and s the device's step, one pulse changes its level l by

    up:   + s (1 + asymmetry) (1 - nonlinearity l / L)
    down: - s (1 - asymmetry) (1 + nonlinearity l / L)

plus cycle-to-cycle noise of standard deviation s sigma_c2c per pulse and, once per programming event, write noise;
then it is clipped to its range. Several pulses of one event follow each other. On a continuous element L is
infinite, the bounds vanish, and an event of any real count is one pulse of that many steps, its cycle-to-cycle
variance proportional to the count.

Between pulses both devices relax to their rest level l_0 as l_0 + (l - l_0) exp(-t r(T)), with a rate r that follows
temperature by Arrhenius' law.

Sources of the model: Gong et al., Nat. Commun. (2018), doi:10.1038/s41467-018-04485-1 (soft bounds fitted to HfO2
ReRAM); Bonnet et al., Nat. Commun. 14, 7530 (2023), doi:10.1038/s41467-023-43317-9 (HfOx arrays for Bayesian
networks).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bimu_hw.devices import ParamSpec, StateVar, StorageModel
from bimu_hw.kernels import inline, jit
from bimu_hw.kernels.bits import cell_bits, fold, key_halves, normal_from_bits
from device_models.nonidealities import (
    LAM_WINDOW,
    READ_NOISE,
    RETENTION,
    STUCK,
    add_pulses,
    arrhenius,
    conductance_of,
    device_words,
    draw_fault,
    fault_level,
    level_window,
    lost_share,
    pulse_normals,
    relative_spread,
    relaxed,
    sub_pulses,
    two_normals,
)  # fmt: skip

_F = np.float32
_I = np.int32
_U32 = np.uint32
_U64 = np.uint64


class Params(NamedTuple):
    """See `MODEL.specs`."""

    nonlinearity: float
    asymmetry: float
    sigma_d2d: float
    sigma_c2c: float
    write_noise: float
    read_noise: float
    stuck_on: float
    stuck_off: float
    stuck_random: float
    g_min: float
    g_max: float
    lam_window: float
    retention_rate: float
    activation_energy: float
    rest_level: float


class State(NamedTuple):
    """Two devices per cell: ``[cell, 0]`` raises lam, ``[cell, 1]`` lowers it."""

    level: np.ndarray
    step: np.ndarray
    since: np.ndarray
    pulse_count: np.ndarray
    fault: np.ndarray


class _Law(NamedTuple):
    """The parameters of one pulse in float32."""

    gain_up: np.float32
    gain_down: np.float32
    bend: np.float32
    c2c: np.float32
    write: np.float32
    top: np.float32


@inline
def _law(params, grid):
    return _Law(
        _F(1.0 + params.asymmetry), _F(1.0 - params.asymmetry), _F(params.nonlinearity * (1.0 / grid.level_max)),
        _F(params.sigma_c2c), _F(params.write_noise), _F(grid.level_max),
    )  # fmt: skip


@inline
def _one_device(level, take, step, fault, c2c_normal, write_normal, law):
    """Return a device's level after `take` steps in its own direction (float32, at most 1 on a grid of levels)."""
    up = take > _F(0.0)
    gain = law.gain_up if up else law.gain_down
    towards = level if up else -level
    moved = step * gain * (_F(1.0) - law.bend * towards)
    noise = law.c2c * step * _F(np.sqrt(abs(take))) * c2c_normal + law.write * write_normal
    new = min(max(level + take * moved + noise, -law.top), law.top)
    return new if (fault == 0) & (take != _F(0.0)) else level


@inline
def _flat(array):
    """Return a pair's array as one row (plus, minus, plus, minus, ...), which loops over cells can vectorise."""
    return array.reshape(array.size)


@inline
def _rest(params, grid):
    """Return the rest level (float32) and the rate of relaxation at the chip's temperature (float64)."""
    rest = _F(params.rest_level) * level_window(grid, params.lam_window)
    return rest, arrhenius(params.retention_rate, params.activation_energy, grid.temperature)


@inline
def _relax_pair(level, fault, since, c, rest, rate, now):
    """Return the levels of both devices of a cell at `now`."""
    lost = lost_share(rate, since[c], now)
    plus, minus = level[2 * c], level[2 * c + 1]
    return (
        relaxed(plus, rest, lost) if fault[2 * c] == 0 else plus,
        relaxed(minus, rest, lost) if fault[2 * c + 1] == 0 else minus,
    )


@inline
def _let_relax(level, fault, since, c, rest, rate, now):
    """Bring a cell to `now`. *Mutates* `level`, `since`."""
    level[2 * c], level[2 * c + 1] = _relax_pair(level, fault, since, c, rest, rate, now)
    since[c] = _F(now)


@inline
def _first_pulse(level, step, fault, c, take, law, key):
    n0, n1, n2, n3 = pulse_normals(key, c, 0)
    plus, minus = 2 * c, 2 * c + 1
    level[plus] = _one_device(level[plus], take, step[plus], fault[plus], n0, n2, law)
    level[minus] = _one_device(level[minus], -take, step[minus], fault[minus], n1, n3, law)


@inline
def _further_pulses(level, step, fault, c, take, n_pulses, law, key):
    plus, minus = 2 * c, 2 * c + 1
    for p in range(1, n_pulses):
        n0, n1, _, _ = pulse_normals(key, c, p)
        level[plus] = _one_device(level[plus], take, step[plus], fault[plus], n0, _F(0.0), law)
        level[minus] = _one_device(level[minus], -take, step[minus], fault[minus], n1, _F(0.0), law)


@jit
def fabricate(state, params, grid, key):
    """Draw each device's step and fault. *Mutates* `state.step`, `state.fault`, `state.level` of stuck devices."""
    window = level_window(grid, params.lam_window)
    for c in range(state.level.shape[0]):
        for d in range(2):
            a, b, which, where = device_words(key, c, d, 0)
            normal, _ = two_normals(a, b)
            state.step[c, d] = _F(relative_spread(np.float64(normal), params.sigma_d2d))
            state.fault[c, d] = draw_fault(which, params.stuck_on, params.stuck_off, params.stuck_random)
            state.level[c, d] = fault_level(state.fault[c, d], where, window)


@jit
def program(state, target, params, grid, now):
    """Set sound devices to plus and minus `target` (float32[cell], levels). *Mutates* `state.level`, `state.since`."""
    level, fault = state.level, state.fault
    top = _F(grid.level_max)
    for c in range(level.shape[0]):
        state.since[c] = _F(now)
        t = min(max(target[c], -top), top)
        level[c, 0] = t if fault[c, 0] == 0 else level[c, 0]
        level[c, 1] = -t if fault[c, 1] == 0 else level[c, 1]


@jit
def pulse(state, cells, counts, params, grid, key, now):
    """Send the listed cells their counts. *Mutates* `state.level`, `state.since`, `state.pulse_count`.

    Noise of a pulse is a function of (key, cell, device, pulse of the event).
    """
    law = _law(params, grid)
    level, step, fault, pulse_count = _flat(state.level), _flat(state.step), _flat(state.fault), state.pulse_count
    since = state.since
    rest, rate = _rest(params, grid)
    if cells.size == pulse_count.size:
        # The first pulse of every cell in a loop without branches; the few cells that get more follow.
        most = _I(0)
        for c in range(pulse_count.size):
            n_pulses = sub_pulses(counts[c], grid.level_max)
            _let_relax(level, fault, since, c, rest, rate, now)
            _first_pulse(level, step, fault, c, counts[c] / _F(max(n_pulses, _I(1))), law, key)
        for c in range(pulse_count.size):
            most = max(most, sub_pulses(counts[c], grid.level_max))
            pulse_count[c] = add_pulses(pulse_count[c], counts[c])
        if most > 1:
            for c in range(pulse_count.size):
                n_pulses = sub_pulses(counts[c], grid.level_max)
                _further_pulses(level, step, fault, c, counts[c] / _F(max(n_pulses, _I(1))), n_pulses, law, key)
    else:
        for n in range(cells.size):
            c = cells[n]
            n_pulses = sub_pulses(counts[n], grid.level_max)
            take = counts[n] / _F(max(n_pulses, _I(1)))
            _let_relax(level, fault, since, c, rest, rate, now)
            _first_pulse(level, step, fault, c, take, law, key)
            _further_pulses(level, step, fault, c, take, n_pulses, law, key)
            pulse_count[c] = add_pulses(pulse_count[c], counts[n])


@inline
def _peek_cell(level, fault, since, c, rest, rate, now):
    plus, minus = _relax_pair(level, fault, since, c, rest, rate, now)
    return (plus - minus) * _F(0.5)


@jit
def peek(state, cells, params, grid, now, out):
    """Write the noise-free level of the listed cells to ``out[cells]``."""
    level, fault, since = _flat(state.level), _flat(state.fault), state.since
    rest, rate = _rest(params, grid)
    if cells.size == since.size:
        for c in range(out.size):
            out[c] = _peek_cell(level, fault, since, c, rest, rate, now)
    else:
        for n in range(cells.size):
            out[cells[n]] = _peek_cell(level, fault, since, cells[n], rest, rate, now)


@jit
def read(state, params, grid, key, now, out):
    """Write the level of all cells as one look sees it, read noise included."""
    level, fault, since = _flat(state.level), _flat(state.fault), state.since
    rest, rate = _rest(params, grid)
    sigma = _F(params.read_noise)
    low, high = key_halves(key)
    low_b, high_b = key_halves(fold(key, _U64(1)))
    for c in range(out.size):
        noise = normal_from_bits(cell_bits(low, high, _U32(c)), cell_bits(low_b, high_b, _U32(c)))
        out[c] = _peek_cell(level, fault, since, c, rest, rate, now) + sigma * noise


@jit
def conductance(state, params, grid, now, out):
    """Write the conductance of each device, linear in its level."""
    level, fault, since = _flat(state.level), _flat(state.fault), state.since
    rest, rate = _rest(params, grid)
    window = level_window(grid, params.lam_window)
    g_min, g_max = _F(params.g_min), _F(params.g_max)
    for c in range(since.size):
        plus, minus = _relax_pair(level, fault, since, c, rest, rate, now)
        out[c, 0] = conductance_of(plus, window, g_min, g_max)
        out[c, 1] = conductance_of(minus, window, g_min, g_max)


@jit
def advance(state, params, grid, key, since, now):
    """Do nothing: the levels of a moment follow from the last pulse and from `now`."""


@jit
def settle(state, params, grid, now):
    """Take the relaxation until `now` into the levels. *Mutates* `state.level`, `state.since`."""
    level, fault, since = _flat(state.level), _flat(state.fault), state.since
    rest, rate = _rest(params, grid)
    for c in range(since.size):
        _let_relax(level, fault, since, c, rest, rate, now)


MODEL = StorageModel(
    name="soft_bounds_pair",
    family="memristor",
    summary="differential pair of memristors with soft bounds, pulse noise and stuck devices",
    params=Params,
    state=State,
    specs=(
        ParamSpec(
            "nonlinearity", "1", "how far the step has shrunk at the bound it moves to: 1 to nothing", 0.0, 1.0, 0.0
        ),
        ParamSpec("asymmetry", "1", "mean step up over mean step down is (1 + a) / (1 - a)", -0.99, 0.99, 0.0),
        ParamSpec(
            "sigma_d2d",
            "1",
            "relative standard deviation of the step from device to device, log-normal",
            0.0,
            10.0,
            0.0,
        ),
        ParamSpec("sigma_c2c", "1", "standard deviation of one pulse's step, relative to that step", 0.0, 100.0, 0.0),
        ParamSpec(
            "write_noise", "1", "standard deviation added per programming event and device, in levels", 0.0, 1e3, 0.0
        ),
        READ_NOISE,
        *STUCK,
        ParamSpec("g_min", "S", "conductance of a device at its lowest level", low=0.0),
        ParamSpec("g_max", "S", "conductance of a device at its highest level", low=0.0),
        LAM_WINDOW,
        *RETENTION,
    ),
    variables=(
        StateVar("level", "float32", "1", "level of the device, centred", per_device=True),
        StateVar("step", "float32", "1", "step of the device relative to the nominal one", per_device=True),
        StateVar("since", "float32", "s", "time of the last pulse or programming"),
        StateVar("pulse_count", "int32", "1", "pulses received since fabrication", recorded=True),
        StateVar("fault", "int8", "1", "fault code", per_device=True, recorded=True),
    ),
    fabricate=fabricate,
    program=program,
    pulse=pulse,
    peek=peek,
    read=read,
    conductance=conductance,
    n_devices=2,
    advance=advance,
    evolves=("retention_rate",),
    settle=settle,
)
