"""Textbook twins of the pulsed and drifting stores: plain Python on one cell at a time, in double precision."""

from __future__ import annotations

import math

from oracles.devices import box_muller, philox4x32


def pcm_pulse(height, step, top, take, law, window, key, cell, pulse, first):
    """Return the conductance, in levels above RESET, of a phase-change device after one SET pulse of `take` steps."""
    words = philox4x32(key, cell, pulse)
    c2c, write = box_muller(*words[:2])
    x = height / window
    rise = take * step * (law["step_floor"] + law["step_excess"] * math.exp(-law["step_decay"] * x))
    at = (height + rise) / window
    noise = law["sigma_c2c"] * (rise + math.sqrt(take) * window * (law["c2c_floor"] + law["c2c_slope"] * x)) * c2c
    if first:
        noise += window * (law["write_floor"] + law["write_slope"] * at + law["write_curve"] * at**2) * write
    return min(max(height + rise + noise, 0.0), max(top, height))


def drift_exponent(x, deviate, p):
    """Return nu of a device at the share x of its range, `deviate` standard deviations off the mean."""
    mean = min(max(p.drift_mean_slope * math.log(x) + p.drift_mean_offset, p.drift_mean_low), p.drift_mean_high)
    spread = p.drift_spread_slope * math.log(x) + p.drift_spread_offset
    spread = min(max(spread, p.drift_spread_low), p.drift_spread_high)
    return p.drift * max(mean + spread * deviate, 0.0)


def drifted(x, deviate, age, p):
    """Return what drift has made of a conductance x after `age` seconds."""
    return x * max(age / p.drift_start, 1.0) ** -drift_exponent(x, deviate, p)


def one_over_f(x, age, p):
    """Return the standard deviation of one look at a conductance x, `age` seconds after its pulse."""
    q = min(p.flicker / x**p.flicker_power, p.flicker_cap)
    return x * q * math.sqrt(max(math.log((age + p.flicker_start) / (2.0 * p.flicker_start)), 0.0))


def ecram_pulse(level, take, steps, ends, law, level_max, key, cell, pulse, first):
    """Return the level of an electrochemical cell after one pulse of `take` steps; steps and ends are (up, down)."""
    words = philox4x32(key, cell, pulse)
    c2c, write = box_muller(*words[:2])
    up = take > 0
    step = steps[0] if up else steps[1]
    shrink = (law["gamma_up"] * level if up else -law["gamma_down"] * level) / level_max
    gain = (1.0 + law["asymmetry"] * (1 if up else -1)) * (1.0 - shrink)
    new = level + take * step * gain + law["sigma_c2c"] * step * math.sqrt(abs(take)) * c2c
    new += law["write_noise"] * write if first else 0.0
    return min(max(new, min(ends[1], level)), max(ends[0], level))


def retention_rate(rate, activation_energy, temperature):
    """Return Arrhenius' rate; constants of the SI: k = 1.380649e-23 J/K, e = 1.602176634e-19 C."""
    k = 1.380649e-23 / 1.602176634e-19
    return rate * math.exp(activation_energy / k * (1.0 / 300.0 - 1.0 / temperature))


def reflected_walk(start, n, hops_each_way):
    """Return the distribution over n notches of a walk with reflecting ends, by its cosine modes.

    `hops_each_way` is the mean number of hops to either side, ends left aside.
    """
    law = []
    for to in range(n):
        total = 1.0 / n
        for m in range(1, n):
            decay = math.exp(-2.0 * hops_each_way * (1.0 - math.cos(math.pi * m / n)))
            here, there = (math.cos(math.pi * m * (place + 0.5) / n) for place in (start, to))
            total += 2.0 / n * decay * here * there
        law.append(total)
    return law
