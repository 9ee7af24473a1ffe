"""The one schema of a run: every variable, once, with dimensions, type, units and meaning.

The tables below drive allocation, validation, ``bimu-hw describe`` and the page of the documentation. A device model
adds its own recorded state to the groups ``/layer_k`` through its declaration; nothing else enters a record.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from bimu_hw.devices import FAULTS, SamplerModel, StorageModel
from bimu_hw.errors import SchemaError, did_you_mean

if TYPE_CHECKING:
    import xarray as xr

#: Raised whenever a variable is added, removed or changes its meaning.
SCHEMA_VERSION = 2

Aggregate = Literal["sum", "mean", "first", "last"]


@dataclass(frozen=True)
class Var:
    """One variable of a record.

    Attributes
    ----------
    name, group : str
        ``/layer`` stands for ``/layer_0``, ``/layer_1``, and so on.
    dims : tuple of str
        A dimension ``device`` exists only where a cell is a pair of which the model keeps a value each.
    dtype : str
        NumPy name, or "str" for text.
    units : str
        UDUNITS spelling; empty for text, which has none.
    long_name : str
    coord : bool
        Whether it is a coordinate.
    aggregate : str or None
        In ``/queries``: what a row that stands for several queries holds. None: such a record lacks the variable.
    flags : mapping of str to int, optional
        Meaning of each value, for a variable of codes.
    """

    name: str
    group: str
    dims: tuple[str, ...]
    dtype: str
    units: str
    long_name: str
    coord: bool = False
    aggregate: Aggregate | None = None
    flags: Mapping[str, int] | None = None

    @property
    def attrs(self) -> dict[str, Any]:
        """Attributes of the variable on disk (CF conventions)."""
        attrs: dict[str, Any] = {"long_name": self.long_name}
        if self.units:
            attrs["units"] = self.units
        if self.flags:
            attrs["flag_values"] = np.array(list(self.flags.values()), self.dtype)
            attrs["flag_meanings"] = " ".join(self.flags)
        return attrs

    def cast(self, value: npt.ArrayLike, where: str) -> npt.NDArray[Any]:
        """Return a value as an array of the variable's type; raise `SchemaError` if it is of another kind."""
        if self.dtype == "str":
            return np.asarray(value, object)
        array = np.asanyarray(value)
        if array.size and array.dtype != np.bool_ and not np.can_cast(array.dtype, self.dtype, "same_kind"):
            raise SchemaError(f"{where}: has type {array.dtype}; expected {self.dtype}.")
        return array.astype(self.dtype, copy=False)


@dataclass(frozen=True)
class Attr:
    """One attribute of the root group: its type is "int", "str" or "json" (text that parses as JSON)."""

    name: str
    type: Literal["int", "str", "json"]
    meaning: str
    written_by: Literal["recorder", "caller"] = "caller"


#: Attributes every run carries; a run may carry more (hashes of cards, a title).
ROOT_ATTRS = (
    Attr("schema_version", "int", "version of this schema", "recorder"),
    Attr("n_layers", "int", "number of layers of the network", "recorder"),
    Attr("state_recorded", "int", "1 if the groups /layer_k exist", "recorder"),
    Attr("queries_per_row", "int", "consecutive queries that one row of /queries stands for", "recorder"),
    Attr("bimu_hw_version", "str", "version of the simulator"),
    Attr("seed_fabrication", "int", "seed of the chip"),
    Attr("seed_noise", "int", "seed of initial lam, sampling and device noise"),
    Attr("seed_data", "int", "seed of permutations, arrivals and label noise"),
    Attr("scenario_hash", "str", "hash of the resolved scenario"),
    Attr("resolved_scenario", "json", "the scenario with every default filled in"),
    Attr("cpu_name", "str", "processor the run was computed on"),
    Attr("cpu_features", "json", "its vector extensions; they decide the order of float32 sums"),
    Attr("python_version", "str", "version of Python"),
    Attr("numpy_version", "str", "version of NumPy"),
    Attr("numba_version", "str", "version of Numba"),
)

_Q, _L, _T, _F = "/queries", "/layer", "/tasks", "/freezing"
_A, _S, _R = "/ledger", "/area", "/resources"
_C, _O, _E = "/calibration", "/ood", "/timeline"
#: Groups that a record may lack.
_OPTIONAL = (_C, _O, _E)
_QUERY, _SNAPSHOT, _CELL = ("query",), ("snapshot",), ("snapshot", "wordline", "bitline")
_TASK_LAYER = ("task", "layer")

VARIABLES = (
    Var("component", _Q, ("component",), "str", "", "component of the hardware", coord=True),
    Var("operation", _Q, ("operation",), "str", "", "counted operation, as component.name", coord=True),
    Var("example", _Q, _QUERY, "int64", "1", "index of the example in the stream", coord=True, aggregate="first"),
    Var("task", _Q, _QUERY, "int32", "1", "index of the task", coord=True, aggregate="first"),
    Var("arrival_tick", _Q, _QUERY, "int64", "ps", "arrival at the input queue", aggregate="first"),
    Var("start_tick", _Q, _QUERY, "int64", "ps", "start of service", aggregate="first"),
    Var("finish_tick", _Q, _QUERY, "int64", "ps", "prediction ready", aggregate="last"),
    Var("latency", _Q, _QUERY, "float64", "s", "time from arrival to prediction", aggregate="mean"),
    Var("prediction", _Q, _QUERY, "int16", "1", "predicted class"),
    Var("label", _Q, _QUERY, "int16", "1", "true class, known to the simulator whether asked for or not"),
    Var("correct", _Q, _QUERY, "int32", "1", "number of queries predicted correctly", aggregate="sum"),
    Var("asked", _Q, _QUERY, "int32", "1", "number of queries whose label was requested", aggregate="sum"),
    Var("label_tick", _Q, _QUERY, "int64", "ps", "arrival of the label, -1 if it never came"),
    Var("updated", _Q, _QUERY, "int32", "1", "number of queries that were learned from", aggregate="sum"),
    Var("disagreement", _Q, _QUERY, "int32", "1", "weight samples that disagree with the prediction", aggregate="sum"),
    Var("aleatoric", _Q, _QUERY, "float32", "bit", "mean entropy of the samples' predictions", aggregate="mean"),
    Var("epistemic", _Q, _QUERY, "float32", "bit", "predictive minus aleatoric entropy", aggregate="mean"),
    Var("predictive", _Q, _QUERY, "float32", "bit", "entropy of the mean prediction", aggregate="mean"),
    Var("energy", _Q, ("query", "component"), "float64", "J",
        "energy spent for the query in all phases but idle", aggregate="sum"),
    Var("count", _Q, ("query", "operation"), "int64", "1", "operations done for the query in all phases but idle",
        aggregate="sum"),
    Var("array_energy", _Q, _QUERY, "float64", "J", "state-dependent energy of array reads for the query",
        aggregate="sum"),
    Var("pulses", _Q, _QUERY, "int64", "1", "programming pulses sent", aggregate="sum"),
    Var("n_aggregated", _Q, _QUERY, "int32", "1", "number of queries the row stands for", aggregate="sum"),

    Var("example", _L, _SNAPSHOT, "int64", "1", "examples of the stream before the snapshot", coord=True),
    Var("tick", _L, _SNAPSHOT, "int64", "ps", "time of the snapshot", coord=True),
    Var("task", _L, _SNAPSHOT, "int32", "1", "index of the task", coord=True),
    Var("level", _L, _CELL, "float32", "1", "level of the storage element, counted from 0; lam where it is continuous"),
    Var("lam", _L, _CELL, "float32", "1", "natural parameter stored by the device"),
    Var("mean_weight", _L, _CELL, "float32", "1", "mean of the binary weight, tanh(lam)"),
    Var("plasticity", _L, _CELL, "float32", "1", "variance of the binary weight, sech(lam)**2"),
    Var("conductance", _L, (*_CELL, "device"), "float32", "S", "conductance of each storage device"),
    Var("pulse_count", _L, (*_CELL, "device"), "int32", "1", "programming pulses received since fabrication"),
    Var("requested", _L, _CELL, "float64", "1", "sum of all changes of lam that the rule has asked for"),
    Var("fault", _L, (*_CELL, "device"), "int8", "1", "fault of the cell or device", flags=dict(FAULTS)),

    Var("trained_task", _T, ("trained_task",), "int64", "1", "last task trained on", coord=True),
    Var("task", _T, ("task",), "int64", "1", "task evaluated", coord=True),
    Var("accuracy", _T, ("trained_task", "task"), "float64", "1",
        "fraction of test examples classified correctly, NaN where not evaluated"),

    Var("trained_task", _C, ("trained_task",), "int64", "1", "last task trained on", coord=True),
    Var("task", _C, ("task",), "int64", "1", "task evaluated", coord=True),
    Var("calibration_error", _C, ("trained_task", "task"), "float64", "1",
        "expected calibration error of the mean prediction, 15 bins, NaN where not evaluated"),

    Var("ood_set", _O, ("ood_set",), "str", "", "images that the stream never shows", coord=True),
    Var("protocol", _O, ("protocol",), "str", "", "how they are shown: raw and unpermuted, or as the test set is",
        coord=True),
    Var("roc_auc", _O, ("ood_set", "protocol"), "float64", "1",
        "area under the ROC curve of the epistemic uncertainty against the test set of the last task, at the end"),
    Var("epistemic_in", _O, (), "float64", "bit", "mean epistemic uncertainty of the test set of the last task"),
    Var("epistemic_out", _O, ("ood_set", "protocol"), "float64", "bit", "mean epistemic uncertainty of the set"),

    Var("task", _F, ("task",), "int64", "1", "task at whose end the synapses are looked at", coord=True),
    Var("layer", _F, ("layer",), "int64", "1", "index of the layer", coord=True),
    Var("plasticity", _F, _TASK_LAYER, "float64", "1", "mean variance of the binary weight, sech(lam)**2"),
    Var("entropy", _F, _TASK_LAYER, "float64", "bit", "mean entropy of the binary weight"),
    Var("saturated_fraction", _F, _TASK_LAYER, "float64", "1", "synapses with |lam| above 2.5"),
    Var("sign_flip_rate", _F, _TASK_LAYER, "float64", "1", "synapses whose mean weight changed sign during the task"),
    Var("dead_zone_fraction", _F, _TASK_LAYER, "float64", "1",
        "synapses of which at least one level was asked during the task, in sum, and to which no pulse was sent"),
    Var("rail_fraction", _F, _TASK_LAYER, "float64", "1",
        "synapses at their first or last level of which a step further out was asked during the task, in sum"),
    Var("worn_out_fraction", _F, _TASK_LAYER, "float64", "1", "synapses with a worn-out device"),
    Var("stuck_fraction", _F, _TASK_LAYER, "float64", "1", "synapses with a stuck device"),

    Var("phase", _A, ("phase",), "str", "", "what the energy was spent for", coord=True),
    Var("layer", _A, ("layer",), "str", "", "layer of the network; chip: what belongs to none", coord=True),
    Var("operation", _A, ("operation",), "str", "", "counted operation, as component.name", coord=True),
    Var("component", _A, ("component",), "str", "", "component of the hardware", coord=True),
    Var("operation_component", _A, ("operation",), "str", "", "component the operation belongs to", coord=True),
    Var("operation_unit", _A, ("operation",), "str", "", "what one count is", coord=True),
    Var("cost_kind", _A, ("operation",), "str", "", "how the cost is known: measured, fitted, derived, assumed",
        coord=True),
    Var("cost_card", _A, ("operation",), "str", "", "name of the card the cost comes from", coord=True),
    Var("cost_key", _A, ("operation",), "str", "", "whose card prices it, and under which key", coord=True),
    Var("cost_source", _A, ("operation",), "str", "", "card and key the cost comes from", coord=True),
    Var("count", _A, ("phase", "layer", "operation"), "int64", "1", "operations done"),
    Var("array_energy", _A, ("phase", "layer"), "float64", "J",
        "state-dependent energy of array reads, sum of V**2 G t"),
    Var("energy", _A, ("phase", "layer", "component"), "float64", "J", "energy spent"),
    Var("cost", _A, ("operation",), "float64", "J", "energy of one count"),
    Var("cost_low", _A, ("operation",), "float64", "J", "energy of one count, low end of the card's range"),
    Var("cost_high", _A, ("operation",), "float64", "J", "energy of one count, high end of the card's range"),
    Var("bound", _A, ("bound",), "str", "", "end of a value's range, or the value itself", coord=True),
    Var("g_on", _A, ("bound",), "float64", "S", "conductance of a weight of +1 in the array"),
    Var("g_off", _A, ("bound",), "float64", "S", "conductance of a weight of -1 in the array"),
    Var("read_voltage", _A, ("bound",), "float64", "V", "voltage of a driven line"),
    Var("read_time", _A, ("bound",), "float64", "s", "integration time of one look"),
    Var("array_card", _A, (), "str", "", "name of the card that array_energy follows from"),
    Var("array_kind", _A, (), "str", "", "how array_energy is known: derived, or assumed if one of its values is"),

    Var("block", _S, ("block",), "str", "", "what takes area", coord=True),
    Var("key", _S, ("block",), "str", "", "whose card says how large one is, and under which key", coord=True),
    Var("count", _S, ("block",), "int64", "1", "how many there are"),
    Var("each", _S, ("block",), "float64", "m^2", "area of one"),
    Var("area", _S, ("block",), "float64", "m^2", "area of all"),

    Var("resource", _R, ("resource",), "str", "", "resource of the accelerator", coord=True),
    Var("events", _R, ("resource",), "int64", "1", "times the resource was occupied"),
    Var("busy_ticks", _R, ("resource",), "int64", "ps", "time the resource was occupied, summed over its units"),
    Var("capacity", _R, ("resource",), "int64", "1", "units of the resource that work side by side"),
    Var("event_count", _R, (), "int64", "1", "events of the simulated clock"),
    Var("duration_ticks", _R, (), "int64", "ps", "simulated duration of the run"),
    Var("queries_dropped", _R, (), "int64", "1", "inputs dropped because the queue was full"),
    Var("latency_p50", _R, (), "float64", "s", "median of the latencies of all queries, right to a thousandth"),
    Var("latency_p99", _R, (), "float64", "s", "99th percentile of the latencies, right to a thousandth"),
    Var("macs", _R, (), "int64", "1", "multiply-accumulates of one query: every weight of every sample, once"),
    Var("labels_stale", _R, (), "int64", "1", "requests that were withdrawn, or answered, too late to be learned from"),
    Var("in_system_ticks", _R, (), "int64", "ps", "queries waiting or in service, summed over all ticks"),
    Var("sojourn_ticks", _R, (), "int64", "ps", "times from arrival to answer, summed over all queries"),
    Var("asleep_ticks", _R, (), "int64", "ps", "time in which the chip was switched off"),
    Var("wakes", _R, (), "int64", "1", "times the chip was woken"),

    Var("track", _E, ("track",), "str", "", "whom a row of the timeline is about", coord=True),
    Var("event_track", _E, ("event",), "int64", "1", "place of the row's track among the tracks"),
    Var("job", _E, ("event",), "int64", "1", "what it was done for: 0 query, 1 query that came with its label, "
        "2 update, 3 refresh, 4 label being given, 5 query from arrival to answer"),
    Var("example", _E, ("event",), "int64", "1", "example of the stream, -1 for none"),
    Var("start_tick", _E, ("event",), "int64", "ps", "begin"),
    Var("ticks", _E, ("event",), "int64", "ps", "duration"),
)  # fmt: skip


def group_variables(group: str) -> dict[str, Var]:
    """Return the variables of ``/queries``, ``/layer``, ``/tasks`` and so on, by name."""
    return {v.name: v for v in VARIABLES if v.group == group}


def query_variables(queries_per_row: int) -> dict[str, Var]:
    """Return the variables of ``/queries`` for a record whose rows stand for so many queries."""
    return {
        name: v
        for name, v in group_variables(_Q).items()
        if queries_per_row == 1 or v.aggregate is not None or "query" not in v.dims
    }


def layer_variables(storage: StorageModel, sampler: SamplerModel | None = None) -> dict[str, Var]:
    """Return the variables of a layer of these devices: the common ones and what the models declare as recorded.

    State of the sampling element is prefixed ``sampler_``, since two strangers' models may use one name.

    Raises
    ------
    SchemaError
        If a model's variable takes the name of another one.
    """
    n_devices = storage.n_devices
    found = {name: _on_cells(v, n_devices) for name, v in group_variables(_L).items()}
    for model, prefix in ((storage, ""), (sampler, "sampler_")):
        for state in model.variables if model is not None else ():
            name = prefix + state.name
            if name in ("pulse_count", "fault"):
                found[name] = _on_cells(group_variables(_L)[name], n_devices if state.per_device else 1)
            elif not state.recorded:
                continue
            elif name in found:
                raise SchemaError(
                    f"device model {model.name!r}, variable {state.name!r}: the record already has a variable "  # type: ignore[union-attr]
                    f"{name!r}; rename the model's, or declare it recorded=False."
                )
            else:
                own = Var(name, _L, (*_CELL, "device"), state.dtype, state.unit, state.long_name)
                found[name] = _on_cells(own, getattr(model, "n_devices", 1) if state.per_device else 1)
    return found


def _on_cells(var: Var, n_devices: int) -> Var:
    return var if n_devices > 1 else replace(var, dims=tuple(d for d in var.dims if d != "device"))


def clean_attrs(attrs: Mapping[str, Any]) -> dict[str, str | int | float]:
    """Return attributes that NetCDF can hold, sorted by name.

    A bool becomes 0 or 1, None is dropped, a mapping or list becomes JSON text.

    Raises
    ------
    SchemaError
        For any other type. A path or a date is refused on purpose: equal runs have equal records wherever and whenever
        they were made.
    """
    return {key: _clean(key, attrs[key]) for key in sorted(attrs) if attrs[key] is not None}


def _clean(key: str, value: Any) -> str | int | float:
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, Mapping | list | tuple):
        try:
            return json.dumps(value, sort_keys=True, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise SchemaError(f"attribute {key!r}: cannot be written as JSON ({error}).") from error
    if isinstance(value, int) and -(2**63) <= value < 2**64:
        return int(value)
    if isinstance(value, str | float):
        return value
    raise SchemaError(
        f"attribute {key!r}: got {value!r} ({type(value).__name__}); allowed are text, numbers of up to 64 bits, "
        "bool, None, and mappings and lists of these."
    )


def check_provenance(attrs: Mapping[str, Any]) -> None:
    """Check the provenance a caller hands over; cheap, so that a long run can do it before it starts.

    Raises
    ------
    SchemaError
        If a required attribute is missing or of a wrong type.
    """
    _check_attrs(clean_attrs(attrs), tuple(a for a in ROOT_ATTRS if a.written_by == "caller"))


def _check_attrs(attrs: Mapping[Any, Any], wanted: tuple[Attr, ...]) -> None:
    for attr in wanted:
        if attr.name not in attrs:
            raise SchemaError(f"attribute {attr.name!r} ({attr.meaning}): missing; add it to the run's provenance.")
        value = attrs[attr.name]
        if attr.type == "int":
            good = isinstance(value, int | np.integer)
        else:
            good = isinstance(value, str) and (attr.type == "str" or _is_json(value))
        if not good:
            raise SchemaError(f"attribute {attr.name!r}: got {value!r}; expected {attr.type} ({attr.meaning}).")


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def validate(tree: xr.DataTree) -> None:
    """Check a record against the schema, without loading data.

    Raises
    ------
    SchemaError
        Names the first attribute, group or variable that is missing, unknown, or has wrong dimensions, type or units.
    """
    _check_attrs(tree.attrs, ROOT_ATTRS)
    version = int(tree.attrs["schema_version"])
    if version != SCHEMA_VERSION:
        raise SchemaError(f"attribute 'schema_version': got {version}; this version of bimu-hw has {SCHEMA_VERSION}.")
    n_layers = int(tree.attrs["n_layers"]) if tree.attrs["state_recorded"] else 0
    expected = {
        "queries": query_variables(int(tree.attrs["queries_per_row"])),
        **{f"layer_{k}": group_variables(_L) for k in range(n_layers)},
        **{group[1:]: group_variables(group) for group in (_T, _F, _A, _S, _R)},
    }
    expected |= {group[1:]: group_variables(group) for group in _OPTIONAL if group[1:] in tree.children}
    for name in tree.children:
        if name not in expected:
            raise SchemaError(f"group /{name}: not in the schema. {did_you_mean(name, expected)}")
    for name, variables in expected.items():
        if name not in tree.children:
            raise SchemaError(f"group /{name}: missing.")
        _check_group(f"/{name}", tree.children[name].to_dataset(inherit=False), variables)


def _check_group(group: str, dataset: xr.Dataset, variables: Mapping[str, Var]) -> None:
    for name, var in variables.items():
        if name not in dataset.variables:
            raise SchemaError(f"{group}/{name}: missing ({var.long_name}).")
        _check_variable(f"{group}/{name}", dataset.variables[name], var)
        if var.coord != (name in dataset.coords):
            raise SchemaError(f"{group}/{name}: expected {'a coordinate' if var.coord else 'a data variable'}.")
    for name in {str(n) for n in dataset.variables} - set(variables):
        if not re.fullmatch(r"/layer_\d+", group):
            raise SchemaError(f"{group}/{name}: not in the schema. {did_you_mean(name, variables)}")
        found = dataset.variables[name]
        units, long_name = (found.attrs.get(key) for key in ("units", "long_name"))
        if not units or not long_name:
            raise SchemaError(f"{group}/{name}: a model's own variable needs the attributes units and long_name.")
        own = Var(name, _L, (*_CELL, "device"), str(found.dtype), units, long_name)
        _check_variable(f"{group}/{name}", found, own)


def _check_variable(where: str, found: xr.Variable, var: Var) -> None:
    dims = {var.dims, tuple(d for d in var.dims if d != "device")}
    if found.dims not in dims:
        raise SchemaError(f"{where}: has dimensions {found.dims}; expected {var.dims}.")
    good = found.dtype.kind in "OUT" if var.dtype == "str" else found.dtype == np.dtype(var.dtype)
    if not good:
        raise SchemaError(f"{where}: has type {found.dtype}; expected {var.dtype}.")
    for key, value in var.attrs.items():
        if key not in found.attrs or not np.array_equal(found.attrs[key], value):
            raise SchemaError(f"{where}: has {key} {found.attrs.get(key)!r}; expected {value!r}.")


_NOTES = (
    "A star marks a coordinate. A dimension device exists only where a cell is a pair and each device has its value.",
    "Above record.per_query_limit queries, a row of /queries stands for the queries_per_row consecutive queries whose "
    "sum, mean, first or last value the column aggregate names; variables without one are then left out.",
    "A storage model's own recorded state joins /layer_k under its name, a sampling model's with the prefix sampler_.",
    "The fractions dead_zone_fraction and rail_fraction are NaN in a run that records no state, where requests are not "
    "added up.",
    "The group /ood is there where the scenario names sets of images that the stream never shows (evaluation.ood).",
    "Text has no units.",
)


def _tables() -> list[tuple[str, list[tuple[str, ...]]]]:
    """Return title and rows of each group's table; the first row is the head."""
    attrs: list[tuple[str, ...]] = [("attribute", "type", "meaning")]
    attrs += [(a.name, a.type, a.meaning) for a in ROOT_ATTRS]
    tables = [("/", attrs)]
    for group in dict.fromkeys(v.group for v in VARIABLES):
        rows: list[tuple[str, ...]] = [("variable", "dimensions", "type", "units", "meaning", "aggregate")]
        for v in group_variables(group).values():
            flags = f": {', '.join(f'{code} = {name}' for name, code in v.flags.items())}" if v.flags else ""
            name = v.name + (" *" if v.coord else "")
            dims, units, aggregate = ", ".join(v.dims) or "-", v.units or "-", v.aggregate or "-"
            rows.append((name, dims, v.dtype, units, v.long_name + flags, aggregate))
        if group != _Q:
            rows = [row[:-1] for row in rows]
        tables.append(("/layer_0, /layer_1, ..." if group == _L else group, rows))
    return tables


def describe() -> str:
    """Return the schema as a text table."""
    parts = [f"The record of a run, schema version {SCHEMA_VERSION}", *_NOTES]
    for title, rows in _tables():
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
        parts.append("\n".join(["", title, *("  " + line for line in lines)]))
    return "\n".join(parts) + "\n"


def describe_markdown() -> str:
    """Return the schema as a page of the documentation, in Markdown."""
    parts = [f"# The record of a run\n\nSchema version {SCHEMA_VERSION}.", *_NOTES]
    for title, (head, *rows) in _tables():
        table = (head, ("---",) * len(head), *rows)
        lines = ["| " + " | ".join(row).replace("*", "\\*") + " |" for row in table]
        parts.append("\n".join([f"## `{title}`", "", *lines]))
    return "\n\n".join(parts) + "\n"
