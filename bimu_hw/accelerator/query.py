"""What is known of one query, and queries as columns of numbers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from bimu_hw.operations import COMPONENTS


@dataclass
class QueryRow:
    """What is known of one query. Ticks are absolute, -1 where something never came; `label` is the true class."""

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
    energy: npt.NDArray[np.float64] = field(default_factory=lambda: np.zeros(len(COMPONENTS)))
    number: int = -1


def to_columns(rows: list[QueryRow]) -> dict[str, npt.NDArray[Any]]:
    """Return queries as one array per field."""
    return {f.name: np.array([getattr(row, f.name) for row in rows]) for f in fields(QueryRow)}


def from_columns(columns: dict[str, npt.NDArray[Any]]) -> Iterator[QueryRow]:
    """Return the queries of `to_columns`."""
    for i in range(len(columns["example"])):
        values = {name: column[i].item() for name, column in columns.items() if column.ndim == 1}
        yield QueryRow(**values, energy=columns["energy"][i].copy())
