"""The process that runs cells: ``python -m bimu_hw.sweep.worker NUMBER``, a socket's number in this process.

It is told batches and tells what becomes of each cell. When whoever started it dies, the socket closes, and it ends at
once, in the middle of whatever it computes: nothing that is not in a file counts.
"""

from __future__ import annotations

import errno
import os
import socket
import sys
import threading
import time
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from bimu_hw.errors import BimuError
from bimu_hw.sweep.batch import Batch

#: Loading kernels into a new process takes a second or two: the time of a first cell shorter than this is mostly that.
_LOADING_SHOWS = 8.0


def main(number: int) -> None:
    """Serve one connection until it closes."""
    connection = Connection(number)
    batches: SimpleQueue[Batch] = SimpleQueue()
    threading.Thread(target=_listen, args=(connection, batches), daemon=True).start()
    # What takes seconds to import is here before the first cell's time counts.
    import bimu_hw.sweep.cell
    import bimu_hw.sweep.folder  # noqa: F401
    from bimu_hw.sweep.plan import sources

    ours = sources()
    connection.send(("ready", "", 0.0, "", "", False))
    first = True
    while True:
        batch = batches.get()
        if batch.identity != ours:
            sentence = "the sources of the package are not those that the sweep was begun with; start it again."
            connection.send(("fatal", "", 0.0, f"On {socket.gethostname()} {sentence}", "", False))
        else:
            _run(batch, connection.send, first)
            first = False


def _listen(connection: Connection, batches: SimpleQueue[Batch]) -> None:
    while True:
        try:
            batches.put(connection.recv())
        except (EOFError, OSError):
            os._exit(0)


def _run(batch: Batch, tell: Any, first: bool) -> None:
    """Run the cells of a batch; tell (what happened, key, seconds, message, traceback, whether kernels warmed up)."""
    from bimu_hw.record.cells import CellTable
    from bimu_hw.sweep.cell import run_cell
    from bimu_hw.sweep.folder import SweepFolder
    from bimu_hw.sweep.plan import cell_scenario

    folder = SweepFolder(batch.out)
    finished: list[CellTable] = []
    seconds: dict[str, float] = {}
    warming: set[str] = set()
    saved = time.monotonic()

    def save() -> None:
        nonlocal saved
        try:
            path = folder.save(CellTable.join(finished)) if finished else None
        except (BimuError, OSError) as error:
            tell(("fatal", "", 0.0, str(error), "", False))
            path = None
        for table in finished if path else ():
            key = table.keys[0]
            tell(("done", key, seconds[key], "", "", key in warming))
        finished.clear()
        saved = time.monotonic()

    cold = first
    for key, content in batch.cells:
        tell(("started", key, 0.0, "", "", False))
        n_kernels = _n_kernels()
        begin = time.monotonic()
        try:
            scenario = cell_scenario(content, batch.folder, batch.name, key)
            table = run_cell(scenario, key, folder.runs / key if batch.keep_runs else None)
        # Whatever a cell does, the others go on; what it was is told.
        except Exception as error:
            kind = "fatal" if _is_full_disk(error) else "failed"
            message = str(error) if kind == "fatal" else f"{type(error).__name__}: {error}"
            tell((kind, key, time.monotonic() - begin, message, traceback.format_exc(), False))
            continue
        seconds[key] = time.monotonic() - begin
        if _n_kernels() > n_kernels or (cold and seconds[key] < _LOADING_SHOWS):
            warming.add(key)
        cold = False
        finished.append(table)
        tell(("computed", key, seconds[key], "", "", False))
        if time.monotonic() - saved > batch.save_interval:
            save()
    save()
    tell(("idle", "", 0.0, "", "", False))


def _is_full_disk(error: BaseException | None) -> bool:
    """Return whether an error goes back to a full disk: no other cell would fare better."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return True
        error = error.__cause__
    return False


def _n_kernels() -> int:
    """Return how many compiled kernels are on the disk."""
    return sum(1 for _ in Path(os.environ.get("NUMBA_CACHE_DIR", os.devnull)).rglob("*.nbc"))


if __name__ == "__main__":
    main(int(sys.argv[1]))
