"""Threads that stay inside a kernel from step to step, since waking one takes as long as a fifth of a step.

Between two steps they look at a board (`bimu_hw.kernels.team`) and offer the processor to others now and then; one that
has looked in vain for a millisecond or two leaves the kernel and sleeps.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any

from bimu_hw.kernels.team import LEAVE, clear, new_board, promise


class Team:
    """The ranks from 1 on, a thread each; whoever calls is rank 0.

    Parameters
    ----------
    ranks : int
        With the caller.

    Attributes
    ----------
    board : int64[rank + 1, 8]
    waits : bool
        Whether ranks were promised steps that rank 0 has not told the end of: they were interrupted.
    """

    def __init__(self, ranks: int) -> None:
        self.board = new_board(ranks)
        self._wake = [threading.Event() for _ in range(1, ranks)]
        self._threads: list[threading.Thread] = []
        self._dismiss: Callable[[], None] | None = None
        self.waits = False

    def employ(self, serve: Callable[..., None], *step: Any) -> None:
        """Let the ranks serve with other arguments from now on: ``serve(board, rank, *step)``."""
        self.dismiss()
        clear(self.board)
        self.waits = False
        # Compiled here, where waiting for it hinders nobody.
        self.board[-1, LEAVE] = 1
        serve(self.board, len(self._wake), *step)
        self.board[-1, LEAVE] = 0
        for rank, wake in enumerate(self._wake, 1):
            wake.clear()
            arguments = (serve, self.board, rank, *step)
            thread = threading.Thread(target=_work, args=(wake, *arguments), name=f"bimu-{rank}", daemon=True)
            thread.start()
            self._threads.append(thread)
        # At the end of the team, or of the interpreter, nobody is left inside a kernel.
        self._dismiss = weakref.finalize(self, _dismiss, self.board, self._wake, self._threads)

    def dismiss(self) -> None:
        """Let the threads end."""
        if self._dismiss is not None:
            self._dismiss()
        self._threads, self._dismiss = [], None

    def expect(self, steps: int) -> None:
        """Promise the ranks some steps, and wake those that sleep; `done` is due after them."""
        self.waits = True
        if promise(self.board, steps):
            for wake in self._wake:
                wake.set()

    def done(self) -> None:
        """Be told that the promised steps are done, or that there were fewer."""
        promise(self.board, 0)
        self.waits = False


def _work(wake: threading.Event, serve: Callable[..., None], board: Any, *arguments: Any) -> None:
    while not board[-1, LEAVE]:
        wake.wait()
        wake.clear()
        serve(board, *arguments)


def _dismiss(board: Any, wake: list[threading.Event], threads: list[threading.Thread]) -> None:
    board[-1, LEAVE] = 1
    for event in wake:
        event.set()
    for thread in threads:
        thread.join()
