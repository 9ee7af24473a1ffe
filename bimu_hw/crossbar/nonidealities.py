"""The nonidealities of `bimu_hw.nonidealities` at work on the cells of one layer."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bimu_hw.crossbar.keys import event_key
from bimu_hw.kernels import nonidealities as kernels
from bimu_hw.nonidealities import Nonidealities

FloatArray = npt.NDArray[np.float32]
Cells = npt.NDArray[np.int32]


class LayerNonidealities:
    """What the cells of a layer suffer besides the physics of their devices.

    Parameters
    ----------
    values : Nonidealities
    n_cells : int
    fabrication_key, noise_key : uint64
        Of the chip, and of the state in which its traps are found at the start.

    Attributes
    ----------
    values : Nonidealities
    trap : int8[cell], shift : float32[cell]
        Telegraph noise: state, and difference between the two levels seen.
    flicker : float32[component, cell]
        Components of the 1/f noise, standard normals.
    limit : float32[cell]
        Pulses that a cell survives.

    Notes
    -----
    Arrays of what is absent are empty. Only `trap` and `flicker` change; the others are drawn once.
    """

    def __init__(
        self, values: Nonidealities, n_cells: int, fabrication_key: np.uint64, noise_key: np.uint64
    ) -> None:
        self.values = values
        n_traps = n_cells if values.telegraph else 0
        self.trap = np.zeros(n_traps, np.int8)
        self.shift = np.zeros(n_traps, np.float32)
        n_components = int(values.flicker_decades) if values.flicker else 0
        self.flicker = np.zeros((n_components, n_cells if n_components else 0), np.float32)
        self.limit = np.zeros(n_cells if values.endurance > 0.0 else 0, np.float32)
        both = values.rtn_capture_time + values.rtn_emission_time
        self._occupied = values.rtn_emission_time / both if both > 0.0 else 0.0
        self._slowest = 1.0 / values.rtn_capture_time + 1.0 / values.rtn_emission_time if n_traps else 0.0
        self._rates = np.array([1.0 / (values.flicker_fastest * 10.0**k) for k in range(n_components)])
        # Relaxing components of equal variance, a decade apart, add up to 1/f noise with that variance per decade.
        self._sigma = np.float32(values.flicker_noise)
        disturbs = values.read_disturb > 0.0 or values.half_select_disturb > 0.0
        self._cells = np.zeros(self.limit.size, np.int32)
        self._counts = np.zeros(self._cells.size, np.float32)
        self._trials = np.zeros(n_cells if disturbs else 0, np.int32)
        if n_traps:
            kernels.draw_traps(
                fabrication_key, values.rtn_fraction, values.rtn_amplitude, values.rtn_sigma, self._occupied,
                self.trap, self.shift,
            )  # fmt: skip
        if n_components:
            kernels.draw_flicker(noise_key, self.flicker)
        if self.limit.size:
            kernels.draw_limits(event_key(fabrication_key, 1), values.endurance, values.endurance_sigma, self.limit)

    @property
    def noisy(self) -> bool:
        """Whether `see` changes anything."""
        return self.values.noisy

    def advance(self, key: np.uint64, since: float, now: float) -> None:
        """Bring traps and flicker components from second `since` to `now`."""
        if self.trap.size:
            memory = float(np.exp(-(now - since) * self._slowest))
            kernels.advance_traps(event_key(key, 2), memory, self._occupied, self.trap)
        if self.flicker.size:
            kernels.advance_flicker(event_key(key, 3), self._rates, now - since, self.flicker)

    def see(self, level: FloatArray) -> None:
        """Add the noise of this moment to levels that are looked at (float32[cell], *mutated*)."""
        kernels.add_noise(self.trap, self.shift, self._sigma, self.flicker, level)

    def answering(
        self, cells: Cells, counts: FloatArray, level: FloatArray, pulse_count: npt.NDArray[np.int32],
        level_max: float, whole: bool,
    ) -> tuple[Cells, FloatArray]:  # fmt: skip
        """Return the part of a list of pulses that cells still answer to, given their levels and pulses so far.

        The others are counted here. *Mutates* `pulse_count` by them.
        """
        if not self.limit.size:
            return cells, counts
        n = kernels.answerable(
            cells, counts, level, pulse_count, self.limit, np.float32(self.values.endurance_narrowing),
            np.float32(level_max), whole, self._cells, self._counts,
        )  # fmt: skip
        return self._cells[:n], self._counts[:n]

    def worn_out(self, pulse_count: npt.NDArray[np.int32]) -> npt.NDArray[np.bool_]:
        """Return which cells are worn out, bool[cell]."""
        return pulse_count >= self.limit if self.limit.size else np.zeros(pulse_count.size, np.bool_)

    def half_select(
        self, key: np.uint64, direction: int, cells: Cells, counts: FloatArray, n_bitlines: int,
        tile_wordlines: int, tile_bitlines: int, write_columns: int,
    ) -> tuple[Cells, FloatArray]:  # fmt: skip
        """Return the unwanted pulses of one direction (1 or -1) that a list of wanted ones causes."""
        kernels.half_selected(
            cells, counts, True, n_bitlines, tile_wordlines, tile_bitlines, write_columns, np.float32(direction),
            self._trials,
        )  # fmt: skip
        return self._hits(key, self.values.half_select_disturb, direction)

    def read_disturb(self, key: np.uint64, n_looks: int) -> tuple[Cells, FloatArray]:
        """Return the unwanted pulses that `n_looks` looks cause."""
        self._trials[:] = n_looks
        return self._hits(key, self.values.read_disturb, int(self.values.read_disturb_direction))

    def _hits(self, key: np.uint64, probability: float, direction: int) -> tuple[Cells, FloatArray]:
        cells, counts = np.empty_like(self._trials), np.empty(self._trials.size, np.float32)
        n = kernels.draw_hits(key, probability, self._trials, np.float32(direction), cells, counts)
        return cells[:n], counts[:n]

    def controller_reading(self, key: np.uint64, lam: FloatArray, step: float, out: FloatArray) -> None:
        """Write lam as the controller reads it to `out` (float32[cell])."""
        kernels.add_normal(key, np.float32(self.values.controller_noise * step), lam, out)
