"""What writing a layer takes: pulses, and row-wise operations of each tile."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bimu_hw.crossbar.synapse_spec import FloatArray, Programming
from bimu_hw.kernels.programming import (
    DETERMINISTIC,
    STOCHASTIC,
    accumulate_residue,
    round_deterministic,
    round_stochastic,
    whole_line_operations,
    write_operations,
)


class Writing:
    """Counts for one layer.

    Parameters
    ----------
    shape : tuple of int
        (wordline, bitline).
    whole : bool
        Whether counts of pulses are whole numbers: a grid of finite levels.
    """

    def __init__(self, shape: tuple[int, int], whole: bool) -> None:
        self._shape, self._whole = shape, whole
        self._of_all: dict[tuple[int, int, int], npt.NDArray[np.int64]] = {}

    def _tiles(self, tile_wordlines: int, tile_bitlines: int) -> npt.NDArray[np.int64]:
        n_in, n_out = self._shape
        return np.empty((-(-n_in // tile_wordlines) * -(-n_out // tile_bitlines), 3), np.int64)

    def of_list(
        self, cells: npt.NDArray[np.int32], counts: npt.NDArray[np.float32], tile_wordlines: int, tile_bitlines: int,
        write_columns: int,
    ) -> Programming:  # fmt: skip
        """Count what sending a list of pulses takes."""
        tiles = self._tiles(tile_wordlines, tile_bitlines)
        up, down = write_operations(
            cells, counts, self._whole, self._shape[1], tile_wordlines, tile_bitlines, write_columns, tiles
        )
        return Programming(up, down, tiles)

    def with_refreshes(
        self, done: Programming, pulses: npt.NDArray[np.int64], tile_wordlines: int, tile_bitlines: int
    ) -> Programming:
        """Add the pulses of refreshes (int64[cell]) to what an update took.

        Every pair has a difference of its own to be programmed, so in a tile one follows another: a write operation
        each, and as many slots down as pulses.
        """
        cells = np.flatnonzero(pulses)
        if not cells.size:
            return done
        row, column = np.divmod(cells, self._shape[1])
        tile = row // tile_wordlines * -(-self._shape[1] // tile_bitlines) + column // tile_bitlines
        np.add.at(done.tiles[:, 0], tile, 1)
        np.add.at(done.tiles[:, 2], tile, pulses[cells])
        return done._replace(refresh_pulses=int(pulses.sum()))

    def of_all(self, pulses_up: int, tile_wordlines: int, tile_bitlines: int, write_columns: int) -> Programming:
        """Count what one pulse for every cell takes on a continuous grid; always with the same, read-only `tiles`."""
        tile = (tile_wordlines, tile_bitlines, write_columns)
        if tile not in self._of_all:
            tiles = self._tiles(tile_wordlines, tile_bitlines)
            whole_line_operations(*self._shape, *tile, tiles)
            tiles.flags.writeable = False
            self._of_all[tile] = tiles
        n_in, n_out = self._shape
        return Programming(pulses_up, n_in * n_out - pulses_up, self._of_all[tile])


def round_request(
    request: FloatArray, policy: int, scales: tuple[np.float32, ...], key: np.uint64, residue: FloatArray,
    cells: npt.NDArray[np.int32], counts: FloatArray,
) -> int:  # fmt: skip
    """Turn the asked change of lam (float32[cell], *mutated*) into pulses by a programming policy.

    Parameters
    ----------
    scales : tuple
        As in `UpdatePlan`.
    cells, counts
        *Mutated*: list the pulses, unless all cells get some: then `request` holds the counts.

    Returns
    -------
    int
        Number of cells that get pulses.
    """
    if policy == DETERMINISTIC:
        return int(round_deterministic(request, *scales[:2], cells, counts))
    if policy == STOCHASTIC:
        return int(round_stochastic(request, *scales[:2], key, cells, counts))
    return int(accumulate_residue(request, *scales[:3], residue, cells, counts))
