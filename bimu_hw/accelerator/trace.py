"""Arrival times from a file: one per line, in seconds, as a logger wrote them."""

from __future__ import annotations

import hashlib
from decimal import Decimal, InvalidOperation
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bimu_hw.accelerator.clock import TICKS_PER_SECOND
from bimu_hw.errors import ScenarioError

HEAD = "arrival_s"
#: The clock counts picoseconds in 64 bits; half of them are left for what comes after.
_LONGEST = 2**62


def read_trace(path: Path) -> npt.NDArray[np.int64]:
    """Read arrival times from a CSV file.

    Parameters
    ----------
    path : Path
        Text whose first column holds seconds since the beginning, ascending; its first line may be the head
        ``arrival_s``. Other columns are not looked at, empty lines are skipped.

    Returns
    -------
    int64[input]
        Ticks, rounded to the nearest; exact, whatever the number of digits.

    Raises
    ------
    ScenarioError
        If the file cannot be read, a line is no number or not later than the one before, or there is none.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ScenarioError(f"{path.name}: cannot be read ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise ScenarioError(f"{path.name}: is not UTF-8 text.") from error
    ticks: list[int] = []
    for number, line in enumerate(lines, 1):
        text = line.partition(",")[0].strip()
        if not line.strip() or (number == 1 and text == HEAD):
            continue
        ticks.append(_to_ticks(text, f"{path.name}, line {number}"))
        if len(ticks) > 1 and ticks[-1] < ticks[-2]:
            raise ScenarioError(f"{path.name}, line {number}: got {text} s, before the line above; sort the file.")
    if not ticks:
        raise ScenarioError(f"{path.name}: holds no arrival times; write seconds, one number per line.")
    return np.array(ticks, np.int64)


def _to_ticks(text: str, where: str) -> int:
    try:
        value = Decimal(text) * TICKS_PER_SECOND
    except InvalidOperation:
        raise ScenarioError(f"{where}: got {text!r}; expected a number of seconds.") from None
    if not value.is_finite() or not 0 <= value < _LONGEST:
        raise ScenarioError(f"{where}: got {text} s; allowed are 0 to {_LONGEST / TICKS_PER_SECOND:g} s.")
    return int(value.to_integral_value())


def trace_digest(ticks: npt.NDArray[np.int64]) -> str:
    """Return the SHA-256 (hexadecimal) of arrival times: what a scenario's hash knows of the file."""
    return hashlib.sha256(ticks.astype("<i8").tobytes()).hexdigest()
