"""The figures of a device and of an array: from a card, or from what was measured or solved before, to axes.

They draw on the axes given, else on a new pyplot figure, in the style of the package, and return the axes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bimu_hw.cards import Card
from bimu_hw.crossbar.ir_drop import IrDropResult
from bimu_hw.errors import CircuitError, ScenarioError, did_you_mean
from bimu_hw.report import characterise_plots, ir_drop
from bimu_hw.report.characterise_storage import pulse_response
from bimu_hw.report.sampler import SamplerResponse, sampler_response
from bimu_hw.report.style import WIDTHS, paper_style

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes

#: Cells on the bench where a card is given: enough for the 1st percentile of them.
N_DEVICES = 1000
_QUANTITIES = {
    "level": characterise_plots.plot_pulse_response, "conductance": characterise_plots.plot_conductance,
}  # fmt: skip


def draw(axes: Axes | None, plot: Callable[..., Axes], *data: Any, **options: Any) -> Axes:
    """Draw in the style of the package, on the axes given or on those of a new pyplot figure; return them."""
    with paper_style():
        if axes is None:
            import matplotlib.pyplot as plt

            _, axes = plt.subplots(figsize=(WIDTHS["single"], 0.7 * WIDTHS["single"]), layout="constrained")
        return plot(*data, axes=axes, **options)


def plot_sigmoid(device: Card | SamplerResponse, axes: Axes | None = None, seed: int = 1) -> Axes:
    """Plot the probability of +1 of a sampling element over lam, beside sigma(2 lam).

    The nominal device, the mean over devices, the band from their 1st to their 99th percentile, and in the title the
    sigma(2 (a lam + b)) nearest to the mean.

    Parameters
    ----------
    device : Card or SamplerResponse
        A card of a sampling element, or what `bimu_hw.sampler_response` made of one.
    axes : Axes, optional
    seed : int
        Fabrication seed of the devices, where a card is given.

    Raises
    ------
    CardError
        If the card is that of a storage element.
    """
    response = sampler_response(device, N_DEVICES, seed) if isinstance(device, Card) else device
    return draw(axes, characterise_plots.plot_sigmoid, response)


def plot_pulse_response(
    device: Card | xr.Dataset, quantity: str = "level", axes: Axes | None = None, seed: int = 1
) -> Axes:
    """Plot potentiation and depression: a storage element over pulses up, then down.

    The mean over cells, the band from the 1st to the 99th percentile, and three cells (of the level) or each device of
    a cell (of the conductance).

    Parameters
    ----------
    device : Card or xarray.Dataset
        A card of a storage element, or what `bimu_hw.pulse_response` measured of one.
    quantity : {"level", "conductance"}
        The level as a look sees it, 0 in the middle, with lam on the right; or the conductance in siemens.
    axes : Axes, optional
    seed : int
        Fabrication seed of the cells, where a card is given.

    Raises
    ------
    ScenarioError
        If the quantity is not known.
    CardError
        If the card is that of a sampling element.
    """
    if quantity not in _QUANTITIES:
        raise ScenarioError(f"pulse response, {quantity!r}: not known. {did_you_mean(quantity, _QUANTITIES)}")
    data = pulse_response(device, N_DEVICES, seed) if isinstance(device, Card) else device
    return draw(axes, _QUANTITIES[quantity], data)


def plot_ir_drop(
    conductance: npt.ArrayLike, voltages: npt.ArrayLike, solved: IrDropResult, axes: Axes | None = None
) -> Axes:
    """Plot what wire resistance takes away as a map: the share of the applied voltage that does not reach each cell.

    Parameters
    ----------
    conductance : array [wordline, bitline]
        In siemens, finite.
    voltages : array [wordline], or [bitline] of a transposed read
        In volt.
    solved : IrDropResult
        From `bimu_hw.solve_ir_drop` of these.
    axes : Axes, optional

    Raises
    ------
    CircuitError
        If the shapes do not fit, as where several vectors of voltages were solved at once.
    """
    cells, volts = np.asarray(conductance, np.float64), np.asarray(voltages, np.float64)
    driven = cells.shape[1 if solved.transposed else 0] if cells.ndim == 2 else 0
    if cells.shape != solved.cell_currents.shape or volts.shape != (driven,):
        raise CircuitError(
            f"IR-drop map: conductances of shape {cells.shape} and voltages of shape {volts.shape} with a solution of "
            f"shape {solved.cell_currents.shape}; give what was solved, one vector of voltages at a time."
        )
    return draw(axes, ir_drop.plot_cell_loss, ir_drop.array_loss(cells, volts, solved))
