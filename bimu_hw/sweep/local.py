"""The local engine: some processes of this machine, one kernel thread each."""

from __future__ import annotations

from bimu_hw.sweep.process import CellProcess, listen_to
from bimu_hw.sweep.work import Work


def run_local(work: Work, n_workers: int, cell_timeout: float | None) -> None:
    """Do all the work.

    Parameters
    ----------
    work : Work
    n_workers : int
    cell_timeout : float or None
        Seconds after which a cell is killed.

    Raises
    ------
    RunError
        If the disk is full or processes cannot be started.
    """
    workers: list[CellProcess] = []
    try:
        while work.n_open:
            wanted = min(n_workers, work.n_open)
            while len(workers) < wanted:
                workers.append(CellProcess())
            for worker in workers:
                if worker.ready and worker.batch is None and (batch := work.next_batch(n_workers)) is not None:
                    worker.give(batch)
            for outcome in listen_to(workers, cell_timeout):
                work.settle(outcome)
            workers = [worker for worker in workers if not worker.dead]
    finally:
        for worker in workers:
            worker.kill()
