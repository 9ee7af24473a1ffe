"""What storage elements share: keyed noise, spread, stuck devices, pulse counters, the map to conductance.

All are scalar helpers that a kernel calls inside its loop. None of them branches around an effect: at its neutral
value each one computes the identity exactly.
"""

from __future__ import annotations

import math

import numpy as np

from bimu_hw.devices import ROOM_TEMPERATURE, ParamSpec
from bimu_hw.kernels import inline
from bimu_hw.kernels.bits import philox
from bimu_hw.kernels.counters import add_pulses as add_pulses
from bimu_hw.kernels.elementary import cos_turn, exp32, log32

_F = np.float32
_I = np.int32
_U32 = np.uint32
_U64 = np.uint64

#: Boltzmann's constant in eV / K, exact since the SI of 2019: 1.380649e-23 / 1.602176634e-19.
BOLTZMANN = 8.617333262145179e-5

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
ACTIVATION_ENERGY = ParamSpec(
    "activation_energy", "eV", "by which the retention rate follows temperature (Arrhenius)", 0.0, 10.0
)
#: For a model whose level relaxes by itself; the kernels are `relaxation_rate` and `relaxed`.
RETENTION = (
    ParamSpec(
        "retention_rate", "1/s", "rate of relaxation to the rest level at 300 K, 1 / retention time; 0: none",
        0.0, 1e12, 0.0,
    ),
    ACTIVATION_ENERGY,
    ParamSpec("rest_level", "1", "where a device relaxes to: -1 its lowest level, 1 its highest", -1.0, 1.0),
)  # fmt: skip
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
def arrhenius(rate, activation_energy, temperature):
    """Return a thermally activated rate (float64) at `temperature` from its value at 300 K.

    rate(T) = rate exp(E / k (1 / 300 K - 1 / T)), with the activation energy E in eV.
    """
    return rate * math.exp(activation_energy / BOLTZMANN * (1.0 / ROOM_TEMPERATURE - 1.0 / temperature))


@inline
def lost_share(rate, since, now):
    """Return the share (float32) of its distance from rest that a level has lost between two seconds; 0 at no rate.

    `since` is float32, `now` float64. The level is kept as it was at `since` and relaxed when somebody looks: in small
    steps of time, float32 would round the loss away.
    """
    return _F(1.0) - exp32(_F(-rate * max(now - np.float64(since), 0.0)))


@inline
def relaxed(level, rest, lost):
    """Return a level (float32) after exponential relaxation to `rest`; the level itself, to the bit, if `lost` is 0."""
    return level + (rest - level) * lost


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
def uniform53(word_a, word_b):
    """Return a uniform (float64) in (0, 1) from two words, fine enough for events that hardly ever happen."""
    high, low = np.float64(word_a >> _U32(5)), np.float64(word_b >> _U32(6))
    return (high * 67108864.0 + low + 0.5) * 2.0**-53


@inline
def poisson(mean, uniform):
    """Return a Poisson count (int64) of a mean below about 30 by inversion of its distribution at `uniform`."""
    term = math.exp(-mean)
    below = term
    count = 0
    while uniform >= below and count < 200:
        count += 1
        term *= mean / count
        below += term
    return count


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
