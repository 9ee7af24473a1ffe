"""The cell architectures that a scenario can name, as the keys they stand for."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bimu_hw.errors import ScenarioError, did_you_mean
from bimu_hw.scenario.reading import Source


@dataclass(frozen=True)
class CellArchitecture:
    """One way to hold lam, to draw a weight from it, and to form sums.

    Attributes
    ----------
    title : str
    keys : mapping of str to str or int
        Values of scenario keys, by dotted name.
    """

    title: str
    keys: Mapping[str, str | int | float]


#: Sums in the array, one cell against a shared reference column, 6-bit converters.
_ANALOG: Mapping[str, str | int | float] = {
    "crossbar.accumulate": "analog", "crossbar.columns": "reference", "crossbar.inputs": "bit_serial",
    "crossbar.adc_bits": 6, "crossbar.adc_range": 0.5, "crossbar.columns_per_adc": 8,
}  # fmt: skip
#: Sums by gates and counters, row by row.
_COUNTED: Mapping[str, str | int | float] = {
    "crossbar.accumulate": "popcount", "crossbar.columns": "xnor", "crossbar.inputs": "signed_bits",
}  # fmt: skip

CELLS: Mapping[str, CellArchitecture] = {
    "p_bit": CellArchitecture(
        "the store biases a superparamagnetic junction that is read in the array, all cells at once, anew in each look",
        {**_ANALOG, "device.storage": "dw_notched", "device.sampler": "smtj_50ns", "device.holds": "read"},
    ),
    "sensed_pair": CellArchitecture(
        "memristor pairs sensed row by row by pre-charge amplifiers, whose noise draws the weight; XNOR and counters",
        {**_COUNTED, "device.storage": "hfox_2t2r", "device.sampler": "pcsa_oxram", "device.holds": "query"},
    ),
    "sot_rewritten": CellArchitecture(
        "a binary junction rewritten for every sample from a multi-level store, then read in the array, all at once",
        {**_ANALOG, "device.storage": "dw_notched", "device.sampler": "sot_imec2023",
         "device.holds": "until_rewritten"},
    ),
    "digital": CellArchitecture(
        "registers in SRAM, shift registers and comparators draw the weight; XNOR and counters",
        {**_COUNTED, "device.storage": "sram_28nm", "device.sampler": "cmos_lfsr", "device.holds": "query"},
    ),
}  # fmt: skip
"""Every cell architecture by name."""


def with_cell(content: dict[str, Any], source: Source) -> dict[str, Any]:
    """Return the tables of a scenario with the keys that ``device.cell`` stands for; those given besides win.

    Raises
    ------
    ScenarioError
        If there is no such architecture.
    """
    device = content.get("device")
    name = device.get("cell") if isinstance(device, dict) else None
    if not isinstance(name, str):
        return content
    if name not in CELLS:
        raise ScenarioError(f"{source.at('device.cell')}: got {name!r}. {did_you_mean(name, CELLS)}")
    filled = copy.deepcopy(content)
    for dotted, value in CELLS[name].keys.items():
        table, _, key = dotted.partition(".")
        tables = filled.setdefault(table, {})
        if isinstance(tables, dict):
            tables.setdefault(key, value)
    return filled
