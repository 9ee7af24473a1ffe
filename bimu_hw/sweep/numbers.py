"""The numbers of a run as variables: the keys of its summary made names, their units moved where units belong."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

#: What a sweep does not collect as numbers: words, and where a run comes from.
_LEFT_OUT = frozenset({"title", "seeds", "versions", "scenario_hash"})
#: Endings of keys that are units, and how UDUNITS writes them.
_UNITS = {"_J": "J", "_s": "s", "_m2": "m2"}
_OWN_UNITS = {"tops_per_watt": "TOPS/W"}
#: Meaning of the words in names that do not speak for themselves.
_WORDS = {
    "accuracy": "accuracy, mean of all tasks at the end",
    "accuracy_last_k": "accuracy, mean of the last tasks (up to 5) at the end",
    "accuracy_newest_task": "accuracy on the newest task at the end",
    "accuracy_online": "accuracy before each example was learned",
    "accuracy_per_task": "accuracy on each task at the end",
    "accuracy_when_learned": "accuracy on each task right after it was learned",
    "latency_p50": "latency of a query, median",
    "latency_p99": "latency of a query, 99th percentile",
    "energy_per_query_inference": "energy per query, inference only",
    "energy_per_query_label": "energy per query, with label request",
    "energy_per_query_update": "energy per query, with label request and update",
    "energy_per_query_all": "energy per query, all of it, idle included",
    "assumed_energy_fraction": "energy that rests on assumed values",
    "area_total": "area of cells, converters and periphery",
    "duration": "simulated time",
    "plasticity_mean": "plasticity, mean sech^2(lam)",
    "saturated_fraction": "saturated synapses, |lam| > 2.5",
}
#: Variables that have one value per task.
PER_TASK = ("accuracy_per_task", "accuracy_when_learned")


def numbers_of(summary: Mapping[str, Any]) -> dict[str, tuple[float, str]]:
    """Return every number of a summary by name, with its unit.

    Examples
    --------
    >>> numbers_of({"title": "t", "latency_s": {"p50": 1e-6}, "layers": {"layer_0": {"pulses_per_cell": 2}}})
    {'latency_p50': (1e-06, 's'), 'layer_0_pulses_per_cell': (2.0, '1')}
    >>> numbers_of({"energy_per_query_interval_J": {"all": [1e-9, 2e-9]}})
    {'energy_per_query_all_low': (1e-09, 'J'), 'energy_per_query_all_high': (2e-09, 'J')}
    """
    return dict(_walk({key: value for key, value in summary.items() if key not in _LEFT_OUT}, "", "1"))


def _walk(summary: Mapping[str, Any], prefix: str, unit: str) -> Iterator[tuple[str, tuple[float, str]]]:
    for key, value in summary.items():
        name, own = str(key), _OWN_UNITS.get(str(key).removesuffix("_interval"), unit)
        for ending, written in _UNITS.items():
            if name.endswith(ending):
                name, own = name.removesuffix(ending), written
        if isinstance(value, Mapping):
            # The names of layers say that they are layers.
            yield from _walk(value, "" if name == "layers" else f"{prefix}{name}_", own)
        elif value is None:
            yield f"{prefix}{name}", (math.nan, own)
        elif isinstance(value, (int, float)):
            yield f"{prefix}{name}", (float(value), own)
        elif isinstance(value, (list, tuple)) and "interval" in f"{prefix}{name}":
            # Both ends of an interval are variables beside the number that they belong to.
            whole = f"{prefix}{name}".replace("_interval", "")
            for end, number in zip(("low", "high"), value, strict=True):
                yield f"{whole}_{end}", (math.nan if number is None else float(number), own)


def variable_name(key: str) -> str:
    """Return the name of the variable that a key of a summary becomes, its levels joined by dots.

    Examples
    --------
    >>> variable_name("energy_per_query_J.inference"), variable_name("accuracy")
    ('energy_per_query_inference', 'accuracy')
    """
    parts = (next((p.removesuffix(u) for u in _UNITS if p.endswith(u)), p) for p in key.split("."))
    return "_".join(parts)


def meaning_of(name: str) -> str:
    """Return what a variable is, for its attribute ``long_name``."""
    return _WORDS.get(name, name.replace("_", " "))
