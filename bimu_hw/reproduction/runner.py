"""Runs the rows of a study, one after the other; what is finished is not run again, what was begun goes on."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from pathlib import Path

from bimu_hw.errors import BusyError, RunError
from bimu_hw.reproduction.progress import session, standing
from bimu_hw.reproduction.study import Cell, Row, Study
from bimu_hw.reproduction.table import write_report
from bimu_hw.run import resume_run, run_scenario


def reproduce(
    study: Study, out: str | Path, *, tasks: int, seeds: int = 1, rows: Sequence[Row] = (), progress: bool = True,
    tell: Callable[[str], None] = lambda sentence: None,
) -> Path:  # fmt: skip
    """Run what is missing of a study and write its report after each run.

    Parameters
    ----------
    study : Study
    out : str or Path
        Folder of all runs and of the report.
    tasks : int
        Tasks of the rows that do not fix their number.
    seeds : int
        Each row is run for the seeds 1 to this number.
    rows : sequence of Row
        Rows to run; all if none is given.
    progress : bool
        Show progress bars.
    tell : callable
        Is told, in a sentence, what happens.

    Returns
    -------
    Path
        The report in Markdown.

    Raises
    ------
    RunError
        If a folder holds the run of another scenario, or a run cannot go on.
    DataError
        If the data set is missing.
    """
    out = Path(out)
    cells = study.cells(rows or study.rows, tasks, seeds)
    for cell in cells:
        _check(cell, out / cell.name)
    out.mkdir(parents=True, exist_ok=True)
    for cell in cells:
        _run(cell, out / cell.name, progress, tell)
        gc.collect()  # a run is a circle of objects that hold the data set
        write_report(study, out, cells)
    return write_report(study, out, cells)


def _check(cell: Cell, folder: Path) -> None:
    there = standing(folder, cell.tasks)
    if there.scenario_hash and there.scenario_hash != cell.scenario.hash:
        raise RunError(
            f"{folder}: holds the run of another scenario (hash {there.scenario_hash[:8]}) than row {cell.row.name!r} "
            f"now has (hash {cell.scenario.hash[:8]}); choose another --out, or remove that folder."
        )


def _run(cell: Cell, folder: Path, progress: bool, tell: Callable[[str], None]) -> None:
    there = standing(folder, cell.tasks)
    if there.state == "done":
        tell(f"{cell.name}: finished before.")
        return
    try:
        with session(folder):
            if there.state == "begun":
                tell(f"{cell.name}: goes on after {there.tasks} of {cell.tasks} tasks.")
                resume_run(folder, progress=progress, tell=tell)
            else:
                tell(f"{cell.name}: begins.")
                run_scenario(cell.scenario, folder, progress=progress)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("Give the same command again to go on.") from None
    except BusyError:
        tell(f"{cell.name}: another process is at it.")
        return
    tell(f"{cell.name}: finished.")
