"""The figures that a run leaves in its folder: accuracy over the stream, energy by component, freezing over time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from bimu_hw.report.style import new_figure, paper_style, save_figure

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes


def draw_run(tree: xr.DataTree, folder: Path) -> None:
    """Draw the figures of a run as PNG files in a folder."""
    with paper_style():
        for name, draw in (("accuracy", plot_accuracy), ("energy", plot_energy), ("freezing", plot_freezing)):
            if name == "freezing" and not tree.attrs["state_recorded"]:
                continue
            figure = new_figure("one_and_a_half", 3.0)
            draw(tree, figure.add_subplot())
            save_figure(figure, folder / f"{name}.png")


def plot_accuracy(tree: xr.DataTree, axes: Axes) -> Axes:
    """Plot online accuracy (running mean) and the test accuracy of each task after training on it."""
    from bimu_hw.analysis import RunAnalysis

    return RunAnalysis(tree).plot_accuracy(axes)


def plot_energy(tree: xr.DataTree, axes: Axes) -> Axes:
    """Plot energy per query by component, stacked by phase; idle, which depends on the arrival rate, as a number."""
    from bimu_hw.analysis import RunAnalysis

    return RunAnalysis(tree).plot_energy(axes=axes)


def plot_freezing(tree: xr.DataTree, axes: Axes) -> Axes:
    """Plot mean plasticity and the saturated fraction of each layer over the stream."""
    from bimu_hw.analysis import RunAnalysis

    return RunAnalysis(tree).plot_freezing(axes=axes)
