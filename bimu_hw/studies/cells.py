"""Cell architectures on one stream: each with its rule tuned by the same search, then run with several seeds.

The search tries the same settings for every cell, on seeds that are not reported, and goes by the accuracy on the
stream, each query predicted before it was learned: no test image is used for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bimu_hw.errors import ScenarioError, did_you_mean
from bimu_hw.presets import RULE_PARAMETERS
from bimu_hw.random import Purpose, host_generator
from bimu_hw.scenario import Scenario, load_scenario
from bimu_hw.scenario.cells import CELLS
from bimu_hw.studies.measure import Measured, Say, measure, measure_seeds, spread

#: Seed of the search's runs: out of the way of the seeds 1, 2, ... that are reported.
_SEARCH_SEED = 1001
#: A setting lies within this factor of the scenario's own, either way.
_SEARCH_FACTOR = 4.0


@dataclass(frozen=True)
class CellResult:
    """One cell architecture.

    Attributes
    ----------
    cell : str
        A key of `bimu_hw.scenario.cells.CELLS`.
    settings : tuple of str
        What the search found, as overrides of the scenario.
    online : float
        Accuracy on the stream that it had in the search.
    runs : list of Measured
        One per seed.
    """

    cell: str
    settings: tuple[str, ...]
    online: float
    runs: list[Measured]

    def mean(self, *keys: str) -> tuple[float, float]:
        """Return mean and standard deviation over the seeds of a number of the summary; 0 for a single seed."""
        values = []
        for run in self.runs:
            value: Any = run.summary
            for key in keys:
                value = value[key]
            values.append(value)
        return spread(values)


def candidates(scenario: Scenario, n: int) -> list[tuple[str, ...]]:
    """Return `n` settings of the rule, as overrides: the scenario's own, then random ones around it, log-uniform."""
    names = RULE_PARAMETERS[scenario.learning.rule]
    found = []
    for k in range(n):
        generator = host_generator(_SEARCH_SEED, Purpose.SEARCH, k)
        powers = generator.uniform(-1.0, 1.0, len(names)) if k else np.zeros(len(names))
        factors = _SEARCH_FACTOR**powers
        values = (scenario.rule_parameters[name] * factor for name, factor in zip(names, factors, strict=True))
        found.append(tuple(f"learning.{name}={value:.4g}" for name, value in zip(names, values, strict=True)))
    return found


def _one_task(scenario: Scenario) -> list[str]:
    """Return the overrides that leave one task of a stream, and next to no evaluation."""
    n = scenario.stream.examples
    length = [] if n is None else [f"stream.examples={n // scenario.stream.tasks}"]
    return ["stream.tasks=1", "evaluation.examples=1", *length]


def compare_cells(
    path: Path, out: Path, *, cells: Sequence[str] = tuple(CELLS), seeds: int = 3, settings: int = 8,
    overrides: Sequence[str] = (), say: Say = lambda sentence: None,
) -> list[CellResult]:  # fmt: skip
    """Tune and run every cell architecture on a scenario.

    Parameters
    ----------
    path : Path
        The scenario; it may name any cell.
    out : Path
        Keeps what every run measured.
    cells : sequence of str
    seeds : int
        Runs with the seeds 1 to this number.
    settings : int
        Settings that the search tries for each cell; 1: the scenario's own, without a search.
    overrides : sequence of str
        As after ``--set``.
    say : callable
        Is told what begins.

    Raises
    ------
    ScenarioError
        If the scenario is not valid with one of the cells, or there is no such cell: before anything runs.
    """
    for cell in cells:
        if cell not in CELLS:
            raise ScenarioError(f"cell {cell!r}: not known. {did_you_mean(cell, CELLS)}")
    plans = {cell: load_scenario(path, [*overrides, f"device.cell={cell}"]) for cell in cells}
    results = []
    for cell, scenario in plans.items():
        tried = []
        for n, setting in enumerate(candidates(scenario, settings)):
            if settings == 1:
                tried.append((0.0, setting))
                break
            say(f"{cell}: setting {n + 1} of {settings}")
            one = load_scenario(
                path, [*overrides, f"device.cell={cell}", *setting, *_one_task(scenario)], seed=_SEARCH_SEED,
            )  # fmt: skip
            tried.append((measure(one, out / "search").summary["accuracy_online"], setting))
        online, best = max(tried, key=lambda entry: entry[0])
        chosen = () if settings == 1 else best
        given = dict.fromkeys(range(1, seeds + 1), (*overrides, f"device.cell={cell}", *chosen))
        runs = measure_seeds(path, given, out / "runs", cell, say)
        results.append(CellResult(cell, best, online, runs))
    return results
