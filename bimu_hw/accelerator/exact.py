"""Logarithm and exponential from nothing but additions, products and quotients.

These round alike on every machine; the functions of a mathematical library may differ in their last bit, and with it a
schedule in a picosecond. Both are right to a few units in the last place.
"""

from __future__ import annotations

from math import frexp, ldexp

_HIGH_LN2, _LOW_LN2 = 0.6931471803691238, 1.9082149292705877e-10
_LN2 = 0.6931471805599453
_ROOT_HALF = 0.7071067811865476
_ODD = tuple(1.0 / n for n in range(25, 0, -2))
_EXPONENT_LIMIT = 700.0


def logarithm(x: float) -> float:
    """Return the natural logarithm of a positive number: 2 artanh((m - 1) / (m + 1)) of its mantissa m.

    Examples
    --------
    >>> round(logarithm(10.0), 12)
    2.302585092994
    """
    mantissa, power = frexp(x)
    if mantissa < _ROOT_HALF:
        mantissa, power = mantissa * 2.0, power - 1
    s = (mantissa - 1.0) / (mantissa + 1.0)
    square, total = s * s, 0.0
    for coefficient in _ODD:
        total = total * square + coefficient
    return 2.0 * s * total + power * _LOW_LN2 + power * _HIGH_LN2


def exponential(x: float) -> float:
    """Return e to the power of x: the power series of what is left of x after whole powers of two.

    Beyond 700 on either side it is what it is there.

    Examples
    --------
    >>> round(exponential(1.0), 12)
    2.718281828459
    """
    x = min(max(x, -_EXPONENT_LIMIT), _EXPONENT_LIMIT)
    power = round(x / _LN2)
    rest = (x - power * _HIGH_LN2) - power * _LOW_LN2
    total = 1.0
    for n in range(16, 0, -1):
        total = 1.0 + rest * total / n
    return ldexp(total, power)
