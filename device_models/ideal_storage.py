"""Ideal storage: every pulse moves lam by exactly what was asked, up to the last level. The reference for others."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bimu_hw.devices import ParamSpec, StateVar, StorageModel
from bimu_hw.kernels import jit
from device_models.nonidealities import LAM_WINDOW, add_pulses, conductance_of, level_window

_F = np.float32


class Params(NamedTuple):
    """Only the conductance range; there is nothing else to a perfect device."""

    g_min: float
    g_max: float
    lam_window: float


class State(NamedTuple):
    """One level per cell."""

    level: np.ndarray
    pulse_count: np.ndarray
    fault: np.ndarray


@jit
def fabricate(state, params, grid, key):
    """Do nothing: all cells are alike and stand at level 0."""


@jit
def program(state, target, params, grid, now):
    """Set every cell to `target` (float32[cell], levels), clipped to the grid. *Mutates* `state.level`."""
    level = state.level
    top = _F(grid.level_max)
    for c in range(level.size):
        level[c] = min(max(target[c], -top), top)


@jit
def pulse(state, cells, counts, params, grid, key, now):
    """Move the listed cells by their counts. *Mutates* `state.level`, `state.pulse_count`."""
    level, pulse_count = state.level, state.pulse_count
    top = _F(grid.level_max)
    if cells.size == level.size:
        for c in range(level.size):
            level[c] = min(max(level[c] + counts[c], -top), top)
            pulse_count[c] = add_pulses(pulse_count[c], counts[c])
    else:
        for n in range(cells.size):
            c = cells[n]
            level[c] = min(max(level[c] + counts[n], -top), top)
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
    """Write the level of all cells."""
    level = state.level
    for c in range(level.size):
        out[c] = level[c]


@jit
def conductance(state, params, grid, now, out):
    """Write the conductance, linear in the level."""
    level = state.level
    window = level_window(grid, params.lam_window)
    g_min, g_max = _F(params.g_min), _F(params.g_max)
    for c in range(level.size):
        out[c, 0] = conductance_of(level[c], window, g_min, g_max)


MODEL = StorageModel(
    name="ideal_storage",
    family="ideal",
    summary="exact pulses on a grid of levels, or continuous",
    params=Params,
    state=State,
    specs=(
        ParamSpec("g_min", "S", "conductance at the lowest level", low=0.0),
        ParamSpec("g_max", "S", "conductance at the highest level", low=0.0),
        LAM_WINDOW,
    ),
    variables=(
        StateVar("level", "float32", "1", "level of the cell, centred"),
        StateVar("pulse_count", "int32", "1", "pulses received since fabrication", recorded=True),
        StateVar("fault", "int8", "1", "fault code", recorded=True),
    ),
    fabricate=fabricate,
    program=program,
    pulse=pulse,
    peek=peek,
    read=read,
    conductance=conductance,
    exact="level",
)
