"""Where the energy goes: per query, by phase, layer, component, operation, kind of number or card, with its interval.

The ledger keeps counts and prices apart, so any grouping is a sum of counts times prices. What an energy may be, given
the ranges of the card values it is made of, is worked out in `bimu_hw.intervals`; the intervals of parts do not add up
to that of the sum.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import xarray as xr

from bimu_hw.analysis.labels import labelled
from bimu_hw.errors import ScenarioError, did_you_mean
from bimu_hw.intervals import Draws
from bimu_hw.operations import ENERGY_PER_QUERY, PHASES
from bimu_hw.report.account import prices_of, recorded_operations

#: What energy can be grouped by, and what each means.
GROUPINGS = {
    "phase": "what the energy was spent for",
    "layer": "layer of the network; chip: what belongs to none",
    "component": "component of the hardware",
    "operation": "counted operation, as component.name",
    "kind": "how the price is known: measured, fitted, derived, assumed",
    "card": "card that the price comes from",
}
#: The energy of array reads among the operations: it is summed in joules and has no price of its own.
ARRAY_READ = "array.read"
_WORDS = {
    "energy": "energy spent", "low": "energy spent, low end of its interval", "high": "energy spent, high end",
}  # fmt: skip


class _Account(NamedTuple):
    """Counts int64[phase, layer, operation], joules of array reads [phase, layer], and the labels of every axis."""

    counts: npt.NDArray[np.int64]
    joules: npt.NDArray[np.float64]
    labels: dict[str, list[str]]


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
        ``energy``, ``low``, ``high`` in joules, one dimension per grouping, groups in the order of the ledger. The ends
        are those between which 90 % of the energies lie when every card value is drawn from its range.

    Raises
    ------
    ScenarioError
        If a grouping or a phase is not known.
    SchemaError
        If the ledger counts operations that this version of the package does not know.
    """
    groups = (by,) if isinstance(by, str) else tuple(by)
    for name in groups:
        if name not in GROUPINGS:
            raise ScenarioError(f"energy, by {name!r}: not known. {did_you_mean(name, GROUPINGS)}")
    chosen = _phases(phases)
    table, reads = prices_of(ledger)
    draws = Draws(table, reads, recorded_operations(ledger))
    account = _account(ledger, chosen, reads.card, reads.kind)
    names = {name: list(dict.fromkeys(account.labels[name])) for name in groups}
    found = np.zeros((3, *(len(own) for own in names.values())))
    for index in itertools.product(*(range(len(own)) for own in names.values())):
        counts, joules = _part(account, {name: names[name][i] for name, i in zip(groups, index, strict=True)})
        if counts.any() or joules:
            middle = float(counts @ table.joules) + joules
            place: Any = (slice(None), *index)
            found[place] = (middle, *draws.interval(counts, joules))
    coords = {name: xr.Variable((name,), own, {"long_name": GROUPINGS[name]}) for name, own in names.items()}
    variables = {name: labelled(groups, found[i], "J", words) for i, (name, words) in enumerate(_WORDS.items())}
    return xr.Dataset(variables, coords, {"phases": ", ".join(chosen)})


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
    for name, words in _WORDS.items():
        shared[name].attrs = {"units": "J", "long_name": words.replace("energy spent", "energy per query", 1)}
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


def _account(ledger: xr.Dataset, phases: Sequence[str], array_card: str, array_kind: str) -> _Account:
    chosen = ledger.sel(phase=list(phases))
    axes = {name: [str(v) for v in chosen[name].values] for name in ("phase", "layer", "operation")}
    columns = {name: [str(v) for v in ledger[f"cost_{name}"].values] for name in ("kind", "card")}
    components = [str(v) for v in ledger["operation_component"].values]
    return _Account(
        chosen["count"].transpose("phase", "layer", "operation").values,
        chosen["array_energy"].transpose("phase", "layer").values,
        {
            **axes, "operation": [*axes["operation"], ARRAY_READ], "component": [*components, "array"],
            "kind": [*columns["kind"], array_kind], "card": [*columns["card"], array_card],
        },
    )  # fmt: skip


def _part(account: _Account, group: dict[str, str]) -> tuple[npt.NDArray[np.int64], float]:
    """Return the counts of one group, int64[operation], and the joules of its array reads."""
    where = {
        axis: [axis not in group or label == group[axis] for label in account.labels[axis]]
        for axis in ("phase", "layer")
    }
    of_operations = [name for name in group if name not in where]
    *operations, array = (
        all(account.labels[name][i] == group[name] for name in of_operations)
        for i in range(len(account.labels["operation"]))
    )
    counts = account.counts[where["phase"]][:, where["layer"]].sum(axis=(0, 1)) * np.array(operations)
    joules = float(account.joules[where["phase"]][:, where["layer"]].sum()) if array else 0.0
    return counts, joules
