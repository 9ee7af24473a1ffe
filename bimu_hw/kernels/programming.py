"""From the change a rule asks of lam to the pulses a device is sent: three programming policies.

All policies work in level units (request / step). The pulse count is a multiple of ``quantum``: 1 on a device of
finite levels; on a continuous one 2**-90, which makes rounding the identity on float32, so that the same code hands
the request through unchanged.

* deterministic: round the request to the nearest level;
* stochastic: round up or down at random, right on average;
* residue: add the request to a digital register per cell, send whole levels when it exceeds half of one and keep
  the rest.

The result is a sparse list: ascending cell numbers and their signed counts.
"""

from __future__ import annotations

import numpy as np

from bimu_hw.kernels import inline, jit
from bimu_hw.kernels.bits import cell_bits, centred_uniform, key_halves

_F = np.float32
_U32 = np.uint32
_BLOCK = 512


@inline
def _collect(work, cells, counts):
    """Write the non-zero entries of `work` as a list and return its length; if none is zero, `work` itself is the list.

    Dense and empty stretches, the common cases, are recognised by a vectorised count.
    """
    size = work.size
    total = 0
    for c in range(size):
        total += work[c] != _F(0.0)
    if total == size:
        return size
    found = 0
    for start in range(0, size, _BLOCK):
        stop = min(start + _BLOCK, size)
        busy = False
        for c in range(start, stop):
            busy |= work[c] != _F(0.0)
        if busy:
            for c in range(start, stop):
                if work[c] != _F(0.0):
                    cells[found] = c
                    counts[found] = work[c]
                    found += 1
    return found


#: Numbers by which `round_block` knows a policy.
DETERMINISTIC, STOCHASTIC, RESIDUE = 0, 1, 2


@inline(borrowed=True)
def _deterministic(request, inverse_step, quantum):
    scale = inverse_step / quantum
    for c in range(request.size):
        request[c] = np.rint(request[c] * scale) * quantum


@inline(borrowed=True)
def _stochastic(request, inverse_step, quantum, key, first):
    scale = inverse_step / quantum
    low, high = key_halves(key)
    for c in range(request.size):
        u = centred_uniform(cell_bits(low, high, _U32(first + c)))
        request[c] = np.floor(request[c] * scale + u) * quantum


@inline(borrowed=True)
def _residue(request, inverse_step, quantum, register_step, residue):
    scale = inverse_step / register_step
    inverse_quantum = _F(1.0) / quantum
    for c in range(request.size):
        total = residue[c] + np.rint(request[c] * scale) * register_step
        sent = np.rint(total * inverse_quantum) * quantum
        residue[c] = total - sent
        request[c] = sent


@inline(borrowed=True)
def round_block(policy, request, first, inverse_step, quantum, register_step, key, residue):
    """Turn the request of successive cells, the first of them cell `first`, into counts in place.

    Parameters
    ----------
    policy : int
        DETERMINISTIC, STOCHASTIC or RESIDUE; the other arguments as in the functions below.
    """
    if policy == DETERMINISTIC:
        _deterministic(request, inverse_step, quantum)
    elif policy == STOCHASTIC:
        _stochastic(request, inverse_step, quantum, key, first)
    else:
        _residue(request, inverse_step, quantum, register_step, residue)


@jit
def round_deterministic(request, inverse_step, quantum, cells, counts):
    """Round every request to the nearest multiple of the quantum (ties to even); return the length of the list.

    Parameters
    ----------
    request : float32[cell]
        Asked change of lam; becomes the counts of all cells, zeros included.
    inverse_step, quantum : float32
        1 / (lam per level); 1 or 2**-90.
    cells : int32[cell]
    counts : float32[cell]
        The list; not written if its length is the number of cells, for then it is `request`. *Mutates* `request`,
        `cells`, `counts`.
    """
    _deterministic(request, inverse_step, quantum)
    return _collect(request, cells, counts)


@jit
def round_stochastic(request, inverse_step, quantum, key, cells, counts):
    """Round every request down or up at random so that its mean is kept; return the length of the list.

    Parameters
    ----------
    request, inverse_step, quantum, cells, counts
        As in `round_deterministic`.
    key : uint64
        Key of this layer and update.
    """
    _stochastic(request, inverse_step, quantum, key, 0)
    return _collect(request, cells, counts)


@jit
def accumulate_residue(request, inverse_step, quantum, register_step, residue, cells, counts):
    """Add every request to its residue register, take whole levels out; return the length of the list.

    Parameters
    ----------
    request, inverse_step, quantum, cells, counts
        As in `round_deterministic`.
    register_step : float32
        Least significant bit of the register in levels, 2**-residue_bits; 2**-90 for an unlimited register.
    residue : float32[cell]
        What was asked for and not yet sent, in levels, within half a level. *Mutates* `residue`.
    """
    _residue(request, inverse_step, quantum, register_step, residue)
    return _collect(request, cells, counts)


@jit
def scale_levels(cells, step, lam):
    """Turn levels into lam for the listed cells, lam = level * step; a full list is the identity. *Mutates* `lam`."""
    if cells.size == lam.size:
        for c in range(lam.size):
            lam[c] *= step
    else:
        for n in range(cells.size):
            lam[cells[n]] *= step


@jit
def whole_line_operations(n_wordlines, n_bitlines, tile_wordlines, tile_bitlines, write_columns, tiles):
    """Do what `write_operations` does for all cells of the first word lines of a continuous element, the common case.

    The number of groups per tile is known. *Mutates* `tiles`.
    """
    column_tiles = -(-n_bitlines // tile_bitlines)
    tiles[:] = 0
    for tile in range(tiles.shape[0]):
        top = (tile // column_tiles) * tile_wordlines
        driven = max(min(n_wordlines - top, tile_wordlines), 0)
        width = min(tile_bitlines, n_bitlines - (tile % column_tiles) * tile_bitlines)
        tiles[tile, 0] = driven * -(-width // write_columns)
        tiles[tile, 1] = tiles[tile, 0]


@jit
def write_operations(cells, counts, whole, n_bitlines, tile_wordlines, tile_bitlines, write_columns, tiles):
    """Count the pulses of a list, and per tile the row-wise write operations and the pulse slots they take.

    Cells of one word line whose bit lines lie in the same group of `write_columns` neighbours of one tile are written
    together: first all that go up, as many slots as the largest count among them, then all that go down. Groups of one
    tile follow each other, tiles work side by side. On a continuous element every change is one pulse, whatever its
    size, and an operation takes one slot for both directions, counted as up.

    Parameters
    ----------
    cells : int32[n]
        Ascending, in [wordline, bitline] order.
    counts : float32[n]
    whole : bool
        Whether counts are whole numbers of pulses.
    n_bitlines, tile_wordlines, tile_bitlines, write_columns : int
    tiles : int64[tile, 3]
        Write operations, pulse slots up, pulse slots down of each tile, row of tiles by row of tiles. *Mutates*
        `tiles`.

    Returns
    -------
    tuple of int
        Pulses up, pulses down.
    """
    pulses_up = np.int64(0)
    pulses_down = np.int64(0)
    column_tiles = -(-n_bitlines // tile_bitlines)
    tiles[:] = 0
    if not whole:
        for k in range(counts.size):
            pulses_up += counts[k] > _F(0.0)
        pulses_down = np.int64(counts.size) - pulses_up
        if counts.size > 0 and counts.size % n_bitlines == 0 and cells[counts.size - 1] == counts.size - 1:
            n_wordlines = counts.size // n_bitlines
            whole_line_operations(n_wordlines, n_bitlines, tile_wordlines, tile_bitlines, write_columns, tiles)
            return pulses_up, pulses_down
    n = 0
    while n < cells.size:
        cell = np.int64(cells[n])
        row = cell // n_bitlines
        row_start = row * n_bitlines
        column_tile = (cell - row_start) // tile_bitlines
        tile_start = row_start + column_tile * tile_bitlines
        group_end = tile_start + ((cell - tile_start) // write_columns + 1) * write_columns
        group_end = min(group_end, tile_start + tile_bitlines, row_start + n_bitlines)
        # An unbroken run, as in dense updates, is found without a search: the list is ascending and unique.
        stop = n + (group_end - cell)
        if stop > cells.size or cells[stop - 1] != group_end - 1:
            stop = n + 1
            while stop < cells.size and cells[stop] < group_end:
                stop += 1
        tile = (row // tile_wordlines) * column_tiles + column_tile
        tiles[tile, 0] += 1
        if whole:
            up, down, sum_up, sum_down = np.int32(0), np.int32(0), np.int32(0), np.int32(0)
            for k in range(n, stop):
                pulses = np.int32(abs(counts[k]) + _F(0.5))
                is_up = np.int32(counts[k] > _F(0.0))
                up = max(up, pulses * is_up)
                down = max(down, pulses * (np.int32(1) - is_up))
                sum_up += pulses * is_up
                sum_down += pulses * (np.int32(1) - is_up)
            tiles[tile, 1] += up
            tiles[tile, 2] += down
            pulses_up += sum_up
            pulses_down += sum_down
        else:
            tiles[tile, 1] += 1
        n = stop
    return pulses_up, pulses_down


@inline(borrowed=True)
def accumulate_block(request, total):
    """Add every request (float32[cell]) to its running total (float64[cell])."""
    for c in range(request.size):
        total[c] += request[c]


@jit
def accumulate(request, total):
    """Add every request (float32[cell]) to its running total (float64[cell]). *Mutates* `total`."""
    accumulate_block(request, total)
