"""Latencies, counted."""

from __future__ import annotations

import math

import numpy as np


class LatencyHistogram:
    """Latencies of any number of queries in bounded memory; quantiles are right to a thousandth.

    Attributes
    ----------
    counts : int64[bin]
    """

    _PER_FACTOR = 1000.0  # bins per factor e

    def __init__(self) -> None:
        # The last bin holds e**44 ticks, some 150 days.
        self.counts = np.zeros(44_000, np.int64)

    def add(self, ticks: int) -> None:
        """Count one latency."""
        self.counts[min(round(math.log1p(ticks) * self._PER_FACTOR), len(self.counts) - 1)] += 1

    def quantile(self, q: float) -> int:
        """Return the latency in ticks that a fraction `q` of the queries does not exceed; 0 without queries."""
        total = int(self.counts.sum())
        if total == 0:
            return 0
        index = int(np.searchsorted(np.cumsum(self.counts), math.ceil(q * total)))
        return round(math.expm1(index / self._PER_FACTOR))
