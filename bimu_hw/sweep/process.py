"""A process that runs cells, seen from outside: it can be given a batch, listened to, and killed.

The standard library's pools lose all their work when one process dies, and cannot kill one that takes too long. Here
each process has a connection of its own, so whatever happens to it happens to one cell.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait

from bimu_hw.errors import RunError
from bimu_hw.sweep.batch import Batch, Kind, Outcome

#: The libraries that would start threads of their own: a sweep has one thread per process.
_ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
#: How long we wait at most, in seconds, before we look whether there is work for idle processes.
_TICK = 5.0
#: What is kept of what a dead process wrote to its standard error.
_TAIL = 2000


class CellProcess:
    """One process that runs cells.

    Attributes
    ----------
    connection : Connection
        Readable when there is something for `listen`.
    ready : bool
        Whether it has started up.
    batch : Batch or None
        What it was given and has not finished.
    """

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self._errors = tempfile.TemporaryFile()
        environment = {**os.environ, **dict.fromkeys(_ONE_THREAD, "1"), "PYTHONUNBUFFERED": "1"}
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "bimu_hw.sweep.worker", str(theirs.fileno())], pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self._errors, env=environment,
                # Ctrl-C is for who drives the sweep.
                start_new_session=True,
            )  # fmt: skip
        self.connection = Connection(ours.detach())
        self.ready = False
        self.batch: Batch | None = None
        self._open: list[str] = []
        self._current = ""
        self._since = 0.0

    @property
    def dead(self) -> bool:
        """Whether it has ended."""
        return self.process.returncode is not None

    def give(self, batch: Batch) -> None:
        """Let the process run a batch."""
        self.batch = batch
        self._open = [key for key, _ in batch.cells]
        try:
            self.connection.send(batch)
        except OSError:
            # It is dead; `listen` will find out.
            return

    def listen(self) -> list[Outcome]:
        """Take in one message, or the death of the process; call it when the connection is readable.

        Raises
        ------
        RunError
            If the disk is full, the process has other sources of the package, or it dies before it has run anything.
        """
        try:
            kind, key, seconds, message, trace, warming = self.connection.recv()
        except (EOFError, OSError):
            return self._died()
        if kind == "ready":
            self.ready = True
        elif kind == "idle":
            self.batch, self._open = None, []
        elif kind == "started":
            self._current, self._since = key, time.monotonic()
        elif kind == "computed":
            self._current = ""
        elif kind == "fatal":
            raise RunError(message)
        else:
            self._current = self._current if self._current != key else ""
            self._open.remove(key)
            return [Outcome(key, kind, seconds, message, trace, socket.gethostname(), warming)]
        return []

    def seconds_left(self, limit: float | None) -> float | None:
        """Return how long the running cell may still take; None if there is no limit, or no cell."""
        return None if limit is None or not self._current else self._since + limit - time.monotonic()

    def expire(self, limit: float) -> list[Outcome]:
        """Kill the process because its cell took too long."""
        self.kill()
        return self._blame("timed_out", f"took longer than the {limit:g} s of --cell-timeout")

    def kill(self) -> None:
        """Kill the process."""
        self.process.kill()
        self.process.wait()
        self.connection.close()
        self._errors.close()

    def _died(self) -> list[Outcome]:
        self.process.kill()
        code = self.process.wait()
        self.connection.close()
        with self._errors:
            self._errors.seek(0)
            said = self._errors.read().decode(errors="replace")[-_TAIL:]
        if not self.ready:
            raise RunError(f"a process that was to run cells ended before it could ({_ended(code)}): {said.strip()}")
        return self._blame("killed", f"its process ended ({_ended(code)})", said)

    def _blame(self, kind: Kind, message: str, trace: str = "") -> list[Outcome]:
        """Return the outcome of all cells of the batch that are not in a file: one is to blame, if any."""
        host, found = socket.gethostname(), []
        for key in self._open:
            if key == self._current:
                found.append(Outcome(key, kind, time.monotonic() - self._since, message, trace, host))
            else:
                found.append(Outcome(key, "lost", host=host))
        self.batch, self._open, self._current = None, [], ""
        return found


def _ended(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
    hint = "; the system does this when memory runs out" if name == "SIGKILL" else ""
    return f"{name}{hint}"


def listen_to(processes: Sequence[CellProcess], cell_timeout: float | None) -> list[Outcome]:
    """Wait until something happens to some processes, at most for a while, and return what became of their cells."""
    left = [s for p in processes if (s := p.seconds_left(cell_timeout)) is not None]
    readable = wait([p.connection for p in processes], max(0.0, min([_TICK, *left])))
    outcomes = []
    for process in processes:
        if process.connection in readable:
            outcomes += process.listen()
        seconds = None if process.dead else process.seconds_left(cell_timeout)
        if seconds is not None and seconds <= 0 and cell_timeout is not None:
            outcomes += process.expire(cell_timeout)
    return outcomes
