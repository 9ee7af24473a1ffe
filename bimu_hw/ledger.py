"""Count first, price later: integer operation counts times a cost table.

Arrays and controllers report how often each operation was done, as integers; the ledger multiplies by energies at the
end. Integer sums are exact whatever their order, a run can be priced again with other component energies, and the sum
over components, layers or phases equals the total by construction. Only energies that depend on the state of the array
(V**2 G t of a read) are accumulated as joules. A query has a `Tally` of its own, priced when all is over.

Time is priced by the same cards but enters earlier: durations shape the schedule (`bimu_hw.accelerator`). The words of
counting, phases and operations, are in `bimu_hw.operations`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bimu_hw.cards import Card, Fact
from bimu_hw.operations import CHIP, COMPONENTS, OPERATIONS, PHASES, layer_counts, new_counts, operation_index

#: Place of each operation's component.
_COMPONENT = [COMPONENTS.index(op.component) for op in OPERATIONS]


@dataclass(frozen=True)
class CostTable:
    """Joules per count of every operation.

    Attributes
    ----------
    joules : float64[operation]
        Energy of one count; a power in a card is multiplied by the seconds of a count.
    low, high : float64[operation]
        The same at the ends of each card value's range.
    kinds, sources : tuple of str
        Provenance of each value: its kind, and card name plus source.
    cards : tuple of str
        Name of the card.
    """

    joules: npt.NDArray[np.float64]
    low: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]
    kinds: tuple[str, ...]
    sources: tuple[str, ...]
    cards: tuple[str, ...]

    @classmethod
    def from_cards(cls, cards: Mapping[str, Card]) -> CostTable:
        """Build the table from the cards "component", "storage" and "sampler"."""
        rows = []
        for op in OPERATIONS:
            card = cards[op.card]
            fact = card.costs[op.cost]
            scale = op.seconds if fact.unit == "W" else 1.0
            origin = f"{card.name}, {op.cost}: {card.references.get(fact.source, fact.source) or fact.why}"
            rows.append((fact.value * scale, fact.low * scale, fact.high * scale, fact.kind, origin, card.name))
        joules, low, high, kinds, sources, names = zip(*rows, strict=True)
        return cls(np.array(joules), np.array(low), np.array(high), kinds, sources, names)


#: What the read energy of the arrays follows from: keys of the sampling element's costs.
READ_KEYS = ("g_on", "g_off", "read_voltage", "read_time")


@dataclass(frozen=True)
class ReadPrice:
    """What V**2 G t of the arrays rests on: four values of the sampling element's card.

    Attributes
    ----------
    low, value, high : float64[4]
        Of `READ_KEYS`, in SI.
    kind : str
        "assumed" if one of them is, else "derived".
    card : str
        Name of the card.
    """

    low: npt.NDArray[np.float64]
    value: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]
    kind: str
    card: str

    @classmethod
    def from_cards(cls, sampler: Card, wires: Sequence[Fact] = ()) -> ReadPrice:
        """Build it from the sampling element's card; `wires` are the resistances that the energy depends on, too."""
        facts = [sampler.costs[name] for name in READ_KEYS]
        kind = "assumed" if any(fact.kind == "assumed" for fact in (*facts, *wires)) else "derived"
        low, value, high = (np.array([getattr(f, end) for f in facts]) for end in ("low", "value", "high"))
        return cls(low, value, high, kind, sampler.name)


@dataclass(frozen=True)
class AreaBlock:
    """Equal things on the chip that take area.

    Attributes
    ----------
    count : int
    key : str
        Whose card says how large one is, and under which key: ``card.cost``.
    each : float
        Area of one in square metres.
    """

    count: int
    key: str
    each: float

    @classmethod
    def of(cls, count: int, key: str, cards: Mapping[str, Card]) -> AreaBlock:
        """Return a block whose area is the cost `key` of one of the cards "component", "storage" and "sampler"."""
        card, _, cost = key.partition(".")
        return cls(count, key, cards[card].costs[cost].value)


class Entry(NamedTuple):
    """Operations that are booked together, once or many times.

    Attributes
    ----------
    counts : int64[layer, operation]
        With the entry `bimu_hw.operations.CHIP`.
    total : int64[operation]
        Their sum over layers.
    """

    counts: npt.NDArray[np.int64]
    total: npt.NDArray[np.int64]

    @classmethod
    def of(cls, counts: npt.NDArray[np.int64]) -> Entry:
        """Return an entry of these counts, int64[layer, operation]."""
        return cls(counts, np.add.reduce(counts))

    @classmethod
    def single(cls, n_layers: int, component: str, name: str, count: int = 1, layer: int = CHIP) -> Entry:
        """Return an entry of one operation."""
        counts = layer_counts(n_layers)
        counts[layer, operation_index(component, name)] = count
        return cls.of(counts)


@dataclass(slots=True)
class Tally:
    """What one query, or a row of queries, has spent: counted now, priced later.

    Attributes
    ----------
    counts : int64[operation]
    array_joules : float
        State-dependent energy of reads.
    """

    counts: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(OPERATIONS), np.int64))
    array_joules: float = 0.0


@dataclass
class Ledger:
    """The account of one run.

    Attributes
    ----------
    counts : int64[phase, layer, operation]
        Operations done; the last layer is what belongs to none.
    array_joules : float64[phase, layer]
        State-dependent energy of reads, V**2 G t summed over driven cells.
    """

    counts: npt.NDArray[np.int64]
    array_joules: npt.NDArray[np.float64]

    @classmethod
    def empty(cls, n_layers: int) -> Ledger:
        """Return an account with nothing in it."""
        return cls(new_counts(n_layers), np.zeros((len(PHASES), n_layers + 1)))

    def book(self, phase: int, entry: Entry, tally: Tally) -> None:
        """Book an entry under a phase, given by its index, and on the tally of the query that caused it."""
        self.counts[phase] += entry.counts
        tally.counts += entry.total

    def energy(self, costs: CostTable) -> npt.NDArray[np.float64]:
        """Return energy in joules, float64[phase, layer, component]."""
        return price(self.counts, self.array_joules, costs.joules)

    def assumed_share(self, costs: CostTable, array_kind: str) -> float:
        """Return the share of the total energy that rests on assumed values.

        Parameters
        ----------
        costs : CostTable
        array_kind : str
            Kind of the array's read energy: "assumed" if one of its conductances, voltage or time is.
        """
        per_operation = self.counts.sum(axis=(0, 1)) * costs.joules
        array = float(self.array_joules.sum())
        total = float(per_operation.sum()) + array
        assumed = float(per_operation[[k == "assumed" for k in costs.kinds]].sum())
        assumed += array if array_kind == "assumed" else 0.0
        return assumed / total if total > 0 else 0.0


def price(
    counts: npt.NDArray[np.int64], array_joules: npt.NDArray[np.float64], joules: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Turn counts into joules by component.

    Parameters
    ----------
    counts : int64[..., operation]
    array_joules : float64[...]
    joules : float64[operation]

    Returns
    -------
    float64[..., component]
        In the order of `COMPONENTS`. A row's bits do not depend on the other rows: operations are added one by one.
    """
    out = np.zeros((*counts.shape[:-1], len(COMPONENTS)))
    for operation, component in enumerate(_COMPONENT):
        out[..., component] += counts[..., operation] * joules[operation]
    out[..., 0] += array_joules
    return out
