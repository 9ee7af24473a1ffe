"""Where the energy goes: per query, by phase, component, operation, kind of number, card or layer, with its interval.

The ledger keeps counts and prices apart, so any grouping is a sum of counts times prices, and the ends of each price's
range give an interval: all prices low, or all high, at once. Prices are not independent draws, so it is a bound, not a
confidence interval.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from bimu_hw.analysis.labels import labelled
from bimu_hw.errors import ScenarioError, did_you_mean
from bimu_hw.operations import ENERGY_PER_QUERY, PHASES

#: What energy can be grouped by, and what each means.
GROUPINGS = {
    "phase": "what the energy was spent for",
    "layer": "layer of the network; chip: what belongs to none",
    "component": "component of the hardware",
    "operation": "counted operation, as component.name",
    "kind": "how the price is known: measured, fitted, derived, assumed",
    "card": "card that the price comes from",
}
#: The energy of array reads, which is summed in joules and has no price of its own.
ARRAY_READ = "array.read"


def operation_energy(ledger: xr.Dataset) -> xr.Dataset:
    """Return counts times prices.

    Parameters
    ----------
    ledger : xarray.Dataset
        Group ``/ledger`` of a record.

    Returns
    -------
    xarray.Dataset
        ``energy``, ``low`` and ``high`` in joules, [phase, operation] or [phase, layer, operation]; the operations of
        the ledger and, last, ``array.read``. Coordinates of the operations: ``component``, ``kind``, ``card``.
    """
    count = ledger["count"]
    array = ledger["array_energy"]
    kinds = [str(kind) for kind in ledger["cost_kind"].values]
    cards = [str(source).partition(",")[0] for source in ledger["cost_source"].values]
    components = [str(component) for component in ledger["operation_component"].values]
    array_kind = str(ledger["array_energy"].attrs.get("kind", "not recorded"))
    operation = [*(str(name) for name in ledger["operation"].values), ARRAY_READ]
    found = {}
    for name, price, meaning in (
        ("energy", "cost", "energy spent"),
        ("low", "cost_low", "energy spent, every price at the low end of its range"),
        ("high", "cost_high", "energy spent, every price at the high end of its range"),
    ):
        priced = (count * ledger[price]).transpose(*count.dims)
        # What the arrays dissipate has a range of its own only in records that keep one.
        own = ledger.get(f"array_energy_{name}", array)
        read = own.broadcast_like(count.isel(operation=0)).transpose(*count.dims[:-1])
        values = np.concatenate([priced.values, read.values[..., None]], axis=-1)
        found[name] = labelled(count.dims, values, "J", meaning)
    coords = {str(dim): ledger[dim].variable for dim in count.dims if dim != "operation" and dim in ledger.coords}
    return xr.Dataset(
        found,
        coords={
            **coords, "operation": operation, "component": ("operation", [*components, "array"]),
            "kind": ("operation", [*kinds, array_kind]), "card": ("operation", [*cards, "sampler read path"]),
        },
    )  # fmt: skip


def energy_by(
    ledger: xr.Dataset, by: str | Sequence[str] = "component", phases: str | Sequence[str] = "all"
) -> xr.Dataset:
    """Return the energy of a run by any grouping, with its interval.

    Parameters
    ----------
    ledger : xarray.Dataset
        Group ``/ledger`` of a record.
    by : str or sequence of str
        Of phase, layer, component, operation, kind, card; an empty sequence for the sum.
    phases : str or sequence of str
        A figure called energy per query ("inference", "label", "update", "all"), or names of phases.

    Returns
    -------
    xarray.Dataset
        ``energy``, ``low``, ``high`` in joules, one dimension per grouping, groups in the order of the ledger.

    Raises
    ------
    ScenarioError
        If a grouping or a phase is not known, or the record does not have layers.
    """
    groups = (by,) if isinstance(by, str) else tuple(by)
    for name in groups:
        if name not in GROUPINGS:
            raise ScenarioError(f"energy, by {name!r}: not known. {did_you_mean(name, GROUPINGS)}")
    chosen = _phases(phases)
    table = operation_energy(ledger)
    if "layer" in groups and "layer" not in table.dims:
        raise ScenarioError("energy, by 'layer': this record's ledger has no layers; leave it out.")
    table = table.sel(phase=list(chosen))
    over = [dim for dim in table["energy"].dims if dim != "operation" and dim not in groups]
    summed = table.sum(over, keep_attrs=True)
    on_operations = [name for name in groups if name in ("component", "operation", "kind", "card")]
    found = {
        str(name): _grouped(summed[name], on_operations, groups) for name in ("energy", "low", "high")
    }
    return xr.Dataset(found).assign_attrs(phases=", ".join(chosen))


def energy_per_query(
    ledger: xr.Dataset, n_queries: int, by: str | Sequence[str] = "component", phases: str | Sequence[str] = "all"
) -> xr.Dataset:
    """Return the energy of a run per query served; otherwise as `energy_by`.

    Raises
    ------
    ScenarioError
        As `energy_by`, or if no query was served.
    """
    if n_queries < 1:
        raise ScenarioError("energy per query: no query was served, so there is nothing to divide by.")
    found = energy_by(ledger, by, phases)
    shared = found / n_queries
    for name in ("energy", "low", "high"):
        meaning = str(found[name].attrs["long_name"]).replace("energy spent", "energy per query", 1)
        shared[name].attrs = {"units": "J", "long_name": meaning}
    return shared.assign_attrs(found.attrs)


def _phases(phases: str | Sequence[str]) -> tuple[str, ...]:
    if isinstance(phases, str) and phases in ENERGY_PER_QUERY:
        return ENERGY_PER_QUERY[phases]
    chosen = (phases,) if isinstance(phases, str) else tuple(phases)
    words = (*PHASES, *ENERGY_PER_QUERY)
    for phase in chosen:
        if phase not in PHASES:
            raise ScenarioError(f"energy, phase {phase!r}: not known. {did_you_mean(phase, words)}")
    return chosen


def _grouped(values: xr.DataArray, by: Sequence[str], order: Sequence[str]) -> xr.DataArray:
    """Return sums over the operations of each group."""
    attrs = values.attrs
    if not by:
        total = values.sum("operation")
    else:
        labels = [[str(label) for label in values[name].values] for name in by]
        names = [list(dict.fromkeys(column)) for column in labels]
        places = [[own.index(label) for label in column] for own, column in zip(names, labels, strict=True)]
        rest = [dim for dim in values.dims if dim != "operation"]
        moved = values.transpose("operation", *rest)
        sums = np.zeros((*(len(own) for own in names), *moved.shape[1:]))
        np.add.at(sums, tuple(np.array(place) for place in places), moved.values)
        coords = {dim: values[dim].variable for dim in rest if dim in values.coords}
        total = xr.DataArray(sums, dims=(*by, *rest), coords={**coords, **dict(zip(by, names, strict=True))})
    total = total.transpose(*order)
    total.attrs = attrs
    for name in order:
        total[name].attrs.setdefault("long_name", GROUPINGS[name])
    return total
