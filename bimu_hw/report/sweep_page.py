"""The report of a sweep: results against each axis, the front of accuracy and energy, and an ablation if it is one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from string import ascii_lowercase
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from bimu_hw.analysis import plots_compare
from bimu_hw.analysis.sweeps import mean_over_seeds, points_of, seed_dims, sweep_axes
from bimu_hw.cards import Card, shipped_cards, shipped_component_cards
from bimu_hw.errors import RunError
from bimu_hw.report.ablation import ABLATION_AXIS, ablation_differences, ablation_rows
from bimu_hw.report.bibliography import bibliography
from bimu_hw.report.methods import methods
from bimu_hw.report.page import Page
from bimu_hw.report.run_page import (
    REPORT,
    Drawing,
    add_paper_part,
    amount,
    cards_table,
    draw_all,
    latex_rows,
    percent,
    write_page,
)
from bimu_hw.sweep.collect import collect
from bimu_hw.units import format_quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: What is drawn against each axis: the variable and its words.
QUANTITIES = (
    ("accuracy", "accuracy, mean of all tasks"), ("energy_per_query_all", "energy per query, all"),
    ("latency_p99", "latency, 99th percentile"), ("plasticity_mean", "plasticity, mean sech²λ"),
)  # fmt: skip
#: The two results whose front is drawn.
SENSES = {"energy_per_query_all": "min", "accuracy": "max"}
#: Lines by name with their means along an axis, the unit, and words for what is drawn.
Panel = tuple[dict[str, xr.Dataset], str, str]
#: Most lines of one panel, and most rows of the table of points.
_MOST_LINES, _MOST_ROWS = 6, 60
#: Most points of a front that are told apart by letters.
_MOST_MARKS = 12


def report_sweep(folder: str | Path, out: str | Path | None = None) -> Path:
    """Write the report of a sweep, finished or not.

    Parameters
    ----------
    folder : str or Path
        Of the sweep.
    out : str or Path, optional
        Folder of the report; default: ``report`` in that of the sweep.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    RunError
        If there is no sweep, none of its cells is finished, or the report cannot be written.
    """
    folder = Path(folder)
    out = folder / REPORT if out is None else Path(out)
    results = collect(folder)
    done, total = int(results.attrs["n_done"]), int(results.attrs["n_cells"])
    if not done:
        raise RunError(f"{folder}: none of its {total} cells is finished: there is nothing to report; run the sweep.")
    out.mkdir(parents=True, exist_ok=True)
    axes = sweep_axes(results)
    title = str(results.attrs.get("title") or folder.name)
    page = Page(title)
    shared = json.loads(results.attrs["scenario"])
    if str(shared.get("claim", "")).strip():
        page.paragraph(" ".join(str(shared["claim"]).split()), "claim")
    page.paragraph(sweep_provenance(results), "soft")
    if done < total:
        page.paragraph(
            f"Incomplete: {total - done} of {total} cells are not finished ({states_of(results)}). Means are over the "
            "seeds that are there, so points may rest on different seeds.", "note",
        )  # fmt: skip
    page.heading("What was varied")
    page.table(("axis", "key", "values"), axis_rows(results, axes))
    differences = ablation_differences(results) if ABLATION_AXIS in axes else None
    if differences is not None:
        _add_ablation(page, differences, out)
    page.heading("Results over each axis")
    if differences is None:
        page.paragraph(_how_drawn(results, axes), "soft")
    drawings = [_drawing(results, axis, axes) for axis in axes if results.sizes[axis] > 1 and axis != ABLATION_AXIS]
    page.figures(draw_all([*drawings, *_pareto(results, axes)], out))
    page.heading("Numbers")
    header, rows = _rows(results, axes)
    page.table(header, rows, range(len(axes), len(header)))
    page.heading("What the energy rests on")
    page.paragraph(_assumed(results), "note")
    cards, unknown = cards_of(results)
    page.tables(cards_table(cards))
    if unknown:
        names = ", ".join(unknown)
        page.paragraph(f"Cards that are not part of the package, whose sources are not listed: {names}.", "note")
    resolved = json.loads(results.attrs["resolved_scenario"])
    varied = "; ".join(f"{name} ({values})" for name, _, values in axis_rows(results, axes)) or "seeds only"
    text = methods(resolved, str(results.attrs["bimu_hw_version"]), f"{varied}; {seeds_of(results)}")
    caption = f"{title}: means over seeds with 95 % bootstrap confidence intervals."
    sources = bibliography(cards, resolved["learning"]["rule"])
    add_paper_part(page, out, text, latex_rows(rows, caption, header), sources)
    return write_page(page, out)


def sweep_provenance(results: xr.Dataset) -> str:
    """Return in a sentence how much of a sweep is there, and what computed it."""
    a = results.attrs
    return (
        f"{a['n_done']} of {a['n_cells']} cells, {seeds_of(results)}; bimu-hw {a['bimu_hw_version']}, sources "
        f"{str(a['source_digest'])[:12]}, computed on {a['cpu']}."
    )


def seeds_of(results: xr.Dataset) -> str:
    """Return in words how many seeds every point has."""
    sizes = {dim: results.sizes[dim] for dim in seed_dims(results)}
    words = [f"{n} {dim.replace('_', ' ')}{'s' if n > 1 else ''}" for dim, n in sizes.items()]
    common = json.loads(results.attrs["sweep"]).get("common_random_numbers", True)
    return f"{' x '.join(words)} per point" + (", the same at every point" if common else ", different at every point")


def states_of(results: xr.Dataset) -> str:
    """Return in words what became of the cells that are not finished."""
    attrs = results["status"].attrs
    codes = dict(zip(attrs["flag_meanings"].split(), attrs["flag_values"], strict=True))
    counts = {word: int((results["status"] == code).sum()) for word, code in codes.items() if word != "done"}
    return ", ".join(f"{n} {word.replace('_', ' ')}" for word, n in counts.items() if n)


def axis_rows(results: xr.Dataset, axes: Sequence[str]) -> list[tuple[str, str, str]]:
    """Return name, key and values of every axis, in words."""
    return [
        (axis.replace("_", " "), str(results[axis].attrs.get("key", "")),
         ", ".join(place_of(results[axis], i) for i in range(results.sizes[axis])))
        for axis in axes
    ]  # fmt: skip


def place_of(axis: xr.DataArray, i: int) -> str:
    """Return one value of an axis in words, with its unit."""
    value = axis.values[i]
    if isinstance(value, str):
        return value.replace("_", " ") or "none"
    units = str(axis.attrs.get("units", "1"))
    return "none" if np.isnan(value) else format_quantity(float(value), units)


def _partner(results: xr.Dataset, axis: str, axes: Sequence[str]) -> str | None:
    """Return the axis whose values are told apart by lines: of the others the one with the most, if not too many."""
    others = [a for a in axes if a != axis and 1 < results.sizes[a] <= _MOST_LINES]
    return max(others, key=lambda a: results.sizes[a]) if others else None


def _how_drawn(results: xr.Dataset, axes: Sequence[str]) -> str:
    many = len([a for a in axes if results.sizes[a] > 1]) > 2
    return (
        "Points are means over seeds, bars their 95 % bootstrap confidence intervals. "
        + ("Means are taken over the axes that a figure does not show." if many else "")
    ).strip()


def _drawing(results: xr.Dataset, axis: str, axes: Sequence[str]) -> Drawing:
    partner = _partner(results, axis, axes)
    panels: list[Panel] = []
    for name, words in QUANTITIES:
        if name not in results or not bool(np.isfinite(results[name]).any()):
            continue
        found = mean_over_seeds(results, name, [axis] if partner is None else [axis, partner])
        groups = {"": found} if partner is None else {
            f"{partner.replace('_', ' ')} {place_of(results[partner], i)}": found.isel({partner: i})
            for i in range(results.sizes[partner])
        }  # fmt: skip
        panels.append((groups, str(results[name].attrs.get("units", "1")), words))

    with_lines = f", by {partner.replace('_', ' ')}" if partner else ""
    return drawing_along(results[axis], panels, f"Results over {axis.replace('_', ' ')}{with_lines}.")


def drawing_along(x: xr.DataArray, panels: Sequence[Panel], caption: str) -> Drawing:
    """Return a figure of results over an axis of a sweep: a panel each, with one legend for all."""

    def draw(each: Sequence[Axes]) -> None:
        for k, (at, (groups, units, words)) in enumerate(zip(each, panels, strict=True)):
            plots_compare.plot_along(groups, x, at, units, words)
            legend = at.get_legend()
            if k and legend is not None:  # once is enough
                legend.remove()

    return Drawing(f"axis_{x.name}", caption, draw, wide=True, panels=len(panels))


def _pareto(results: xr.Dataset, axes: Sequence[str]) -> list[Drawing]:
    if not axes or any(name not in results or not bool(np.isfinite(results[name]).any()) for name in SENSES):
        return []
    points = points_of(results, SENSES)
    front = points["pareto_front"].values
    order = np.argsort(points["energy_per_query_all"].values[front])
    varied = [axis for axis in axes if results.sizes[axis] > 1]
    places = [", ".join(place_of(points[axis][front], int(i)) for axis in varied) for i in order]
    marks = tuple(ascii_lowercase[: len(places)]) if len(places) <= _MOST_MARKS else ()
    legend = "; ".join(f"{mark}: {place}" for mark, place in zip(marks, places, strict=False))
    what = f" Along the front ({', '.join(axis.replace('_', ' ') for axis in varied)}): {legend}." if marks else ""

    def draw(at: Axes) -> None:
        plots_compare.plot_pareto(points[list(SENSES)], front, at, marks)

    return [Drawing("pareto", "Accuracy against energy per query (idle included), means over seeds, and the points "
                    f"that no other beats.{what}", draw)]  # fmt: skip


def _rows(results: xr.Dataset, axes: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Return header and rows of the table of points: all of them, or the front alone where there are too many."""
    names = [(name, words) for name, words in QUANTITIES if name in results]
    means = {name: mean_over_seeds(results, name) for name, _ in names}
    shape = tuple(results.sizes[axis] for axis in axes)
    places = list(np.ndindex(shape))
    if len(places) > _MOST_ROWS and all(name in results for name in SENSES):
        front = points_of(results, SENSES)["pareto_front"].values
        places = [place for place, on in zip(places, front, strict=True) if on]
    rows = []
    for place in places:
        at = dict(zip(axes, place, strict=True))
        cells = [place_of(results[axis], i) for axis, i in at.items()]
        rows.append(cells + [with_interval(means[name].isel(at)) for name, _ in names])
    return [*(axis.replace("_", " ") for axis in axes), *(words for _, words in names)], rows


def with_interval(one: xr.Dataset) -> str:
    """Return a mean and its interval (scalars ``mean``, ``low``, ``high``) in words."""
    mean, low, high = (float(one[key]) for key in ("mean", "low", "high"))
    units = str(one["mean"].attrs["units"])
    if np.isnan(mean):
        return "–"
    words = [f"{value:.3f}" if units == "1" else amount(value, units) for value in (mean, low, high)]
    # An interval narrower than the digits that are written says nothing.
    return words[0] if np.isnan(low) or len(set(words)) == 1 else f"{words[0]} ({words[1]} to {words[2]})"


def _assumed(results: xr.Dataset) -> str:
    shares = results["assumed_energy_fraction"].values
    low, high = float(np.nanmin(shares)), float(np.nanmax(shares))
    text = f"{percent(low)} to {percent(high)} of the energy rests on values that are assumed, cell by cell. "
    if "energy_per_query_all_low" in results:
        ends = [amount(float(results[f"energy_per_query_all_{end}"].mean()), "J") for end in ("low", "high")]
        text += (
            f"Given the ranges of the card values, 90 % intervals of the energy per query are {ends[0]} to {ends[1]} "
            "on average: common to all points, so differences between points are known better than the points."
        )
    return text


def cards_of(results: xr.Dataset) -> tuple[list[Card], list[str]]:
    """Return the cards in use that are part of the package, and the names of those that are not."""
    known = {**shipped_cards(), **shipped_component_cards()}
    names = list(dict.fromkeys(n for each in json.loads(results.attrs["cards"]).values() for n in each))
    return [known[name] for name in names if name in known], [name for name in names if name not in known]


def _add_ablation(page: Page, differences: dict[str, xr.Dataset], out: Path) -> None:
    page.heading("Ablation")
    page.paragraph(
        "Each nonideality is turned off while the others stay (compared with the scenario as described), and is turned "
        "on alone (compared with the same scenario without any). Differences are between runs of equal seeds; bars are "
        "95 % bootstrap confidence intervals over seeds, which are too narrow where seeds are few. What needs another "
        "nonideality to act, such as a register between levels, has no effect alone."
    )
    labels = {"accuracy": ("difference of accuracy (percentage points)", 100.0),
              "energy_per_query_all": ("difference of energy per query", 1.0)}  # fmt: skip
    drawings = []
    for name, found in differences.items():
        label, scale = labels[name]
        height = 1.0 + 0.24 * found.sizes["nonideality"]

        def draw(at: Axes, found: Any = found, label: str = label, scale: float = scale) -> None:
            plots_compare.plot_ablation(found, at, label, scale, "1" if scale == 100.0 else "J")

        drawings.append(Drawing(f"ablation_{name}", f"Ablation: {label}.", draw, height))
    page.figures(draw_all(drawings, out))
    page.table(*ablation_rows(differences), range(1, 5))
