"""Runs of several scenarios into one folder: what is finished there is not run again, what was begun goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

from bimu_hw.errors import RunError
from bimu_hw.run import resume_run, run_scenario
from bimu_hw.run_folder import RunFolder
from bimu_hw.scenario import Scenario


def run_rows(
    rows: Mapping[str, Scenario], out: Path, *, progress: bool = True, tell: Callable[[str], None] = lambda text: None
) -> dict[str, Path]:
    """Run what is missing of some scenarios, each in a folder of its name.

    Parameters
    ----------
    rows : mapping of str to Scenario
    out : Path
    progress : bool
        Show progress bars.
    tell : callable
        Is told, in a sentence, what happens.

    Returns
    -------
    dict of str to Path
        The folder of each run.

    Raises
    ------
    RunError
        If a folder holds the run of another scenario; nothing is run then.
    """
    folders = {name: out / name for name in rows}
    for name, folder in folders.items():
        there = _hash_in(folder)
        if there and there != rows[name].hash:
            raise RunError(
                f"{folder}: holds the run of another scenario (hash {there[:8]}) than this row has (hash "
                f"{rows[name].hash[:8]}); choose another --out, or remove that folder."
            )
    for number, (name, folder) in enumerate(folders.items(), 1):
        where = f"{name} ({number} of {len(folders)})"
        if RunFolder(folder).finished:
            tell(f"{where}: finished before.")
        elif _hash_in(folder):
            tell(f"{where}: goes on.")
            resume_run(folder, progress=progress, tell=tell)
        else:
            tell(f"{where}: begins.")
            run_scenario(rows[name], folder, progress=progress)
    return folders


def _hash_in(folder: Path) -> str:
    """Return the hash of the scenario of the run in a folder, finished or not; empty if there is none."""
    there = RunFolder(folder)
    if there.finished:
        return str(json.loads((folder / "summary.json").read_text(encoding="utf-8"))["scenario_hash"])
    return there.begun_hash
