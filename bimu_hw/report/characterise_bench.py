"""A storage element on the bench: an array of cells that is programmed, pulsed, left alone and looked at."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bimu_hw.cards import Card
from bimu_hw.crossbar.encoding import level_grid
from bimu_hw.crossbar.keys import event_key
from bimu_hw.crossbar.nonidealities import LayerNonidealities
from bimu_hw.devices import ROOM_TEMPERATURE, StorageModel, get_model, new_state, time_matters
from bimu_hw.errors import CardError
from bimu_hw.nonidealities import Nonidealities, check_nonidealities
from bimu_hw.random import Purpose, check_seed, stream_key

FloatArray = npt.NDArray[np.float32]

#: Pulses through the window of a continuous element, whose pulses have no size of their own.
_CONTINUOUS_STEPS = 20


class Bench:
    """Cells of one storage card with no array around them.

    Time stands still but for `wait`: pulses follow each other at once.

    Parameters
    ----------
    card : Card
        Of a storage element.
    n_cells : int
    seed : int
        Of the devices and of the noise.
    temperature : float
        Kelvin.

    Attributes
    ----------
    n_steps : int
        Nominal pulses from the lowest to the highest level.
    top : float
        The last level, counted from the middle; of a continuous element, where its conductance range ends.
    take : float
        Levels that one pulse asks for: 1, or on a continuous element a tenth of `top`.
    step : float
        lam of one level, with the last level at the card's ``lam_window``; 1 on a continuous element.
    sound : bool[cell]
        Which cells have no stuck device.
    now : float
        Seconds since fabrication.

    Raises
    ------
    CardError
        If the card is that of a sampling element.
    ScenarioError
        If the values of its nonidealities contradict each other.
    """

    def __init__(self, card: Card, n_cells: int, seed: int, temperature: float = ROOM_TEMPERATURE) -> None:
        model = get_model(card.model)
        if not isinstance(model, StorageModel):
            raise CardError(f"{card.name}: the card of a sampling element; name that of a storage element.")
        self.model = model
        self.params: Any = model.params(*(card.params[s.name].value for s in model.specs))
        n_levels = int(card.params["n_levels"].value)
        window = card.params["lam_window"].value if "lam_window" in card.params else max(n_levels - 1, 2) / 2.0
        self.grid = level_grid(n_levels, window, 1, temperature)
        whole = n_levels > 0
        self.top = self.grid.level_max if whole else window
        self.n_steps = n_levels - 1 if whole else _CONTINUOUS_STEPS
        self.take = 1.0 if whole else 2.0 * window / _CONTINUOUS_STEPS
        self.step = self.grid.step
        values = Nonidealities(**{name: fact.value for name, fact in card.nonidealities.items()})
        check_nonidealities(values, n_levels, card.name)
        check_seed(seed)
        self.noise = LayerNonidealities(
            values, n_cells, stream_key(seed, Purpose.FAULT, 0), stream_key(seed, Purpose.FAULT, 1)
        )
        self.state = new_state(model, n_cells)
        model.fabricate(self.state, self.params, self.grid, stream_key(seed, Purpose.FABRICATE_STORAGE, 0))
        fault = self.state.fault
        self.sound = (fault if fault.ndim == 1 else fault.max(axis=1)) == 0
        self.now = 0.0
        self._cells = np.arange(n_cells, dtype=np.int32)
        self._keys = {
            purpose: stream_key(seed, purpose, 0) for purpose in (Purpose.PULSE, Purpose.READ_STORAGE, Purpose.ADVANCE)
        }
        self._event = 0
        self._evolves = time_matters(model, self.params)

    def _key(self, purpose: Purpose) -> np.uint64:
        self._event += 1
        return event_key(self._keys[purpose], self._event)

    def program(self, level: float) -> None:
        """Set all cells to a level by program-and-verify."""
        self.model.program(self.state, np.full(self._cells.size, level, np.float32), self.params, self.grid, self.now)

    def pulse(self, count: int) -> None:
        """Send every cell one event of `count` pulses, up (1, 2, ...) or down (-1, -2, ...)."""
        cells, counts = self._cells, np.full(self._cells.size, count * self.take, np.float32)
        if self.noise.limit.size:
            cells, counts = self.noise.answering(
                cells, counts, self.level(), self.state.pulse_count, self.grid.level_max, self.grid.quantum == 1.0
            )
        self.model.pulse(self.state, cells, counts, self.params, self.grid, self._key(Purpose.PULSE), self.now)

    def wait(self, duration: float) -> None:
        """Let a time in seconds pass."""
        since, self.now = self.now, self.now + duration
        key = self._key(Purpose.ADVANCE)
        if self.noise.noisy:
            self.noise.advance(event_key(key, 2), since, self.now)
        if self._evolves:
            assert self.model.advance is not None
            self.model.advance(self.state, self.params, self.grid, event_key(key, 0), since, self.now)

    def level(self) -> FloatArray:
        """Return the level of every cell without noise, float32[cell]."""
        out = np.zeros(self._cells.size, np.float32)
        self.model.peek(self.state, self._cells, self.params, self.grid, self.now, out)
        return out

    def look(self) -> FloatArray:
        """Return the level of every cell as one look sees it, float32[cell]."""
        out = np.zeros(self._cells.size, np.float32)
        self.model.read(self.state, self.params, self.grid, self._key(Purpose.READ_STORAGE), self.now, out)
        self.noise.see(out)
        return out

    def conductance(self) -> FloatArray:
        """Return the conductance of every device in siemens, float32[cell, device of the cell]."""
        out = np.zeros((self._cells.size, self.model.n_devices), np.float32)
        self.model.conductance(self.state, self.params, self.grid, self.now, out)
        return out
