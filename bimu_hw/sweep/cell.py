"""One cell: a scenario is run in this process, and its numbers become a row."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np

from bimu_hw.record import open_run
from bimu_hw.record.cells import CellTable
from bimu_hw.report.summary import summarise
from bimu_hw.run import Run, provenance, resume_run, run_scenario
from bimu_hw.run_folder import RunFolder
from bimu_hw.scenario import Scenario
from bimu_hw.sweep.numbers import PER_TASK, numbers_of


def run_cell(scenario: Scenario, key: str, keep: Path | None = None) -> CellTable:
    """Run one cell.

    Parameters
    ----------
    scenario : Scenario
    key : str
    keep : Path, optional
        Folder for the whole run; one that is there and unfinished is gone on with.

    Returns
    -------
    CellTable
        Of one row.
    """
    if keep is None:
        run = Run(scenario)
        run.accelerator.run()
        tree = run.finish()
        summary = summarise(tree)
        accuracy = tree["tasks"]["accuracy"].values
    else:
        summary = _kept(scenario, keep)
        with open_run(keep) as tree:
            accuracy = tree["tasks"]["accuracy"].values
    found = numbers_of(summary)
    tasks = dict(zip(PER_TASK, (accuracy[-1], np.diagonal(accuracy)), strict=True))
    numbers = {name: value for name, (value, _) in found.items()}
    units = {name: unit for name, (_, unit) in found.items()} | dict.fromkeys(PER_TASK, "1")
    return CellTable.of(key, numbers, tasks, origin(scenario), units)


def _kept(scenario: Scenario, keep: Path) -> dict[str, Any]:
    folder = RunFolder(keep)
    unfinished = (folder.work / "given.json").exists() or (folder.work / "complete").exists()
    if folder.finished or unfinished:
        return resume_run(keep, progress=False).summary
    return run_scenario(scenario, keep, progress=False).summary


def origin(scenario: Scenario) -> dict[str, str]:
    """Return what a row's bits may depend on besides its key: versions and processor."""
    whole = provenance(scenario)
    features = hashlib.sha256(whole["cpu_features"].encode()).hexdigest()[:8]
    names = ("bimu_hw_version", "python_version", "numpy_version", "numba_version")
    return {
        "cpu": f"{whole['cpu_name']} (features {features})",
        "versions": json.dumps({name.removesuffix("_version"): whole[name] for name in names}),
    }
