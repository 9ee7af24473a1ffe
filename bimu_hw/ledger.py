"""Count first, price later: integer operation counts times a cost table.

Arrays and controllers report how often each operation was done, as integers; the ledger multiplies by energies at the end.
Integer sums are exact whatever their order, a run can be priced again with other component energies, and the sum over components
equals the total by construction. Only energies that depend on the state of the array (V**2 G t of a read) are accumulated as joules.

Time is priced by the same cards but enters earlier: durations shape the schedule (`bimu_hw.accelerator`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

#: What the energy was spent for, in the order of the arrays' first axis.
PHASES = ("inference", "label", "backward", "read_lambda", "rule", "programming", "idle")

#: Which phases each figure called "energy per query" contains.
ENERGY_PER_QUERY = {
    "inference": ("inference",),
    "label": ("inference", "label"),
    "update": ("inference", "label", "backward", "read_lambda", "rule", "programming"),
    "all": PHASES,
}

#: The phases of one learning update.
UPDATE_PHASES = ("backward", "read_lambda", "rule", "programming")


class Operation(NamedTuple):
    """One thing that is counted.

    Attributes
    ----------
    component, name : str
    unit : str
        What one count is.
    card : str
        Whose card prices it: "component", "storage" or "sampler".
    cost : str
        The key in that card's ``[costs]``; energy in joules per count, or watts for counts of picoseconds.
    """

    component: str
    name: str
    unit: str
    card: str
    cost: str


#: Everything the simulator counts, in the order of the arrays' second axis. Append only within a schema version.
OPERATIONS = (
    Operation("driver", "drive", "word line (or bit line) charged for one look", "component", "driver_drive_energy"),
    Operation("sampler", "bit", "weight bit drawn", "sampler", "sample_energy"),
    Operation("sampler", "latch", "weight bit held for a query", "sampler", "latch_energy"),
    Operation("sampler", "bias", "cell biased for 1 ps", "sampler", "bias_power"),
    Operation("adc", "convert", "conversion", "component", "adc_convert_energy"),
    Operation("digital", "add", "accumulate or shift-and-add of a partial sum", "component", "digital_add_energy"),
    Operation("digital", "mac", "multiply-accumulate", "component", "digital_mac_energy"),
    Operation("digital", "function", "exponential, logarithm, root or division", "component", "digital_function_energy"),
    Operation("buffer", "read", "bit read from a buffer or the residue memory", "component", "buffer_read_energy"),
    Operation("buffer", "write", "bit written to a buffer or the residue memory", "component", "buffer_write_energy"),
    Operation("storage", "read", "stored lam read by the controller", "storage", "read_energy"),
    Operation("storage", "pulse_up", "pulse that raises lam", "storage", "pulse_energy_up"),
    Operation("storage", "pulse_down", "pulse that lowers lam", "storage", "pulse_energy_down"),
    Operation("write_driver", "row", "row selected for programming", "component", "write_row_energy"),
    Operation("oracle", "request", "label asked for and received", "component", "label_energy"),
    Operation("leakage", "storage", "storage cell standing by for 1 ps", "storage", "standby_power"),
    Operation("leakage", "sampler", "sampling cell standing by for 1 ps", "sampler", "standby_power"),
    Operation("leakage", "periphery", "chip powered for 1 ps", "component", "leakage_power"),
)

#: Components, in order of first appearance; "array" holds the state-dependent read energy.
COMPONENTS = ("array", *dict.fromkeys(op.component for op in OPERATIONS))

_INDEX = {(op.component, op.name): i for i, op in enumerate(OPERATIONS)}
_PER_PICOSECOND = 1e-12


def operation_index(component: str, name: str) -> int:
    """Return the column of an operation in a count array."""
    return _INDEX[component, name]


def phase_index(phase: str) -> int:
    """Return the row of a phase in a count array."""
    return PHASES.index(phase)


def new_counts() -> npt.NDArray[np.int64]:
    """Return zeros of shape [phase, operation]."""
    return np.zeros((len(PHASES), len(OPERATIONS)), np.int64)


@dataclass(frozen=True)
class CostTable:
    """Joules per count of every operation.

    Attributes
    ----------
    joules : float64[operation]
        Energy of one count; a power in a card becomes joules per picosecond here.
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
    def from_cards(cls, cards: Mapping[str, object]) -> CostTable:
        """Build the table from the component, storage and sampler cards (`bimu_hw.cards.Card`)."""
        rows = []
        for op in OPERATIONS:
            card = cards[op.card]
            fact = card.costs[op.cost]  # type: ignore[attr-defined]
            scale = _PER_PICOSECOND if fact.unit == "W" else 1.0
            origin = f"{card.name}: {op.cost}"  # type: ignore[attr-defined]
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
    out = np.zeros((*counts.shape[:-1], len(COMPONENTS)))
    out[..., 0] = array_joules
    for i, op in enumerate(OPERATIONS):
        out[..., COMPONENTS.index(op.component)] += counts[..., i] * joules[i]
    return out


def describe_operations() -> str:
    """Return the list of operations as JSON, for the attributes of a record."""
    return json.dumps([op._asdict() for op in OPERATIONS])
