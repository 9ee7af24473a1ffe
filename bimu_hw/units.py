"""Units at the edge: strings such as ``"50 ns"`` in files become SI floats, and nothing else knows units.

Inside the package every quantity is an SI float (or an integer count). Unit strings appear in cards, in scenarios
and in the ``units`` attributes of recorded variables (UDUNITS spelling); all three are read here.
"""

from __future__ import annotations

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


@lru_cache(maxsize=1)
def _registry() -> pint.UnitRegistry:
    # pint costs some 0.3 s to import; a command that reads no quantity should not pay for it.
    import pint

    return pint.UnitRegistry(cache_folder=None)


@lru_cache(maxsize=4096)
def parse_quantity(text: str, unit: str, where: str) -> float:
    """Read a number with a unit as an SI float.

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
        The value in `unit`.

    Raises
    ------
    UnitError
        If the text is not a quantity, has no unit where one is needed, or has one of another dimension.

    Examples
    --------
    >>> parse_quantity("50 ns", "s", "example")
    5e-08
    """
    import pint

    registry = _registry()
    wanted = registry.dimensionless if unit == "1" else registry.parse_units(unit)
    try:
        value = registry.Quantity(text)
    except Exception as error:
        raise UnitError(f"{where}: got {text!r}, which is not a quantity; write a number and a unit of "
                        f"{_dimension_name(unit)}, for example \"{_example(unit)}\".") from error
    try:
        # Converting by an integer power of ten through pint may cost one rounding; divide by the exact
        # inverse instead where that is an integer, so that "50 ns" is the float 5e-08.
        scale = (1.0 * value.units).to(wanted).magnitude
    except pint.DimensionalityError:
        given = "a plain number" if value.dimensionless else f"a quantity in {value.units:~}"
        raise UnitError(f"{where}: got {text!r} ({given}); expected {_dimension_name(unit)}, "
                        f"for example \"{_example(unit)}\".") from None
    magnitude = float(value.magnitude)
    inverse = 1.0 / scale
    if scale < 1.0 and abs(inverse - round(inverse)) < 1e-6 * inverse:
        return magnitude / round(inverse)
    return magnitude * scale


def _dimension_name(unit: str) -> str:
    return "a plain number (unit 1)" if unit == "1" else f"a quantity in {unit}"


def _example(unit: str) -> str:
    return {
        "1": "0.015", "s": "50 ns", "S": "25 uS", "V": "0.2 V", "J": "1.3 pJ", "W": "20 nW", "Hz": "10 kHz",
        "ohm": "2 ohm", "A": "1 uA", "m2": "25 um^2", "m^2": "25 um^2", "F": "2 fF", "K": "300 K",
        "J/bit": "10 pJ/bit",
    }.get(unit, f"1 {unit}")  # fmt: skip


def format_quantity(value: float, unit: str, digits: int = 3) -> str:
    """Write an SI value with the prefix that suits it.

    Examples
    --------
    >>> format_quantity(1.234e-9, "J")
    '1.23 nJ'
    >>> format_quantity(0.0, "s")
    '0 s'
    """
    if unit == "1" or value == 0 or value != value or value in (float("inf"), float("-inf")):
        return f"{value:.{digits}g}" + ("" if unit == "1" else f" {unit}")
    for scale, prefix in _PREFIXES:
        if abs(value) >= scale * (1 - 0.5 * 10.0**-digits):
            return f"{value / scale:.{digits}g} {prefix}{unit}"
    return f"{value:.{digits}g} {unit}"
