"""Two sweeps side by side: differences in pairs at the points that both have, and the front of both together."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from bimu_hw.analysis import pareto_front, plots_compare
from bimu_hw.analysis.ablation import paired_difference
from bimu_hw.analysis.sweeps import matched_points, mean_over_seeds, points_of, sweep_axes
from bimu_hw.errors import RunError, ScenarioError
from bimu_hw.report.bibliography import bibliography
from bimu_hw.report.compare_page import NUMBERS, differences, folder_names, written
from bimu_hw.report.methods import methods
from bimu_hw.report.page import Page
from bimu_hw.report.run_page import Drawing, add_paper_part, cards_table, draw_all, latex_rows, write_page
from bimu_hw.report.sweep_page import (
    QUANTITIES,
    SENSES,
    axis_rows,
    cards_of,
    drawing_along,
    place_of,
    seeds_of,
    states_of,
    sweep_provenance,
    with_interval,
)
from bimu_hw.sweep.collect import collect
from bimu_hw.sweep.numbers import variable_name

#: Most rows of the tables of points.
_MOST_ROWS = 40


def compare_sweeps(a: str | Path, b: str | Path, out: str | Path) -> Path:
    """Write the comparison of two sweeps, finished or not.

    Parameters
    ----------
    a, b : str or Path
        Folders of the sweeps.
    out : str or Path
        Folder of the comparison.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    RunError
        If one of the two is no sweep, or has no finished cell; if both are the same folder, or the page cannot be
        written.
    """
    folders, out = (Path(a), Path(b)), Path(out)
    names = folder_names(*folders)
    sweeps = {name: collect(folder) for name, folder in zip(names, folders, strict=True)}
    for name, results in sweeps.items():
        if not int(results.attrs["n_done"]):
            raise RunError(f"{name}: none of its {results.attrs['n_cells']} cells is finished: run the sweep first.")
    out.mkdir(parents=True, exist_ok=True)
    page = Page(f"{names[0]} and {names[1]}")
    for name, results in sweeps.items():
        page.paragraph(f"{name}: {results.attrs.get('title') or name}. {sweep_provenance(results)}", "soft")
        done, total = int(results.attrs["n_done"]), int(results.attrs["n_cells"])
        if done < total:
            page.paragraph(
                f"{name} is incomplete: {total - done} cells are not finished ({states_of(results)}).", "note"
            )
    scenarios = [json.loads(results.attrs["resolved_scenario"]) for results in sweeps.values()]
    different = _add_differences(page, sweeps, scenarios)
    page.heading("Differences in pairs")
    try:
        rows = _add_pairs(page, sweeps)
    except ScenarioError as error:
        page.paragraph(f"{error} The sweeps can only be set beside each other.", "note")
        rows = []
    page.heading("Figures")
    page.figures(draw_all([*_over_axes(sweeps), *_front(page, sweeps)], out))
    page.heading("Cards")
    cards = [card for results in sweeps.values() for card in cards_of(results)[0]]
    unique = list({(card.name, card.digest): card for card in cards}.values())
    page.tables(cards_table(unique))
    version = str(sweeps[names[0]].attrs["bimu_hw_version"])
    text = (
        f"{names[0]}: {methods(scenarios[0], version, _varied(sweeps[names[0]]))} "
        f"{names[1]} has {_varied(sweeps[names[1]])}, and differs in: "
        + ("; ".join(f"{key} ({y} in place of {x})" for key, x, y in different) or "nothing else")
        + "."
    )
    sources = bibliography(unique, *dict.fromkeys(str(scenario["learning"]["rule"]) for scenario in scenarios))
    header = ("quantity", *names, "difference")
    add_paper_part(page, out, text, latex_rows(rows, f"{names[0]} and {names[1]}.", header), sources)
    return write_page(page, out)


def _varied(results: xr.Dataset) -> str:
    axes = axis_rows(results, sweep_axes(results))
    return "; ".join((*(f"{name} ({values})" for name, _, values in axes), seeds_of(results)))


def _add_differences(
    page: Page, sweeps: Mapping[str, xr.Dataset], scenarios: Sequence[Mapping[str, Any]]
) -> list[tuple[str, str, str]]:
    """Say in what the two differ: the axes, and the values that no axis of either sweep changes."""
    page.heading("What differs")
    axes = {name: {key: (axis, values) for axis, key, values in axis_rows(results, sweep_axes(results))}
            for name, results in sweeps.items()}  # fmt: skip
    first, second = axes.values()
    rows = [
        (key, *(each[key][1] if key in each else "–" for each in (first, second)))
        for key in dict.fromkeys((*first, *second))
    ]
    page.table(("axis", *sweeps), rows)
    swept = {
        key
        for results in sweeps.values()
        for axis in json.loads(results.attrs["sweep"])["axes"]
        for key in axis["keys"]
    }
    # What an axis changes also shows in the cards that it changes.
    tails = {key.rpartition(".")[2] for key in swept}
    different = [
        row for row in differences(*scenarios)
        if not row[0].startswith("seeds.") and row[0] not in swept
        and not (row[0].startswith("cards.") and row[0].rpartition(".")[2] in tails)
    ]  # fmt: skip
    if different:
        page.paragraph("Beside the axes (first cell of each):")
        page.table(("key", *sweeps), different)
    else:
        page.paragraph("Beside their axes the sweeps have the same scenario.")
    if len({str(results.attrs["source_digest"]) for results in sweeps.values()}) > 1:
        page.paragraph(
            "The two were computed with different sources of the package, which may be why they differ.", "note"
        )
    return different


def _add_pairs(page: Page, sweeps: Mapping[str, xr.Dataset]) -> list[tuple[str, ...]]:
    """Add the table of means over all points that both have, and of the points; return the rows of the first."""
    quantities = [(variable_name(key), words, unit) for key, words, unit, _ in NUMBERS]
    both = [one for one in quantities if all(one[0] in results for results in sweeps.values())]
    pair = list(sweeps.values())
    first, second = matched_points(pair[0], pair[1], [name for name, *_ in both])
    page.paragraph(
        f"{first.sizes['point']:,} points and {first.sizes['seed']:,} seeds are in both. Differences are between cells "
        "of equal point and seed, second less first; in brackets 95 % bootstrap confidence intervals over seeds, too "
        "narrow where seeds are few. Means are over all these points.", "soft",
    )  # fmt: skip
    rows = []
    for name, words, unit in both:
        # A cell that one sweep lacks is left out of both.
        there = np.isfinite(first[name]) & np.isfinite(second[name])
        each = [one[name].where(there).mean("point", keep_attrs=True) for one in (first, second)]
        if not bool(there.any()):
            continue
        found = paired_difference(each[1], each[0])
        rows.append((words, *(written(float(one.mean()), unit) for one in each), _difference(found, unit)))
    page.table(("quantity", *sweeps, "difference"), rows, (1, 2, 3))
    _add_points(page, first, second)
    return rows


def _difference(found: xr.Dataset, unit: str) -> str:
    middle, low, high = (float(found[key]) for key in ("difference", "low", "high"))
    if middle == 0.0 and not (low or high):
        return "none"
    texts = [_signed(value, unit) for value in (middle, low, high)]
    interval = "" if np.isnan(low) else f" ({texts[1]} to {texts[2]})"
    return f"{texts[0]}{interval}{' points' if unit == '%' else ''}"


def _signed(value: float, unit: str) -> str:
    if np.isnan(value):
        return "–"
    if unit == "%":
        return f"{100 * value:+.1f}".replace("-", "−")
    sign = "−" if value < 0 else "+" if value > 0 else ""
    return sign + written(abs(value), unit)


def _add_points(page: Page, first: xr.Dataset, second: xr.Dataset) -> None:
    """Add the differences of accuracy and energy point by point, the largest first if there are too many."""
    names = [name for name in ("accuracy", "energy_per_query_all") if name in first]
    axes = [str(c) for c in first.coords if first[c].dims == ("point",)]
    if not axes or first.sizes["point"] < 2 or not names:
        return
    found = {name: paired_difference(second[name], first[name]) for name in names}
    order = list(range(first.sizes["point"]))
    if len(order) > _MOST_ROWS:
        sizes = np.nan_to_num(np.abs(found[names[0]]["difference"].values))
        order = sorted(np.argsort(-sizes, kind="stable")[:_MOST_ROWS].tolist())
        page.paragraph(f"The {_MOST_ROWS} points whose accuracy differs most:", "soft")
    units = {"accuracy": "%", "energy_per_query_all": "J"}
    rows = [
        [*(place_of(first[axis], i) for axis in axes), *(_difference(found[n].isel(point=i), units[n]) for n in names)]
        for i in order
    ]
    header = [*(axis.replace("_", " ") for axis in axes), *(f"difference of {n.replace('_', ' ')}" for n in names)]
    page.table(header, rows, range(len(axes), len(header)))


def _over_axes(sweeps: Mapping[str, xr.Dataset]) -> list[Drawing]:
    """Return results over each axis that both have with the same values, one line per sweep."""
    first, second = sweeps.values()
    shared = [
        axis for axis in sweep_axes(first)
        if axis in sweep_axes(second) and first.sizes[axis] > 1 and first[axis].equals(second[axis])
    ]  # fmt: skip
    found = []
    for axis in shared:
        panels = [
            ({name: mean_over_seeds(results, quantity, [axis]) for name, results in sweeps.items()},
             str(first[quantity].attrs.get("units", "1")), words)
            for quantity, words in QUANTITIES if all(quantity in results for results in sweeps.values())
        ]  # fmt: skip
        others = ", means over the other axes of each sweep" if len(sweep_axes(first)) > 1 else ""
        caption = f"Results over {axis.replace('_', ' ')}{others}; bars: 95 % bootstrap intervals over seeds."
        found.append(drawing_along(first[axis], panels, caption))
    return found


def _front(page: Page, sweeps: Mapping[str, xr.Dataset]) -> list[Drawing]:
    """Add the points of the front of both sweeps together; return its figure."""
    if any(
        name not in results or not np.isfinite(results[name]).any() for name in SENSES for results in sweeps.values()
    ):
        return []
    points = {name: points_of(results, SENSES) for name, results in sweeps.items()}
    values = np.concatenate([np.stack([one[n].values for n in SENSES], axis=1) for one in points.values()])
    front = pareto_front(values, tuple(SENSES.values()))
    ends = np.cumsum([0, *(one.sizes["point"] for one in points.values())])
    on = {name: front[ends[i] : ends[i + 1]] for i, name in enumerate(points)}
    counts = " and ".join(f"{int(flags.sum())} of {flags.size} of {name}" for name, flags in on.items())
    page.paragraph(f"No point of either sweep has both more accuracy and less energy per query than these: {counts}.")
    rows = []
    for name, one in points.items():
        axes = sweep_axes(sweeps[name])
        accuracy, energy = (mean_over_seeds(sweeps[name], n) for n in ("accuracy", "energy_per_query_all"))
        for i in np.flatnonzero(on[name]):
            index = np.unravel_index(i, tuple(sweeps[name].sizes[axis] for axis in axes)) if axes else ()
            at = {axis: int(k) for axis, k in zip(axes, index, strict=True)}
            where = ", ".join(f"{axis.replace('_', ' ')} {place_of(one[axis], int(i))}" for axis in axes) or "–"
            order = float(one["energy_per_query_all"][i])
            rows.append((order, (name, where, with_interval(accuracy.isel(at)), with_interval(energy.isel(at)))))
    rows.sort(key=lambda row: row[0])
    page.table(("sweep", "point", "accuracy", "energy per query"), [row for _, row in rows[:_MOST_ROWS]], (2, 3))
    caption = (
        "Accuracy against energy per query (idle included), means over seeds. Filled: on the front of both together."
    )
    return [Drawing("pareto", caption, lambda axes: plots_compare.plot_joint_front(points, on, axes))]
