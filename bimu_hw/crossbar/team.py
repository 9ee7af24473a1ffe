"""Threads that stay inside a kernel from step to step, since waking one takes as long as a fifth of a step.

Between two steps they look at a board (`bimu_hw.kernels.team`) and offer the processor to others now and then; one that
has looked in vain for a millisecond or two leaves the kernel and sleeps.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from bimu_hw.kernels.team import LEAVE, clear, new_board, promise


class Team:
    """The ranks from 1 on, a thread each; whoever calls is rank 0. One thread at a time may call.

    Parameters
    ----------
    ranks : int
        With the caller.

    Attributes
    ----------
    board : int64[rank + 1, 8]
    """

    def __init__(self, ranks: int) -> None:
        self.board = new_board(ranks)
        # A put is safe wherever it interrupts a get, even in the thread that waits: a collection may bring one about.
        self._wake: list[SimpleQueue[None]] = [SimpleQueue() for _ in range(1, ranks)]
        self._threads: list[threading.Thread] = []
        # At the end of the team, or of the interpreter, nobody is left inside a kernel.
        self._end = weakref.finalize(self, _dismiss, self.board, self._wake, self._threads)

    def employ(self, serve: Callable[..., None], *step: Any) -> None:
        """Let the ranks serve with other arguments from now on: ``serve(board, rank, *step)``."""
        self.dismiss()
        clear(self.board)
        # Compiled here, where waiting for it hinders nobody.
        self.board[-1, LEAVE] = 1
        serve(self.board, len(self._wake), *step)
        self.board[-1, LEAVE] = 0
        for rank, wake in enumerate(self._wake, 1):
            arguments = (wake, serve, self.board, rank, *step)
            thread = threading.Thread(target=_work, args=arguments, name=f"bimu-{rank}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def dismiss(self) -> None:
        """Let the threads end."""
        _dismiss(self.board, self._wake, self._threads)
        self._threads.clear()

    def expect(self, steps: int) -> None:
        """Promise the ranks some steps, and wake those that sleep; `release` is due after them."""
        if promise(self.board, steps):
            for wake in self._wake:
                if wake.empty():
                    wake.put(None)

    def release(self) -> None:
        """Take back what is left of a promise: the ranks may sleep again if nothing comes for long."""
        promise(self.board, 0)


def _work(wake: SimpleQueue[None], serve: Callable[..., None], board: Any, *arguments: Any) -> None:
    while not board[-1, LEAVE]:
        wake.get()
        serve(board, *arguments)


def _dismiss(board: Any, wake: list[SimpleQueue[None]], threads: list[threading.Thread]) -> None:
    board[-1, LEAVE] = 1
    for queue in wake:
        queue.put(None)
    for thread in threads:
        if thread.ident is not None and thread is not threading.current_thread():
            thread.join()
