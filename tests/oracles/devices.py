"""Textbook twins of the device models: plain Python on one cell at a time, in double precision.

Nothing here imports the package; random words are computed from the published definition of the generator.
"""

from __future__ import annotations

import math

MASK32 = 0xFFFFFFFF


def philox4x32(key, counter_low, counter_high):
    """Return the four words of Philox4x32-10 (Salmon et al., SC 2011) for 64-bit key and counter halves."""
    c = [counter_low & MASK32, counter_low >> 32, counter_high & MASK32, counter_high >> 32]
    k = [key & MASK32, key >> 32]
    for _ in range(10):
        p0, p1 = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(p1 >> 32) ^ c[1] ^ k[0], p1 & MASK32, (p0 >> 32) ^ c[3] ^ k[1], p0 & MASK32]
        k = [(k[0] + 0x9E3779B9) & MASK32, (k[1] + 0xBB67AE85) & MASK32]
    return c


def box_muller(word_a, word_b):
    """Return the two normals of Box and Muller's transform from the top 24 bits of two words."""
    u, turn = ((word_a >> 8) + 0.5) / 2**24, ((word_b >> 8) + 0.5) / 2**24
    radius = math.sqrt(-2.0 * math.log(u))
    return radius * math.cos(2.0 * math.pi * turn), radius * math.sin(2.0 * math.pi * turn)


def uniform(word):
    return ((word >> 9) + 0.5) / 2**23


def soft_bounds_pulse(levels, steps, sound, count, law, level_max, key, cell):
    """Return the two levels of a pair after one event of `count` pulses.

    `law` has nonlinearity, asymmetry, sigma_c2c and write_noise. An unbounded device takes the event as one pulse.
    """
    levels = list(levels)
    n = 1 if math.isinf(level_max) else round(abs(count))
    for pulse in range(n):
        words = philox4x32(key, cell, pulse)
        c2c, write = box_muller(*words[:2]), box_muller(*words[2:])
        for d in range(2):
            if not sound[d]:
                continue
            take = (count / n) * (1 if d == 0 else -1)
            sign = math.copysign(1.0, take)
            gain = 1.0 + sign * law["asymmetry"]
            distance = 0.0 if math.isinf(level_max) else sign * levels[d] / level_max
            levels[d] += take * steps[d] * gain * (1.0 - law["nonlinearity"] * distance)
            levels[d] += law["sigma_c2c"] * steps[d] * math.sqrt(abs(take)) * c2c[d]
            levels[d] += law["write_noise"] * write[d] if pulse == 0 else 0.0
            levels[d] = min(max(levels[d], -level_max), level_max)
    return levels


def soft_bounds_staircase(start, n_pulses, nonlinearity, level_max):
    """Return the level after `n_pulses` noiseless pulses up: the closed form of the soft-bounds recursion."""
    fixed = level_max / nonlinearity
    return fixed + (start - fixed) * (1.0 - nonlinearity / level_max) ** n_pulses


def wall_pulses(level, count, fail_up, fail_down, overshoot, level_max, key, cell):
    """Return the position of a domain wall after `count` pulses, one decision after the other."""
    direction = 1 if count > 0 else -1
    for pulse in range(abs(count)):
        depin, further, _, _ = philox4x32(key, cell, pulse)
        if uniform(depin) < (fail_up if count > 0 else fail_down):
            continue
        level += direction * (2 if uniform(further) < overshoot else 1)
        level = min(max(level, -level_max), level_max)
    return level


def wall_law(count, p_fail, p_overshoot):
    """Return the probabilities of moving 0, 1, ... 2 * count notches, far from the ends."""
    one = [p_fail, (1 - p_fail) * (1 - p_overshoot), (1 - p_fail) * p_overshoot]
    law = [1.0]
    for _ in range(count):
        law = [sum(law[i - j] * one[j] for j in range(3) if 0 <= i - j < len(law)) for i in range(len(law) + 2)]
    return law


def sigmoid(a):
    return 1.0 / (1.0 + math.exp(-a)) if a >= 0 else math.exp(a) / (1.0 + math.exp(a))


def lfsr_next(state, mask):
    """Clock a right-shifting Galois register once."""
    return (state >> 1) ^ (mask if state & 1 else 0)


def lfsr_is_maximal(length, mask):
    """Prove that a register runs through all 2**length - 1 non-zero states, from the order of its step over GF(2).

    The order divides 2**length - 1 if that power of the step is the identity, and is no proper divisor if none of the
    powers by (2**length - 1) / prime is.
    """
    identity = [1 << i for i in range(length)]
    step = [lfsr_next(column, mask) for column in identity]

    def apply(matrix, vector):
        result = 0
        for i in range(length):
            if vector >> i & 1:
                result ^= matrix[i]
        return result

    def power(exponent):
        result, square = identity, step
        while exponent:
            if exponent & 1:
                result = [apply(square, column) for column in result]
            square = [apply(square, column) for column in square]
            exponent >>= 1
        return result

    period = 2**length - 1
    return power(period) == identity and all(power(period // p) != identity for p in prime_factors(period))


def prime_factors(n):
    found, p = set(), 2
    while p * p <= n:
        while n % p == 0:
            found.add(p)
            n //= p
        p += 1
    return found | ({n} if n > 1 else set())
