"""One run of a study, reduced to numbers that are kept: a study that was interrupted goes on after its last run."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bimu_hw.accelerator.clock import to_seconds
from bimu_hw.ledger import price
from bimu_hw.operations import ENERGY_PER_QUERY, PHASES, UPDATE_PHASES, operation_index
from bimu_hw.report.summary import summarise
from bimu_hw.run import Run
from bimu_hw.scenario import Scenario, load_scenario

Say = Callable[[str], None]


@dataclass(frozen=True)
class Measured:
    """What a study keeps of a run.

    Attributes
    ----------
    summary : dict
        As in ``summary.json``.
    counts : int64[phase, operation]
        Operations done.
    array_joules : float64[phase]
        State-dependent energy of reads.
    joules : float64[operation]
        Prices.
    inference_s : float
        Duration of one query's inference, waiting left out.
    dead_zone, rail : float
        Fractions of the synapses at the end of the last task.
    epistemic : float64[query]
        Epistemic uncertainty of the queries of the second half of the stream, in bits.
    """

    summary: dict[str, Any]
    counts: npt.NDArray[np.int64]
    array_joules: npt.NDArray[np.float64]
    joules: npt.NDArray[np.float64]
    inference_s: float
    dead_zone: float
    rail: float
    epistemic: npt.NDArray[np.float64]

    def with_label_energy(self, joules: float) -> Measured:
        """Return the same run with another price of a label: counts do not change, so nothing is run again."""
        prices = self.joules.copy()
        prices[operation_index("radio", "request")] = joules
        return replace(self, joules=prices)

    def energy(self, phases: tuple[str, ...] = PHASES) -> npt.NDArray[np.float64]:
        """Return the energy of some phases in joules, float64[component]."""
        rows = [PHASES.index(phase) for phase in phases]
        return price(self.counts, self.array_joules, self.joules)[rows].sum(axis=0)

    def per_query(self, figure: str) -> npt.NDArray[np.float64]:
        """Return an energy per query (a key of `ENERGY_PER_QUERY`) in joules, float64[component]."""
        return self.energy(ENERGY_PER_QUERY[figure]) / self.summary["queries"]

    def per_update(self) -> npt.NDArray[np.float64]:
        """Return the energy per update in joules, float64[component]; zero without updates."""
        return self.energy(UPDATE_PHASES) / max(1, self.summary["updates"])


def spread(values: Sequence[float | None]) -> tuple[float, float]:
    """Return mean and standard deviation (of a sample) of numbers, NaN where one is missing; 0 for a single one."""
    numbers = np.array([np.nan if v is None else v for v in values], np.float64)
    return float(numbers.mean()), float(numbers.std(ddof=1)) if len(numbers) > 1 else 0.0


def measure_seeds(
    path: Path, overrides: Mapping[int, Sequence[str]], folder: Path, what: str, say: Say
) -> list[Measured]:  # fmt: skip
    """Run a scenario with several seeds, or take what an earlier call left.

    Parameters
    ----------
    path : Path
    overrides : mapping of int to sequence of str
        For each seed, as after ``--set``.
    folder : Path
        As in `measure`.
    what : str
        What `say` is told of, with the seed.
    say : callable
    """
    runs = []
    for seed, given in overrides.items():
        say(f"{what}: seed {seed} of {len(overrides)}")
        runs.append(measure(load_scenario(path, given, seed=seed), folder))
    return runs


def measure(scenario: Scenario, folder: Path, say: Say = lambda sentence: None) -> Measured:
    """Run a scenario, or take what an earlier call left in `folder`.

    Parameters
    ----------
    scenario : Scenario
    folder : Path
        Holds one JSON file per run, named after the scenario's hash and seeds.
    say : callable
        Is told, in a sentence, that a run begins.
    """
    path = folder / f"{scenario.run_name}.json"
    if not path.exists():
        say(f"{scenario.run_name}: running.")
        _write(path, _run(scenario))
    return _read(path)


def _run(scenario: Scenario) -> Measured:
    run = Run(scenario)
    run.accelerator.run()
    tree = run.finish()
    queries = tree["queries"].to_dataset()
    ledger = run.accelerator.ledger
    freezing = tree["freezing"].to_dataset().isel(task=-1)
    cells = np.array([synapses.lam.size for synapses in run.chip.layers], np.float64)

    def fraction(name: str) -> float:
        return float((freezing[name].values * cells).sum() / cells.sum())

    epistemic = np.asarray(queries["epistemic"].values, np.float64)
    return Measured(
        summarise(tree), ledger.counts.sum(axis=1), ledger.array_joules.sum(axis=1), run.costs.table.joules,
        to_seconds(run.plan.inference_ticks), fraction("dead_zone_fraction"), fraction("rail_fraction"),
        epistemic[len(epistemic) // 2 :],
    )  # fmt: skip


def _write(path: Path, measured: Measured) -> None:
    """Write what was measured under a temporary name first, so that a file that is there is whole."""
    content = {
        name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in asdict(measured).items()
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps(_without_nan(content)), encoding="utf-8")
    os.replace(temporary, path)


def _read(path: Path) -> Measured:
    content = json.loads(path.read_text(encoding="utf-8"))
    arrays = {"counts": np.int64, "array_joules": np.float64, "joules": np.float64, "epistemic": np.float64}
    values: dict[str, Any] = {
        name: np.array(value, arrays[name]) if name in arrays else np.nan if value is None else value
        for name, value in content.items()
    }
    return Measured(**values)


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_nan(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_without_nan(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value

