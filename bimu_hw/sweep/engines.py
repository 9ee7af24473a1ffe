"""Where cells run: the engine that the command line asks for."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bimu_hw.errors import RunError
from bimu_hw.sweep.dask_engine import DaskRunner, SlurmRunner, cluster_options
from bimu_hw.sweep.local import run_local
from bimu_hw.sweep.work import Work


class Runner(Protocol):
    """An engine with its options."""

    @property
    def n_workers(self) -> int:
        """Number of processes."""

    def run(self, work: Work, cell_timeout: float | None) -> None:
        """Do all the work."""

    def describe(self) -> str:
        """Return in words where cells would run; a SLURM engine adds its job script."""


@dataclass(frozen=True)
class LocalRunner:
    """Processes of this machine."""

    n_workers: int

    def run(self, work: Work, cell_timeout: float | None) -> None:
        """Do all the work."""
        run_local(work, self.n_workers, cell_timeout)

    def describe(self) -> str:
        """Return in words where cells would run."""
        return f"Engine local: {self.n_workers} processes of this machine, one thread each."


def make_engine(
    name: str, workers: int | None, scheduler: str | None, cluster: Sequence[str], out: Path
) -> Runner:
    """Return the engine of a name.

    Raises
    ------
    RunError
        If an option does not go with it, or what it needs is not installed.
    """
    if cluster and name != "slurm":
        raise RunError(f"--cluster: has no effect with --engine {name}; leave it out, or use --engine slurm.")
    if scheduler and name != "dask":
        raise RunError(f"--scheduler: has no effect with --engine {name}; leave it out, or use --engine dask.")
    if name == "local":
        return LocalRunner(workers or _cores())
    if name == "dask":
        if scheduler and workers:
            raise RunError("--workers: has no effect with --scheduler, whose workers are there; leave it out.")
        return DaskRunner(workers or _cores(), scheduler)
    if workers is None:
        raise RunError("--engine slurm: say how many jobs are to run at a time, for example --workers 16.")
    return SlurmRunner(workers, out, cluster_options(cluster))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
