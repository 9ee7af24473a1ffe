"""The summary of a run: the numbers people ask for first, and the table that shows them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from bimu_hw.learning.metrics import (
    backward_transfer,
    last_k_average,
    mean_accuracy,
    memory_rigidity_resilience,
    newest_task_accuracy,
    saturated_fraction,
)
from bimu_hw.operations import ENERGY_PER_QUERY, PHASES, UPDATE_PHASES
from bimu_hw.units import format_quantity

if TYPE_CHECKING:
    import xarray as xr

#: What "energy per query" means, by its key in the summary.
ENERGY_WORDS = {
    "inference": "inference only",
    "label": "with label request",
    "update": "with label request and update",
    "all": "all of it, idle included",
}


def summarise(tree: xr.DataTree, facts: dict[str, Any]) -> dict[str, Any]:
    """Return the summary of a run.

    Parameters
    ----------
    tree : xarray.DataTree
        The record.
    facts : dict
        ``title``, ``latency_s`` (p50 and p99), ``area_m2`` (total and by component) and ``assumed_energy_fraction``.

    Returns
    -------
    dict
        The content of ``summary.json``: accuracies as fractions, energies in joules, times in seconds.
    """
    queries, ledger, resources = (tree[name].to_dataset() for name in ("queries", "ledger", "resources"))
    n = int(queries["n_aggregated"].sum())
    updates = int(queries["updated"].sum())
    by_phase = dict(zip(PHASES, ledger["energy"].values, strict=True))
    components = [str(name) for name in ledger["component"].values]

    def joules(phases: tuple[str, ...]) -> float:
        return float(sum(by_phase[p].sum() for p in phases))

    accuracy = tree["tasks"].to_dataset()["accuracy"].values
    per_query = {key: joules(phases) / n if n else np.nan for key, phases in ENERGY_PER_QUERY.items()}
    total = ledger["energy"].sum(("phase", "layer")).values
    attrs = tree.attrs
    summary = {
        "title": facts["title"],
        "queries": n,
        "queries_dropped": int(resources["queries_dropped"]),
        "accuracy": mean_accuracy(accuracy),
        "accuracy_last_k": last_k_average(accuracy, min(5, len(accuracy))),
        **{f"accuracy_last_{k}": _last_k(accuracy, k) for k in (20, 100)},
        "accuracy_newest_task": newest_task_accuracy(accuracy),
        "accuracy_online": float(queries["correct"].sum()) / n if n else np.nan,
        "backward_transfer": backward_transfer(accuracy),
        "memory_rigidity_resilience": memory_rigidity_resilience(accuracy),
        "labels_requested_fraction": float(queries["asked"].sum()) / n if n else np.nan,
        "updates": updates,
        "energy_per_query_J": {
            **per_query,
            "components": {name: float(e) / n if n else np.nan for name, e in zip(components, total, strict=True)},
        },
        "energy_per_update_J": joules(UPDATE_PHASES) / updates if updates else np.nan,
        "energy_total_J": float(total.sum()),
        "assumed_energy_fraction": facts["assumed_energy_fraction"],
        "latency_s": facts["latency_s"],
        "area_m2": facts["area_m2"],
        "duration_s": int(resources["duration_ticks"]) * 1e-12,
        "events": int(resources["event_count"]),
        **_freezing(tree),
        "seeds": {name: int(attrs[f"seed_{name}"]) for name in ("fabrication", "noise", "data")},
        "versions": {name: attrs[f"{name}_version"] for name in ("bimu_hw", "python", "numpy", "numba")},
        "scenario_hash": attrs["scenario_hash"],
    }
    return summary


def _last_k(accuracy: np.ndarray, k: int) -> float:
    """Return the mean accuracy on the newest `k` tasks; NaN where there are fewer."""
    return last_k_average(accuracy, k) if k <= len(accuracy) else np.nan


def _freezing(tree: xr.DataTree) -> dict[str, Any]:
    """Return how frozen the synapses are at the end, over all layers and per layer."""
    layers = [name for name in tree.children if name.startswith("layer_")]
    plasticity, saturated, pulses = [], [], []
    per_layer = {}
    for name in layers:
        last = tree[name].to_dataset().isel(snapshot=-1)
        lam = last["lam"].values
        plasticity.append(last["plasticity"].values.astype(np.float64).ravel())
        saturated.append(lam.ravel())
        pulses.append(last["pulse_count"].values.astype(np.int64).ravel())
        per_layer[name] = {
            "plasticity_mean": float(plasticity[-1].mean()),
            "saturated_fraction": float(saturated_fraction(lam)),
            "pulses_per_cell": float(pulses[-1].mean()),
        }
    if not layers:
        return {"plasticity_mean": np.nan, "saturated_fraction": np.nan, "pulses_per_cell": np.nan, "layers": {}}
    return {
        "plasticity_mean": float(np.concatenate(plasticity).mean()),
        "saturated_fraction": float(saturated_fraction(np.concatenate(saturated))),
        "pulses_per_cell": float(np.concatenate(pulses).mean()),
        "layers": per_layer,
    }


def format_summary(summary: dict[str, Any]) -> str:
    """Return the summary as the table that the command line prints."""

    def percent(value: float) -> str:
        return "-" if value is None or value != value else f"{100 * value:.1f} %"

    def joules(value: float) -> str:
        return "-" if value is None or value != value else format_quantity(value, "J")

    energy, latency = summary["energy_per_query_J"], summary["latency_s"]
    rows = [
        ("accuracy, newest task", percent(summary["accuracy_newest_task"])),
        ("accuracy, mean of the last tasks (up to 5)", percent(summary["accuracy_last_k"])),
        ("accuracy, mean of all tasks", percent(summary["accuracy"])),
        ("queries served / dropped", f"{summary['queries']:,} / {summary['queries_dropped']:,}"),
        ("labels requested", percent(summary["labels_requested_fraction"])),
        *((f"energy per query, {words}", joules(energy[key])) for key, words in ENERGY_WORDS.items()),
        ("energy per update", joules(summary["energy_per_update_J"])),
        ("energy that rests on assumed values", percent(summary["assumed_energy_fraction"])),
        ("latency, median / 99th percentile",
         f"{format_quantity(latency['p50'], 's')} / {format_quantity(latency['p99'], 's')}"),
        ("area of cells, converters and periphery", f"{summary['area_m2']['total'] * 1e6:.3g} mm\u00b2"),
        ("simulated time", format_quantity(summary["duration_s"], "s")),
        ("plasticity, mean sech\u00b2(lam)", f"{summary['plasticity_mean']:.3f}"),
        ("saturated synapses, |lam| > 2.5", percent(summary["saturated_fraction"])),
        ("pulses per cell", f"{summary['pulses_per_cell']:.3g}"),
    ]  # fmt: skip
    width = max(len(name) for name, _ in rows)
    lines = [summary["title"], "", *(f"  {name:<{width}}  {value}" for name, value in rows)]
    total = energy["all"]
    if total and total == total:
        lines += ["", "  energy per query by component, idle included"]
        parts = sorted(energy["components"].items(), key=lambda item: -item[1])
        lines += [f"    {name:<{width - 2}}  {joules(e):<10} {percent(e / total):>8}" for name, e in parts if e > 0]
    return "\n".join(lines)
