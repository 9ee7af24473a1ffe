"""The local engine: some processes of this machine, one kernel thread each."""

from __future__ import annotations

import time

from bimu_hw.sweep.process import CellProcess, listen_to
from bimu_hw.sweep.work import Work

#: The first cell runs alone, for it compiles the kernels if no run before it did; but not longer than this, in seconds.
_ALONE = 60.0


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
    begin = time.monotonic()
    n_at_begin = work.n_open
    try:
        while work.n_open:
            warm = work.n_open < n_at_begin or time.monotonic() - begin > _ALONE
            wanted = min(n_workers, work.n_open)
            while len(workers) < wanted:
                workers.append(CellProcess())
            idle = [w for w in workers if w.ready and w.batch is None]
            busy = [w for w in workers if w.batch is not None]
            for worker in idle if warm else idle[: 1 - len(busy)]:
                if (batch := work.next_batch(n_workers)) is not None:
                    worker.give(batch)
            for outcome in listen_to(workers, cell_timeout):
                work.settle(outcome)
            workers = [worker for worker in workers if not worker.dead]
    finally:
        for worker in workers:
            worker.kill()
