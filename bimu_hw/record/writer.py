"""Collect a run while it goes on: one row per query, snapshots of the state, the account at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bimu_hw.devices import SamplerModel, StorageModel
from bimu_hw.errors import SchemaError
from bimu_hw.ledger import READ_KEYS, AreaBlock, CostTable, ReadPrice, Tally, price
from bimu_hw.operations import COMPONENTS, OPERATIONS, PHASES, layer_names, operation_names
from bimu_hw.record.disk import Spool
from bimu_hw.record.schema import (
    SCHEMA_VERSION,
    Var,
    check_provenance,
    clean_attrs,
    group_variables,
    layer_variables,
    query_variables,
)

if TYPE_CHECKING:
    import xarray as xr

_TICKS_PER_SECOND = 1e12
_MOST = 2**63 - 1

# A row of the record under construction; with blocks, sums and firsts and lasts over the queries of the block.
_ROW = np.dtype(
    [
        ("example", "i8"), ("task", "i8"), ("arrival_tick", "i8"), ("start_tick", "i8"), ("finish_tick", "i8"),
        ("prediction", "i8"), ("label", "i8"), ("asked", "i8"), ("disagreement", "i8"),
        ("aleatoric", "f8"), ("epistemic", "f8"), ("predictive", "f8"),
        ("latency_ticks", "i8"), ("correct", "i8"), ("n_aggregated", "i8"),
    ]
)  # fmt: skip
_NAMES = list(_ROW.names or ())
#: Of a block's queries the first is kept, except where the last one counts, or their sum.
_LAST, _SUMMED = "finish_tick", frozenset(_NAMES[_NAMES.index("asked") :])
# What is known only once the label has come; kept apart, so that it can be filled in for any earlier query.
_LATE = np.dtype([("label_tick", "i8"), ("updated", "i8"), ("pulses", "i8")])
#: Queries that wait at most until the rows are brought up to date.
_PENDING = 1024


@dataclass(frozen=True)
class ResourceUse:
    """How busy the accelerator was.

    Attributes
    ----------
    names : sequence of str
    events, busy_ticks, capacity : sequence of int
        Per resource: occupations, picoseconds occupied (summed over its units), units side by side.
    event_count : int
        Events of the simulated clock.
    duration_ticks : int
        Simulated duration in picoseconds.
    queries_dropped : int
        Inputs that met a full queue.
    latency_p50, latency_p99 : float
        Seconds.
    macs : int
        Multiply-accumulates of one query.
    labels_stale, wakes : int
        Labels that came too late; times the chip was woken.
    in_system_ticks, sojourn_ticks, asleep_ticks : int
        Queries in the system summed over the ticks, latencies summed over the queries, time switched off. The first two
        are cut off at the largest number that a record holds.
    """

    names: Sequence[str]
    events: Sequence[int]
    busy_ticks: Sequence[int]
    capacity: Sequence[int]
    event_count: int
    duration_ticks: int
    queries_dropped: int
    latency_p50: float
    latency_p99: float
    macs: int
    labels_stale: int = 0
    wakes: int = 0
    in_system_ticks: int = 0
    sojourn_ticks: int = 0
    asleep_ticks: int = 0


@dataclass(frozen=True)
class Costs:
    """What operations and array reads cost, and what takes area.

    Attributes
    ----------
    table : CostTable
    reads : ReadPrice
    blocks : mapping of str to AreaBlock
    """

    table: CostTable
    reads: ReadPrice
    blocks: Mapping[str, AreaBlock]


class RunRecorder:
    """Collects queries and snapshots of one run; peeks, never changes anything.

    Memory holds at most `per_query_limit` rows of queries: with more queries than that expected, a row stands for a
    block of consecutive ones. Snapshots go to files, so they cost disk, not memory: to nameless temporary ones, of
    which a killed run leaves nothing behind, or to named ones, so that it can be resumed.

    Parameters
    ----------
    n_layers_shapes : sequence of (int, int)
        ``(wordlines, bitlines)`` of each layer.
    storage_model : StorageModel
        Its recorded state joins the snapshots.
    n_tasks : int
    per_query_limit : int
        Most rows of the queries; 0 counts as 1.
    n_expected_queries : int
        Decides how many queries share a row; more queries than that are recorded too, in more rows.
    record_state : bool
        Whether snapshots are kept.
    sampler_model : SamplerModel, optional
        Its recorded state joins the snapshots as ``sampler_<name>``.
    folder : Path, optional
        Where the files of the snapshots live: the run's folder, so that they use the disk the user chose.
    resumable : bool
        Whether these files have names; needed by `state` and `restore`.
    """

    def __init__(
        self,
        n_layers_shapes: Sequence[tuple[int, int]],
        storage_model: StorageModel,
        n_tasks: int,
        per_query_limit: int = 100_000,
        n_expected_queries: int = 0,
        record_state: bool = True,
        *,
        sampler_model: SamplerModel | None = None,
        folder: str | Path | None = None,
        resumable: bool = False,
    ) -> None:
        self.record_state = record_state
        self.queries_per_row = max(1, -(-n_expected_queries // max(1, per_query_limit)))
        self.n_queries = 0
        self._shapes = [(int(w), int(b)) for w, b in n_layers_shapes]
        self._n_tasks = n_tasks
        rows = max(1, -(-n_expected_queries // self.queries_per_row))
        self._rows = np.zeros(rows, _ROW)
        self._late = np.full(rows, np.array((-1, 0, 0), _LATE))
        # What the queries of a row have spent: as counts, so that it can be priced at the end, and again.
        self._counts = np.zeros((rows, len(OPERATIONS)), np.int64)
        self._array_joules = np.zeros(rows)
        self._answered: list[tuple[Any, ...]] = []
        self._learned: list[tuple[int, int, int, int]] = []
        #: The row in which was spent last, and its counts.
        self._spender, self._spent = -1, self._counts[0]
        n_devices = storage_model.n_devices
        variables = layer_variables(storage_model, sampler_model) if record_state else {}
        self._snapshots = [
            Spool(variables, (*shape, n_devices), folder, f"layer_{k}" if resumable else "")
            for k, shape in enumerate(self._shapes)
            if record_state
        ]

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint must keep: the rows so far (not copied), and how many snapshots are on the disk."""
        self._settle()
        n = self._filled()
        return {
            "n_queries": self.n_queries, "rows": self._rows[:n], "late": self._late[:n],
            "counts": self._counts[:n], "array_joules": self._array_joules[:n],
            "snapshots": [spool.state() for spool in self._snapshots],
        }  # fmt: skip

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over the state of another recorder with the same arguments, and the files of its snapshots.

        Raises
        ------
        DamagedError
            If a file holds fewer snapshots than the state says.
        """
        for spool, n_snapshots in zip(self._snapshots, state["snapshots"], strict=True):
            spool.restore(n_snapshots)
        n = len(state["rows"])
        while len(self._rows) < n:
            self._grow()
        self.n_queries = state["n_queries"]
        self._rows[:n], self._late[:n] = state["rows"], state["late"]
        self._counts[:n], self._array_joules[:n] = state["counts"], state["array_joules"]

    def _filled(self) -> int:
        return -(-self.n_queries // self.queries_per_row)

    def query(
        self,
        example: int,
        task: int,
        arrival_tick: int,
        start_tick: int,
        finish_tick: int,
        prediction: int,
        label: int,
        asked: bool | int,
        disagreement: int,
        aleatoric: float,
        epistemic: float,
        predictive: float,
        spent: Tally,
    ) -> int:
        """Append one answered query, in the order of service.

        Parameters
        ----------
        example, task : int
        arrival_tick, start_tick, finish_tick : int
            Picoseconds.
        prediction, label : int
            Predicted and true class.
        asked : bool
            Whether the label is requested.
        disagreement : int
            Weight samples that disagree with the prediction.
        aleatoric, epistemic, predictive : float
            Bits.
        spent : Tally
            What it has taken so far; copied.

        Returns
        -------
        int
            Number of the query, for `learned`.
        """
        number = self.n_queries
        self.n_queries = number + 1
        self._answered.append((
            example, task, arrival_tick, start_tick, finish_tick, prediction, label, asked, disagreement,
            aleatoric, epistemic, predictive, finish_tick - arrival_tick, prediction == label, 1,
        ))  # fmt: skip
        self._spend(number // self.queries_per_row, spent)
        if len(self._answered) == _PENDING:
            self._settle()
        return number

    def learned(
        self, number: int, label_tick: int, updated: bool | int, pulses: int, spent: Tally
    ) -> None:
        """Add to an earlier query what its label brought.

        Parameters
        ----------
        number : int
            What `query` returned.
        label_tick : int
            Arrival of the label, picoseconds.
        updated : bool
            Whether it was learned from.
        pulses : int
            Programming pulses sent.
        spent : Tally
            What it has taken since `query`.
        """
        row = number // self.queries_per_row
        self._learned.append((row, label_tick, updated, pulses))
        self._spend(row, spent)
        if len(self._learned) == _PENDING:
            self._settle()

    def _spend(self, row: int, spent: Tally) -> None:
        if row != self._spender:
            while row >= len(self._rows):
                self._grow()
            self._spender, self._spent = row, self._counts[row]
        np.add(self._spent, spent.counts, self._spent)
        if spent.array_joules:
            self._array_joules[row] += spent.array_joules

    def _settle(self) -> None:
        """Bring the rows up to date: what comes query by query is kept for a while and then put down by columns."""
        first = self.n_queries - len(self._answered)
        numbers = np.arange(first, self.n_queries)
        row, opens = numbers // self.queries_per_row, numbers % self.queries_per_row == 0
        for name, column in zip(_NAMES, zip(*self._answered, strict=True), strict=False):
            values, out = np.array(column, _ROW[name]), self._rows[name]
            if name in _SUMMED:
                # One after the other, so that the bits do not depend on when this is done.
                np.add.at(out, row, values)
            elif name == _LAST:
                out[row] = values
            else:
                out[row[opens]] = values[opens]
        if self._learned:
            row, label_tick, updated, pulses = np.array(self._learned, np.int64).T
            self._late["label_tick"][row] = label_tick
            np.add.at(self._late["updated"], row, updated)
            np.add.at(self._late["pulses"], row, pulses)
        self._answered.clear()
        self._learned.clear()

    def _grow(self) -> None:
        self._rows = np.concatenate([self._rows, np.zeros_like(self._rows)])
        self._counts = np.concatenate([self._counts, np.zeros_like(self._counts)])
        self._array_joules = np.concatenate([self._array_joules, np.zeros_like(self._array_joules)])
        fresh = np.full(len(self._late), np.array((-1, 0, 0), _LATE))
        self._late = np.concatenate([self._late, fresh])
        self._spender = -1

    def snapshot(self, layer: int, example: int, tick: int, task: int, arrays: Mapping[str, npt.ArrayLike]) -> None:
        """Keep the state of one layer; does nothing in a run that records no state.

        Parameters
        ----------
        layer : int
        example : int
            Examples of the stream before this moment.
        tick : int
            Picoseconds.
        task : int
        arrays : mapping of str to array
            ``[wordline, bitline]``, flat ``[cell]``, or either with ``[device]`` appended: all that
            `layer_variables` names, except mean_weight and plasticity, which follow from lam here.

        Raises
        ------
        SchemaError
            If an array is missing, unknown, or of a wrong shape or type.
        RunError
            If the disk is full.
        """
        if not self.record_state:
            return
        lam = np.asarray(arrays["lam"] if "lam" in arrays else (), np.float64)
        decay = np.exp(-2.0 * np.abs(lam))
        derived = {"mean_weight": np.tanh(lam), "plasticity": 4.0 * decay / (1.0 + decay) ** 2}
        values = {"example": example, "tick": tick, "task": task, **derived, **arrays}
        self._snapshots[layer].append(values, f"snapshot of layer {layer}")

    def finish(
        self,
        ledger_counts: npt.NDArray[np.int64],
        array_joules: npt.NDArray[np.float64],
        costs: Costs,
        resources: ResourceUse,
        accuracy: npt.NDArray[np.float64],
        freezing: Mapping[str, npt.NDArray[np.float64]],
        provenance: Mapping[str, Any],
        *,
        calibration_error: npt.NDArray[np.float64] | None = None,
        ood: Mapping[str, Any] | None = None,
        timeline: Mapping[str, Any] | None = None,
    ) -> xr.DataTree:
        """Build the record; states stay on disk until they are used.

        Parameters
        ----------
        ledger_counts : int64[phase, layer, operation]
        array_joules : float64[phase, layer]
        costs : Costs
        resources : ResourceUse
        accuracy : float64[trained_task, task]
            Fractions, NaN where not evaluated.
        freezing : mapping of str to float64[task, layer]
            The variables of ``/freezing``.
        provenance : mapping
            Attributes of the root; see `bimu_hw.record.schema.ROOT_ATTRS`.
        calibration_error : float64[trained_task, task], optional
            NaN where not evaluated; without it the record has no group ``/calibration``.
        ood : mapping, optional
            The variables of ``/ood``; without them the record has no such group.
        timeline : mapping, optional
            The variables of ``/timeline``; likewise.

        Raises
        ------
        SchemaError
            If the provenance is incomplete or an array does not fit the schema.
        """
        import xarray as xr

        check_provenance(provenance)
        attrs = {
            **provenance, "schema_version": SCHEMA_VERSION, "n_layers": len(self._shapes),
            "state_recorded": self.record_state, "queries_per_row": self.queries_per_row,
        }  # fmt: skip
        tasks = np.arange(self._n_tasks)
        values = {
            "/tasks": {"accuracy": accuracy, "task": tasks, "trained_task": tasks},
            "/freezing": {**freezing, "task": tasks, "layer": np.arange(len(self._shapes))},
            "/ledger": ledger_values(ledger_counts, array_joules, costs),
            "/area": area_values(costs.blocks),
            "/resources": {
                "resource": list(resources.names), "events": resources.events, "busy_ticks": resources.busy_ticks,
                "capacity": resources.capacity, "event_count": resources.event_count,
                "duration_ticks": resources.duration_ticks, "queries_dropped": resources.queries_dropped,
                "latency_p50": resources.latency_p50, "latency_p99": resources.latency_p99, "macs": resources.macs,
                "labels_stale": resources.labels_stale, "wakes": resources.wakes,
                "in_system_ticks": min(resources.in_system_ticks, _MOST),
                "sojourn_ticks": min(resources.sojourn_ticks, _MOST), "asleep_ticks": resources.asleep_ticks,
            },
            **({"/timeline": timeline} if timeline is not None else {}),
        }  # fmt: skip
        if calibration_error is not None:
            values["/calibration"] = {"calibration_error": calibration_error, "task": tasks, "trained_task": tasks}
        if ood is not None:
            values["/ood"] = dict(ood)
        groups = {"/": xr.Dataset(attrs=clean_attrs(attrs))}
        variables = query_variables(self.queries_per_row)
        groups["/queries"] = group_dataset("/queries", variables, self._queries(costs.table))
        for k, spool in enumerate(self._snapshots):
            groups[f"/layer_{k}"] = group_dataset(f"/layer_{k}", spool.variables, spool.arrays())
        for group, found in values.items():
            groups[group] = group_dataset(group, group_variables(group), found)
        return xr.DataTree.from_dict(groups)

    def _queries(self, costs: CostTable) -> dict[str, Any]:
        self._settle()
        n = self._filled()
        rows, late = self._rows[:n], self._late[:n]
        columns: dict[str, Any] = {name: rows[name] for name in _NAMES}
        columns |= {name: late[name] for name in _LATE.names or ()}
        count = columns["n_aggregated"]
        columns["latency"] = columns.pop("latency_ticks") / count / _TICKS_PER_SECOND
        columns |= {name: columns[name] / count for name in ("aleatoric", "epistemic", "predictive")}
        spent, array = self._counts[:n], self._array_joules[:n]
        columns |= {"count": spent, "array_energy": array, "energy": price(spent, array, costs.joules)}
        return {**columns, "component": list(COMPONENTS), "operation": operation_names()}


def ledger_values(
    counts: npt.NDArray[np.int64], array_joules: npt.NDArray[np.float64], costs: Costs
) -> dict[str, Any]:
    """Return the variables of ``/ledger``: what was counted, what it costs, and the product."""
    table, reads = costs.table, costs.reads
    return {
        "phase": list(PHASES),
        "layer": list(layer_names(counts.shape[1] - 1)),
        "operation": operation_names(),
        "component": list(COMPONENTS),
        "operation_component": [op.component for op in OPERATIONS],
        "operation_unit": [op.unit for op in OPERATIONS],
        "cost_kind": list(table.kinds),
        "cost_card": list(table.cards),
        "cost_key": [op.key for op in OPERATIONS],
        "cost_source": list(table.sources),
        "count": counts,
        "array_energy": array_joules,
        "energy": price(counts, array_joules, table.joules),
        "cost": table.joules,
        "cost_low": table.low,
        "cost_high": table.high,
        "bound": ["low", "value", "high"],
        **dict(zip(READ_KEYS, np.stack([reads.low, reads.value, reads.high], axis=1), strict=True)),
        "array_card": reads.card,
        "array_kind": reads.kind,
    }


def area_values(blocks: Mapping[str, AreaBlock]) -> dict[str, Any]:
    """Return the variables of ``/area``."""
    count, each = (np.array([getattr(block, name) for block in blocks.values()]) for name in ("count", "each"))
    keys = [block.key for block in blocks.values()]
    return {"block": list(blocks), "key": keys, "count": count, "each": each, "area": count * each}


def group_dataset(group: str, variables: Mapping[str, Var], values: Mapping[str, Any]) -> xr.Dataset:
    """Put values into the variables of a group; `SchemaError` if their shapes do not agree."""
    import xarray as xr

    built: dict[bool, dict[str, Any]] = {True: {}, False: {}}
    for name, var in variables.items():
        built[var.coord][name] = (var.dims, var.cast(values[name], f"{group}/{name}"), var.attrs)
    try:
        return xr.Dataset(built[False], built[True])
    except ValueError as error:  # sizes of one dimension disagree, or an array has another rank
        raise SchemaError(f"group {group}: {error}") from error
