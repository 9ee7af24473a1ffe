"""What an accelerator is told: when inputs arrive, who waits where, and who watches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from bimu_hw.accelerator.arrivals import Arrivals
from bimu_hw.accelerator.oracle import LabelTimes
from bimu_hw.accelerator.query import QueryRow
from bimu_hw.crossbar.chip import Encoded


class ExampleSource(Protocol):
    """Where examples come from."""

    n_examples: int

    def example(self, index: int) -> tuple[Encoded, int, int, int]:
        """Return the encoded example, its true label, what the oracle answers when asked, and its task."""

    def examples(self, start: int, stop: int) -> list[tuple[Encoded, int, int, int]]:
        """Return what `example` returns for each of some consecutive examples."""


class Observer(Protocol):
    """Who watches a run. Watching changes nothing."""

    def between_jobs(self) -> None:
        """Be told of a moment at which `Accelerator.state` can be taken."""

    def before_query(self, index: int, tick: int) -> None:
        """Be told that a query is about to be served."""

    def answered(self, row: QueryRow) -> None:
        """Be handed a query when its prediction is ready; it has spent what inference and label take."""

    def learned(self, row: QueryRow) -> None:
        """Be handed a query when it was learned; it has spent what the update takes, and no more."""


@dataclass
class Usage:
    """How much a resource was used.

    Attributes
    ----------
    events : int
        Stages it did.
    busy_ticks : int
        Summed over the units that work side by side.
    capacity : int
        Units that work side by side.
    """

    events: int = 0
    busy_ticks: int = 0
    capacity: int = 1


@dataclass(frozen=True)
class Pause:
    """A time between two tasks in which the devices age and the accelerator is off: no tick passes, nothing is charged.

    Attributes
    ----------
    after_task : int or None
        Number of a task, the first being 1; None: after each.
    duration, temperature : float
        In seconds and kelvin.
    """

    after_task: int | None
    duration: float
    temperature: float


@dataclass(frozen=True)
class Sleep:
    """The chip is switched off while nothing is to do.

    Attributes
    ----------
    after : int
        Idle ticks after which it is switched off.
    wake : int
        Ticks from the first job's arrival until the chip can serve it.
    """

    after: int
    wake: int


@dataclass(frozen=True)
class AcceleratorSpec:
    """Time around the chip.

    Attributes
    ----------
    arrivals : Arrivals
    queue : int
        Places in the input queue, without the queries in service; 0: unbounded.
    labels : LabelTimes
    power_gating : bool
        Whether sampling elements are biased only while the array they belong to is looked at.
    gradient : {"relaxed", "hard"}
    pauses : tuple of Pause
    tasks : int
        Tasks of the stream: after the last one there may be a pause too.
    back_pressure : bool
        Whether an input that finds the queue full waits, and the source with it, instead of being dropped.
    priority : {"update_first", "inference_first", "fifo"}
        Who comes first where a query and an update both wait.
    refresh : int
        Ticks between two refreshes of the store; 0: none.
    sleep : Sleep, optional
    """

    arrivals: Arrivals
    queue: int
    labels: LabelTimes
    power_gating: bool
    gradient: str
    pauses: tuple[Pause, ...] = ()
    tasks: int = 1
    back_pressure: bool = False
    priority: str = "update_first"
    refresh: int = 0
    sleep: Sleep | None = None

    def update_is_first(self, label_tick: int, queue: Sequence[tuple[int, int]]) -> bool:
        """Return whether, of an update and a query that both wait, the update comes first.

        Parameters
        ----------
        label_tick : int
            When the label of the update came.
        queue : sequence of (int, int)
            Index and arrival of the inputs that wait.
        """
        if self.priority == "fifo" and queue:
            return label_tick <= queue[0][1]
        return self.priority != "inference_first"

    def unit_priority(self, job: str) -> int:
        """Return who gets a unit of the chip first: the lower number."""
        if self.priority == "fifo":
            return 0
        return int((job == "update") != (self.priority == "update_first"))
