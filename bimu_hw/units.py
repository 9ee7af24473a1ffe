"""Units at the edge: strings such as ``"50 ns"`` in files become SI floats, and nothing else knows units.

Inside the package every quantity is an SI float (or an integer count). Unit strings appear in cards, in scenarios
and in the ``units`` attributes of recorded variables (UDUNITS spelling); all three are read here.
"""

from __future__ import annotations

import math
import re
from functools import lru_cache
from typing import TYPE_CHECKING

from bimu_hw.errors import UnitError

if TYPE_CHECKING:
    import pint

#: SI prefixes for `format_quantity`, largest first.
_PREFIXES = (
    (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""), (1e-3, "m"),
    (1e-6, "µ"), (1e-9, "n"), (1e-12, "p"), (1e-15, "f"), (1e-18, "a"),
)  # fmt: skip

#: Units with an exponent, which a prefix takes part in.
_AREA = {"m^2": 2, "m2": 2}
#: Units that have their prefix already.
_PREFIXED = {"TOPS/W": 0}


@lru_cache(maxsize=1)
def _registry() -> pint.UnitRegistry:
    # pint costs some 0.3 s to import; a command that reads no quantity should not pay for it.
    import pint

    return pint.UnitRegistry(cache_folder=None)


#: A number as people write it, then the unit.
_QUANTITY = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+))(?:[eE]([+-]?\d{1,4}))?\s*(.*?)\s*", re.ASCII)


#: Powers of powers and long numbers have no place in a unit, and the parser would work on them for hours.
_NO_UNIT = re.compile(r"\d{3}|(?:\^|\*\*)[^a-zA-Z]*(?:\^|\*\*)")


def parse_quantity(text: str, unit: str, where: str) -> float:
    """Read a number with a unit as an SI float.

    Decimal prefixes cost no rounding: ``"1.3 pJ"`` is the float 1.3e-12.

    Parameters
    ----------
    text : str
        For example ``"50 ns"`` or, for a dimensionless quantity, ``"0.015"`` or ``"1.5 percent"``.
    unit : str
        The SI unit the number is wanted in, UDUNITS spelling: ``"s"``, ``"S"``, ``"J"``, ``"1"``.
    where : str
        The place the text comes from (file and key), for the message.

    Returns
    -------
    float
        The value in `unit`, finite.

    Raises
    ------
    UnitError
        If the text is not a finite number with a unit, has no unit where one is needed, or one of another dimension.

    Examples
    --------
    >>> parse_quantity("50 ns", "s", "example")
    5e-08
    """
    found = _QUANTITY.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        wanted = "a number" if unit == "1" else "a number and a unit"
        raise UnitError(f"{where}: got {text!r}, which is not a quantity; write {wanted}, {_example(unit)}.")
    number, exponent, given = found.groups()
    scale, power = _scale(given, unit)
    if scale == 0.0:
        is_known = given in ("", "1") or _parse_unit(given) is not None
        what = f" ({_dimension_name(given)})" if is_known else f", whose unit {given!r} is not known"
        raise UnitError(f"{where}: got {text!r}{what}; expected {_dimension_name(unit)}, {_example(unit)}.")
    if power is None:
        value = float(f"{number}e{exponent or 0}") * scale
    else:
        value = float(f"{number}e{int(exponent or 0) + power}")
    if not math.isfinite(value):
        raise UnitError(f"{where}: got {text!r}, which is beyond all floats; write a finite number, {_example(unit)}.")
    return value


@lru_cache(maxsize=1024)
def _scale(given: str, wanted: str) -> tuple[float, int | None]:
    """Return how many wanted units a given one is, and the power of ten if it is one; (0, None) if it is none."""
    if given in ("", "1"):
        return (1.0, 0) if wanted == "1" else (0.0, None)
    registry = _registry()
    to = registry.dimensionless if wanted == "1" else registry.parse_units(wanted)
    units = _parse_unit(given)
    if units is None or not registry.Quantity(1.0, units).is_compatible_with(to):
        return 0.0, None
    if registry.Quantity(0.0, units).to(to).magnitude != 0.0:  # degrees Celsius, decibels: no number times a unit
        return 0.0, None
    scale = float(registry.Quantity(1.0, units).to(to).magnitude)
    power = round(math.log10(scale))
    return scale, power if abs(scale / 10.0**power - 1.0) < 1e-12 else None


def _parse_unit(given: str) -> pint.Unit | None:
    if _NO_UNIT.search(given):
        return None
    try:
        return _registry().parse_units(given)
    # Pint has no common error for a stray text: its tokenizer, parser and arithmetic each raise their own.
    except Exception:
        return None


def _dimension_name(unit: str) -> str:
    return "a plain number" if unit in ("", "1") else f"a quantity in {unit}"


def _example(unit: str) -> str:
    shown = {
        "1": "0.015", "s": "50 ns", "S": "25 uS", "V": "0.2 V", "J": "1.3 pJ", "W": "20 nW", "Hz": "10 kHz",
        "ohm": "2 ohm", "A": "1 uA", "m2": "25 um^2", "m^2": "25 um^2", "F": "2 fF", "K": "300 K",
        "J/bit": "10 pJ/bit",
    }.get(unit, f"1 {unit}")  # fmt: skip
    return f"for example \"{shown}\""


def format_quantity(value: float, unit: str, digits: int = 3) -> str:
    """Write an SI value with the prefix that suits it.

    Examples
    --------
    >>> format_quantity(1.234e-9, "J")
    '1.23 nJ'
    >>> format_quantity(0.0, "s")
    '0 s'
    >>> format_quantity(25e-12, "m^2")
    '25 µm^2'
    """
    if unit == "1" or value == 0 or not math.isfinite(value):
        return f"{value:.{digits}g}" + ("" if unit == "1" else f" {unit}")
    # A prefix belongs to the unit it stands before: 1 mm^2 is (1 mm)^2, a million um^2, so begin at a hundredth of it.
    exponent = {**_AREA, **_PREFIXED}.get(unit, 0 if unit.startswith("1") else 1)
    smallest = 0.01 if exponent == 2 else 1 - 0.5 * 10.0**-digits
    for scale, prefix in _PREFIXES if exponent else ():
        if abs(value) >= smallest * scale**exponent:
            return f"{value / scale**exponent:.{digits}g} {prefix}{unit}"
    return f"{value:.{digits}g} {unit}"


def format_within(value: float, low: float, high: float, unit: str) -> tuple[str, str]:
    """Write an SI value with no more digits than its interval supports, and the interval.

    Half the width of the interval, written with two digits if they are below 35.5 and else with one, says where to stop
    (the rounding rule of the Particle Data Group's Review, but for its third case). At most three digits and at least
    one are written, and two of the ends. A value without an interval gets three.

    Returns
    -------
    (str, str)
        The value and the interval; the latter empty if there is none.

    Examples
    --------
    >>> format_within(80.2e-9, 42e-9, 163e-9, "J")
    ('80 nJ', '42 to 160 nJ')
    >>> format_within(80.2e-9, 79.9e-9, 80.4e-9, "J")
    ('80.2 nJ', '80 to 80 nJ')
    >>> format_within(1.778e-7, 1.778e-7, 1.778e-7, "J")
    ('178 nJ', '')
    """
    if value == 0 or not high > low or not all(map(math.isfinite, (value, low, high))):
        return format_quantity(value, unit), ""
    half = (high - low) / 2.0
    last = math.floor(math.log10(half))
    if half < 3.55 * 10.0**last:
        last -= 1
    digits = min(3, max(1, math.floor(math.log10(abs(value))) - last + 1))
    ends = [_rounded(end, 2, unit) for end in (low, high)]
    (lower, first), (upper, second) = (end.split(" ", 1) if " " in end else (end, "") for end in ends)
    return _rounded(value, digits, unit), f"{lower} to {upper} {second}" if first == second else " to ".join(ends)


def _rounded(value: float, digits: int, unit: str) -> str:
    """Write a value with that many digits and a prefix, and zeros instead of an exponent."""
    value = float(f"{value:.{digits - 1}e}")
    number, _, rest = format_quantity(value, unit, 15).partition(" ")
    plain = float(number)
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(plain)))) if plain else 0
    return f"{plain:.{decimals}f} {rest}".rstrip()
