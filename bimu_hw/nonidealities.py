"""Nonidealities that any storage element can have, whatever its physics.

A device model holds what is its own: how it answers a pulse, how it relaxes, which devices are stuck. What is
listed here acts on the level from outside, so every model has it, also a stranger's. A card states it in a table
``[nonidealities.*]``, fact by fact as elsewhere; what a card does not state is not there. A scenario sets it
through ``device.storage_params``.

Sources of the laws: Ambrogio et al., IEEE Trans. Electron Devices (2014), doi:10.1109/TED.2014.2330202, and (2015),
doi:10.1109/TED.2015.2475598 (random telegraph noise of HfOx devices and its broadening to 1/f noise); "Methodology for
the statistical evaluation of the effect of RTN on RRAM" (2012) (log-normal amplitudes). The superposition of relaxing
components with rates a decade apart as 1/f noise is the textbook construction.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from bimu_hw.devices import ParamSpec
from bimu_hw.errors import ScenarioError


class Nonidealities(NamedTuple):
    """Values of the nonidealities of a storage element; the fields are documented in `SPECS`."""

    rtn_fraction: float = 0.0
    rtn_amplitude: float = 0.0
    rtn_sigma: float = 0.0
    rtn_capture_time: float = 0.0
    rtn_emission_time: float = 0.0
    flicker_noise: float = 0.0
    flicker_fastest: float = 0.0
    flicker_decades: float = 0.0
    read_disturb: float = 0.0
    read_disturb_direction: float = 0.0
    half_select_disturb: float = 0.0
    endurance: float = 0.0
    endurance_sigma: float = 0.0
    endurance_narrowing: float = 0.0
    controller_noise: float = 0.0

    @property
    def telegraph(self) -> bool:
        """Whether there is telegraph noise."""
        return self.rtn_fraction * self.rtn_amplitude != 0.0

    @property
    def flicker(self) -> bool:
        """Whether there is flicker noise."""
        return self.flicker_noise != 0.0

    @property
    def noisy(self) -> bool:
        """Whether a level is seen with noise that evolves in time."""
        return self.telegraph or self.flicker


def _spec(name: str, unit: str, doc: str, high: float = np.inf, low: float = 0.0, integer: bool = False) -> ParamSpec:
    return ParamSpec(name, unit, doc, low, high, 0.0, integer)


#: What a card may state in ``[nonidealities]``, by name; every one is absent at 0.
SPECS: Mapping[str, ParamSpec] = {
    s.name: s
    for s in (
        _spec("rtn_fraction", "1", "share of cells with a trap: random telegraph noise", 1.0),
        _spec("rtn_amplitude", "1", "median difference between the two levels seen, in levels", 1e3),
        _spec("rtn_sigma", "1", "standard deviation of the logarithm of that difference between cells", 10.0),
        _spec("rtn_capture_time", "s", "mean time until an empty trap is occupied", 1e9),
        _spec("rtn_emission_time", "s", "mean time until an occupied trap is empty", 1e9),
        _spec("flicker_noise", "1", "standard deviation of 1/f noise per decade of frequency, in levels", 1e3),
        _spec("flicker_fastest", "s", "time constant of the fastest component of the 1/f noise", 1e9),
        _spec("flicker_decades", "1", "decades the 1/f noise extends to slower times", 12.0, integer=True),
        _spec("read_disturb", "1", "probability that one look moves a cell by one level", 1.0),
        _spec("read_disturb_direction", "1", "where to: 1 up, -1 down", 1.0, -1.0, integer=True),
        _spec("half_select_disturb", "1", "probability that a pulse to a neighbour on its line moves a cell", 1.0),
        _spec("endurance", "1", "median number of pulses after which a cell is worn out; 0: without end", 1e18),
        _spec("endurance_sigma", "1", "standard deviation of the logarithm of that number between cells", 10.0),
        _spec("endurance_narrowing", "1", "share of the window that is lost by then, in proportion to wear", 1.0),
        _spec("controller_noise", "1", "error of the controller when it reads a cell for the rule, in levels", 1e3),
    )
}


def check_nonidealities(values: Nonidealities, n_levels: int, where: str) -> None:
    """Check what values mean together.

    Raises
    ------
    ScenarioError
        If one is given that needs another, or a grid of finite levels.
    """

    def refuse(what: str) -> None:
        raise ScenarioError(f"{where}: {what}")

    if values.telegraph and not (values.rtn_capture_time > 0.0 and values.rtn_emission_time > 0.0):
        refuse(
            f"rtn_amplitude is {values.rtn_amplitude:g} with rtn_capture_time {values.rtn_capture_time:g} s and "
            f"rtn_emission_time {values.rtn_emission_time:g} s; telegraph noise needs both times above 0."
        )
    if values.flicker and not (values.flicker_fastest > 0.0 and values.flicker_decades >= 1.0):
        refuse(
            f"flicker_noise is {values.flicker_noise:g} with flicker_fastest {values.flicker_fastest:g} s and "
            f"flicker_decades {values.flicker_decades:g}; 1/f noise needs a fastest time above 0 and a decade or more."
        )
    if values.read_disturb > 0.0 and values.read_disturb_direction == 0.0:
        refuse("read_disturb is above 0 without a direction; set read_disturb_direction to 1 or -1.")
    if n_levels == 0:
        for name in ("read_disturb", "half_select_disturb", "endurance_narrowing"):
            if getattr(values, name) > 0.0:
                refuse(
                    f"{name} is {getattr(values, name):g} on a continuous element, which has no level to move by; set "
                    "n_levels, or leave it out."
                )
    if values.endurance == 0.0 and values.endurance_narrowing > 0.0:
        refuse("endurance_narrowing is above 0 without an end; set endurance to a number of pulses.")
