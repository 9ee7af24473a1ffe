"""When inputs arrive."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from bimu_hw.accelerator.clock import TICKS_PER_SECOND
from bimu_hw.errors import ScenarioError
from bimu_hw.random import Purpose, host_generator

_BLOCK = 4096


@lru_cache(maxsize=4)
def _exponential_gaps(seed: int, block: int) -> npt.NDArray[np.float64]:
    """Return a block of gaps of mean 1, drawn together because a generator costs more than its numbers."""
    return host_generator(seed, Purpose.ARRIVAL, block).exponential(1.0, _BLOCK)


@dataclass(frozen=True, eq=False)
class Arrivals:
    """An arrival process.

    Attributes
    ----------
    kind : {"periodic", "poisson", "back_to_back", "trace"}
        Back to back: the next input arrives the moment the controller is free.
    rate : float
        Inputs per second; only for periodic and Poisson arrivals.
    seed : int
        Data seed, for Poisson arrivals.
    trace : int64[input]
        Ticks of the arrivals, for a trace (`bimu_hw.accelerator.trace`).
    """

    kind: str
    rate: float = 0.0
    seed: int = 0
    trace: npt.NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        if self.kind not in ("periodic", "poisson", "back_to_back", "trace"):
            raise ScenarioError(
                f"accelerator.arrivals: got {self.kind!r}; allowed are periodic, poisson, back_to_back, trace."
            )
        if self.kind in ("periodic", "poisson") and not 0 < self.rate <= TICKS_PER_SECOND:
            raise ScenarioError(f"accelerator.rate: got {self.rate:g} Hz; allowed is above 0 up to 1 THz.")

    def gap(self, index: int) -> int:
        """Return the ticks between arrival `index` - 1 and arrival `index`; a function of the index alone."""
        if self.trace is not None:
            return int(self.trace[index]) - (int(self.trace[index - 1]) if index else 0)
        if self.kind == "periodic":
            # Cumulative rounding, so that the mean rate is exact.
            return round((index + 1) * TICKS_PER_SECOND / self.rate) - round(index * TICKS_PER_SECOND / self.rate)
        block, offset = divmod(index, _BLOCK)
        seconds = float(_exponential_gaps(self.seed, block)[offset]) / self.rate
        return max(1, round(seconds * TICKS_PER_SECOND))
