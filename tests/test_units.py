"""Unit strings against decimal arithmetic, and what is refused."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bimu_hw.errors import UnitError
from bimu_hw.units import format_quantity, parse_quantity

PREFIXES = {"T": 12, "G": 9, "M": 6, "k": 3, "": 0, "m": -3, "u": -6, "µ": -6, "n": -9, "p": -12, "f": -15, "a": -18}
BASE_UNITS = ("s", "S", "V", "J", "W", "Hz", "F", "A", "ohm", "K")


@given(
    digits=st.integers(-(10**9), 10**9),
    places=st.integers(0, 9),
    prefix=st.sampled_from(sorted(PREFIXES)),
    unit=st.sampled_from(BASE_UNITS),
)
def test_a_prefix_costs_no_rounding(digits, places, prefix, unit):
    """"1.3 pJ" is the float that 1.3e-12 is, whatever the number, the prefix and the unit."""
    sign, magnitude = ("-" if digits < 0 else ""), f"{abs(digits):010d}"
    number = f"{sign}{magnitude[: 10 - places]}.{magnitude[10 - places :]}"
    number = number.removesuffix(".")
    number = number if number.strip("-") != "" else "0"
    expected = float(f"{digits}e{PREFIXES[prefix] - places}")
    assert parse_quantity(f"{number} {prefix}{unit}", unit, "here") == expected


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("50 ns", "s", 5e-08),
        ("50ns", "s", 5e-08),
        ("  1.5e3 ps ", "s", 1.5e-09),
        ("0.015", "1", 0.015),
        ("1.5 percent", "1", 0.015),
        ("5 %", "1", 0.05),
        ("-0.3", "1", -0.3),
        (".5 V", "V", 0.5),
        ("25 um^2", "m^2", 2.5e-11),
        ("25 um**2", "m^2", 2.5e-11),
        ("426 fJ/bit", "J/bit", 4.26e-13),
        ("3 fF V^2", "J", 3e-15),
        ("2 h", "s", 7200.0),
        ("1 eV", "J", 1.602176634e-19),
        ("1 inch^2", "m^2", 6.4516e-4),
        ("25 kohm", "ohm", 25000.0),
    ],
)
def test_what_people_write(text, unit, value):
    assert parse_quantity(text, unit, "here") == pytest.approx(value, rel=1e-15)


def test_millisiemens_and_milliseconds_are_told_apart():
    assert parse_quantity("4 mS", "S", "here") == 0.004
    with pytest.raises(UnitError, match="expected a quantity in S"):
        parse_quantity("4 ms", "S", "here")


@pytest.mark.parametrize(
    ("text", "unit", "says"),
    [
        ("15 mS", "1", r"card\.toml, params\.x: got '15 mS' \(a quantity in mS\); expected a plain number, .*0\.015"),
        ("5", "s", r"got '5' \(a plain number\); expected a quantity in s, for example \"50 ns\""),
        ("5 J", "s", r"a quantity in J"),
        ("5 furlongy", "s", r"whose unit 'furlongy' is not known"),
        ("", "s", r"not a quantity"),
        ("ns", "s", r"not a quantity"),
        ("fast", "s", r"not a quantity"),
        ("nan s", "s", r"not a quantity"),
        ("inf s", "s", r"not a quantity"),
        ("1e999 s", "s", r"beyond all floats"),
        ("25 degC", "K", r"expected a quantity in K"),
        ("3 dBm", "W", r"expected a quantity in W"),
        ("[1, 2] s", "s", r"not a quantity"),
        ("2*3 s", "s", r"is not known"),
        ("3 s**9**9**9**9", "s", r"is not known"),
        (5, "s", r"not a quantity"),
        (["5 s"], "s", r"not a quantity"),
        (None, "1", r"not a quantity"),
    ],
)
def test_what_is_refused_and_what_it_says(text, unit, says):
    with pytest.raises(UnitError, match=says) as caught:
        parse_quantity(text, unit, "card.toml, params.x")
    message = str(caught.value)
    assert message.startswith("card.toml, params.x: got ")
    assert "\n" not in message
    assert message.endswith(".")
    assert re.search(r"for example \"", message)


@given(st.text(max_size=12), st.sampled_from(["s", "1", "m^2"]))
def test_any_text_gives_a_finite_number_or_a_unit_error(text, unit):
    for candidate in (text, f"3 {text}"):
        try:
            value = parse_quantity(candidate, unit, "here")
        except UnitError:
            continue
        assert abs(value) < float("inf")


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (1.234e-9, "J", "1.23 nJ"),
        (0.0, "s", "0 s"),
        (999.6e-9, "J", "1 µJ"),
        (999.4e-9, "J", "999 nJ"),
        (-3e-9, "s", "-3 ns"),
        (1e-21, "J", "1e-21 J"),
        (0.25, "1", "0.25"),
        (25e-12, "m^2", "25 µm^2"),
        (2.5e-7, "m^2", "0.25 mm^2"),
        (1234.0, "1/s", "1.23e+03 1/s"),
        (float("inf"), "s", "inf s"),
        (float("nan"), "J", "nan J"),
    ],
)
def test_quantities_are_written_with_a_fitting_prefix(value, unit, text):
    assert format_quantity(value, unit) == text


@given(st.floats(1e-20, 1e14), st.sampled_from(["s", "J", "m^2"]))
def test_what_is_written_reads_back(value, unit):
    text = format_quantity(value, unit, digits=6)
    assert parse_quantity(text, unit, "here") == pytest.approx(value, rel=1e-5)
