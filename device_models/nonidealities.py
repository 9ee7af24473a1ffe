"""What storage elements share: keyed noise, spread, stuck devices, pulse counters, the map to conductance.

All are scalar helpers that a kernel calls inside its loop. None of them branches around an effect: at its neutral
value each one computes the identity exactly.
"""

from __future__ import annotations

import math

import numpy as np

from bimu_hw.devices import ParamSpec
from bimu_hw.kernels import inline
from bimu_hw.kernels.bits import philox
from bimu_hw.kernels.elementary import cos_turn, log32

_F = np.float32
_I = np.int32
_U32 = np.uint32
_U64 = np.uint64
_MOST = 2**31 - 1

# The compiled philox is a function call; copied into the loop it becomes SIMD code, several times faster.
_philox = inline(philox.py_func)

LAM_WINDOW = ParamSpec(
    "lam_window",
    "1",
    "|lam| at which a continuous element reaches the ends of its conductance range",
    low=1e-3,
    high=1e6,
)
STUCK = (
    ParamSpec("stuck_on", "1", "fraction of devices fixed at their highest level", 0.0, 1.0, 0.0),
    ParamSpec("stuck_off", "1", "fraction of devices fixed at their lowest level", 0.0, 1.0, 0.0),
    ParamSpec("stuck_random", "1", "fraction of devices fixed at a level drawn evenly from the range", 0.0, 1.0, 0.0),
)
READ_NOISE = ParamSpec("read_noise", "1", "standard deviation of one look at a cell, white, in levels", 0.0, 1e3, 0.0)


@inline
def level_window(grid, lam_window):
    """Return the level (float32) at which the conductance range ends: the last, or `lam_window` if there is none."""
    return _F(grid.level_max if grid.level_max < np.inf else lam_window / grid.step)


@inline
def conductance_of(level, window, g_min, g_max):
    """Return the conductance (float32, siemens) of a level: linear from `g_min` to `g_max`, clipped at both ends."""
    x = min(max(level / window, _F(-1.0)), _F(1.0))
    return _F(0.5) * (g_max + g_min) + _F(0.5) * (g_max - g_min) * x


@inline
def add_pulses(pulse_count, count):
    """Return a cell's pulse counter (int32) after an event of `count` pulses: at least one, full at 2**31 - 1.

    Fractions, which only continuous elements receive, are rounded; a count of zero is no event.
    """
    size = abs(count)
    whole = _I(min(size, _F(1e9)) + _F(0.5))
    whole = max(whole, _I(size > _F(0.0)))
    return _I(pulse_count + min(whole, _I(_I(_MOST) - pulse_count)))


@inline
def sub_pulses(count, level_max):
    """Return into how many single pulses (int32) an event divides: ``|count|``, or 1 on a continuous element."""
    return _I(np.ceil(min(abs(count), _F(1e6)))) if level_max < np.inf else _I(1)


@inline
def two_normals(bits_a, bits_b):
    """Return two independent standard normals (float32) from two words: both outputs of Box and Muller's transform."""
    u = _F(_F(_I(bits_a >> _U32(8))) + _F(0.5)) * _F(2.0**-24)
    turn = _F(_F(_I(bits_b >> _U32(8))) + _F(0.5)) * _F(2.0**-24)
    radius = _F(np.sqrt(_F(-2.0) * log32(u)))
    return radius * cos_turn(turn), radius * cos_turn(abs(turn - _F(0.25)))


@inline
def pulse_words(key, cell, pulse):
    """Return four random words (uint32) for one pulse of one cell."""
    return _philox(key, _U64(cell), _U64(pulse))


@inline
def pulse_normals(key, cell, pulse):
    """Return four standard normals (float32) for one pulse of one cell."""
    a, b, c, d = pulse_words(key, cell, pulse)
    n0, n1 = two_normals(a, b)
    n2, n3 = two_normals(c, d)
    return n0, n1, n2, n3


@inline
def device_words(key, cell, device, purpose):
    """Return four random words (uint32) for fabrication; `purpose` tells the draws of one device apart."""
    return _philox(key, _U64(cell), _U64(_U64(device) * _U64(256) + _U64(purpose)))


@inline
def relative_spread(normal, relative_std):
    """Return a positive factor (float64) of mean 1 and given relative standard deviation: log-normal, 1 at 0."""
    variance = math.log1p(relative_std * relative_std)
    return math.exp(math.sqrt(variance) * normal - 0.5 * variance)


@inline
def draw_fault(word, on, off, random):
    """Return a device's fault code (int8: 0 none, 1 stuck on, 2 stuck off, 3 stuck at random) from one word."""
    u = (np.float64(word) + 0.5) * 2.0**-32
    if u < on:
        return np.int8(1)
    if u < on + off:
        return np.int8(2)
    return np.int8(3) if u < on + off + random else np.int8(0)


@inline
def fault_level(fault, word, window):
    """Return the level (float32) at which a stuck device stands, 0 for a sound one."""
    if fault == 1:
        return window
    if fault == 2:
        return -window
    return window * _F(2.0 * (np.float64(word) + 0.5) * 2.0**-32 - 1.0) if fault == 3 else _F(0.0)
