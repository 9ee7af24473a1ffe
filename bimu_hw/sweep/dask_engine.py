"""The distributed engine: cells as tasks of a Dask cluster, on this machine, on others, or as jobs of SLURM.

A task runs one batch in a process of its own beside the Dask worker, so that a cell that takes too long or dies takes
nobody with it. What it gives back is what became of the cells; their numbers are in files of the sweep's folder, which
all workers must see.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bimu_hw.errors import RunError
from bimu_hw.sweep.batch import Batch, Outcome
from bimu_hw.sweep.process import CellProcess, listen_to
from bimu_hw.sweep.work import Work

#: Batches per worker that the scheduler holds: the next one is there when one ends.
_AHEAD = 2
#: A job that is gone is replaced after this time; Dask's own default of 15 s is longer than most cells.
_LOST_WORKER_TIMEOUT = "2s"
#: How long we wait for a scheduler to answer, in seconds.
_CONNECT_TIMEOUT = 20
#: After this time without a worker we say that we wait, in seconds.
_NO_WORKER = 20
#: One process of cells for each thread of a Dask worker.
_processes: dict[int, CellProcess] = {}


def run_batch(batch: Batch, cell_timeout: float | None) -> list[Outcome]:
    """Run a batch on the Dask worker that this is called on.

    Returns
    -------
    list of Outcome
        Of every cell of the batch.
    """
    thread = threading.get_ident()
    process = _processes.get(thread)
    if process is None or process.dead:
        process = _processes[thread] = CellProcess()
    outcomes: list[Outcome] = []
    process.give(batch)
    while process.batch is not None and not process.dead:
        outcomes += listen_to([process], cell_timeout)
    return outcomes


def run_dask(work: Work, client: Any, cell_timeout: float | None) -> None:
    """Do all the work with the workers that a client's cluster has, however many come and go.

    Parameters
    ----------
    work : Work
    client : distributed.Client
    cell_timeout : float or None

    Raises
    ------
    RunError
        If the disk is full, or the workers cannot run cells at all.
    """
    from distributed import as_completed

    _wait_for_worker(work, client)
    batches: dict[Any, Batch] = {}
    ended = as_completed()
    try:
        while work.n_open:
            n_workers = max(1, len(client.nthreads()))
            while len(batches) < _AHEAD * n_workers and (batch := work.next_batch(n_workers)) is not None:
                # Never the same key twice: a batch that is asked for again is to run again.
                future = client.submit(run_batch, batch, cell_timeout, pure=False)
                batches[future] = batch
                ended.add(future)
            future = next(ended)
            batch = batches.pop(future)
            for outcome in _outcomes(future, batch):
                work.settle(outcome)
            # A result that somebody holds is computed again when its worker is lost.
            future.release()
    finally:
        client.cancel(list(batches))


def _wait_for_worker(work: Work, client: Any) -> None:
    """Say so if nobody is there to run cells; the scheduler keeps them until somebody is."""
    try:
        client.wait_for_workers(1, timeout=_NO_WORKER)
    except TimeoutError:
        work.say(
            f"No Dask worker has joined the scheduler in {_NO_WORKER} s; cells run as soon as one does (dask worker "
            "ADDRESS starts one by hand; jobs may wait in a queue)."
        )


def _outcomes(future: Any, batch: Batch) -> list[Outcome]:
    if future.status == "finished":
        return list(future.result())
    if future.status in ("lost", "cancelled"):
        return [Outcome(key, "lost") for key, _ in batch.cells]
    error = future.exception()
    if type(error).__name__ not in ("KilledWorker", "CancelledError"):
        raise RunError(f"a worker cannot run cells ({type(error).__name__}: {error}).") from error
    if len(batch.cells) > 1:
        # One of them brings workers down: each is looked at alone.
        return [Outcome(key, "lost", alone=True) for key, _ in batch.cells]
    return [Outcome(batch.cells[0][0], "killed", 0.0, f"its Dask workers died again and again ({error})")]


@dataclass(frozen=True)
class DaskRunner:
    """Dask workers: those of a scheduler that is there, or processes of this machine.

    Attributes
    ----------
    n_workers : int
    scheduler : str or None
        Address of a scheduler, or the path of its scheduler file; None: a cluster of our own on this machine.
    """

    n_workers: int
    scheduler: str | None = None

    def run(self, work: Work, cell_timeout: float | None) -> None:
        """Do all the work."""
        with self._client() as client:
            run_dask(work, client, cell_timeout)

    @contextmanager
    def _client(self) -> Iterator[Any]:
        distributed = _distributed()
        with ExitStack() as stack:
            if self.scheduler is None:
                given = stack.enter_context(
                    distributed.LocalCluster(
                        n_workers=self.n_workers, threads_per_worker=1, processes=True, host="127.0.0.1",
                        dashboard_address="127.0.0.1:0",
                    )
                )  # fmt: skip
                yield stack.enter_context(distributed.Client(given))
                return
            options: dict[str, Any] = {"address": self.scheduler}
            if Path(self.scheduler).is_file():
                options = {"scheduler_file": self.scheduler}
            try:
                client = stack.enter_context(distributed.Client(**options, timeout=_CONNECT_TIMEOUT))
            except (OSError, ValueError) as error:
                raise RunError(
                    f"--scheduler {self.scheduler}: no Dask scheduler answers there ({error}); start one with dask "
                    "scheduler, or check the address."
                ) from error
            yield client

    def describe(self) -> str:
        """Return in words where cells would run."""
        if self.scheduler is None:
            return f"Engine dask: {self.n_workers} Dask workers of this machine, one thread each."
        return f"Engine dask: the workers of the scheduler at {self.scheduler}."


@dataclass(frozen=True)
class SlurmRunner:
    """Jobs of SLURM, each a Dask worker, through dask-jobqueue.

    Attributes
    ----------
    n_workers : int
        Jobs that are kept running.
    out : Path
        Folder of the sweep; the logs of the jobs lie in it.
    options : mapping of str to object
        Arguments of ``dask_jobqueue.SLURMCluster``, which win over ours.
    """

    n_workers: int
    out: Path
    options: Mapping[str, Any]

    def run(self, work: Work, cell_timeout: float | None) -> None:
        """Do all the work."""
        distributed = _distributed()
        with self._cluster() as cluster, distributed.Client(cluster) as client:
            # scale() does not replace a job that is lost; adapt() with equal bounds does.
            cluster.adapt(minimum_jobs=self.n_workers, maximum_jobs=self.n_workers)
            run_dask(work, client, cell_timeout)

    def describe(self) -> str:
        """Return the script of a job."""
        with self._cluster() as cluster:
            script = cluster.job_script().strip()
        words = "jobs, each with this script (its address is that of a trial):"
        return f"Engine slurm: {self.n_workers} {words}\n\n{script}"

    @contextmanager
    def _cluster(self) -> Iterator[Any]:
        import dask

        _distributed()
        try:
            from dask_jobqueue import SLURMCluster
        except ImportError:
            raise RunError(_NOT_INSTALLED.format(what="dask-jobqueue", engine="slurm")) from None
        logs = self.out.resolve() / "logs"
        arguments = {
            "cores": 1, "processes": 1, "memory": "2GB", "walltime": "01:00:00", "python": sys.executable,
            "log_directory": str(logs), "death_timeout": 120,
            "job_script_prologue": [f"export {name}=1" for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS")],
            "worker_extra_args": ["--dashboard-address", "127.0.0.1:0"],
            "scheduler_options": {"dashboard_address": "127.0.0.1:0"}, **self.options,
        }  # fmt: skip
        made = [folder for folder in (logs, *logs.parents) if not folder.exists()]
        with dask.config.set({"distributed.deploy.lost-worker-timeout": _LOST_WORKER_TIMEOUT}):
            try:
                cluster = SLURMCluster(**arguments)
            except (TypeError, ValueError) as error:
                raise RunError(f"--cluster: SLURMCluster does not take these ({error}).") from error
            with cluster:
                yield cluster
        for folder in made:
            # A trial leaves no folder behind; one that is not empty stays.
            with suppress(OSError):
                folder.rmdir()


_NOT_INSTALLED = "--engine {engine}: {what} is not installed; install it with pip install \"bimu-hw[cluster]\"."


def _distributed() -> Any:
    try:
        import distributed
    except ImportError:
        raise RunError(_NOT_INSTALLED.format(what="Dask", engine="dask")) from None
    return distributed


def cluster_options(given: Sequence[str]) -> dict[str, Any]:
    """Return the arguments of ``--cluster KEY=VALUE``: whole numbers as such, all else as texts."""
    found: dict[str, Any] = {}
    for option in given:
        key, equals, value = option.partition("=")
        if not equals or not key.isidentifier():
            raise RunError(f"--cluster {option}: expected KEY=VALUE, for example --cluster queue=debug.")
        found[key] = int(value) if value.isdigit() else value
    return found
