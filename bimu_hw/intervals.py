"""What an energy may be, given the ranges of the card values it is made of.

Every card value has a range. Here each is drawn on its own: with equal probability from the part of its range below the
card's value and from the part above, in either part uniform in the logarithm, or uniform if the part begins at zero.
The card's value is the median of what is drawn; a value without a range stays what it is. Prices of one key of one card
are one value and move together. The interval contains 90 % of the energies of these draws, between the 5th and the 95th
percentile.

Each value is drawn from as many equal slices of probability as there are draws, in an order that its name alone decides
(Latin hypercube: McKay, Beckman, Conover, Technometrics 21, 239 (1979)); the numbers are the same on every machine.

An energy is a sum over values, but for the read energy of the arrays, V**2 t (g_on + g_off) times what was driven.
(Columns of pairs read one cell of each kind; for others this takes half of the cells to be on.) So what a value adds to
the variance is the variance of the energy when only that value is drawn, and the shares of all values add up to one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bimu_hw.ledger import READ_KEYS, CostTable, ReadPrice
from bimu_hw.operations import OPERATIONS, Operation
from bimu_hw.random import Purpose, host_generator

#: Draws of an interval: its ends move by less than a hundredth of it from one order of slices to another.
N_DRAWS = 4096
#: Percentiles between which an energy lies.
ENDS = (5.0, 95.0)

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Share:
    """A card value that makes an interval wide.

    Attributes
    ----------
    card, key : str
        Name of the card, and what the value is called there.
    share : float
        Part of the variance.
    low, value, high : float
        The price of one count and its range, in joules; of what the read energy of the arrays follows from, in SI.
    """

    card: str
    key: str
    share: float
    low: float
    value: float
    high: float


class Draws:
    """Prices drawn from their ranges.

    Parameters
    ----------
    table : CostTable
    reads : ReadPrice
    operations : sequence of Operation
        The rows of the table; an older record counts fewer than there are today.
    """

    def __init__(self, table: CostTable, reads: ReadPrice, operations: Sequence[Operation] = OPERATIONS) -> None:
        self._table, self._reads, self._operations = table, reads, operations
        order = {key: _order(key) for key in dict.fromkeys(op.key for op in operations)}
        ends = zip(table.low, table.joules, table.high, strict=True)
        self._prices = np.stack([_within(*end, order[op.key]) for end, op in zip(ends, operations, strict=True)])
        self._values = np.stack(
            [
                _within(reads.low[i], reads.value[i], reads.high[i], _order(f"sampler.{key}"))
                for i, key in enumerate(READ_KEYS)
            ]
        )

    def energy(self, counts: npt.NDArray[np.int64], array_joules: float) -> FloatArray:
        """Return the energy of counts, int64[operation], and array reads in every draw, float64[draw]."""
        return counts.astype(np.float64) @ self._prices + array_joules * self._read(range(len(READ_KEYS)))

    def interval(self, counts: npt.NDArray[np.int64], array_joules: float) -> tuple[float, float]:
        """Return the ends of the interval of an energy."""
        low, high = np.percentile(self.energy(counts, array_joules), ENDS)
        return float(low), float(high)

    def shares(self, counts: npt.NDArray[np.int64], array_joules: float) -> list[Share]:
        """Return what each value adds to the variance of an energy, the largest first; none if nothing has a range."""
        table, reads = self._table, self._reads
        found: dict[tuple[str, str], tuple[float, float, float, float]] = {}
        for key in dict.fromkeys(op.key for op in self._operations):
            rows = [i for i, op in enumerate(self._operations) if op.key == key]
            variance = float(np.var(counts[rows].astype(np.float64) @ self._prices[rows]))
            i = rows[0]
            ends = (float(table.low[i]), float(table.joules[i]), float(table.high[i]))
            found[table.cards[i], self._operations[i].cost] = (variance, *ends)
        for i, key in enumerate(READ_KEYS):
            ends = (float(reads.low[i]), float(reads.value[i]), float(reads.high[i]))
            found[reads.card, key] = (array_joules**2 * float(np.var(self._read([i]))), *ends)
        total = sum(variance for variance, *_ in found.values())
        if total == 0.0:
            return []
        shares = [Share(*name, variance / total, *ends) for name, (variance, *ends) in found.items()]
        return sorted(shares, key=lambda share: -share.share)

    def _read(self, drawn: Sequence[int]) -> FloatArray:
        """Return the read energy relative to that at the card's values, with the values of these numbers drawn."""
        values = np.repeat(self._reads.value[:, None], N_DRAWS, axis=1)
        values[list(drawn)] = self._values[list(drawn)]
        at = _read_energy(self._reads.value)
        return _read_energy(values) / at if at > 0.0 else np.ones(N_DRAWS)


def _read_energy(values: FloatArray) -> FloatArray:
    g_on, g_off, voltage, time = values
    return np.asarray((g_on + g_off) * voltage**2 * time)


def _order(key: str) -> FloatArray:
    """Return the middles of equal slices of probability, in an order that the key decides."""
    word = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") >> 1
    return (host_generator(0, Purpose.PRICE, word).permutation(N_DRAWS) + 0.5) / N_DRAWS


def _within(low: float, value: float, high: float, u: FloatArray) -> FloatArray:
    """Return the quantiles `u` of what a value may be; half of the probability lies on either side of it."""
    below, above = 2.0 * u, 2.0 * u - 1.0
    lower = low * (value / low) ** below if low > 0.0 else value * below
    upper = value * (high / value) ** above if value > 0.0 else high * above
    return np.where(u < 0.5, lower, upper)
