"""Textbook twins of the magneto-ionic pair and of the pulsed array: one cell at a time, in double precision.

The pair is computed in the units of its published curves (pulse numbers x1, x2 and weights w1, w2), not in levels.
"""

from __future__ import annotations

import math

from oracles.devices import box_muller, philox4x32


class Curve:
    """A published curve w = f(x) with its inverse, over x in [0, n_pulses]."""

    def __init__(self, n_pulses, slope=None, offset=None, amplitude=None, decay=None, floor=None):
        self.n_pulses = n_pulses
        if slope is not None:
            self.f = lambda x: slope * x + offset
            self.inverse = lambda w: (w - offset) / slope
        else:
            self.f = lambda x: amplitude * math.exp(-x / decay) + floor
            self.inverse = lambda w: -decay * math.log((w - floor) / amplitude)

    @property
    def w_range(self):
        return self.f(0.0) - self.f(self.n_pulses)


LINEAR = Curve(27, slope=-0.021, offset=2.742)
EXPONENTIAL = Curve(27, amplitude=1.530, decay=9.741, floor=0.750)


class Pair:
    """Two devices of one curve with their efficacies; the weight of the pair is w2 - w1."""

    def __init__(self, curve, efficacy, level_max):
        self.curve, self.efficacy, self.level_max = curve, efficacy, level_max
        self.x = [0.0, 0.0]
        self.refresh_pulses = 0

    @property
    def level(self):
        w1, w2 = (self.curve.f(x) for x in self.x)
        return self.level_max * (w2 - w1) / self.curve.w_range

    def program(self, level):
        """Put the pair where one device is fresh and the other makes up the level."""
        d = self.curve.w_range * abs(level) / self.level_max
        used = self.curve.inverse(self.curve.f(0.0) - d)
        self.x = [used, 0.0] if level > 0 else [0.0, used]

    def pulse(self, count):
        d = 0 if count > 0 else 1
        dx = abs(count) * self.curve.n_pulses / self.level_max * self.efficacy[d]
        if self.x[d] + dx > self.curve.n_pulses:
            held = self.level
            self.program(held)
            used = self.x[0] if held > 0 else self.x[1]
            self.refresh_pulses += 2 + math.ceil(used / self.efficacy[0 if held > 0 else 1] - 1e-3)
        self.x[d] += dx
        if abs(self.level) > self.level_max:
            self.program(math.copysign(self.level_max, self.level))
        elif self.x[d] > self.curve.n_pulses:
            self.program(self.level)


def array_pulse(cell, law, count, level_max, key):
    """Return hidden level and write error of a pulsed-array cell after an event of `count` pulses.

    `cell` has index, level, step_up, step_down, bound_up, bound_down and error; `law` nonlinearity, sigma_c2c and
    write_noise. An unbounded device takes the event as one pulse.
    """
    level, error = cell["level"], cell["error"]
    n = 1 if math.isinf(level_max) else round(abs(count))
    up = count > 0
    step = cell["step_up" if up else "step_down"]
    high, low = min(cell["bound_up"], level_max), -min(cell["bound_down"], level_max)
    for pulse in range(n):
        c2c, write = box_muller(*philox4x32(key, cell["index"], pulse)[:2])
        error = law["write_noise"] * write if pulse == 0 else error
        bound = cell["bound_up"] if up else -cell["bound_down"]
        if (level >= bound) if up else (level <= bound):
            continue
        size = abs(count) / n
        room = 1.0 if math.isinf(level_max) else max(0.0, 1.0 - law["nonlinearity"] * level / bound)
        change = step * (size * room + law["sigma_c2c"] * math.sqrt(size) * c2c)
        new = level + (change if up else -change)
        level = min(max(new, min(low, level)), max(high, level))
    return level, error


def sequence_of_soft_bounds(start, n_pulses, step, bound, nonlinearity):
    """Return the level after `n_pulses` noiseless pulses up of a bounded device: the closed form of the recursion."""
    fixed = bound / nonlinearity
    return fixed + (start - fixed) * (1.0 - nonlinearity * step / bound) ** n_pulses
