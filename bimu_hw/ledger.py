"""Count first, price later: integer operation counts times a cost table.

Arrays and controllers report how often each operation was done, as integers; the ledger multiplies by energies at the
end. Integer sums are exact whatever their order, a run can be priced again with other component energies, and the sum
over components equals the total by construction. Only energies that depend on the state of the array (V**2 G t of a
read) are accumulated as joules.

Time is priced by the same cards but enters earlier: durations shape the schedule (`bimu_hw.accelerator`). The words of
counting, phases and operations, are in `bimu_hw.operations`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bimu_hw.cards import Card
from bimu_hw.operations import COMPONENTS, OPERATIONS, PHASES, new_counts

#: 1 where an operation belongs to a component, float64[operation, component].
_BELONGS = np.array([[float(op.component == component) for component in COMPONENTS] for op in OPERATIONS])


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
    """

    joules: npt.NDArray[np.float64]
    low: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]
    kinds: tuple[str, ...]
    sources: tuple[str, ...]

    @classmethod
    def from_cards(cls, cards: Mapping[str, Card]) -> CostTable:
        """Build the table from the cards "component", "storage" and "sampler"."""
        rows = []
        for op in OPERATIONS:
            card = cards[op.card]
            fact = card.costs[op.cost]
            scale = op.seconds if fact.unit == "W" else 1.0
            origin = f"{card.name}, {op.cost}: {card.references.get(fact.source, fact.source) or fact.why}"
            rows.append((fact.value * scale, fact.low * scale, fact.high * scale, fact.kind, origin))
        joules, low, high, kinds, sources = zip(*rows, strict=True)
        return cls(np.array(joules), np.array(low), np.array(high), kinds, sources)


@dataclass
class Ledger:
    """The account of one run.

    Attributes
    ----------
    counts : int64[phase, operation]
        Operations done.
    array_joules : float64[phase]
        State-dependent energy of reads, V**2 G t summed over driven cells.
    """

    counts: npt.NDArray[np.int64]
    array_joules: npt.NDArray[np.float64]

    @classmethod
    def empty(cls) -> Ledger:
        """Return an account with nothing in it."""
        return cls(new_counts(), np.zeros(len(PHASES)))

    def energy(self, costs: CostTable) -> npt.NDArray[np.float64]:
        """Return energy in joules, float64[phase, component]."""
        return price(self.counts, self.array_joules, costs.joules)

    def assumed_share(self, costs: CostTable, array_kind: str) -> float:
        """Return the share of the total energy that rests on assumed values.

        Parameters
        ----------
        costs : CostTable
        array_kind : str
            Kind of the array's read energy: "assumed" if one of its conductances, voltage or time is.
        """
        per_operation = self.counts.sum(axis=0) * costs.joules
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
        In the order of `COMPONENTS`.
    """
    out = (counts * joules) @ _BELONGS
    out[..., 0] += array_joules
    return out
