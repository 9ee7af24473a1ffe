"""What a record keeps of a layer's synapses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from bimu_hw.devices import FAULTS

if TYPE_CHECKING:
    from bimu_hw.crossbar.synapses import SynapseArray


def snapshot(synapses: SynapseArray, now: float) -> dict[str, npt.NDArray[np.generic]]:
    """Return the state of a layer; changes nothing.

    The devices do not advance: what is seen is what the state of the last query or update says about `now`.

    Parameters
    ----------
    synapses : SynapseArray
    now : float
        Second on the devices' own clock.

    Returns
    -------
    dict
        ``level`` (counted from 0 on a grid of finite levels), ``lam``, ``conductance`` ([..., device] for a pair),
        ``requested``, the model's recorded variables, ``pulse_count`` and ``fault``, each [wordline, bitline].
    """
    shape, grid, storage, state = synapses.shape, synapses.grid, synapses.storage, synapses.state
    level = np.zeros(synapses.lam.size, np.float32)
    storage.peek(state, synapses.all_cells, synapses.params, grid, now, level)
    offset = grid.level_max if grid.quantum == 1.0 else 0.0
    n_devices = storage.n_devices
    conductance = np.zeros((level.size, n_devices), np.float32)
    storage.conductance(state, synapses.params, grid, now, conductance)
    requested = synapses.requested.copy() if synapses.requested.size else np.zeros(level.size)
    out: dict[str, npt.NDArray[np.generic]] = {
        "level": (level + np.float32(offset)).reshape(shape),
        "lam": (level * np.float32(grid.step)).reshape(shape),
        "conductance": conductance.reshape(*shape, n_devices) if n_devices > 1 else conductance.reshape(shape),
        "requested": requested.reshape(shape),
    }
    for variable in storage.variables:
        if variable.recorded or variable.name in ("pulse_count", "fault"):
            array = getattr(state, variable.name)
            out[variable.name] = array.reshape(*shape, *array.shape[1:]).copy()
    worn = synapses.nonidealities.worn_out(state.pulse_count).reshape(shape)
    out["fault"][worn] = FAULTS["worn_out"]
    return out
