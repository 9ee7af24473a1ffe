"""Which report a folder gets, or two of them: that of runs, or that of sweeps."""

from __future__ import annotations

from pathlib import Path

from bimu_hw.errors import RunError
from bimu_hw.record import RUN_FILE
from bimu_hw.report.compare_page import compare_runs
from bimu_hw.report.compare_sweeps import compare_sweeps
from bimu_hw.report.run_page import report_run
from bimu_hw.report.sweep_page import report_sweep
from bimu_hw.sweep.folder import PLAN_FILE


def write_report(folder: str | Path, out: str | Path | None = None) -> Path:
    """Write the report of a run or of a sweep; return its page.

    Parameters
    ----------
    folder : str or Path
        Of a finished run, or of a sweep, finished or not.
    out : str or Path, optional
        Folder of the report; default: ``report`` in that of the run or sweep.

    Raises
    ------
    RunError
        If the folder holds neither, or the report cannot be written.
    """
    folder = Path(folder)
    if (folder / RUN_FILE).is_file() or folder.name == RUN_FILE:
        return report_run(folder if folder.is_dir() else folder.parent, out)
    if (folder / PLAN_FILE).is_file():
        return report_sweep(folder, out)
    raise RunError(f"{folder}: holds neither a finished run (no {RUN_FILE}) nor a sweep; give the folder of one.")


def write_comparison(a: str | Path, b: str | Path, out: str | Path) -> Path:
    """Write the comparison of two runs, or of two sweeps; return its page.

    Parameters
    ----------
    a, b : str or Path
        Folders of finished runs, or of sweeps, finished or not.
    out : str or Path
        Folder of the comparison.

    Raises
    ------
    RunError
        If the two are neither two finished runs nor two sweeps, or the page cannot be written.
    """
    kinds = [_kind(Path(folder)) for folder in (a, b)]
    if kinds == ["sweep", "sweep"]:
        return compare_sweeps(a, b, out)
    if "sweep" in kinds and "run" in kinds:
        raise RunError(
            f"{a} and {b}: one is a run and the other a sweep; give the folders of two runs, or of two sweeps."
        )
    for folder, kind in zip((a, b), kinds, strict=True):
        if not kind:
            raise RunError(
                f"{folder}: holds no finished run (no {RUN_FILE}) and no sweep; give the folders of two runs, or of "
                "two sweeps."
            )
    return compare_runs(a, b, out)


def _kind(folder: Path) -> str:
    if (folder / RUN_FILE).is_file():
        return "run"
    return "sweep" if (folder / PLAN_FILE).is_file() else ""
