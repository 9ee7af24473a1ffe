"""The table and the figure of accuracy against energy per query, by label policy, budget and price of a label."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bimu_hw.report.style import COLOURS, new_figure, paper_style, save_figure, si_axis
from bimu_hw.units import format_quantity

if TYPE_CHECKING:
    from bimu_hw.studies.labels import LabelPoint

_MARKERS = ("o", "s", "^")


def format_labels(points: Sequence[LabelPoint], costs: Sequence[float]) -> str:
    """Return a table with a line per policy and budget; `costs` are prices of a label in joules."""
    header = ["policy", "budget", "asked", "accuracy", *(f"label {format_quantity(c, 'J')}" for c in costs)]
    rows = [header]
    for point in points:
        accuracy, deviation = point.accuracy()
        rows.append([
            point.policy, f"{point.budget:.0%}", f"{100 * point.asked()[0]:.1f} %",
            f"{100 * accuracy:.1f} \u00b1 {100 * deviation:.1f} %",
            *(format_quantity(point.energy(c)[0], "J") for c in costs),
        ])  # fmt: skip
    widths = [max(len(row[i]) for row in rows) for i in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths))
    seeds = len(points[0].runs) if points else 0
    lines += ["", f"{seeds} seeds; \u00b1 is the standard deviation over them. Energy: inference, label, update."]
    return "\n".join(lines)


def draw_labels(points: Sequence[LabelPoint], costs: Sequence[float], path: Path) -> Path:
    """Draw accuracy against energy per query, one panel per price of a label."""
    from matplotlib.ticker import NullFormatter

    with paper_style():
        figure = new_figure("double", 2.6)
        panels = figure.subplots(1, len(costs), sharey=True, squeeze=False)[0]
        for axes, cost in zip(panels, costs, strict=True):
            for n, policy in enumerate(dict.fromkeys(point.policy for point in points)):
                line = [point for point in points if point.policy == policy]
                energy = [point.energy(cost) for point in line]
                accuracy = [point.accuracy() for point in line]
                axes.errorbar(
                    [e for e, _ in energy], [a for a, _ in accuracy], xerr=[d for _, d in energy],
                    yerr=[d for _, d in accuracy], fmt=f"{_MARKERS[n]}-", ms=4, lw=1, elinewidth=0.7,
                    color=COLOURS[n], label=policy,
                )  # fmt: skip
            axes.set_xscale("log")
            si_axis(axes.xaxis, "J")
            axes.xaxis.set_minor_formatter(NullFormatter())
            axes.tick_params(axis="x", which="both", labelsize=6)
            axes.set(xlabel="energy per query", title=f"a label costs {format_quantity(cost, 'J')}")
        panels[0].set(ylabel="test accuracy", ylim=(0, 1))
        panels[-1].legend(fontsize=7, loc="lower right")
        return save_figure(figure, path)
