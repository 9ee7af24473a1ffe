"""Latencies, counted."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt


class LatencyHistogram:
    """Latencies of any number of queries in bounded memory; quantiles are right to a thousandth.

    Attributes
    ----------
    counts : int64[bin]
    """

    _PER_FACTOR = 1000.0  # bins per factor e
    _PENDING = 1024

    def __init__(self) -> None:
        # The last bin holds e**44 ticks, some 150 days.
        self._counts = np.zeros(44_000, np.int64)
        #: What was counted since: where nothing waits, the same few latencies come again and again.
        self._new: dict[int, int] = {}

    def add(self, ticks: int) -> None:
        """Count one latency."""
        new = self._new
        new[ticks] = new.get(ticks, 0) + 1
        if len(new) == self._PENDING:
            self._settle()

    def _settle(self) -> None:
        for ticks, n in self._new.items():
            self._counts[min(round(math.log1p(ticks) * self._PER_FACTOR), len(self._counts) - 1)] += n
        self._new.clear()

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """How many latencies lie in each bin."""
        self._settle()
        return self._counts

    def restore(self, counts: npt.NDArray[np.int64]) -> None:
        """Go on from these counts."""
        self._counts[...] = counts
        self._new.clear()

    def quantile(self, q: float) -> int:
        """Return the latency in ticks that a fraction `q` of the queries does not exceed; 0 without queries."""
        counts = self.counts
        total = int(counts.sum())
        if total == 0:
            return 0
        index = int(np.searchsorted(np.cumsum(counts), math.ceil(q * total)))
        return round(math.expm1(index / self._PER_FACTOR))
