"""From measurements to cards and arrays: fits of pulse responses, and measured conductance maps.

`read_pulses` reads a table, `fit_pulses` fits a model to it, `fitted_card` writes what was found down as a card with
its provenance, `draw_fit` shows what the fit leaves over. `read_map` and `levels_of_map` turn measured conductances
into the state of an array.
"""

from bimu_hw.fitting.card import fitted_card
from bimu_hw.fitting.figure import draw_fit
from bimu_hw.fitting.maps import levels_of_map, program_map, read_map
from bimu_hw.fitting.pulses import Pulses, read_pulses
from bimu_hw.fitting.responses import RESPONSES, Estimate, Fit, ResponseModel, fit_pulses

__all__ = [
    "RESPONSES",
    "Estimate",
    "Fit",
    "Pulses",
    "ResponseModel",
    "draw_fit",
    "fit_pulses",
    "fitted_card",
    "levels_of_map",
    "program_map",
    "read_map",
    "read_pulses",
]
