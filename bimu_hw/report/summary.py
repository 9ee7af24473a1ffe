"""The summary of a run: the numbers people ask for first, and the table that shows them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np

from bimu_hw.learning.metrics import (
    backward_transfer,
    last_k_average,
    mean_accuracy,
    memory_rigidity_resilience,
    newest_task_accuracy,
    posterior_entropy,
    relearning_gain,
    saturated_fraction,
    time_to_freeze,
)
from bimu_hw.operations import COMPONENTS, ENERGY_PER_QUERY, UPDATE_PHASES
from bimu_hw.report.account import Account
from bimu_hw.units import format_quantity, format_within

if TYPE_CHECKING:
    import xarray as xr

#: When a layer counts as frozen: its mean plasticity or entropy (in bits) has fallen to half of what it can be, or half
#: of its synapses no longer answer for one of the reasons in `DEVICE_FREEZING`.
FROZEN = {"plasticity": 0.5, "entropy": 0.5, "device": 0.5}
DEVICE_FREEZING = ("dead_zone_fraction", "rail_fraction", "worn_out_fraction", "stuck_fraction")

#: What "energy per query" means, by its key in the summary.
ENERGY_WORDS = {
    "inference": "inference only",
    "label": "with label request",
    "update": "with label request and update",
    "all": "all of it, idle included",
}
#: How many of the values that make an interval wide are named.
_NAMED = 3


def summarise(tree: xr.DataTree) -> dict[str, Any]:
    """Return the summary of a run.

    Parameters
    ----------
    tree : xarray.DataTree
        The record.

    Returns
    -------
    dict
        The content of ``summary.json``: accuracies as fractions, energies in joules, times in seconds.
    """
    queries, area, resources = (tree[name].to_dataset() for name in ("queries", "area", "resources"))
    account = Account(tree)
    n = account.n_queries
    accuracy = tree["tasks"].to_dataset()["accuracy"].values
    attrs = tree.attrs
    summary = {
        "title": attrs.get("title", ""),
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
        "updates": account.n_updates,
        **_energies(account),
        "latency_s": {name: float(resources[f"latency_{name}"]) for name in ("p50", "p99")},
        "area_m2": {
            "total": float(area["area"].sum()),
            **{str(name): float(size) for name, size in zip(area["block"].values, area["area"].values, strict=True)},
        },
        "duration_s": int(resources["duration_ticks"]) * 1e-12,
        "events": int(resources["event_count"]),
        **_freezing(tree),
        "time_to_freeze": _time_to_freeze(tree),
        "calibration_error": _newest_calibration(tree),
        "ood_roc_auc": _ood(tree),
        "relearning_gain": _relearning(tree),
        "seeds": {name: int(attrs[f"seed_{name}"]) for name in ("fabrication", "noise", "data")},
        "versions": {name: attrs[f"{name}_version"] for name in ("bimu_hw", "python", "numpy", "numba")},
        "scenario_hash": attrs["scenario_hash"],
    }
    return summary


def _energies(account: Account) -> dict[str, Any]:
    """Return what a query and an update cost, with intervals and with what makes these wide."""
    n, updates = account.n_queries, account.n_updates

    def over(joules: float, number: int) -> float:
        return joules / number if number else np.nan

    def interval(number: int, *what: Any) -> list[float]:
        return [over(end, number) for end in account.interval(*what)] if number else [np.nan, np.nan]

    figures = ENERGY_PER_QUERY.items()
    every = ENERGY_PER_QUERY["all"]
    tops, *tops_ends = account.tops_per_watt()
    return {
        "energy_per_query_J": {
            **{key: over(account.joules(phases), n) for key, phases in figures},
            "components": {name: over(account.joules(every, name), n) for name in COMPONENTS},
        },
        "energy_per_query_interval_J": {
            **{key: interval(n, phases) for key, phases in figures},
            "components": {name: interval(n, every, name) for name in COMPONENTS},
        },
        "energy_dominated_by": {
            key: [vars(share) for share in account.shares(phases)[:_NAMED] if share.share > 0]
            for key, phases in figures
        },
        "energy_per_update_J": over(account.joules(UPDATE_PHASES), updates),
        "energy_per_update_interval_J": interval(updates, UPDATE_PHASES),
        "energy_total_J": account.joules(),
        "assumed_energy_fraction": account.assumed_share(),
        "tops_per_watt": tops,
        "tops_per_watt_interval": tops_ends,
    }


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


def _time_to_freeze(tree: xr.DataTree) -> dict[str, dict[str, float]]:
    """Return for each layer after how many tasks it was frozen, by what is measured; NaN: not within the run.

    Looks are taken at the ends of the tasks, and at the beginning if the state was recorded there.
    """
    freezing = tree["freezing"].to_dataset()
    found = {}
    for k in range(freezing.sizes["layer"]):
        looks = freezing.isel(layer=k)
        at = looks["task"].values + 1.0
        of_device = np.fmax.reduce([looks[name].values for name in DEVICE_FREEZING])
        series = {"plasticity": looks["plasticity"].values, "entropy": looks["entropy"].values, "device": of_device}
        start = _start_of(tree, f"layer_{k}")
        if start is not None:
            at = np.concatenate([[0.0], at])
            series = {name: np.concatenate([[start[name]], values]) for name, values in series.items()}
        found[f"layer_{k}"] = {
            name: time_to_freeze(at, values, FROZEN[name], rising=name == "device") for name, values in series.items()
        }
    return found


def _start_of(tree: xr.DataTree, name: str) -> dict[str, float] | None:
    """Return the measures of freezing of a layer before the first example; None if that was not recorded."""
    if name not in tree.children:
        return None
    first = tree[name].to_dataset().isel(snapshot=0)
    if int(first["example"]) != 0:
        return None
    entropy = posterior_entropy(first["lam"].values.astype(np.float64))
    return {"plasticity": float(first["plasticity"].mean()), "entropy": float(entropy.mean()), "device": 0.0}


def _newest_calibration(tree: xr.DataTree) -> float:
    if "calibration" not in tree.children:
        return np.nan
    return float(tree["calibration"].to_dataset()["calibration_error"].values[-1, -1])


def _ood(tree: xr.DataTree) -> dict[str, dict[str, float]]:
    """Return the areas under the ROC curve by set and protocol, without those that do not apply."""
    if "ood" not in tree.children:
        return {}
    ood = tree["ood"].to_dataset()
    return {
        str(name): {
            str(protocol): float(auc) for protocol, auc in zip(ood["protocol"].values, row, strict=True) if auc == auc
        }
        for name, row in zip(ood["ood_set"].values, ood["roc_auc"].values, strict=True)
    }


def _relearning(tree: xr.DataTree) -> float:
    """Return how much better tasks go when they come back; NaN if none does."""
    order = json.loads(tree.attrs["resolved_scenario"]).get("stream", {}).get("task_order")
    if order is None:
        return np.nan
    queries = tree["queries"].to_dataset()
    task, served = queries["task"].values, queries["n_aggregated"].values
    served = np.bincount(task, served, len(order))
    right = np.bincount(task, queries["correct"].values, len(order))
    return relearning_gain(np.divide(right, served, where=served > 0, out=np.full(len(order), np.nan)), order)


def format_summary(summary: dict[str, Any]) -> str:
    """Return the summary as the table that the command line prints."""

    def percent(value: float, digits: int = 1) -> str:
        return "-" if value is None or value != value else f"{100 * value:.{digits}f} %"

    def within(value: float, ends: list[float], unit: str = "J") -> tuple[str, str]:
        return ("-", "") if value is None or value != value else format_within(value, ends[0], ends[1], unit)

    energy, ends, latency = summary["energy_per_query_J"], summary["energy_per_query_interval_J"], summary["latency_s"]
    rows = [
        ("accuracy, newest task", percent(summary["accuracy_newest_task"])),
        ("accuracy, mean of the last tasks (up to 5)", percent(summary["accuracy_last_k"])),
        ("accuracy, mean of all tasks", percent(summary["accuracy"])),
        *((f"OOD ROC-AUC, {name}, {protocol}", f"{auc:.3f}")
          for name, by_protocol in summary["ood_roc_auc"].items() for protocol, auc in by_protocol.items()),
        ("queries served / dropped", f"{summary['queries']:,} / {summary['queries_dropped']:,}"),
        ("labels requested", percent(summary["labels_requested_fraction"])),
        *((f"energy per query, {words}", *within(energy[key], ends[key])) for key, words in ENERGY_WORDS.items()),
        ("energy per update", *within(summary["energy_per_update_J"], summary["energy_per_update_interval_J"])),
        ("operations per joule of inference", *within(
            summary["tops_per_watt"], summary["tops_per_watt_interval"], "TOPS/W"
        )),
        ("energy that rests on assumed values", percent(summary["assumed_energy_fraction"], 0)),
        ("latency, median / 99th percentile",
         f"{format_quantity(latency['p50'], 's')} / {format_quantity(latency['p99'], 's')}"),
        ("area of cells, converters and periphery", f"{summary['area_m2']['total'] * 1e6:.3g} mm\u00b2"),
        ("simulated time", format_quantity(summary["duration_s"], "s")),
        ("plasticity, mean sech\u00b2(lam)", f"{summary['plasticity_mean']:.3f}"),
        ("saturated synapses, |lam| > 2.5", percent(summary["saturated_fraction"])),
        ("pulses per cell", f"{summary['pulses_per_cell']:.3g}"),
    ]  # fmt: skip
    width = max(len(name) for name, *_ in rows)
    lines = [summary["title"], "", *(_line(name, width, value, *rest) for name, value, *rest in rows)]
    total = energy["all"]
    if total and total == total:
        lines += ["", "  energy per query by component, idle included"]
        for name, joules in sorted(energy["components"].items(), key=lambda item: -item[1]):
            if joules > 0:
                value, interval = within(joules, ends["components"][name])
                share = f"{100 * joules / total:.0f} %" if joules >= 0.005 * total else "< 1 %"
                lines.append(_line(f"  {name}", width, value, interval, share))
        lines += _dominated(summary["energy_dominated_by"]["all"])
    return "\n".join(lines)


def _line(name: str, width: int, value: str, interval: str = "", share: str = "") -> str:
    return f"  {name:<{width}}  {value:<12} {interval:<18} {share:>5}".rstrip()


def _dominated(shares: list[dict[str, Any]]) -> list[str]:
    """Return lines that name the values which make the interval of an energy wide."""
    if not shares:
        return []
    lines = ["", "  intervals: 90 % of what the ranges of the card values allow. That of the energy per query, idle",
             "  included, is as wide as it is because of"]  # fmt: skip
    names = [f"{share['card']}, {share['key']}" for share in shares]
    width = max(map(len, names))
    lines += [f"    {name:<{width}}  {100 * share['share']:3.0f} % of the variance"
              for name, share in zip(names, shares, strict=True)]  # fmt: skip
    return lines
