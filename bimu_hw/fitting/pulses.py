"""Measured pulse responses as a table: what a device showed after each pulse.

Two layouts of CSV are read, told apart by their header. Lines that are empty or begin with # are skipped.

*Long*, one row per reading, devices one after the other::

    device,pulse,direction,conductance (uS)
    d1,0,,2.1
    d1,1,up,3.4

*Wide*, one column per device, as source-measure units write it::

    pulse,direction,d1 (uS),d2 (uS)
    0,,2.1,1.9
    1,up,3.4,3.0

``pulse`` counts the pulses a device has received, from 0, the reading before the first, whose direction is empty;
``direction`` is up or down, of the pulse before the reading. A unit of resistance is inverted to conductance; ``(1)``
stands for a plain number. In the wide layout a cell may be empty where a device was not read.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bimu_hw.errors import DataError, UnitError
from bimu_hw.units import parse_quantity

DIRECTIONS = {
    "up": 1, "+1": 1, "1": 1, "potentiation": 1, "ltp": 1,
    "down": -1, "-1": -1, "depression": -1, "ltd": -1,
}  # fmt: skip
_HEADER = re.compile(r"\s*([^()]*?)\s*\(\s*([^()]*?)\s*\)\s*")


@dataclass(frozen=True)
class Pulses:
    """Readings of several devices.

    Attributes
    ----------
    value : float64[device, reading]
        In `unit`; NaN where a device was not read. The first reading of each device is that before any pulse.
    direction : int8[device, reading]
        Of the pulse before the reading: 1 up, -1 down; 0 at the first reading and beyond a device's last pulse.
    names : tuple of str
    unit : str
        "S" or "1".
    file_name, digest : str
        Where they come from: the name of the file and the SHA-256 of its bytes.
    """

    value: npt.NDArray[np.float64]
    direction: npt.NDArray[np.int8]
    names: tuple[str, ...]
    unit: str
    file_name: str
    digest: str

    @property
    def n_pulses(self) -> int:
        """Pulses of all devices together."""
        return int(np.count_nonzero(self.direction))


def read_pulses(path: Path) -> Pulses:
    """Read a CSV of pulse responses.

    Raises
    ------
    DataError
        In one sentence with the line, if a row or the header is malformed.
    UnitError
        If a unit is unknown, or neither a conductance, a resistance nor 1.
    """
    try:
        raw = path.read_bytes()
        text = raw.decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}; give the path of a CSV file.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path.name}: is not UTF-8 text; save the table as CSV in UTF-8.") from error
    rows = [
        (number, [cell.strip() for cell in row])
        for number, line in enumerate(text.splitlines(), 1)
        if line.strip() and not line.lstrip().startswith("#")
        for row in csv.reader(io.StringIO(line))
    ]
    if len(rows) < 3:
        raise DataError(f"{path.name}: has {max(len(rows) - 1, 0)} rows of data; a response needs two at least.")
    header, body = rows[0][1], rows[1:]
    for number, row in body:
        if len(row) != len(header):
            raise DataError(f"{path.name}, line {number}: has {len(row)} cells; the header has {len(header)} columns.")
    first = [name.lower() for name in header[:3]]
    if first == ["device", "pulse", "direction"] and len(header) == 4:
        series, unit = _long(header, body, path.name)
    elif first[:2] == ["pulse", "direction"] and len(header) >= 3:
        series, unit = _wide(header, body, path.name)
    else:
        raise DataError(
            f"{path.name}, line {rows[0][0]}: the header is {','.join(header)!r}; expected "
            "'device,pulse,direction,conductance (uS)' or 'pulse,direction,NAME (uS),NAME (uS),...'."
        )
    return _assemble(series, unit, path.name, hashlib.sha256(raw).hexdigest())


def _scale(label: str, where: str) -> tuple[str, str, float, bool]:
    """Return name, SI unit, scale and whether to invert, of a header such as ``conductance (uS)``."""
    found = _HEADER.fullmatch(label)
    if found is None or not found[2]:
        raise DataError(f"{where}: the column {label!r} has no unit; write it in brackets, for example '(uS)'.")
    name, unit = found.groups()
    if unit == "1":
        return name, "1", 1.0, False
    for si, inverted in (("S", False), ("ohm", True)):
        try:
            return name, "S", parse_quantity(f"1 {unit}", si, where), inverted
        except UnitError:
            continue
    raise UnitError(f"{where}: the unit {unit!r} is neither of a conductance nor of a resistance; write uS, kohm or 1.")


def _reading(text: str, scale: float, inverted: bool, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(f"{where}: got {text!r} as a reading; write a finite number, the unit stands in the header.")
    if inverted:
        if value <= 0.0:
            raise DataError(f"{where}: got a resistance of {text!r}; it must be above 0.")
        return 1.0 / (value * scale)
    return value * scale


def _pulse(number: str, direction: str, where: str) -> tuple[int, int]:
    if not number.isascii() or not number.isdigit():
        raise DataError(f"{where}: got {number!r} as the number of the pulse; write 0, 1, 2, and so on.")
    if int(number) == 0:
        if direction:
            raise DataError(f"{where}: pulse 0 is before the first pulse and has no direction; leave it empty.")
        return 0, 0
    if direction.lower() not in DIRECTIONS:
        raise DataError(f"{where}: got {direction!r} as the direction of a pulse; write up or down.")
    return int(number), DIRECTIONS[direction.lower()]


_Series = dict[str, list[tuple[int, int, float]]]


def _append(series: _Series, name: str, number: int, direction: int, value: float, where: str) -> None:
    readings = series.setdefault(name, [])
    if number and not readings:
        raise DataError(
            f"{where}: pulse {number} of device {name!r} comes first; begin with its reading before any pulse, "
            "numbered 0 and without a direction (if there is none, number the first reading 0)."
        )
    if number != len(readings):
        raise DataError(
            f"{where}: pulse {number} of device {name!r} follows {len(readings)} readings; pulses of a device count "
            "from 0 without a gap, one reading each, through ups and downs."
        )
    readings.append((number, direction, value))


def _long(header: list[str], body: list[tuple[int, list[str]]], file_name: str) -> tuple[_Series, str]:
    _, unit, scale, inverted = _scale(header[3], f"{file_name}, header")
    series: _Series = {}
    for line, (device, number, direction, reading) in body:
        where = f"{file_name}, line {line}"
        if not device:
            raise DataError(f"{where}: the device has no name; write one in the first column.")
        pulse, sign = _pulse(number, direction, where)
        _append(series, device, pulse, sign, _reading(reading, scale, inverted, where), where)
    return series, unit


def _wide(header: list[str], body: list[tuple[int, list[str]]], file_name: str) -> tuple[_Series, str]:
    columns = [_scale(label, f"{file_name}, header") for label in header[2:]]
    units = {column[1] for column in columns}
    if len(units) > 1:
        raise DataError(f"{file_name}, header: some columns are conductances and some plain numbers; use one unit.")
    if len({column[0] for column in columns}) < len(columns):
        raise DataError(f"{file_name}, header: two columns have the same name; give each device its own.")
    series: _Series = {}
    for line, (number, direction, *readings) in body:
        where = f"{file_name}, line {line}"
        pulse, sign = _pulse(number, direction, where)
        for (name, _, scale, inverted), text in zip(columns, readings, strict=True):
            value = _reading(text, scale, inverted, where) if text else math.nan
            _append(series, name, pulse, sign, value, where)
    return series, units.pop()


def _assemble(series: _Series, unit: str, file_name: str, digest: str) -> Pulses:
    longest = max(len(readings) for readings in series.values())
    value = np.full((len(series), longest), np.nan)
    direction = np.zeros((len(series), longest), np.int8)
    for d, (name, readings) in enumerate(series.items()):
        if len(readings) < 2 or math.isnan(readings[0][2]):
            raise DataError(f"{file_name}: device {name!r} needs a reading before its first pulse and one after it.")
        direction[d, : len(readings)] = [r[1] for r in readings]
        value[d, : len(readings)] = [r[2] for r in readings]
    return Pulses(value, direction, tuple(series), unit, file_name, digest)
