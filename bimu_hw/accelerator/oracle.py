"""The label oracle: how long a label takes, and who is free to give it.

Requests are served first come first served by a number of annotators. A request that no annotator could begin before
its deadline is withdrawn and takes nobody's time; a label that is given after its deadline is stale, though its
annotator has worked for it. Either way the example is not learned.

Times are drawn per query, with a logarithm and an exponential of our own (`bimu_hw.accelerator.exact`), so that the
schedule is the same in every picosecond on every machine.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any, NamedTuple

from bimu_hw.accelerator.clock import to_ticks
from bimu_hw.accelerator.exact import exponential, logarithm
from bimu_hw.errors import ScenarioError
from bimu_hw.random import Purpose, stream_key

DISTRIBUTIONS = ("constant", "exponential", "lognormal")


@dataclass(frozen=True)
class LabelTimes:
    """How long the oracle takes for a label.

    Attributes
    ----------
    latency : int
        Mean, in ticks.
    distribution : {"constant", "exponential", "lognormal"}
    sigma : float
        Lognormal: standard deviation of the logarithm.
    annotators : int
        Who work side by side; 0: as many as there are requests.
    deadline : int
        Ticks after the request from which on a label is of no use; 0: none.
    seed : int
        Noise seed.
    """

    latency: int = 0
    distribution: str = "constant"
    sigma: float = 0.0
    annotators: int = 0
    deadline: int = 0
    seed: int = 0

    @property
    def prompt(self) -> bool:
        """Whether a label is there the moment it is asked for."""
        return self.latency == 0

    def ticks(self, index: int) -> int:
        """Return the time that the label of a query takes, at least one tick; a function of the index alone."""
        if self.distribution == "constant":
            return self.latency
        key = int(stream_key(self.seed, Purpose.LABEL_LATENCY, index))
        uniform = ((key >> 11) + 0.5) * 2.0**-53
        if self.distribution == "exponential":
            factor = -logarithm(uniform)
        else:
            # To five decimals, far finer than any such distribution is known: the last bit may differ between machines.
            normal = round(NormalDist().inv_cdf(uniform), 5)
            factor = exponential(normal * self.sigma - 0.5 * self.sigma * self.sigma)
        return max(1, round(self.latency * factor))


def label_times(
    latency: float, distribution: str, sigma: float, annotators: int, deadline: float, seed: int
) -> LabelTimes:
    """Return the times of an oracle given in seconds.

    Raises
    ------
    ScenarioError
        If the distribution is not known.
    ScheduleError
        If a time is no duration.
    """
    if distribution not in DISTRIBUTIONS:
        raise ScenarioError(f"labels.distribution: got {distribution!r}; allowed are {', '.join(DISTRIBUTIONS)}.")
    ticks = to_ticks(latency, "labels.latency"), to_ticks(deadline, "labels.deadline")
    return LabelTimes(ticks[0], distribution, sigma, annotators, ticks[1], seed)


class Answer(NamedTuple):
    """What becomes of a request.

    Attributes
    ----------
    tick : int
        When the label comes, or when the request is withdrawn.
    begun : int
        When an annotator begins with it; -1: never.
    stale : bool
        Whether the label is of no use.
    """

    tick: int
    begun: int
    stale: bool


class Oracle:
    """Annotators at work.

    Parameters
    ----------
    times : LabelTimes

    Attributes
    ----------
    busy_ticks, labels : int
        Annotators' time spent, and labels they gave.
    """

    def __init__(self, times: LabelTimes) -> None:
        self.times = times
        self.busy_ticks = self.labels = 0
        self._free = [0] * times.annotators

    def request(self, index: int, now: int) -> Answer:
        """Ask for the label of a query, after all earlier requests."""
        times = self.times
        begun = max(now, self._free[0]) if self._free else now
        last = now + times.deadline
        if times.deadline and begun > last:
            return Answer(last, -1, True)
        ticks = times.ticks(index)
        if self._free:
            heapq.heapreplace(self._free, begun + ticks)
        self.busy_ticks += ticks
        self.labels += 1
        return Answer(begun + ticks, begun, bool(times.deadline) and begun + ticks > last)

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint must keep."""
        return {"free": list(self._free), "busy_ticks": self.busy_ticks, "labels": self.labels}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over a state."""
        self._free, self.busy_ticks, self.labels = list(state["free"]), state["busy_ticks"], state["labels"]
