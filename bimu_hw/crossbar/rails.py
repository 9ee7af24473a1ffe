"""Weights that are signs: what drives the sampling elements of a layer to their rails."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
Cells = npt.NDArray[np.int32]

#: |lam| that a sampling element is driven with to say a sign: one draw in 4e17 of an ideal one says the other.
RAIL = np.float32(20.0)


class Rails:
    """Which rail each cell is driven to; only cells whose sign has changed are driven anew.

    Attributes
    ----------
    drive : float32[cell]
        What drives the sampling elements; 0 until a cell was driven for the first time.
    """

    def __init__(self, n_cells: int) -> None:
        self.drive = np.zeros(n_cells, np.float32)

    def follow(self, lam: FloatArray, cells: Cells, anew: bool = False) -> tuple[FloatArray, Cells]:
        """Bring `drive` to the signs of lam for the listed cells; 0 counts as positive.

        Returns
        -------
        float32[cell], int32[cell]
            `drive`, and those of the listed cells whose drive has changed: all of them if `anew`, for readings with
            noise, which also drive the copies that evaluation looks at.
        """
        if anew:
            self.drive[:] = 0
        of_all = cells.size == lam.size
        wanted = np.where((lam if of_all else lam[cells]) >= 0, RAIL, -RAIL)
        changed = np.flatnonzero(wanted != (self.drive if of_all else self.drive[cells]))
        listed = changed.astype(np.int32) if of_all else cells[changed]
        self.drive[listed] = wanted[changed]
        return self.drive, listed
