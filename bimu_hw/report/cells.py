"""The table and the figure that set cell architectures side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bimu_hw.operations import COMPONENTS
from bimu_hw.report.style import COLOURS, new_figure, paper_style, save_figure, si_axis
from bimu_hw.scenario.cells import CELLS
from bimu_hw.units import format_quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from bimu_hw.studies.cells import CellResult


def format_cells(results: Sequence[CellResult]) -> str:
    """Return the comparison as text: one column per cell."""
    from bimu_hw.studies.measure import spread

    rows: list[tuple[str, list[str]]] = []

    def row(name: str, cells: list[str]) -> None:
        rows.append((name, cells))

    def percent(*keys: str) -> list[str]:
        return [_percent(*r.mean(*keys)) for r in results]

    def quantity(values: Sequence[float], unit: str) -> list[str]:
        return [format_quantity(v, unit) for v in values]

    row("accuracy, newest task", percent("accuracy_newest_task"))
    row("accuracy, all tasks", percent("accuracy"))
    row("accuracy before learning", percent("accuracy_online"))
    row("energy per query, inference", quantity([_joules(r, "inference") for r in results], "J"))
    row("energy per query, all", quantity([_joules(r, "all") for r in results], "J"))
    updates = [float(np.mean([run.per_update().sum() for run in r.runs])) for r in results]
    row("energy per update", quantity(updates, "J"))
    row("share of it that is assumed", [f"{r.mean('assumed_energy_fraction')[0]:.0%}" for r in results])
    row("inference alone", quantity([r.runs[0].inference_s for r in results], "s"))
    row("latency with updates, median", quantity([r.mean("latency_s", "p50")[0] for r in results], "s"))
    row("  99th percentile", quantity([r.mean("latency_s", "p99")[0] for r in results], "s"))
    row("area", [f"{r.mean('area_m2', 'total')[0] * 1e6:.3f} mm\u00b2" for r in results])
    row("plasticity, mean sech\u00b2(lam)", [f"{r.mean('plasticity_mean')[0]:.3f}" for r in results])
    row("saturated, |lam| > 2.5", percent("saturated_fraction"))
    row("dead zone, newest task", [_percent(*spread([run.dead_zone for run in r.runs])) for r in results])
    row("at a rail, newest task", [_percent(*spread([run.rail for run in r.runs])) for r in results])
    row("pulses per cell", [f"{r.mean('pulses_per_cell')[0]:.3g}" for r in results])
    header = ["", *(r.cell for r in results)]
    table = [header, *([name, *cells] for name, cells in rows)]
    widths = [max(len(line[i]) for line in table) for i in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in table]
    lines.insert(1, "  ".join("-" * width for width in widths))
    seeds = len(results[0].runs) if results else 0
    lines += ["", f"{seeds} seeds; \u00b1 is the standard deviation over them."]
    for r in results:
        lines.append(f"{r.cell}: {CELLS[r.cell].title}")
        if r.online:
            lines.append(f"    found by the search: {', '.join(s.removeprefix('learning.') for s in r.settings)}")
    return "\n".join(lines)


def draw_cells(results: Sequence[CellResult], path: Path) -> Path:
    """Draw accuracy, energy per query and per update by component, and freezing."""
    with paper_style():
        figure = new_figure("double", 4.6)
        (accuracy, query), (update, freezing) = figure.subplots(2, 2)
        names = [r.cell.replace("_", " ") for r in results]
        _bars(accuracy, names, [
            ("newest task", [r.mean("accuracy_newest_task") for r in results]),
            ("all tasks", [r.mean("accuracy") for r in results]),
        ])  # fmt: skip
        accuracy.set(ylabel="test accuracy", ylim=(0, 1.25), yticks=np.linspace(0, 1, 6))
        total = np.sum([_shares(r, which) for r in results for which in (0, 1)], axis=0)
        used = [c for c, joules in zip(COMPONENTS, total, strict=True) if joules]
        for axes, which, label in ((query, 0, "energy per query, inference"), (update, 1, "energy per update")):
            bottom = np.zeros(len(results))
            for n, component in enumerate(used):
                heights = np.array([_shares(r, which)[COMPONENTS.index(component)] for r in results])
                hatch = "////" if n >= len(COLOURS) else None
                axes.bar(names, heights, 0.6, bottom=bottom, color=COLOURS[n % len(COLOURS)], hatch=hatch,
                         label=component.replace("_", " "))  # fmt: skip
                bottom += heights
            axes.set(ylabel=label)
            si_axis(axes.yaxis, "J")
            axes.grid(axis="x", visible=False)
        _bars(freezing, names, [
            ("plasticity", [r.mean("plasticity_mean") for r in results]),
            ("|λ| > 2.5", [r.mean("saturated_fraction") for r in results]),
            ("dead zone", [(float(np.mean([run.dead_zone for run in r.runs])), 0.0) for r in results]),
        ])  # fmt: skip
        freezing.set(ylabel="mean, or share of synapses", ylim=(0, 1.25), yticks=np.linspace(0, 1, 6))
        for axes in (accuracy, query, update, freezing):
            axes.tick_params(axis="x", labelsize=7)
        for axes, letter in zip((accuracy, query, update, freezing), "abcd", strict=True):
            axes.set_title(f"({letter})", loc="left")
        handles, labels = query.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=6, fontsize=7)
        return save_figure(figure, path)


def _bars(axes: Axes, names: list[str], groups: list[tuple[str, list[tuple[float, float]]]]) -> None:
    width = 0.8 / len(groups)
    places = np.arange(len(names))
    for n, (label, values) in enumerate(groups):
        mean, deviation = np.array(values).T
        axes.bar(
            places + (n - (len(groups) - 1) / 2) * width, mean, width * 0.92, yerr=deviation, color=COLOURS[n],
            label=label, error_kw={"lw": 0.8},
        )  # fmt: skip
    axes.set_xticks(places, names)
    axes.grid(axis="x", visible=False)
    axes.legend(fontsize=7, ncols=len(groups), loc="upper center")


def _shares(result: CellResult, which: int) -> np.ndarray:
    energies = [run.per_update() if which else run.per_query("inference") for run in result.runs]
    return np.asarray(np.mean(energies, axis=0))


def _joules(result: CellResult, figure: str) -> float:
    return float(np.mean([run.per_query(figure).sum() for run in result.runs]))


def _percent(mean: float, deviation: float) -> str:
    return f"{100 * mean:.1f} \u00b1 {100 * deviation:.1f} %"
