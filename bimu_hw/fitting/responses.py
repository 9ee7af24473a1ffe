"""The models whose cards can be fitted, and what each reads off a pulse response.

A model joins by one entry of `RESPONSES`: the units its readings may have, what a card needs that no pulse response
gives, and a function from `Pulses` to a `Fit`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bimu_hw.errors import DataError, did_you_mean
from bimu_hw.fitting import curves, soft_bounds
from bimu_hw.fitting.estimates import Estimate, Fit
from bimu_hw.fitting.pulses import Pulses

__all__ = ["RESPONSES", "Estimate", "Fit", "ResponseModel", "fit_pulses"]


@dataclass(frozen=True)
class ResponseModel:
    """How one device model is fitted.

    Attributes
    ----------
    model : str
        Name of the device model.
    units : tuple of str
        Units of readings it takes: "S", "1".
    settable : tuple of str
        Parameters that, if they are known, change what is fitted.
    fit : callable
        From the readings and the known parameters (SI) to a `Fit`.
    """

    model: str
    units: tuple[str, ...]
    settable: tuple[str, ...]
    fit: Callable[[Pulses, Mapping[str, float]], Fit]


RESPONSES: Mapping[str, ResponseModel] = {
    r.model: r
    for r in (
        ResponseModel("soft_bounds_pair", ("S",), ("g_min", "g_max"), soft_bounds.fit),
        ResponseModel("magneto_ionic", ("S", "1"), (), curves.fit),
    )
}


def fit_pulses(pulses: Pulses, model: str, known: Mapping[str, float] | None = None) -> Fit:
    """Fit a model to measured pulse responses.

    Parameters
    ----------
    pulses : Pulses
    model : str
        A key of `RESPONSES`.
    known : mapping of str to float, optional
        Parameters that are known otherwise, SI; only those in `ResponseModel.settable` act on the fit.

    Raises
    ------
    DataError
        If the model cannot be fitted, or not to these readings.
    """
    if model not in RESPONSES:
        raise DataError(f"devices fit: no fit of the model {model!r}. {did_you_mean(model, RESPONSES)}")
    response = RESPONSES[model]
    if pulses.unit not in response.units:
        names = {"S": "a conductance", "1": "a plain number"}
        wanted = " or ".join(names[unit] for unit in response.units)
        raise DataError(f"{pulses.file_name}: readings are {names[pulses.unit]}; {model} is fitted to {wanted}.")
    return response.fit(pulses, known or {})
