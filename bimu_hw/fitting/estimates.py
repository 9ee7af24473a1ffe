"""What a fit returns: numbers with their intervals, and what is left over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bimu_hw.errors import DataError
from bimu_hw.fitting.likelihood import Z_99
from bimu_hw.fitting.pulses import Pulses

Array = npt.NDArray[np.float64]

#: Fewer devices say nothing of the spread between them.
FEWEST_DEVICES = 5


@dataclass(frozen=True)
class Estimate:
    """One fitted number, SI, with its 99 % interval.

    Attributes
    ----------
    value, low, high : float
    why : str
        What it means or how it follows, where that is not its own definition.
    kind : {"fitted", "derived"}
        Derived: it follows from the protocol or by definition, and `why` says how.
    """

    value: float
    low: float
    high: float
    why: str = ""
    kind: str = "fitted"

    @classmethod
    def derived(cls, value: float, why: str) -> Estimate:
        """Return a number that follows without a fit."""
        return cls(value, value, value, why, "derived")

    @classmethod
    def normal(cls, value: float, error: float, why: str = "") -> Estimate:
        """Return an estimate with a normal error."""
        return cls(value, value - Z_99 * error, value + Z_99 * error, why)

    @classmethod
    def log_normal(cls, log_value: float, log_error: float, scale: float = 1.0, why: str = "") -> Estimate:
        """Return the estimate of a positive number whose logarithm has a normal error; below its bound: 0 to there."""
        value = float(scale * np.exp(log_value))
        if not np.isfinite(log_error):
            return cls(0.0, 0.0, value, why)
        return cls(value, float(value * np.exp(-Z_99 * log_error)), float(value * np.exp(Z_99 * log_error)), why)


@dataclass(frozen=True)
class Fit:
    """A model fitted to pulse responses.

    Attributes
    ----------
    model : str
    estimates : mapping of str to Estimate
        By name of the card's parameter.
    assumed : mapping of str to tuple
        Parameters that such readings cannot give: (value, SI; the reason).
    predicted : float64[device, reading]
        What each reading was expected to be, from the device's own number and, where noise accumulates, from the
        readings before it.
    mean : float64[reading]
        The curve of a device in the middle of the population, along the first device's pulses.
    innovation : float64[device, reading]
        Reading minus prediction in expected standard deviations; NaN where there is none. Standard normal and white
        if the model is right.
    where : str
        What the numbers rest on, for the card.
    """

    model: str
    estimates: Mapping[str, Estimate]
    assumed: Mapping[str, tuple[float, str]]
    predicted: Array
    mean: Array
    innovation: Array
    where: str


def enough_devices(pulses: Pulses, model: str) -> None:
    """Raise `DataError` if there are too few devices to say anything of their spread."""
    if len(pulses.names) < FEWEST_DEVICES:
        n = len(pulses.names)
        raise DataError(
            f"{pulses.file_name}: has {n} device{'s' if n != 1 else ''}; {model} needs at least {FEWEST_DEVICES} to "
            "tell the spread between devices: add columns (or rows) of more devices."
        )


def span_of(pulses: Pulses) -> tuple[float, float]:
    """Return the lowest reading and the width of all readings; `DataError` if they are all alike."""
    low, high = float(np.nanmin(pulses.value)), float(np.nanmax(pulses.value))
    if high == low:
        raise DataError(f"{pulses.file_name}: all readings are {low:g}; there is no response to fit.")
    return low, high - low
