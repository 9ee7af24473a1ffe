"""The numbers a scenario must hit, held against what a run's summary says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bimu_hw.errors import did_you_mean
from bimu_hw.scenario.model import Scenario


@dataclass(frozen=True)
class Outcome:
    """One row of ``[[expect]]`` and what became of it.

    Attributes
    ----------
    metric, source : str
    allowed : str
        The allowed range in words.
    value : float or None
        What the summary says; None if it has no such number.
    met : bool
    note : str
        Why there is no value.
    """

    metric: str
    allowed: str
    value: float | None
    met: bool
    source: str
    note: str = ""


def expectation_outcomes(summary: Mapping[str, Any], scenario: Scenario) -> list[Outcome]:
    """Return the outcome of every row of ``[[expect]]``."""
    outcomes = []
    for row in scenario.expect:
        value, note = _look_up(summary, row.metric)
        low, high = row.low, row.high
        # Written so that NaN meets nothing.
        met = value is not None and (low is None or value >= low) and (high is None or value <= high) and value == value
        outcomes.append(Outcome(row.metric, _words(low, high), value, met, row.source, note))
    return outcomes


def _words(low: float | None, high: float | None) -> str:
    if low is None:
        return f"at most {high:g}"
    return f"at least {low:g}" if high is None else f"{low:g} to {high:g}"


def _look_up(summary: Mapping[str, Any], metric: str) -> tuple[float | None, str]:
    value: Any = summary
    for part in metric.split("."):
        if not isinstance(value, Mapping) or part not in value:
            keys = value if isinstance(value, Mapping) else ()
            return None, f"no such number in the summary; {did_you_mean(part, keys).rstrip('.')}"
        value = value[part]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None, f"{value!r:.40}, which is no number"
    return float(value), ""
