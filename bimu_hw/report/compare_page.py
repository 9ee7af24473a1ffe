"""Two runs side by side: what differs between their scenarios, what came out, and which of them beats the other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bimu_hw.analysis import RunAnalysis, open_run, pareto_front, plots_compare
from bimu_hw.errors import RunError
from bimu_hw.record import RUN_FILE
from bimu_hw.report.bibliography import bibliography
from bimu_hw.report.methods import methods
from bimu_hw.report.page import Page
from bimu_hw.report.run_page import (
    Drawing,
    add_paper_part,
    amount,
    cards_table,
    changed_cards,
    draw_all,
    latex_rows,
    page_title,
    percent,
    read_summary,
    write_page,
)
from bimu_hw.scenario.recorded import recorded_cards

#: Numbers of a summary that are compared: key, words, unit, and which way is better.
NUMBERS = (
    ("accuracy_newest_task", "accuracy, newest task", "%", "max"),
    ("accuracy", "accuracy, mean of all tasks", "%", "max"),
    ("accuracy_online", "accuracy online, before learning", "%", "max"),
    ("backward_transfer", "backward transfer", "%", "max"),
    ("labels_requested_fraction", "labels requested", "%", "min"),
    ("energy_per_query_J.inference", "energy per query, inference only", "J", "min"),
    ("energy_per_query_J.update", "energy per query, with label request and update", "J", "min"),
    ("energy_per_query_J.all", "energy per query, all of it, idle included", "J", "min"),
    ("energy_per_update_J", "energy per update", "J", "min"),
    ("assumed_energy_fraction", "energy that rests on assumed values", "%", ""),
    ("latency_s.p50", "latency, median", "s", "min"),
    ("latency_s.p99", "latency, 99th percentile", "s", "min"),
    ("plasticity_mean", "plasticity, mean sech²λ at the end", "1", ""),
    ("saturated_fraction", "saturated synapses, |λ| > 2.5", "%", ""),
    ("area_m2.total", "area", "m^2", "min"),
)  # fmt: skip


def compare_runs(a: str | Path, b: str | Path, out: str | Path) -> Path:
    """Write the comparison of two finished runs.

    Parameters
    ----------
    a, b : str or Path
        Folders of the runs.
    out : str or Path
        Folder of the comparison.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    RunError
        If one of the two is no finished run, both are the same folder, or the page cannot be written.
    """
    a, b, out = Path(a), Path(b), Path(out)
    names = folder_names(a, b)
    with open_run(a) as first, open_run(b) as second:
        trees = dict(zip(names, (first, second), strict=True))
        runs = {name: RunAnalysis(tree) for name, tree in trees.items()}
        numbers = [read_summary(folder) for folder in (a, b)]
        cards = [card for tree, folder in ((first, a), (second, b))
                 for card in recorded_cards(tree.attrs, folder / RUN_FILE)]  # fmt: skip
        unique = list({(card.name, card.digest): card for card in cards}.values())
        out.mkdir(parents=True, exist_ok=True)
        page = Page(f"{names[0]} and {names[1]}")
        for name, tree in trees.items():
            page.paragraph(f"{name}: {page_title(tree)} (scenario {str(tree.attrs['scenario_hash'])[:12]})", "soft")
        page.heading("What differs")
        scenarios = [run.scenario for run in runs.values()]
        different = differences(*scenarios)
        if different:
            page.table(("key", *names), different)
        else:
            page.paragraph("Nothing: both runs have the same scenario and seeds.")
        page.paragraph(_fairness(*scenarios), "note")
        page.heading("What came out")
        rows = number_rows(*numbers)
        page.table(("quantity", *names, "difference"), rows, (1, 2, 3))
        page.paragraph(verdict(names, numbers))
        page.heading("Figures")
        page.figures(draw_all(_drawings(runs), out))
        page.heading("Cards")
        page.tables(cards_table(unique))
        if changed := changed_cards(unique):
            page.paragraph(changed, "note")
        text = (
            f"{names[0]}: {methods(scenarios[0], str(first.attrs['bimu_hw_version']))} {names[1]} differs in: "
            + ("; ".join(f"{key} ({x} in place of {y})" for key, y, x in different) or "nothing")
            + "."
        )
        rules = [str(scenario["learning"]["rule"]) for scenario in scenarios]
        tex = latex_rows(rows, f"{names[0]} and {names[1]}.", ("quantity", *names, "difference"))
        add_paper_part(page, out, text, tex, bibliography(unique, *dict.fromkeys(rules)))
    return write_page(page, out)


def folder_names(a: Path, b: Path) -> tuple[str, str]:
    """Return what two runs or sweeps are called: their folders, with as many parents as it takes to tell them apart.

    Raises
    ------
    RunError
        If both are the same folder.
    """
    first, second = a.resolve().parts, b.resolve().parts
    for n in range(1, max(len(first), len(second)) + 1):
        if first[-n:] != second[-n:]:
            return "/".join(first[-n:]), "/".join(second[-n:])
    raise RunError(f"{a}: both are this folder; give two of them.")


def flat(tables: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested tables by dotted key."""
    found: dict[str, Any] = {}
    for key, value in tables.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


def differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Return key and both values of all in which two resolved scenarios differ, apart from words and digests."""
    first, second = flat(a), flat(b)
    ignored = ("title", "claim", "expect", "run.threads")
    # What the scenarios say comes first; then what their cards make of it.
    keys = sorted(dict.fromkeys((*first, *second)), key=lambda key: key.startswith("cards."))
    return [
        (key, _shown(first.get(key)), _shown(second.get(key)))
        for key in keys
        if first.get(key) != second.get(key) and key not in ignored and not key.endswith(".digest")
    ]


def _shown(value: Any) -> str:
    if value is None:
        return "–"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _fairness(a: Mapping[str, Any], b: Mapping[str, Any]) -> str:
    paired = a["seeds"] == b["seeds"]
    seeds = (
        "Both have the same seeds, so what is random is shared as far as both have it." if paired
        else "They have different seeds: part of every difference is chance."
    )  # fmt: skip
    return f"{seeds} One run each: whether a difference is larger than chance only more seeds can say (bimu-hw sweep)."


def _value(numbers: Mapping[str, Any], key: str) -> float:
    found: Any = numbers
    for part in key.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return float("nan") if found is None else float(found)


def number_rows(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """Return the rows of the table: quantity, both values, and their difference (of percentages in points)."""
    rows = []
    for key, words, unit, _ in NUMBERS:
        x, y = _value(a, key), _value(b, key)
        if np.isnan([x, y]).all():
            continue
        rows.append((words, written(x, unit), written(y, unit), _change(x, y, unit)))
    return rows


def written(value: float, unit: str) -> str:
    """Return a value in words: "%" stands for a fraction, "m^2" for an area."""
    if np.isnan(value):
        return "–"
    if unit == "%":
        return percent(value)
    return f"{value * 1e6:.3g} mm²" if unit == "m^2" else amount(value, unit)


def _change(x: float, y: float, unit: str) -> str:
    """Return the difference: of percentages in points, else relative to the first."""
    if np.isnan(y - x):
        return "–"
    if unit == "%":
        return f"{100 * (y - x):+.1f} points".replace("-", "−")
    if x <= 0:
        return "–"
    change = round(100 * (y / x - 1), 1)
    return f"× {y / x:.3g}" if y > 3 * x else f"{change:+g} %".replace("-", "−") if change else "none"


def verdict(names: tuple[str, str], numbers: list[dict[str, Any]]) -> str:
    """Return in a sentence which of two runs beats the other in accuracy and energy, if one does."""
    keys = ("accuracy", "energy_per_query_J.all")
    points = np.array([[_value(one, key) for key in keys] for one in numbers])
    front = pareto_front(points, ("max", "min"))
    what = "In mean accuracy and energy per query (idle included)"
    if front.all() and (points[0] == points[1]).all():
        return f"{what} the two are equal."
    if front.all():
        return f"{what} neither beats the other: both are on the Pareto front."
    if not front.any():
        return "Mean accuracy or energy per query is missing, so neither can be said to beat the other."
    better, other = names if front[0] else names[::-1]
    return f"{what} {better} is at least as good as {other} in both."


def _drawings(runs: Mapping[str, RunAnalysis]) -> list[Drawing]:
    online = {name: run.online_accuracy() for name, run in runs.items()}
    energy = {name: run.energy_per_query("component") for name, run in runs.items()}
    latency = {name: run.latency_distribution() for name, run in runs.items()}
    freezing = {name: run.freezing("task", ("plasticity",)) for name, run in runs.items()}
    return [
        Drawing("accuracy", "Accuracy over the stream, before each example was learned.",
                lambda axes: plots_compare.plot_accuracies(online, axes)),
        Drawing("energy", "Energy per query by component. Whiskers: 90 % intervals, every card value drawn from its "
                "range.",
                lambda axes: plots_compare.plot_energies(energy, axes)),
        Drawing("latency", "Latency, from the arrival of an input to its prediction.",
                lambda axes: plots_compare.plot_latencies(latency, axes)),
        Drawing("plasticity", "Mean plasticity of each layer at the end of each task.",
                lambda axes: plots_compare.plot_plasticities(freezing, axes)),
    ]  # fmt: skip
