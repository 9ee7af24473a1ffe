"""What the layers of finished runs did from task to task: the part of a report that no accuracy tells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bimu_hw.record import open_run

#: Head of the table.
HEADER = (
    "row", "after task", "newest task, %", "plasticity", "saturated, %", "flips, %", "frozen after task",
)  # fmt: skip


def frozen_lines(title: str, runs: Mapping[Path, Mapping[str, Any]]) -> list[tuple[str, ...]]:
    """Return lines under `HEADER` for finished runs of one row that differ in seed only: the mean over them.

    Parameters
    ----------
    title : str
    runs : mapping of Path to mapping
        Folders of runs of several tasks, and their summaries.
    """
    if not runs:
        return []
    found = [_read(folder) for folder in runs]
    newest = np.mean([newest for newest, _ in found], axis=0)
    plasticity, saturated, flips = np.mean([measures for _, measures in found], axis=0)
    when = [
        _first([summary["time_to_freeze"][f"layer_{layer}"]["plasticity"] for summary in runs.values()])
        for layer in range(plasticity.shape[0])
    ]
    lines: list[tuple[str, ...]] = []
    for task in _shown(newest.size):
        k = task - 1
        lines.append((
            title, str(task), f"{100 * newest[k]:.1f}", _each(plasticity[:, k], ".2f"),
            _each(100 * saturated[:, k], ".1f"), _each(100 * flips[:, k], ".0f"), " / ".join(when),
        ))  # fmt: skip
    return lines


def _read(folder: Path) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return accuracy when new, float64[task], and three measures, float64[measure, layer, task]."""
    with open_run(folder) as run:
        measures = run["freezing"].to_dataset().transpose("layer", "task")
        names = ("plasticity", "saturated_fraction", "sign_flip_rate")
        values = np.array([measures[name].values for name in names], np.float64)
        newest = np.diagonal(run["tasks"].to_dataset()["accuracy"].values).astype(np.float64)
    return newest, values


def _shown(tasks: int) -> list[int]:
    """Return 1, 2, 5, 10, 20, 50, 100 and so on as far as there are tasks, and the last."""
    steps = [digit * 10**power for power in range(len(str(tasks))) for digit in (1, 2, 5)]
    return [*(step for step in steps if step < tasks), tasks]


def _each(values: npt.NDArray[np.float64], form: str) -> str:
    return " / ".join(format(value, form) for value in values)


def _first(seeds: Sequence[float | None]) -> str:
    """Return the mean time at which a layer freezes; of seeds of which only some do, how many."""
    times = [time for time in seeds if time is not None]
    if not times:
        return "never"
    text = f"{np.mean(times):.0f}"
    return text if len(times) == len(seeds) else f"{text} ({len(times)} of {len(seeds)} seeds)"
