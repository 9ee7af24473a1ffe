"""Seconds at the edge, integer picoseconds inside: ten 0.1 ns add up to 1 ns, exactly."""

from __future__ import annotations

import math

from bimu_hw.errors import ScheduleError

TICKS_PER_SECOND = 10**12


def to_ticks(seconds: float, what: str) -> int:
    """Return a duration in ticks of 1 ps, rounded to the nearest.

    Raises
    ------
    ScheduleError
        If the duration is negative or not finite, or is not zero and rounds to none.

    Examples
    --------
    >>> to_ticks(5e-9, "a read")
    5000
    """
    if not math.isfinite(seconds) or seconds < 0:
        raise ScheduleError(f"{what}: got {seconds:g} s; a duration is zero or more and finite.")
    ticks = round(seconds * TICKS_PER_SECOND)
    if ticks == 0 and seconds > 0:
        raise ScheduleError(f"{what}: got {seconds:g} s, shorter than one tick (1 ps); write 0 s or at least 1 ps.")
    return ticks


def to_seconds(ticks: int) -> float:
    """Return ticks as seconds."""
    return ticks / TICKS_PER_SECOND
