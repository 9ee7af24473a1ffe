"""When inputs arrive."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from bimu_hw.accelerator.clock import TICKS_PER_SECOND, to_ticks
from bimu_hw.errors import ScenarioError
from bimu_hw.random import Purpose, host_generator

_BLOCK = 4096


@lru_cache(maxsize=4)
def _exponential_gaps(seed: int, block: int) -> npt.NDArray[np.float64]:
    """Return a block of gaps of mean 1, drawn together because a generator costs more than its numbers."""
    return host_generator(seed, Purpose.ARRIVAL, block).exponential(1.0, _BLOCK)


@dataclass(frozen=True)
class Arrivals:
    """An arrival process.

    Attributes
    ----------
    kind : {"periodic", "poisson", "back_to_back"}
        Back to back: the next input arrives the moment the controller is free.
    rate : float
        Inputs per second; not used back to back.
    seed : int
        Data seed, for Poisson arrivals.
    """

    kind: str
    rate: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind not in ("periodic", "poisson", "back_to_back"):
            raise ScenarioError(
                f"accelerator.arrivals: got {self.kind!r}; allowed are periodic, poisson, back_to_back."
            )
        if self.kind != "back_to_back" and not 0 < self.rate <= TICKS_PER_SECOND:
            raise ScenarioError(f"accelerator.rate: got {self.rate:g} Hz; allowed is above 0 up to 1 THz.")

    def gap(self, index: int) -> int:
        """Return the ticks between arrival `index` - 1 and arrival `index`; a function of the index alone."""
        if self.kind == "periodic":
            # Cumulative rounding, so that the mean rate is exact.
            return round((index + 1) * TICKS_PER_SECOND / self.rate) - round(index * TICKS_PER_SECOND / self.rate)
        block, offset = divmod(index, _BLOCK)
        seconds = float(_exponential_gaps(self.seed, block)[offset]) / self.rate
        return max(1, round(seconds * TICKS_PER_SECOND))


def oracle_latency(seconds: float) -> int:
    """Return the label oracle's latency in ticks."""
    return to_ticks(seconds, "labels.latency")
