"""What wire resistance takes away: a map over the cells of an array, and the loss of every sensed current."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from bimu_hw.crossbar.ir_drop import IrDropResult
from bimu_hw.report.style import COLOURS, new_figure, paper_style, save_figure, whole_numbers
from bimu_hw.units import format_quantity

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True)
class ArrayLoss:
    """What the wires take away from one read.

    Attributes
    ----------
    cells : float64[wordline, bitline]
        Share of the voltage at its driven line that does not reach a cell; NaN where the line is at 0 V.
    lines : float64[sensed line]
        Share of the sensed current without wire resistance that is missing; NaN where that is below a tenth of the
        largest, as where the currents of a line cancel.
    current : float
        Largest sensed current, in ampere.
    transposed : bool
        Whether bit lines are driven and word lines sensed.
    """

    cells: npt.NDArray[np.float64]
    lines: npt.NDArray[np.float64]
    current: float
    transposed: bool


def array_loss(
    conductance: npt.NDArray[np.float64], voltages: npt.NDArray[np.float64], result: IrDropResult
) -> ArrayLoss:
    """Return what wires take away.

    Parameters
    ----------
    conductance : float64[wordline, bitline]
        In siemens, finite.
    voltages : float64[wordline], or [bitline] of a transposed read
        In volt.
    result : IrDropResult
        The solution for these voltages.
    """
    transposed = result.transposed
    applied = voltages[None, :] if transposed else voltages[:, None]
    across = result.wordline_voltages - result.bitline_voltages
    ideal = voltages @ (conductance.T if transposed else conductance)
    with np.errstate(divide="ignore", invalid="ignore"):
        cells = 1.0 - (-across if transposed else across) / np.where(applied == 0.0, np.nan, applied)
        lines = 1.0 - result.currents / np.where(np.abs(ideal) < 0.1 * np.abs(ideal).max(), np.nan, ideal)
    return ArrayLoss(cells, lines, float(np.abs(result.currents).max()), transposed)


def draw_array_loss(loss: ArrayLoss, path: Path, title: str = "") -> None:
    """Draw the loss of an array as a PNG file: the map of the cells, and beside it the loss of every sensed line."""
    m, n = loss.cells.shape
    with paper_style():
        figure = new_figure("one_and_a_half", 3.6 if loss.transposed else 4.4)
        if loss.transposed:
            cells, lines = figure.subplots(1, 2, sharey=True, width_ratios=(3, 1))
        else:
            cells, lines = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
        plot_cell_loss(loss, cells)
        plot_line_loss(loss, lines)
        # The shared axis is labelled once, at the outer panel.
        (lines.set_ylabel if loss.transposed else cells.set_xlabel)("")
        size = f"{m} x {n} cells, largest current {format_quantity(loss.current, 'A')}"
        figure.suptitle(f"{title}\n{size}" if title else size)
        save_figure(figure, path, "png")


def plot_cell_loss(loss: ArrayLoss, axes: Axes) -> Axes:
    """Plot the share of the applied voltage that does not reach each cell; cells of lines at 0 V stay grey."""
    figure = axes.get_figure()
    axes.set_facecolor("0.85")
    percent = 100.0 * loss.cells
    lowest = min(0.0, float(np.nanmin(percent))) if np.isfinite(percent).any() else None
    image = axes.imshow(percent, cmap="viridis", aspect="auto", interpolation="nearest", vmin=lowest)
    for axis in (axes.xaxis, axes.yaxis):
        whole_numbers(axis)
    axes.set(xlabel="bit line", ylabel="word line")
    if figure is not None:
        # On the side where the other panel is not.
        bar = figure.colorbar(image, ax=axes, location="bottom" if loss.transposed else "right", pad=0.02)
        bar.set_label("loss of cell voltage (%); grey: line at 0 V")
    return axes


def plot_line_loss(loss: ArrayLoss, axes: Axes) -> Axes:
    """Plot the loss of every sensed current, along the axis that its line has in the map."""
    line = np.arange(len(loss.lines))
    percent = 100.0 * loss.lines
    if loss.transposed:
        axes.plot(percent, line, ".", ms=4, color=COLOURS[0])
        axes.set(xlabel="loss of sensed\ncurrent (%)", ylabel="word line")
    else:
        axes.plot(line, percent, ".", ms=4, color=COLOURS[0])
        axes.set(xlabel="bit line", ylabel="loss of sensed\ncurrent (%)")
    # From nothing on, unless a line gains what another loses.
    (axes.set_xlim if loss.transposed else axes.set_ylim)(min(0.0, float(np.nanmin(percent, initial=0.0)) * 1.05), None)
    return axes
