"""The account of a finished run: what its record counted, what that cost, and how well that is known."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from bimu_hw.errors import SchemaError
from bimu_hw.intervals import Draws, Share
from bimu_hw.ledger import READ_KEYS, CostTable, Ledger, ReadPrice
from bimu_hw.operations import COMPONENTS, OPERATIONS, PHASES, Operation, operation_names, phase_index

if TYPE_CHECKING:
    import xarray as xr


class Account:
    """The account of one run.

    Parameters
    ----------
    tree : xarray.DataTree
        The record.

    Attributes
    ----------
    n_queries, n_updates : int
        Queries served, and updates done.
    ledger : Ledger
    table : CostTable
    reads : ReadPrice
    energy : float64[phase, layer, component]
        Joules.

    Raises
    ------
    SchemaError
        If the record counts other operations than this version of the package.
    """

    def __init__(self, tree: xr.DataTree) -> None:
        ledger, queries = tree["ledger"].to_dataset(), tree["queries"].to_dataset()
        check_operations(tree)
        self.n_queries, self.n_updates = int(queries["n_aggregated"].sum()), int(queries["updated"].sum())
        self.ledger = Ledger(ledger["count"].values, ledger["array_energy"].values)
        self.energy = ledger["energy"].values
        self.table, self.reads = prices_of(ledger)
        self._macs = int(tree["resources/macs"])

    @cached_property
    def draws(self) -> Draws:
        """Prices drawn from their ranges."""
        return Draws(self.table, self.reads)

    def joules(self, phases: tuple[str, ...] = PHASES, component: str | None = None) -> float:
        """Return what some phases of the run took, in joules, of one component or of all."""
        rows = self.energy[[phase_index(phase) for phase in phases]].sum(axis=(0, 1))
        return float(rows.sum() if component is None else rows[COMPONENTS.index(component)])

    def interval(self, phases: tuple[str, ...] = PHASES, component: str | None = None) -> tuple[float, float]:
        """Return the ends of the interval of `joules`; see `bimu_hw.intervals`."""
        return self.draws.interval(*self._spent(phases, component))

    def shares(self, phases: tuple[str, ...] = PHASES) -> list[Share]:
        """Return what each card value adds to the variance of `joules`, the largest first."""
        return self.draws.shares(*self._spent(phases, None))

    def assumed_share(self) -> float:
        """Return the share of the run's energy that rests on assumed values."""
        return self.ledger.assumed_share(self.table, self.reads.kind)

    def tops_per_watt(self) -> tuple[float, float, float]:
        """Return 10**12 operations per joule of inference, and the ends of its interval; NaN without inference.

        A multiply-accumulate is two operations. Counted are those of the arrays: one for every weight of every sample
        of every query, whatever number of bits its input has and however many looks it takes; what the digital unit
        does is not counted. Divided by all energy of the phase ``inference`` (converters, drivers, random bits, digital
        unit and buffers included), without idle.
        """
        operations = 2.0 * self._macs * self.n_queries
        joules = self.joules(("inference",))
        if not joules > 0.0:
            return np.nan, np.nan, np.nan
        low, high = self.interval(("inference",))
        return operations / joules * 1e-12, operations / high * 1e-12, operations / low * 1e-12

    def _spent(self, phases: tuple[str, ...], component: str | None) -> tuple[npt.NDArray[np.int64], float]:
        rows = [phase_index(phase) for phase in phases]
        counts, joules = self.ledger.counts[rows].sum(axis=(0, 1)), float(self.ledger.array_joules[rows].sum())
        if component is not None:
            counts = counts * np.array([op.component == component for op in OPERATIONS])
            joules *= component == "array"
        return counts, joules


def prices_of(ledger: xr.Dataset) -> tuple[CostTable, ReadPrice]:
    """Return the prices in the group ``/ledger`` of a record."""
    texts = [tuple(str(text) for text in ledger[f"cost_{name}"].values) for name in ("kind", "source", "card")]
    table = CostTable(ledger["cost"].values, ledger["cost_low"].values, ledger["cost_high"].values, *texts)
    bounds = np.stack([ledger[name].values for name in READ_KEYS], axis=1)
    kind, card = (str(ledger[f"array_{name}"].values) for name in ("kind", "card"))
    return table, ReadPrice(bounds[0], bounds[1], bounds[2], kind, card)


def recorded_operations(ledger: xr.Dataset) -> tuple[Operation, ...]:
    """Return the operations that the group ``/ledger`` of a record counts; an older one counts fewer than this version.

    Raises
    ------
    SchemaError
        If it counts one that this version of the package does not know.
    """
    known = dict(zip(operation_names(), OPERATIONS, strict=True))
    names = [str(name) for name in ledger["operation"].values]
    for name in names:
        if name not in known:
            raise SchemaError(_other_operations(name))
    return tuple(known[name] for name in names)


def check_operations(tree: xr.DataTree) -> None:
    """Raise `SchemaError` if a record counts other operations than this version of the package."""
    found = [str(name) for name in tree["ledger"].to_dataset()["operation"].values]
    if found != operation_names():
        other = sorted(set(found) ^ set(operation_names())) or found
        raise SchemaError(_other_operations(other[0]))


def _other_operations(name: str) -> str:
    return (
        f"group /ledger: counts other operations than this version of bimu-hw ({name!r}): open it with the version "
        "that wrote it, or run the scenario again."
    )
