"""Which report a folder gets: that of a run, or that of a sweep."""

from __future__ import annotations

from pathlib import Path

from bimu_hw.errors import RunError
from bimu_hw.record import RUN_FILE
from bimu_hw.report.run_page import report_run


def report(folder: str | Path, out: str | Path | None = None) -> Path:
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
    raise RunError(f"{folder}: holds neither a finished run (no {RUN_FILE}) nor a sweep; give the folder of one.")
