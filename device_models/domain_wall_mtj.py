"""A domain wall on a notched track, read by a magnetic tunnel junction above it: the position is lam.

The n_levels notches are the levels. A pulse depins the wall and moves it to the next notch. It fails, the wall
staying where it is, with a probability that differs between the two directions (a tapered track is asymmetric), and
if it moves it may overshoot by one more notch. Depinning is thermally activated: a pulse of length t fails with
probability exp(-t / tau), and a log-normal spread of tau between cells makes a cell's probability ``p_fail ** x``
with x log-normal of mean 1: where nothing fails, a spread changes nothing. A continuous element (a track without
notches) takes an event of any real count as one displacement, which fails, or happens, or happens twice, as a
whole.

Heat depins a wall as well, and less often: at the rate `depin_rate`, which follows temperature by Arrhenius' law, it
hops to one of the two neighbouring notches with equal probability; at the end of the track a hop outwards fails. It is
a random walk between reflecting ends. Reflection folds a free walk, so a time t of any length takes one draw: of the
number of hops to either side, Poisson with mean depin_rate t / 2, their difference folded back on the track. A track
without notches and ends gets the same variance, depin_rate t levels squared, as Brownian motion.

Sources of the model: Leonard et al., arXiv:2111.11516 (measured notched tracks with 4 to 5 states, switched by
spin-orbit torque; the trapezoid asymmetric, the straight track more stochastic); Appl. Phys. Lett. 118, 202405
(2021) (simulation: linear, symmetric update of a notched track).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from bimu_hw.devices import ParamSpec, StateVar, StorageModel
from bimu_hw.kernels import inline, jit
from bimu_hw.kernels.bits import cell_bits, centred_uniform, fold, key_halves, normal_from_bits
from device_models.nonidealities import (
    ACTIVATION_ENERGY,
    LAM_WINDOW,
    READ_NOISE,
    STUCK,
    add_pulses,
    arrhenius,
    conductance_of,
    device_words,
    draw_fault,
    fault_level,
    level_window,
    poisson,
    pulse_words,
    relative_spread,
    sub_pulses,
    two_normals,
    uniform53,
)  # fmt: skip

_F = np.float32
_I = np.int32
_U32 = np.uint32
_U64 = np.uint64


class Params(NamedTuple):
    """See `MODEL.specs`."""

    p_fail_up: float
    p_fail_down: float
    p_overshoot: float
    sigma_d2d: float
    read_noise: float
    stuck_on: float
    stuck_off: float
    stuck_random: float
    g_antiparallel: float
    g_parallel: float
    lam_window: float
    depin_rate: float
    activation_energy: float


class State(NamedTuple):
    """Wall position, and each cell's own probabilities that a pulse fails."""

    level: np.ndarray
    fail_up: np.ndarray
    fail_down: np.ndarray
    pulse_count: np.ndarray
    fault: np.ndarray


@inline
def _one_pulse(level, take, fail_up, fail_down, fault, overshoot, top, key, cell, pulse):
    """Return the position (float32) after one pulse of `take` notches: 1 or -1 on a grid of levels."""
    depin, further, _, _ = pulse_words(key, cell, pulse)
    fail = fail_up if take > _F(0.0) else fail_down
    sound = (centred_uniform(depin) > fail) & (fault == 0)
    moved = _F(1.0) if sound else _F(0.0)
    twice = _F(1.0) if centred_uniform(further) < overshoot else _F(0.0)
    new = min(max(level + take * moved * (_F(1.0) + twice), -top), top)
    return new if sound else level


@jit
def fabricate(state, params, grid, key):
    """Draw each cell's depinning and fault. *Mutates* all of `state` but the pulse counter."""
    window = level_window(grid, params.lam_window)
    for c in range(state.level.size):
        a, b, which, where = device_words(key, c, 0, 0)
        normal, _ = two_normals(a, b)
        spread = relative_spread(np.float64(normal), params.sigma_d2d)
        state.fail_up[c] = _F(params.p_fail_up**spread)
        state.fail_down[c] = _F(params.p_fail_down**spread)
        state.fault[c] = draw_fault(which, params.stuck_on, params.stuck_off, params.stuck_random)
        state.level[c] = fault_level(state.fault[c], where, window)


@jit
def program(state, target, params, grid, now):
    """Set every wall that can move to `target` (float32[cell], levels). *Mutates* `state.level`."""
    level, fault = state.level, state.fault
    top = _F(grid.level_max)
    for c in range(level.size):
        level[c] = min(max(target[c], -top), top) if fault[c] == 0 else level[c]


@jit
def pulse(state, cells, counts, params, grid, key, now):
    """Send the listed cells their counts. *Mutates* `state.level`, `state.pulse_count`.

    Whether a pulse moves the wall is a function of (key, cell, pulse of the event).
    """
    level, fail_up, fail_down, fault = state.level, state.fail_up, state.fail_down, state.fault
    pulse_count = state.pulse_count
    overshoot, top = _F(params.p_overshoot), _F(grid.level_max)
    dense = cells.size == level.size
    done = _I(0)
    if dense:
        # The first pulse of every cell in a loop without branches; the few cells that get more follow below.
        most = _I(0)
        for c in range(level.size):
            take = counts[c] / _F(max(sub_pulses(counts[c], grid.level_max), _I(1)))
            level[c] = _one_pulse(level[c], take, fail_up[c], fail_down[c], fault[c], overshoot, top, key, c, 0)
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
            level[c] = _one_pulse(level[c], take, fail_up[c], fail_down[c], fault[c], overshoot, top, key, c, p)
        if not dense:
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
    """Write the level of all cells as one look sees it, read noise included."""
    level = state.level
    sigma = _F(params.read_noise)
    low, high = key_halves(key)
    low_b, high_b = key_halves(fold(key, _U64(1)))
    for c in range(level.size):
        noise = normal_from_bits(cell_bits(low, high, _U32(c)), cell_bits(low_b, high_b, _U32(c)))
        out[c] = level[c] + sigma * noise


@jit
def conductance(state, params, grid, now, out):
    """Write the conductance of the junction: the part of it under the parallel domain conducts better."""
    level = state.level
    window = level_window(grid, params.lam_window)
    g_min, g_max = _F(params.g_antiparallel), _F(params.g_parallel)
    for c in range(level.size):
        out[c, 0] = conductance_of(level[c], window, g_min, g_max)


@inline
def _hops(mean, key, cell):
    """Return hops to the right minus hops to the left (int64) in a time in which `mean` of each are expected."""
    # The counts of the parts of a long time add up.
    parts = np.int64(mean / 16.0) + 1
    hops = np.int64(0)
    for part in range(parts):
        w0, w1, w2, w3 = pulse_words(key, cell, part)
        hops += poisson(mean / parts, uniform53(w0, w1)) - poisson(mean / parts, uniform53(w2, w3))
    return hops


@jit
def advance(state, params, grid, key, since, now):
    """Let walls hop between notches from second `since` to `now`. *Mutates* `state.level`.

    How a wall hops is a function of (key, cell).
    """
    level, fault = state.level, state.fault
    mean = 0.5 * arrhenius(params.depin_rate, params.activation_energy, grid.temperature) * (now - since)
    if grid.level_max == np.inf:
        sigma = _F(math.sqrt(2.0 * mean))
        for c in range(level.size):
            a, b, _, _ = pulse_words(key, c, 0)
            normal, _ = two_normals(a, b)
            level[c] = level[c] + sigma * normal if fault[c] == 0 else level[c]
        return
    # The slowest mode of the walk has decayed to exp(-39) at 4 n**2 hops to either side: nothing changes any more.
    notches = np.int64(2.0 * grid.level_max + 1.5)
    mean = min(mean, 4.0 * notches * notches)
    for c in range(level.size):
        hops = _hops(mean, key, c)
        if hops != 0 and fault[c] == 0:
            # Python's modulo is never negative: the unfolded track repeats after n notches out and n back.
            place = (np.int64(np.rint(level[c] + grid.level_max)) + hops) % (2 * notches)
            place = place if place < notches else 2 * notches - 1 - place
            level[c] = _F(place - grid.level_max)


MODEL = StorageModel(
    name="domain_wall_mtj",
    family="spintronic",
    summary="domain wall on a notched track under a tunnel junction, with stochastic depinning",
    params=Params,
    state=State,
    specs=(
        ParamSpec("p_fail_up", "1", "probability that a pulse up leaves the wall where it is", 0.0, 1.0, 0.0),
        ParamSpec("p_fail_down", "1", "probability that a pulse down leaves the wall where it is", 0.0, 1.0, 0.0),
        ParamSpec("p_overshoot", "1", "probability that a wall that moves goes one notch further", 0.0, 1.0, 0.0),
        ParamSpec("sigma_d2d", "1", "relative standard deviation of t / tau between cells, log-normal", 0.0, 10.0, 0.0),
        READ_NOISE,
        *STUCK,
        ParamSpec("g_antiparallel", "S", "conductance with the wall at its lowest position", low=0.0),
        ParamSpec("g_parallel", "S", "conductance with the wall at its highest position", low=0.0),
        LAM_WINDOW,
        ParamSpec("depin_rate", "1/s", "rate at which heat moves a wall to another notch at 300 K", 0.0, 1e12, 0.0),
        ACTIVATION_ENERGY,
    ),
    variables=(
        StateVar("level", "float32", "1", "wall position, centred"),
        StateVar("fail_up", "float32", "1", "probability that a pulse up fails"),
        StateVar("fail_down", "float32", "1", "probability that a pulse down fails"),
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
    evolves=("depin_rate",),
)
