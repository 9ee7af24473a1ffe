"""Textbook twins of the sampling elements, in plain Python and double precision; nothing here imports the package."""

from __future__ import annotations

import math


def sigmoid(x):
    return 1.0 / (1.0 + math.exp(-x)) if x >= 0 else math.exp(x) / (1.0 + math.exp(x))


def normal_cdf(x):
    return 0.5 * math.erfc(-x / math.sqrt(2.0))


def switching_probability(voltage, *, t_over_tau, delta, critical, exponent, gain):
    """Return the probability that a pulse switches: Neel-Brown up to the critical voltage, linear above."""
    x = voltage / critical
    rate = math.exp(-delta * (1.0 - x) ** exponent) if x <= 1.0 else 1.0 + gain * (x - 1.0)
    return 1.0 - math.exp(-t_over_tau * rate)


def voltage_for(probability, low=0.0, high=50.0, **law):
    """Return the voltage with the wanted switching probability, by bisection."""
    for _ in range(200):
        middle = 0.5 * (low + high)
        if switching_probability(middle, **law) < probability:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)


def telegraph(lam, tau, t):
    """Return P(+1 at t | +1 at 0) and P(+1 at t | -1 at 0), from the two leaving rates of Neel and Brown.

    The rates are exp(-lam) / (2 tau) from +1 and exp(+lam) / (2 tau) from -1. The master equation is solved by its
    matrix exponential: one small step, squared again and again.
    """
    leave_up, leave_down = math.exp(-lam) / (2.0 * tau), math.exp(lam) / (2.0 * tau)
    n = 20
    step = t / 2.0**n
    up, down = 1.0 - leave_up * step, leave_down * step  # P(+1 | +1), P(+1 | -1) after one small step
    for _ in range(n):
        up, down = up * up + (1.0 - up) * down, down * up + (1.0 - down) * down
    return up, down


def biased_word_share(threshold, n_bits, one):
    """Return the share of words of bits, each 1 with probability `one`, that reach the threshold, by counting them."""
    return sum(
        one ** k.bit_count() * (1.0 - one) ** (n_bits - k.bit_count()) for k in range(threshold, 2**n_bits)
    )
