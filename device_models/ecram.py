"""An electrochemical memory (ECRAM): one three-terminal cell with many levels and nearly linear steps.

Ions move between a reservoir and the channel, which raises or lowers its conductance. With L the last level and s the
cell's step, one pulse changes its level l by

    up:   + s_up (1 + asymmetry) (1 - gamma_up l / L)
    down: - s_down (1 - asymmetry) (1 + gamma_down l / L)

plus noise of standard deviation sigma_c2c s; then it is clipped to the range that pulses reach in this cell, which
may be narrower than the grid. lam = 0 lies where steps up and down are alike, the symmetry point, if the asymmetry is
0. Several pulses of one event follow each other; on a continuous element L is infinite and an event of any real count
is one pulse of that many steps. Between pulses the level relaxes to its rest level as l_0 + (l - l_0) exp(-t r(T)).

Sources of the model: Tang et al., IEDM 2018, IEEE Xplore document 8614551 (lithium ions in WO3, up to 1000 states,
symmetric and linear); Kim et al., IEDM 2019, IEEE Xplore document 8993463 (metal-oxide ECRAM); the linear-step fits to
both in the open aihwkit project.
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
    pulse_words,
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

    gamma_up: float
    gamma_down: float
    asymmetry: float
    sigma_d2d: float
    sigma_asymmetry: float
    sigma_range: float
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
    """Level of the channel, each cell's own steps and ends."""

    level: np.ndarray
    step_up: np.ndarray
    step_down: np.ndarray
    top: np.ndarray
    bottom: np.ndarray
    since: np.ndarray
    pulse_count: np.ndarray
    fault: np.ndarray


class _Law(NamedTuple):
    """The parameters of one pulse in float32, and those of relaxation."""

    gain_up: np.float32
    gain_down: np.float32
    bend_up: np.float32
    bend_down: np.float32
    c2c: np.float32
    write: np.float32
    rest: np.float32
    rate: np.float64


@inline
def _law(params, grid):
    inverse_top = 1.0 / grid.level_max
    return _Law(
        _F(1.0 + params.asymmetry), _F(1.0 - params.asymmetry), _F(params.gamma_up * inverse_top),
        _F(params.gamma_down * inverse_top), _F(params.sigma_c2c), _F(params.write_noise),
        _F(params.rest_level) * level_window(grid, params.lam_window),
        arrhenius(params.retention_rate, params.activation_energy, grid.temperature),
    )  # fmt: skip


@inline
def _level_now(state, c, law, now):
    """Return a cell's level (float32) at `now`."""
    level = state.level[c]
    return relaxed(level, law.rest, lost_share(law.rate, state.since[c], now)) if state.fault[c] == 0 else level


@inline
def _one_pulse(state, c, take, law, key, pulse, first):
    """Send one pulse of `take` steps: 1 or -1 on a grid of levels. *Mutates* `state.level`."""
    level, fault = state.level[c], state.fault[c]
    a, b, _, _ = pulse_words(key, c, pulse)
    c2c, write = two_normals(a, b)
    up = take > _F(0.0)
    step = state.step_up[c] if up else state.step_down[c]
    gain = law.gain_up * (_F(1.0) - law.bend_up * level) if up else law.gain_down * (_F(1.0) + law.bend_down * level)
    new = level + take * step * gain + law.c2c * step * _F(np.sqrt(abs(take))) * c2c
    new += law.write * write if first else _F(0.0)
    # A cell that program-and-verify put beyond the ends its pulses reach is not pulled back by a pulse outwards.
    new = min(max(new, min(state.bottom[c], level)), max(state.top[c], level))
    state.level[c] = new if (fault == 0) & (take != _F(0.0)) else level


@jit
def fabricate(state, params, grid, key):
    """Draw each cell's steps, ends and fault. *Mutates* all of `state` but time and counter."""
    window = level_window(grid, params.lam_window)
    for c in range(state.level.size):
        a, b, which, where = device_words(key, c, 0, 0)
        of_step, of_asymmetry = two_normals(a, b)
        a, b, _, _ = device_words(key, c, 0, 1)
        of_top, of_bottom = two_normals(a, b)
        step = relative_spread(np.float64(of_step), params.sigma_d2d)
        lean = params.sigma_asymmetry * np.float64(of_asymmetry)
        state.step_up[c] = _F(step * max(1.0 + lean, 0.0))
        state.step_down[c] = _F(step * max(1.0 - lean, 0.0))
        state.top[c] = _F(grid.level_max * min(relative_spread(np.float64(of_top), params.sigma_range), 1.0))
        state.bottom[c] = _F(-grid.level_max * min(relative_spread(np.float64(of_bottom), params.sigma_range), 1.0))
        state.fault[c] = draw_fault(which, params.stuck_on, params.stuck_off, params.stuck_random)
        state.level[c] = fault_level(state.fault[c], where, window)


@jit
def program(state, target, params, grid, now):
    """Set every sound cell to `target` (float32[cell], levels). *Mutates* `state.level`, `state.since`."""
    level, fault = state.level, state.fault
    top = _F(grid.level_max)
    for c in range(level.size):
        level[c] = min(max(target[c], -top), top) if fault[c] == 0 else level[c]
        state.since[c] = _F(now)


@jit
def pulse(state, cells, counts, params, grid, key, now):
    """Send the listed cells their counts. *Mutates* `state.level`, `state.since`, `state.pulse_count`.

    Noise of a pulse is a function of (key, cell, pulse of the event).
    """
    law = _law(params, grid)
    level, since, pulse_count = state.level, state.since, state.pulse_count
    dense = cells.size == level.size
    done = _I(0)
    if dense:
        # The first pulse of every cell in a loop without branches; the few cells that get more follow below.
        most = _I(0)
        for c in range(level.size):
            take = counts[c] / _F(max(sub_pulses(counts[c], grid.level_max), _I(1)))
            level[c] = _level_now(state, c, law, now)
            _one_pulse(state, c, take, law, key, 0, True)
        for c in range(level.size):
            most = max(most, sub_pulses(counts[c], grid.level_max))
            since[c] = _F(now)
            pulse_count[c] = add_pulses(pulse_count[c], counts[c])
        if most <= 1:
            return
        done = _I(1)
    for n in range(cells.size):
        c = cells[n]
        n_pulses = sub_pulses(counts[n], grid.level_max)
        take = counts[n] / _F(max(n_pulses, _I(1)))
        if not dense:
            level[c] = _level_now(state, c, law, now)
            since[c] = _F(now)
            pulse_count[c] = add_pulses(pulse_count[c], counts[n])
        for p in range(done, n_pulses):
            _one_pulse(state, c, take, law, key, p, p == 0)


@jit
def peek(state, cells, params, grid, now, out):
    """Write the noise-free level of the listed cells at `now` to ``out[cells]``."""
    law = _law(params, grid)
    if cells.size == out.size:
        for c in range(out.size):
            out[c] = _level_now(state, c, law, now)
    else:
        for n in range(cells.size):
            out[cells[n]] = _level_now(state, cells[n], law, now)


@jit
def read(state, params, grid, key, now, out):
    """Write the level of all cells as one look at `now` sees it, read noise included."""
    law = _law(params, grid)
    sigma = _F(params.read_noise)
    low, high = key_halves(key)
    low_b, high_b = key_halves(fold(key, _U64(1)))
    for c in range(out.size):
        noise = normal_from_bits(cell_bits(low, high, _U32(c)), cell_bits(low_b, high_b, _U32(c)))
        out[c] = _level_now(state, c, law, now) + sigma * noise


@jit
def conductance(state, params, grid, now, out):
    """Write the conductance of the channel at `now`, linear in its level."""
    law = _law(params, grid)
    window = level_window(grid, params.lam_window)
    g_min, g_max = _F(params.g_min), _F(params.g_max)
    for c in range(state.level.size):
        out[c, 0] = conductance_of(_level_now(state, c, law, now), window, g_min, g_max)


@jit
def advance(state, params, grid, key, since, now):
    """Do nothing: the level of a moment follows from the last pulse and from `now`."""


@jit
def settle(state, params, grid, now):
    """Take the relaxation until `now` into the levels. *Mutates* `state.level`, `state.since`."""
    law = _law(params, grid)
    for c in range(state.level.size):
        state.level[c] = _level_now(state, c, law, now)
        state.since[c] = _F(now)


MODEL = StorageModel(
    name="ecram",
    family="memristor",
    summary="electrochemical memory: many levels, nearly linear steps, retention",
    params=Params,
    state=State,
    specs=(
        ParamSpec("gamma_up", "1", "share by which a step up has shrunk at the last level", -10.0, 10.0, 0.0),
        ParamSpec("gamma_down", "1", "share by which a step down has shrunk at the first level", -10.0, 10.0, 0.0),
        ParamSpec("asymmetry", "1", "mean step up over mean step down is (1 + a) / (1 - a)", -0.99, 0.99, 0.0),
        ParamSpec("sigma_d2d", "1", "relative standard deviation of the step, log-normal", 0.0, 10.0, 0.0),
        ParamSpec("sigma_asymmetry", "1", "standard deviation of a cell's own asymmetry, normal", 0.0, 1.0, 0.0),
        ParamSpec("sigma_range", "1", "relative standard deviation of both ends, within the grid", 0.0, 10.0, 0.0),
        ParamSpec("sigma_c2c", "1", "standard deviation of one pulse's step, relative to that step", 0.0, 100.0, 0.0),
        ParamSpec("write_noise", "1", "standard deviation added per programming event, in levels", 0.0, 1e3, 0.0),
        READ_NOISE,
        *STUCK,
        ParamSpec("g_min", "S", "conductance of the channel at its lowest level", low=0.0),
        ParamSpec("g_max", "S", "conductance of the channel at its highest level", low=0.0),
        LAM_WINDOW,
        *RETENTION,
    ),
    variables=(
        StateVar("level", "float32", "1", "level of the cell at the last pulse, centred"),
        StateVar("step_up", "float32", "1", "step up of the cell relative to the nominal one"),
        StateVar("step_down", "float32", "1", "step down of the cell relative to the nominal one"),
        StateVar("top", "float32", "1", "highest level that pulses reach"),
        StateVar("bottom", "float32", "1", "lowest level that pulses reach"),
        StateVar("since", "float32", "s", "time of the last pulse or programming"),
        StateVar("pulse_count", "int32", "1", "pulses received since fabrication", recorded=True),
        StateVar("fault", "int8", "1", "fault code", recorded=True),
    ),
    fabricate=fabricate,
    program=program,
    pulse=pulse,
    peek=peek,
    read=read,
    conductance=conductance,
    advance=advance,
    evolves=("retention_rate",),
    settle=settle,
)
