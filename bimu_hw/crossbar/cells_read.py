"""What the cells of a layer conduct when they are read: the spread that fabrication left, by device and by weight."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from bimu_hw.cards import Card, read_conductances
from bimu_hw.crossbar.keys import event_key
from bimu_hw.crossbar.layout import DEVICES, device_conductances, read_values
from bimu_hw.errors import ScenarioError
from bimu_hw.kernels.bits import fill_normal

FloatArray = npt.NDArray[np.float32]


def as_read(sampler: Card, accumulate: str) -> Card:
    """Return a sampling card as its cells are read: a bit that is counted has no conductance that could spread."""
    if accumulate == "analog":
        return sampler
    exact = replace(sampler.costs["g_spread"], value=0.0, low=0.0, high=0.0)
    return replace(sampler, costs={**sampler.costs, "g_spread": exact})


class CellsRead:
    """The read path of a layer's cells.

    Parameters
    ----------
    columns : {"differential", "reference", "xnor"}
    sampler : Card
        States g_on, g_off and their spread.
    shape : tuple of int
        (wordline, bitline).
    key : uint64
        Of the chip: the errors are drawn anew from it whenever they are asked for.

    Raises
    ------
    ScenarioError
        If g_on is not larger than g_off.
    """

    def __init__(self, columns: str, sampler: Card, shape: tuple[int, int], key: np.uint64) -> None:
        self._columns, self._shape, self._key = columns, shape, key
        g_on, g_off = read_conductances(sampler)
        if g_on <= g_off:
            raise ScenarioError(
                f"device.sampler: {sampler.name!r} has g_on = {g_on:g} S and g_off = {g_off:g} S; "
                "weights can only be told apart if g_on is larger."
            )
        self._costs = g_on, g_off, sampler.costs["g_spread"].value

    def _errors(self) -> FloatArray:
        """Draw the standard normal error of every device: float32[wordline, bitline, device]."""
        errors = np.empty((DEVICES[self._columns], self._shape[0] * self._shape[1]), np.float32)
        for device, error in enumerate(errors):
            fill_normal(event_key(self._key, device), error)
        return np.moveaxis(errors.reshape(-1, *self._shape), 0, -1)

    def conductances(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Return what every device conducts when on and when off, in siemens: float64[wordline, bitline, device]."""
        return device_conductances(*self._costs, self._errors())

    def values(self, read: str = "forward") -> tuple[FloatArray, FloatArray]:
        """Return middle and gain of each synapse in weight units, nominally 0 and 1 (`layout.read_values`)."""
        return read_values(self._columns, *self._costs, self._errors(), read)
