"""The events of the simulated clock: what is waited for, and turns at the end of a tick."""

from __future__ import annotations

from collections.abc import Callable

import simpy

#: Order among events of one tick: what SimPy calls normal is 1.
_LAST = 2


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
    waits : int
        How often something was waited for. What is due at one tick comes in the order in which the waiting began.
    """

    def __init__(self, turn: Callable[[int], None], tick: int = 0) -> None:
        self._env = simpy.Environment(initial_time=tick)
        self._end = self._env.event()
        self._turn = turn
        self._turn_at = -1
        self.waits = 0

    @property
    def now(self) -> int:
        """The tick."""
        return int(self._env.now)

    def wait(self, ticks: int, then: Callable[[simpy.Event], None]) -> tuple[int, int]:
        """Let something happen after some ticks; return its place in the order of waiting and the tick it is due."""
        self._env.timeout(ticks).callbacks.append(then)
        self.waits += 1
        return self.waits, self.now + ticks

    def turn_at(self, tick: int) -> None:
        """Let the next turn be at a tick; one that was to come later, or at the same tick, is replaced."""
        if tick == self._turn_at:
            return
        self._turn_at = tick
        event = simpy.Event(self._env)
        event._ok, event._value = True, None
        event.callbacks.append(self._take_turn)
        self._env.schedule(event, _LAST, tick - self.now)  # type: ignore[arg-type]

    def turn_now(self) -> None:
        """Take a turn at this tick: at once if nothing else is due at it. Whoever calls this has nothing left to do."""
        if self.nothing_before(self.now + 1):
            self._turn_at = -1
            self._turn(self.now)
        else:
            self.turn_at(self.now)

    def _take_turn(self, event: simpy.Event) -> None:
        now = self.now
        if now == self._turn_at:
            self._turn_at = -1
            self._turn(now)

    def nothing_before(self, tick: int) -> bool:
        """Return whether nothing that is waited for comes before a tick."""
        return tick <= self._env.peek()

    def run(self) -> None:
        """Bring one thing after the other until `end` is called."""
        self._env.run(until=self._end)

    def end(self) -> None:
        """Let `run` come to its end."""
        self._end.succeed()
