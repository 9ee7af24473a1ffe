"""A pair of magneto-ionic devices that only go one way: lam ~ w2 - w1, each w on a measured curve of pulses received.

Voltage pulses drive ions into or out of a magnetic layer and lower a device's weight w step by step, f(x) after x of
at most N pulses:

    linear        f(x) = f0 - x (f0 - fN) / N
    exponential   f(x) = c + a exp(-x / tau)

No pulse raises w. A pulse up therefore goes to device 1 and a pulse down to device 2; when one of them would pass its
end, the pair is re-centred first: both are reset to x = 0, and the one that carries the sign is pulsed back until
w2 - w1 is what it was. The controller looks before it writes, so nothing of a pulse is lost at the end.

*Level grid.* The pair spans w2 - w1 from -(f0 - fN) to +(f0 - fN). With D = f0 - fN (`w_range`) and L the last level,
level l = L (w2 - w1) / D, and a device's position is p = L (f0 - w) / D in 0 ... L, so that l = p1 - p2. One level up
asks for N / L pulses on device 1; on 2 N + 1 levels that is one pulse. With kappa = N / tau (`curvature`, 0: linear)
the exponential curve obeys dp/dx ~ 1 - p (1 - exp(-kappa)) / L, and an event of any size moves p in closed form,
without a loop over pulses:

    p' - p = m s phi(kappa m / L) (1 - p (1 - exp(-kappa)) / L),   phi(z) = (1 - exp(-z)) / z,   s = 1 / phi(kappa)

with m the asked number of levels times the device's efficacy, |normal(1, sigma_d2d)|, fixed at fabrication. On a
continuous element L is infinite: the curve is straight and never ends.

Read noise belongs to w: each of the two devices adds `read_noise`, so a look at the pair has the standard deviation
sqrt(2) read_noise L / D in levels. Re-centring is ideal in l; its pulses are counted in ``refresh_pulses``: two resets
and the pulses that put the weight back.

The two curves and the figures for spread, dropped pulses and read noise are those of a public simulation code for such
pairs; its update clamps a device at its end and loses what lies beyond, which is the one difference.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from bimu_hw.devices import ParamSpec, StateVar, StorageModel
from bimu_hw.kernels import inline, jit
from bimu_hw.kernels.bits import cell_bits, fold, key_halves, normal_from_bits
from bimu_hw.kernels.elementary import exp32, log32
from device_models.nonidealities import (
    LAM_WINDOW,
    add_pulses,
    conductance_of,
    device_words,
    draw_fault,
    fault_level,
    level_window,
    two_normals,
)  # fmt: skip

_F = np.float32
_I = np.int32
_U32 = np.uint32
_U64 = np.uint64


class Params(NamedTuple):
    """See `MODEL.specs`."""

    n_pulses: float
    curvature: float
    w_range: float
    sigma_d2d: float
    smallest_pulse: float
    read_noise: float
    stuck_on: float
    stuck_off: float
    stuck_random: float
    g_min: float
    g_max: float
    lam_window: float


class State(NamedTuple):
    """Level of the pair, how far its second device has been pulsed, and how well each device answers."""

    level: np.ndarray
    spent: np.ndarray
    efficacy: np.ndarray
    refresh_pulses: np.ndarray
    pulse_count: np.ndarray
    fault: np.ndarray


class _Law(NamedTuple):
    """The curve in level units, float32; `rate` is kappa / L, `bend` (1 - exp(-kappa)) / L."""

    slope: np.float32
    rate: np.float32
    bend: np.float32
    pulses_per_level: np.float32
    smallest: np.float32
    top: np.float32
    end: np.float32


@inline
def _law(params, grid):
    window = np.float64(level_window(grid, params.lam_window))
    kappa = params.curvature if grid.level_max < np.inf else 0.0
    return _Law(
        _F(kappa / max(-math.expm1(-kappa), 1e-300) if kappa > 0.0 else 1.0), _F(kappa / window),
        _F(-math.expm1(-kappa) / window), _F(params.n_pulses / window), _F(params.smallest_pulse), _F(grid.level_max),
        _F(grid.level_max * (1.0 + 1e-5)),  # a device may reach its end: rounding does not count as passing it
    )  # fmt: skip


@inline
def _phi(z):
    """Return (1 - exp(-z)) / z for a float32 z >= 0; 1 at 0."""
    p = _F(1.0 / 720.0)
    p = _F(1.0 / 120.0) - p * z
    p = _F(1.0 / 24.0) - p * z
    p = _F(1.0 / 6.0) - p * z
    p = _F(0.5) - p * z
    p = _F(1.0) - p * z
    return p if z < _F(0.25) else (_F(1.0) - exp32(-z)) / max(z, _F(0.25))


@inline
def _event(level, spent, efficacy_1, efficacy_2, fault, count, law):
    """Return level, spent and the pulses of a re-centring (float32) after an event of `count` levels."""
    up = count > _F(0.0)
    size = abs(count) * (efficacy_1 if up else efficacy_2)
    size = size if size * law.pulses_per_level >= law.smallest else _F(0.0)
    gain = size * law.slope * _phi(law.rate * size)
    first, second = level + spent, spent
    position = first if up else second
    refresh = (position + gain * (_F(1.0) - law.bend * position) > law.end) & (fault == 0) & (size > _F(0.0))
    first = max(level, _F(0.0)) if refresh else first
    second = max(-level, _F(0.0)) if refresh else second
    position = first if up else second
    step = gain * (_F(1.0) - law.bend * position)
    new = min(max(level + (step if up else -step), -law.top), law.top)
    second = second if up else first - new
    # An event longer than the whole curve leaves the pair as re-centred as it can be.
    second = max(-new, _F(0.0)) if max(second, new + second) > law.end else second
    weight = abs(level)
    curved = -log32(max(_F(1.0) - law.bend * weight, _F(1e-6))) / max(law.rate, _F(1e-9))
    again = (curved if law.rate > _F(1e-6) else weight) * law.pulses_per_level
    again = again / max(efficacy_1 if level > _F(0.0) else efficacy_2, _F(0.05))
    # The small allowance keeps a whole number of pulses whole.
    pulses = _F(2.0) + np.ceil(again - _F(1e-3)) if refresh else _F(0.0)
    sound = (fault == 0) & (size > _F(0.0))
    return (new if sound else level), (second if sound else spent), pulses


@jit
def fabricate(state, params, grid, key):
    """Draw each device's efficacy and each pair's fault. *Mutates* `state.efficacy`, `state.fault`, `state.level`."""
    window = level_window(grid, params.lam_window)
    for c in range(state.level.size):
        a, b, which, where = device_words(key, c, 0, 0)
        n0, n1 = two_normals(a, b)
        state.efficacy[c, 0] = _F(abs(1.0 + params.sigma_d2d * np.float64(n0)))
        state.efficacy[c, 1] = _F(abs(1.0 + params.sigma_d2d * np.float64(n1)))
        state.fault[c] = draw_fault(which, params.stuck_on, params.stuck_off, params.stuck_random)
        state.level[c] = fault_level(state.fault[c], where, window)
        state.spent[c] = max(-state.level[c], _F(0.0))


@jit
def program(state, target, params, grid, now):
    """Set every sound pair to `target` (float32[cell], levels), re-centred. *Mutates* `state.level`, `state.spent`."""
    level, spent, fault = state.level, state.spent, state.fault
    top = _F(grid.level_max)
    for c in range(level.size):
        t = min(max(target[c], -top), top)
        level[c] = t if fault[c] == 0 else level[c]
        spent[c] = max(-t, _F(0.0)) if fault[c] == 0 else spent[c]


@jit
def pulse(state, cells, counts, params, grid, key, now):
    """Send the listed cells their counts.

    *Mutates* `state.level`, `state.spent`, `state.refresh_pulses`, `state.pulse_count`. Nothing here is random: what a
    pulse does was drawn at fabrication.
    """
    law = _law(params, grid)
    level, spent, fault = state.level, state.spent, state.fault
    efficacy = state.efficacy.reshape(state.efficacy.size)
    refresh_pulses, pulse_count = state.refresh_pulses, state.pulse_count
    if cells.size == level.size:
        for c in range(level.size):
            level[c], spent[c], pulses = _event(
                level[c], spent[c], efficacy[2 * c], efficacy[2 * c + 1], fault[c], counts[c], law
            )
            refresh_pulses[c] = add_pulses(refresh_pulses[c], pulses)
        for c in range(level.size):
            pulse_count[c] = add_pulses(pulse_count[c], counts[c])
    else:
        for n in range(cells.size):
            c = cells[n]
            level[c], spent[c], pulses = _event(
                level[c], spent[c], efficacy[2 * c], efficacy[2 * c + 1], fault[c], counts[n], law
            )
            refresh_pulses[c] = add_pulses(refresh_pulses[c], pulses)
            pulse_count[c] = add_pulses(pulse_count[c], counts[n])


@jit
def peek(state, cells, params, grid, now, out):
    """Write the noise-free level of the listed cells to ``out[cells]``."""
    level = state.level
    if cells.size == level.size:
        for c in range(level.size):
            out[c] = level[c]
    else:
        for n in range(cells.size):
            out[cells[n]] = level[cells[n]]


@jit
def read(state, params, grid, key, now, out):
    """Write the level of all cells as one look sees it: the noise of both devices of a pair in one draw."""
    level = state.level
    scale = np.float64(level_window(grid, params.lam_window)) / params.w_range
    sigma = _F(math.sqrt(2.0) * params.read_noise * scale)
    low, high = key_halves(key)
    low_b, high_b = key_halves(fold(key, _U64(1)))
    for c in range(level.size):
        noise = normal_from_bits(cell_bits(low, high, _U32(c)), cell_bits(low_b, high_b, _U32(c)))
        out[c] = level[c] + sigma * noise


@jit
def conductance(state, params, grid, now, out):
    """Write the conductance of each device: `g_max` fresh, `g_min` at its end, linear in w between."""
    level, spent = state.level, state.spent
    half = _F(0.5) * level_window(grid, params.lam_window)
    g_min, g_max = _F(params.g_min), _F(params.g_max)
    for c in range(level.size):
        out[c, 0] = conductance_of(half - (level[c] + spent[c]), half, g_min, g_max)
        out[c, 1] = conductance_of(half - spent[c], half, g_min, g_max)


MODEL = StorageModel(
    name="magneto_ionic",
    family="spintronic",
    summary="pair of one-way magneto-ionic devices on measured curves, re-centred when one reaches its end",
    params=Params,
    state=State,
    specs=(
        ParamSpec("n_pulses", "1", "pulses that carry a fresh device to its end", 1.0, 1e6),
        ParamSpec(
            "curvature", "1", "pulses to the end over the decay constant of an exponential curve; 0: a straight line",
            0.0, 20.0, 0.0,
        ),
        ParamSpec("w_range", "1", "weight of a fresh device minus that at its end", 1e-9, 1e9),
        ParamSpec(
            "sigma_d2d", "1", "standard deviation of a device's pulse efficacy, normal around 1, sign dropped",
            0.0, 10.0, 0.0,
        ),
        ParamSpec("smallest_pulse", "1", "an event of fewer pulses than this does nothing", 0.0, 1e3, 0.0),
        ParamSpec(
            "read_noise", "1", "standard deviation of one look at one device, white, in the unit of w_range",
            0.0, 1e3, 0.0,
        ),
        ParamSpec("stuck_on", "1", "fraction of pairs fixed at their highest level", 0.0, 1.0, 0.0),
        ParamSpec("stuck_off", "1", "fraction of pairs fixed at their lowest level", 0.0, 1.0, 0.0),
        ParamSpec("stuck_random", "1", "fraction of pairs fixed at a level drawn evenly from the range", 0.0, 1.0, 0.0),
        ParamSpec("g_min", "S", "conductance of a device at its end", low=0.0),
        ParamSpec("g_max", "S", "conductance of a fresh device", low=0.0),
        LAM_WINDOW,
    ),
    variables=(
        StateVar("level", "float32", "1", "level of the pair, centred"),
        StateVar("spent", "float32", "1", "position of the second device on its curve, in levels"),
        StateVar("efficacy", "float32", "1", "pulse efficacy of the device", per_device=True),
        StateVar("refresh_pulses", "int32", "1", "resets and pulses spent on re-centring", recorded=True),
        StateVar("pulse_count", "int32", "1", "pulses received since fabrication", recorded=True),
        StateVar("fault", "int8", "1", "fault code", recorded=True),
    ),
    fabricate=fabricate,
    program=program,
    pulse=pulse,
    peek=peek,
    read=read,
    conductance=conductance,
    n_devices=2,
    refreshes="refresh_pulses",
)  # fmt: skip
