"""The events of the simulated clock: what is waited for, and turns at the end of a tick."""

from __future__ import annotations

import math
from collections.abc import Callable

import simpy

#: The tick of a turn that is not to come.
_NEVER = math.inf


class Events:
    """A clock that brings what is waited for, and calls for a turn after everything else that is due at its tick.

    Parameters
    ----------
    turn : callable
        Is told the tick.
    tick : int
        Where the clock begins.

    Attributes
    ----------
    now : int
        The tick.
    waits : int
        How often something was waited for. What is due at one tick comes in the order in which the waiting began.

    Notes
    -----
    What is waited for are SimPy's events. Of turns there is at most one to come, so it needs no place among them.
    """

    def __init__(self, turn: Callable[[int], None], tick: int = 0) -> None:
        self._env = simpy.Environment(initial_time=tick)
        self._turn = turn
        self._turn_at = _NEVER
        self._ended = False
        self.now = tick
        self.waits = 0

    def wait(self, ticks: int, then: Callable[[simpy.Event], None]) -> tuple[int, int]:
        """Let something happen after some ticks; return its place in the order of waiting and the tick it is due."""
        due = self.now + ticks
        # SimPy's own clock stands where the last of its events was.
        self._env.timeout(due - int(self._env.now)).callbacks.append(then)
        self.waits += 1
        return self.waits, due

    def turn_at(self, tick: int) -> None:
        """Let the next turn be at a tick; one that was to come at another tick is replaced."""
        self._turn_at = tick

    def turn_now(self) -> None:
        """Take a turn at this tick: at once if nothing else is due at it. Whoever calls this has nothing left to do."""
        if self.nothing_before(self.now + 1):
            self._turn_at = _NEVER
            self._turn(self.now)
        else:
            self._turn_at = self.now

    def nothing_before(self, tick: int) -> bool:
        """Return whether neither a turn nor anything that is waited for comes before a tick."""
        return tick <= self._turn_at and tick <= self._env.peek()

    def run(self) -> None:
        """Bring one thing after the other until `end` is called."""
        env = self._env
        while not self._ended:
            due, turn = env.peek(), self._turn_at
            if turn < due:
                self.now, self._turn_at = int(turn), _NEVER
                self._turn(self.now)
            else:
                self.now = int(due)
                env.step()

    def end(self) -> None:
        """Let `run` come to its end."""
        self._ended = True
