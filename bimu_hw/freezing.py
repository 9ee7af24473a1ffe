"""How far the synapses of a run are frozen at the end of each task, as one number per layer.

Two kinds of freezing are told apart: of the algorithm, read from lam, and of the device, read from what was asked of it
and what it did. The window of both is the task.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bimu_hw.crossbar.synapses import SynapseArray
from bimu_hw.devices import FAULTS
from bimu_hw.learning.metrics import (
    dead_zone_fraction,
    plasticity,
    posterior_entropy,
    rail_fraction,
    saturated_fraction,
    sign_flip_rate,
)

_NAMES = (
    "plasticity", "entropy", "saturated_fraction", "sign_flip_rate", "dead_zone_fraction", "rail_fraction",
    "worn_out_fraction", "stuck_fraction",
)  # fmt: skip
_STUCK = [code for name, code in FAULTS.items() if name.startswith("stuck")]


class FreezingLog:
    """The freezing of each layer, task by task.

    Parameters
    ----------
    layers : sequence of SynapseArray
        Looked at, never changed.
    n_tasks : int

    Attributes
    ----------
    values : dict of str to float64[task, layer]
        NaN for tasks that have not ended, and where the requests that a number needs are not added up.
    """

    def __init__(self, layers: Sequence[SynapseArray], n_tasks: int) -> None:
        self._layers = layers
        self.values = {name: np.full((n_tasks, len(layers)), np.nan) for name in _NAMES}
        self._starts = [_look(layer) for layer in layers]

    def end_task(self, task: int) -> None:
        """Measure the task that has just ended, and begin the next one."""
        for k, layer in enumerate(self._layers):
            start, now = self._starts[k], _look(layer)
            self._starts[k] = now
            fault = layer.state.fault.reshape(layer.lam.size, -1)
            worn = layer.nonidealities.worn_out(layer.state.pulse_count) | (fault == FAULTS["worn_out"]).any(axis=1)
            lam = now["lam"].astype(np.float64)
            found = {
                "plasticity": float(plasticity(lam).mean()),
                "entropy": float(posterior_entropy(lam).mean()),
                "saturated_fraction": saturated_fraction(lam),
                "sign_flip_rate": sign_flip_rate(start["lam"], lam),
                "worn_out_fraction": float(worn.mean()),
                "stuck_fraction": float(np.isin(fault, _STUCK).any(axis=1).mean()),
            }
            if layer.keep_requests:
                grid = layer.grid
                asked = now["requested"] - start["requested"]
                step = grid.step if grid.quantum == 1.0 else np.inf
                found["dead_zone_fraction"] = dead_zone_fraction(asked, now["pulses"] - start["pulses"], step)
                found["rail_fraction"] = rail_fraction(lam / grid.step, grid.level_max, asked)
            for name, value in found.items():
                self.values[name][task, k] = value

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint must keep."""
        return {"values": self.values, "starts": {str(k): start for k, start in enumerate(self._starts)}}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take over a state from `state`."""
        self.values = {name: np.array(state["values"][name]) for name in _NAMES}
        self._starts = [dict(state["starts"][str(k)]) for k in range(len(self._layers))]


def _look(layer: SynapseArray) -> dict[str, npt.NDArray[Any]]:
    """Return lam, the sum of requests and the pulses sent so far, by cell."""
    n = layer.lam.size
    return {
        "lam": layer.lam.copy(),
        "requested": layer.requested.copy() if layer.requested.size else np.zeros(n),
        "pulses": layer.state.pulse_count.reshape(n, -1).sum(axis=1, dtype=np.int64),
    }
