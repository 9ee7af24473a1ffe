"""What is known of one query, and queries as columns of numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from bimu_hw.ledger import Tally


@dataclass
class QueryRow:
    """What is known of one query. Ticks are absolute, -1 where something never came; `label` is the true class.

    `spent` is what is to be booked: by inference and label, and once that was handed over, by the update alone.
    """

    example: int
    task: int
    label: int
    answer: int
    arrival_tick: int
    start_tick: int
    finish_tick: int = -1
    prediction: int = -1
    asked: bool = False
    label_tick: int = -1
    updated: bool = False
    disagreement: int = 0
    aleatoric: float = 0.0
    epistemic: float = 0.0
    predictive: float = 0.0
    pulses: int = 0
    spent: Tally = field(default_factory=Tally)
    number: int = -1


def to_columns(rows: list[QueryRow]) -> dict[str, npt.NDArray[Any]]:
    """Return queries as one array per field; what they spend has two, ``spent.counts`` and ``spent.array_joules``."""
    columns = {f.name: np.array([getattr(row, f.name) for row in rows]) for f in fields(QueryRow) if f.name != "spent"}
    counts = np.array([row.spent.counts for row in rows], np.int64)
    return {**columns, "spent.counts": counts, "spent.array_joules": np.array([row.spent.array_joules for row in rows])}


def from_columns(columns: dict[str, npt.NDArray[Any]]) -> Iterator[QueryRow]:
    """Return the queries of `to_columns`."""
    for i in range(len(columns["example"])):
        values = {name: column[i].item() for name, column in columns.items() if not name.startswith("spent.")}
        spent = Tally(columns["spent.counts"][i].copy(), columns["spent.array_joules"][i].item())
        yield QueryRow(**values, spent=spent)
