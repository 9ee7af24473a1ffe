"""When inputs arrive."""

from __future__ import annotations

from dataclasses import dataclass

from bimu_hw.accelerator.clock import TICKS_PER_SECOND, to_ticks
from bimu_hw.errors import ScenarioError
from bimu_hw.random import Purpose, host_generator

_BLOCK = 4096


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
        if getattr(self, "_cached", None) is None or self._cached[0] != block:  # type: ignore[has-type]
            generator = host_generator(self.seed, Purpose.ARRIVAL, block)
            object.__setattr__(self, "_cached", (block, generator.exponential(1.0 / self.rate, _BLOCK)))
        seconds = self._cached[1][offset]  # type: ignore[has-type]
        return max(1, round(seconds * TICKS_PER_SECOND))


def oracle_latency(seconds: float) -> int:
    """Return the label oracle's latency in ticks."""
    return to_ticks(seconds, "labels.latency")
