"""The words of counting: what an operation is done for, and which operations there are.

Tiles and controllers report integers in an array ``[phase, layer, operation]``; the ledger (`bimu_hw.ledger`) prices
them. These lists are the axes of that array, and the only thing about cost that the arrays need to know. The axis of
layers has one entry more than the network has layers: the last one, `CHIP`, is what belongs to none.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

#: What the energy was spent for, in the order of the arrays' first axis.
PHASES = ("inference", "label", "backward", "read_lambda", "rule", "programming", "idle")

#: The phases of one learning update.
UPDATE_PHASES = ("backward", "read_lambda", "rule", "programming")

#: Which phases each figure called "energy per query" contains.
ENERGY_PER_QUERY = {
    "inference": ("inference",),
    "label": ("inference", "label"),
    "update": ("inference", "label", *UPDATE_PHASES),
    "all": PHASES,
}


class Operation(NamedTuple):
    """One thing that is counted.

    Attributes
    ----------
    component, name : str
    unit : str
        What one count is.
    card : str
        Whose card prices it: "component", "storage" or "sampler".
    cost : str
        The key in that card's ``[costs]``: joules per count, or watts.
    seconds : float
        What one count lasts, where the cost is a power.
    """

    component: str
    name: str
    unit: str
    card: str
    cost: str
    seconds: float = 1.0

    @property
    def key(self) -> str:
        """Whose card prices it and under which key, ``card.cost``; prices of one key move together."""
        return f"{self.card}.{self.cost}"


#: Everything the simulator counts, in the order of the arrays' last axis. Append only within a schema version.
OPERATIONS = (
    Operation("dac", "convert", "input turned into a word-line voltage", "component", "dac_convert_energy"),
    Operation("driver", "drive", "word line (or bit line) charged for one look", "component", "driver_drive_energy"),
    Operation("sampler", "bit", "weight bit drawn", "sampler", "sample_energy"),
    Operation("sampler", "latch", "weight bit held for a query", "sampler", "latch_energy"),
    Operation("sampler", "bias", "element biased for 1 ns while its array works", "sampler", "bias_power", 1e-9),
    Operation("adc", "convert", "conversion", "component", "adc_convert_energy"),
    Operation("digital", "add", "accumulate or shift-and-add of a partial sum", "component", "digital_add_energy"),
    Operation("digital", "mac", "multiply-accumulate", "component", "digital_mac_energy"),
    Operation(
        "digital", "function", "exponential, logarithm, root or division", "component", "digital_function_energy"
    ),
    Operation("buffer", "read", "bit read from a buffer or the residue memory", "component", "buffer_read_energy"),
    Operation("buffer", "write", "bit written to a buffer or the residue memory", "component", "buffer_write_energy"),
    Operation("storage", "read", "stored lam read by the controller", "storage", "read_energy"),
    Operation("storage", "pulse_up", "pulse that raises lam", "storage", "pulse_energy_up"),
    Operation("storage", "pulse_down", "pulse that lowers lam", "storage", "pulse_energy_down"),
    Operation("write_driver", "row", "row selected for programming", "component", "write_row_energy"),
    Operation("radio", "request", "label asked for and received, there and back", "component", "label_energy"),
    Operation("leakage", "storage", "storage cell powered for 1 us", "storage", "standby_power", 1e-6),
    Operation("leakage", "sampler", "sampling element without bias for 1 us", "sampler", "standby_power", 1e-6),
    Operation("sampler", "idle_bias", "element biased for 1 us while its array rests", "sampler", "bias_power", 1e-6),
    Operation("leakage", "periphery", "chip powered for 1 us", "component", "leakage_power", 1e-6),
    Operation("adc", "integrate", "sum integrated for one integration time", "component", "adc_integrate_energy"),
    Operation("popcount", "bit", "weight bit compared with its input (XNOR) and counted", "component",
              "popcount_bit_energy"),
    Operation("link", "bit", "bit moved between a tile group and a digital unit", "component", "link_energy"),
    Operation("power", "wake", "chip switched on after a sleep", "component", "wake_energy"),
)  # fmt: skip

#: Components, in order of first appearance; "array" holds the state-dependent read energy.
COMPONENTS = ("array", *dict.fromkeys(op.component for op in OPERATIONS))

_INDEX = {(op.component, op.name): i for i, op in enumerate(OPERATIONS)}


def operation_names() -> list[str]:
    """Return the names of the operations in a record, ``component.name``."""
    return [f"{op.component}.{op.name}" for op in OPERATIONS]


def operation_index(component: str, name: str) -> int:
    """Return the column of an operation in a count array."""
    return _INDEX[component, name]


def phase_index(phase: str) -> int:
    """Return the row of a phase in a count array."""
    return PHASES.index(phase)


#: Place, on the axis of layers, of what belongs to no layer: label requests, kept inputs, leakage of the periphery.
CHIP = -1


def layer_names(n_layers: int) -> tuple[str, ...]:
    """Return the names along the axis of layers of a network with so many of them.

    Examples
    --------
    >>> layer_names(2)
    ('layer_0', 'layer_1', 'chip')
    """
    return (*(f"layer_{k}" for k in range(n_layers)), "chip")


def layer_counts(n_layers: int) -> npt.NDArray[np.int64]:
    """Return zeros of shape [layer, operation], with the entry `CHIP`."""
    return np.zeros((n_layers + 1, len(OPERATIONS)), np.int64)


def new_counts(n_layers: int) -> npt.NDArray[np.int64]:
    """Return zeros of shape [phase, layer, operation], with the entry `CHIP`."""
    return np.zeros((len(PHASES), n_layers + 1, len(OPERATIONS)), np.int64)
