"""What travels between the process that drives a sweep and those that run its cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

#: What can become of a cell that was given to a worker. "lost": its process died while another cell ran, so nothing is
#: known against it.
Kind = Literal["done", "failed", "killed", "timed_out", "lost"]


@dataclass(frozen=True)
class Batch:
    """Cells that one process runs one after the other and saves in one file.

    Attributes
    ----------
    out : str
        Folder of the sweep, as an absolute path.
    name, folder : str
        Of the scenario.
    cells : tuple of (str, dict)
        Key and tables of each.
    identity : str
        Digest of the sources of the package that the sweep belongs to.
    keep_runs : bool
    save_interval : float
        Seconds after which finished cells are saved, even if others of the batch are still to run.
    """

    out: str
    name: str
    folder: str
    cells: tuple[tuple[str, dict[str, Any]], ...]
    identity: str
    keep_runs: bool = False
    save_interval: float = 5.0


@dataclass(frozen=True)
class Outcome:
    """What became of one cell.

    Attributes
    ----------
    key : str
    kind : str
    seconds : float
    message, traceback : str
        Of a failure.
    host : str
    warming : bool
        Whether kernels were compiled meanwhile, or loaded into a new process, so that the time says nothing about other
        cells.
    alone : bool
        Of a lost cell: whether it is to run in a batch of its own.
    """

    key: str
    kind: Kind
    seconds: float = 0.0
    message: str = ""
    traceback: str = ""
    host: str = ""
    warming: bool = False
    alone: bool = False
