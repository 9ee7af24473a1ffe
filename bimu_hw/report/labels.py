"""The table and the figure of what asking for labels brings and costs, by policy, budget and price of a label."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bimu_hw.report.style import COLOURS, new_figure, paper_style, save_figure, si_axis
from bimu_hw.units import format_quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bimu_hw.studies.labels import LabelPoint, LabelStudy

_MARKERS = ("o", "s", "^", "v", "D", "P", "X")


def format_labels(study: LabelStudy, costs: Sequence[float]) -> str:
    """Return a table with a line per policy and budget; `costs` are prices of a label in joules."""
    header = ["policy", "budget", "asked", "right on the stream", "test, newest task"]
    header += [f"label {format_quantity(c, 'J')}" for c in costs]
    rows, seeds = [header], len(study.points[0].runs)
    for point in study.points:
        rows.append([
            point.name, f"{point.budget:.0%}", f"{100 * point.mean('labels_requested_fraction')[0]:.1f} %",
            _percent(point.mean("accuracy_online"), seeds), _percent(point.mean("accuracy_newest_task"), seeds),
            *(format_quantity(point.energy(c)[0], "J") for c in costs),
        ])  # fmt: skip
    widths = [max(len(row[i]) for row in rows) for i in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    over = "1 seed" if seeds == 1 else f"{seeds} seeds; ± is the standard deviation over them"
    lines += ["", f"{over}. Energy per query: inference, label, update."]
    if study.training:
        lines.append(
            f"Before, and in none of these numbers: training with {study.training:,} labels, to "
            f"{_percent(study.trained, seeds)} on the test set of the first task, for "
            f"{format_quantity(study.training_joules, 'J')}."
        )
    return "\n".join(lines)


def draw_labels(study: LabelStudy, costs: Sequence[float], path: Path) -> Path:
    """Draw the share of right answers on the stream against labels, and against energy per query for each price."""
    from matplotlib.ticker import FuncFormatter

    with paper_style():
        n = 1 + len(costs)
        rows = -(-n // 2)
        figure = new_figure("double", 2.5 * rows)
        panels = figure.subplots(rows, 2, sharey=True, squeeze=False).ravel()
        for axes in panels[n:]:
            axes.set_visible(False)
        _panel(panels[0], study, [point.mean("labels_requested_fraction") for point in study.points])
        panels[0].xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g} %"))
        panels[0].set(xlabel="labels asked for", title="(a)")
        for axes, letter, cost in zip(panels[1:n], "bcdefgh", costs, strict=False):
            _panel(axes, study, [point.energy(cost) for point in study.points])
            si_axis(axes.xaxis, "J")
            axes.set(xlabel="energy per query", title=f"({letter}) a label costs {format_quantity(cost, 'J')}")
        for axes in panels[:n:2]:
            axes.set(ylabel="right on the stream")
        for axes in panels[:n]:
            axes.set_title(axes.get_title(), loc="left")
            axes.set_title("")
        handles, labels = panels[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4, fontsize=7)
        return save_figure(figure, path)


def _panel(axes: Axes, study: LabelStudy, x: Sequence[tuple[float, float]]) -> None:
    """Draw one line per policy, from its smallest budget to every label."""
    from matplotlib.ticker import LogLocator, NullFormatter

    placed = list(zip(study.points, x, strict=True))
    every = [entry for entry in placed if entry[0].budget == 1.0]
    names = dict.fromkeys(point.name for point in study.points if 0.0 < point.budget < 1.0)
    for n, name in enumerate(names):
        line = [*every, *(entry for entry in placed if entry[0].name == name)]
        _errorbars(axes, line, f"{_MARKERS[n]}-", COLOURS[n], name)
    _errorbars(axes, every, "*", "black", "every label", ms=8)
    none = [entry for entry in placed if entry[0].budget == 0.0]
    accuracy = none[0][0].mean("accuracy_online")[0]
    axes.axhline(accuracy, color="0.5", lw=0.8, ls=":", label="no label", zorder=1)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _errorbars(
    axes: Axes, line: Sequence[tuple[LabelPoint, tuple[float, float]]], style: str, colour: str, label: str,
    ms: float = 4.0,
) -> None:  # fmt: skip
    accuracy = [point.mean("accuracy_online") for point, _ in line]
    axes.errorbar(
        [x for _, (x, _) in line], [a for a, _ in accuracy], xerr=[d for _, (_, d) in line],
        yerr=[d for _, d in accuracy], fmt=style, ms=ms, lw=1, elinewidth=0.7, color=colour, label=label,
    )  # fmt: skip


def _percent(value: tuple[float, float], seeds: int) -> str:
    return f"{100 * value[0]:.1f} ± {100 * value[1]:.1f} %" if seeds > 1 else f"{100 * value[0]:.1f} %"
