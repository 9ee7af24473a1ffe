"""The thresholds of a layer's sampling elements in two parts, as the kernel that draws and multiplies compares them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bimu_hw.kernels import aligned_zeros
from bimu_hw.kernels.drawn_product import split_thresholds

Cells = npt.NDArray[np.int32]


class Thresholds:
    """Leading and remaining bits of all thresholds; they follow a few cells at once, many when somebody asks.

    Parameters
    ----------
    name : str
        The variable of the sampling elements' state that holds the thresholds.
    all_cells : int32[cell]
    """

    def __init__(self, name: str, all_cells: Cells) -> None:
        self._name, self._all = name, all_cells
        self._coarse, self._fine = np.zeros(0, np.int8), np.zeros(0, np.uint16)
        self._due = True

    def moved(self, state: Any, cells: Cells) -> None:
        """Be told that the thresholds of the listed cells are other ones."""
        self._due = self._due or 8 * cells.size >= self._all.size
        if not self._due:
            split_thresholds(getattr(state, self._name), cells, self._coarse, self._fine)

    def parts(self, state: Any) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.uint16]]:
        """Return the parts of the thresholds in `state` (`bimu_hw.kernels.drawn_product.split_thresholds`)."""
        if self._due:
            if not self._coarse.size:
                n = self._all.size
                self._coarse, self._fine = aligned_zeros(n, np.int8), aligned_zeros(n, np.uint16)
            split_thresholds(getattr(state, self._name), self._all, self._coarse, self._fine)
            self._due = False
        return self._coarse, self._fine
