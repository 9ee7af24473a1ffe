"""Who works for which job until when: a chip that serves one job at a time, and one with several jobs in flight.

A machine knows jobs as numbered slots and work as stages on units; what a job computes is not its business. Between two
calls it lets no stage pass alone: whoever uses it asks when the next job will be done if nothing else comes, and comes
back then, or earlier with another job. All stages in between are accounted in one go.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from bimu_hw.kernels.stages import PER_CHAIN, PER_SLOT, advance, look_ahead, submit

Ints = npt.NDArray[np.int64]


class Segment(NamedTuple):
    """Equal chains of stages that run side by side.

    Attributes
    ----------
    chains : int
    units : int64[stage]
        Kind of unit each stage of a chain occupies.
    ticks : int64[stage]
    """

    chains: int
    units: Ints
    ticks: Ints


class Passed(NamedTuple):
    """A stage that has passed: the job's slot, its place in the job, when it began and how long it took."""

    slot: int
    segment: int
    stage: int
    start: int
    ticks: int


class Machine(Protocol):
    """What the accelerator asks of a machine."""

    def submit(self, slot: int, segments: Sequence[Segment], ticks: int, priority: int, now: int) -> None:
        """Begin a job: `ticks` is what it takes if it has the chip to itself."""

    def due(self) -> int | None:
        """Return the tick at which the next job will be done if nothing else comes, None if there is none."""

    def done(self, now: int) -> list[int]:
        """Let time pass until `now` and return the slots of the jobs that are done, in the order of their ends."""

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint must keep."""

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state."""


class OneAtATime:
    """One job has the whole chip."""

    def __init__(self) -> None:
        self._job: tuple[int, int] | None = None

    def submit(self, slot: int, segments: Sequence[Segment], ticks: int, priority: int, now: int) -> None:
        """Begin a job; see `Machine`."""
        self._job = slot, now + ticks

    def due(self) -> int | None:
        """Return the tick at which the job will be done."""
        return None if self._job is None else self._job[1]

    def done(self, now: int) -> list[int]:
        """Return the job if it is done."""
        if self._job is None or self._job[1] > now:
            return []
        slot, self._job = self._job[0], None
        return [slot]

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint must keep: nothing, for it is taken between two jobs."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state."""


class InFlight:
    """Several jobs share the units of the chip, stage by stage (`bimu_hw.kernels.stages`).

    Parameters
    ----------
    capacities : sequence of int
        Units of each kind.
    n_slot : int
        Jobs in flight.
    n_chain, n_stage : int
        Most chains of a segment, most stages of a chain.
    log : int
        Stages to keep for `passed`.
    """

    _SEGMENTS = 2

    def __init__(self, capacities: Sequence[int], n_slot: int, n_chain: int, n_stage: int, log: int = 0) -> None:
        self._n_slot, self._n_chain = n_slot, n_chain
        self._unit = np.zeros((n_slot, self._SEGMENTS, n_stage), np.int64)
        self._ticks = np.zeros_like(self._unit)
        self._length = np.zeros((n_slot, self._SEGMENTS), np.int64)
        self._chains = np.zeros_like(self._length)
        self._n_segment = np.zeros(n_slot, np.int64)
        self._work = (self._unit, self._ticks, self._length, self._chains, self._n_segment, n_chain)
        n = n_slot * n_chain
        self._slots = PER_CHAIN * n
        self._live = np.full(self._slots + PER_SLOT * n_slot + len(capacities) + 1, -1, np.int64)
        self._live[-1] = 0
        self._live[self._slots + PER_SLOT * n_slot : -1] = capacities
        self._ahead = self._live.copy()
        #: The tick of the next end of a job, to which `_ahead` has come; -1 if there is none, None if it is not known.
        self._due: int | None = -1
        #: Jobs that were begun, and whose end was not fetched.
        self._jobs = 0
        #: What was copied into each place last: the same work comes again and again.
        self._copied: list[list[Segment | None]] = [[None] * self._SEGMENTS for _ in range(n_slot)]
        self._log = np.zeros((1 + log, 5), np.int64)
        self._no_log = np.zeros((1, 5), np.int64)

    def submit(self, slot: int, segments: Sequence[Segment], ticks: int, priority: int, now: int) -> None:
        """Begin a job; see `Machine`."""
        copied = self._copied[slot]
        for k, segment in enumerate(segments):
            if copied[k] is segment:
                continue
            n = len(segment.units)
            self._unit[slot, k, :n], self._ticks[slot, k, :n] = segment.units, segment.ticks
            self._length[slot, k], self._chains[slot, k] = n, segment.chains
            copied[k] = segment
        self._n_segment[slot] = len(segments)
        submit(self._live, *self._work, slot, priority, now, self._log)
        self._jobs += 1
        self._due = None

    def due(self) -> int | None:
        """Return when the next job will be done if nothing else comes: look ahead on a copy."""
        if self._due is None:
            self._due = int(look_ahead(self._live, *self._work, self._no_log, self._ahead)) if self._jobs else -1
        return None if self._due < 0 else self._due

    def done(self, now: int) -> list[int]:
        """Let time pass and return the jobs that are done, in the order of their ends."""
        if len(self._log) == 1 and self._due is not None:
            # Every stage before the next end can pass later, and what looking ahead has found need not be found again.
            if now < self._due or self._due < 0:
                return []
        if len(self._log) == 1 and now == self._due:
            self._live, self._ahead = self._ahead, self._live
        else:
            advance(self._live, *self._work, now, False, self._log)
        return self._fetch()

    def _fetch(self) -> list[int]:
        """Return the jobs that are done and were not fetched before, in the order of their ends."""
        first, n = self._slots + 2 * self._n_slot, self._n_slot
        found = [slot for slot, tick in enumerate(self._live[first : first + n].tolist()) if tick >= 0]
        if len(found) > 1:
            found.sort(key=self._live[first + n : first + 2 * n].tolist().__getitem__)
        for slot in found:
            self._live[first + slot] = -1
        if found:
            self._jobs -= len(found)
            self._due = None
        return found

    def segments(self, slot: int) -> list[Segment]:
        """Return the work in a slot."""
        lengths = self._length[slot, : self._n_segment[slot]].tolist()
        return [
            Segment(int(self._chains[slot, k]), self._unit[slot, k, :n].copy(), self._ticks[slot, k, :n].copy())
            for k, n in enumerate(lengths)
        ]

    def passed(self) -> list[Passed]:
        """Return the stages that have ended since the last call, in the order of their ends, as far as room was."""
        n = int(self._log[0, 0])
        self._log[0, 0] = 0
        return [Passed(*map(int, row)) for row in self._log[1 : 1 + n]]

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint must keep: who occupies what, and the stages of the jobs in flight."""
        return {
            "live": self._live, "unit": self._unit, "ticks": self._ticks, "length": self._length,
            "chains": self._chains, "n_segment": self._n_segment,
        }  # fmt: skip

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state."""
        for name in ("live", "unit", "ticks", "length", "chains", "n_segment"):
            getattr(self, f"_{name}")[...] = state[name]
        first, n = self._slots, self._n_slot
        in_flight, through = self._live[first : first + n], self._live[first + 2 * n : first + 3 * n]
        self._jobs, self._due = int((in_flight >= 0).sum() + (through >= 0).sum()), None
        self._copied = [[None] * self._SEGMENTS for _ in range(n)]


def span(segments: Sequence[Segment], capacities: Sequence[int]) -> tuple[int, list[Passed]]:
    """Return how long a job takes that has the chip to itself, and its stages."""
    stages = sum(segment.chains * len(segment.units) for segment in segments)
    longest = max(len(segment.units) for segment in segments)
    machine = InFlight(capacities, 1, max(segment.chains for segment in segments), longest, stages)
    machine.submit(0, segments, 0, 0, 0)
    end = machine.due()
    machine.done(end or 0)
    return end or 0, machine.passed()
