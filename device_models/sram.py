"""A digital register in static memory: lam in fixed point, the baseline that every device must beat.

A register of n bits has 2**n levels, and `n_levels` says how many. A pulse adds or subtracts one least significant
bit and saturates at the ends; there is no noise, no spread and no drift. What distinguishes it from an ideal store is
its cost, standby leakage included, and registers that a fault keeps at one code. An event of several pulses is one
addition in a real register; it is charged pulse by pulse, so choose a resolution at which most updates are of one
step. A register has no conductance: a record shows its code as one, linear between `g_min` and `g_max`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bimu_hw.devices import ParamSpec, StateVar, StorageModel
from bimu_hw.kernels import jit
from device_models.nonidealities import (
    LAM_WINDOW,
    STUCK,
    add_pulses,
    conductance_of,
    device_words,
    draw_fault,
    fault_level,
    level_window,
)

_F = np.float32


class Params(NamedTuple):
    """See `MODEL.specs`."""

    stuck_on: float
    stuck_off: float
    stuck_random: float
    g_min: float
    g_max: float
    lam_window: float


class State(NamedTuple):
    """One code per cell, as a centred level."""

    level: np.ndarray
    pulse_count: np.ndarray
    fault: np.ndarray


@jit
def fabricate(state, params, grid, key):
    """Draw which registers are stuck, and where. *Mutates* `state.fault`, `state.level` of stuck registers."""
    window = level_window(grid, params.lam_window)
    for c in range(state.level.size):
        _, _, which, where = device_words(key, c, 0, 0)
        state.fault[c] = draw_fault(which, params.stuck_on, params.stuck_off, params.stuck_random)
        state.level[c] = fault_level(state.fault[c], where, window)
        if state.fault[c] == 3 and grid.level_max < np.inf:
            state.level[c] = _F(np.rint(state.level[c] + grid.level_max) - grid.level_max)


@jit
def program(state, target, params, grid, now):
    """Write every sound register (float32[cell], levels), clipped to the grid. *Mutates* `state.level`."""
    level, fault = state.level, state.fault
    top = _F(grid.level_max)
    for c in range(level.size):
        level[c] = min(max(target[c], -top), top) if fault[c] == 0 else level[c]


@jit
def pulse(state, cells, counts, params, grid, key, now):
    """Add its count to every listed register. *Mutates* `state.level`, `state.pulse_count`."""
    level, fault, pulse_count = state.level, state.fault, state.pulse_count
    top = _F(grid.level_max)
    if cells.size == level.size:
        for c in range(level.size):
            level[c] = min(max(level[c] + counts[c], -top), top) if fault[c] == 0 else level[c]
            pulse_count[c] = add_pulses(pulse_count[c], counts[c])
    else:
        for n in range(cells.size):
            c = cells[n]
            level[c] = min(max(level[c] + counts[n], -top), top) if fault[c] == 0 else level[c]
            pulse_count[c] = add_pulses(pulse_count[c], counts[n])


@jit
def peek(state, cells, params, grid, now, out):
    """Write the level of the listed cells to ``out[cells]``."""
    level = state.level
    if cells.size == level.size:
        for c in range(level.size):
            out[c] = level[c]
    else:
        for n in range(cells.size):
            out[cells[n]] = level[cells[n]]


@jit
def read(state, params, grid, key, now, out):
    """Write the level of all cells; reading is exact."""
    level = state.level
    for c in range(level.size):
        out[c] = level[c]


@jit
def conductance(state, params, grid, now, out):
    """Write the code as a conductance between `g_min` and `g_max`, for records only."""
    level = state.level
    window = level_window(grid, params.lam_window)
    g_min, g_max = _F(params.g_min), _F(params.g_max)
    for c in range(level.size):
        out[c, 0] = conductance_of(level[c], window, g_min, g_max)


MODEL = StorageModel(
    name="sram",
    family="cmos",
    summary="digital register: lam in fixed point, exact, with standby leakage",
    params=Params,
    state=State,
    specs=(
        *STUCK,
        ParamSpec("g_min", "S", "what a record shows as conductance of the lowest code", low=0.0),
        ParamSpec("g_max", "S", "what a record shows as conductance of the highest code", low=0.0),
        LAM_WINDOW,
    ),
    variables=(
        StateVar("level", "float32", "1", "code of the register, centred"),
        StateVar("pulse_count", "int32", "1", "pulses received since fabrication", recorded=True),
        StateVar("fault", "int8", "1", "fault code", recorded=True),
    ),
    fabricate=fabricate,
    program=program,
    pulse=pulse,
    peek=peek,
    read=read,
    conductance=conductance,
    volatile=True,
)
