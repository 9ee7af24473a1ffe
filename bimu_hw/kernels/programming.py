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
_BLOCK = 64


@inline
def _collect(counts, start, stop, found, cells, packed):
    """Append the non-zero counts of one block to the list; blocks of none or all non-zero take a fast path."""
    n = 0
    for c in range(start, stop):
        n += counts[c] != _F(0.0)
    if n == stop - start:
        for c in range(start, stop):
            cells[found + c - start] = c
            packed[found + c - start] = counts[c]
    elif n > 0:
        k = found
        for c in range(start, stop):
            if counts[c] != _F(0.0):
                cells[k] = c
                packed[k] = counts[c]
                k += 1
    return found + n


@jit
def round_deterministic(request, inverse_step, quantum, work, cells, counts):
    """Round every request to the nearest multiple of the quantum (ties to even); return the length of the list.

    Parameters
    ----------
    request : float32[cell]
        Asked change of lam.
    inverse_step, quantum : float32
        1 / (lam per level); 1 or 2**-90.
    work : float32[cell]
        Work space.
    cells : int32[cell]
    counts : float32[cell]
        The list. *Mutates* `work`, `cells`, `counts`.
    """
    found = 0
    inverse_quantum = _F(1.0) / quantum
    for start in range(0, request.size, _BLOCK):
        stop = min(start + _BLOCK, request.size)
        for c in range(start, stop):
            work[c] = np.rint(request[c] * inverse_step * inverse_quantum) * quantum
        found = _collect(work, start, stop, found, cells, counts)
    return found


@jit
def round_stochastic(request, inverse_step, quantum, key, work, cells, counts):
    """Round every request down or up at random so that its mean is kept; return the length of the list.

    Parameters
    ----------
    request, inverse_step, quantum, work, cells, counts
        As in `round_deterministic`.
    key : uint64
        Key of this layer and update.
    """
    found = 0
    inverse_quantum = _F(1.0) / quantum
    low, high = key_halves(key)
    for start in range(0, request.size, _BLOCK):
        stop = min(start + _BLOCK, request.size)
        for c in range(start, stop):
            u = centred_uniform(cell_bits(low, high, _U32(c)))
            work[c] = np.floor(request[c] * inverse_step * inverse_quantum + u) * quantum
        found = _collect(work, start, stop, found, cells, counts)
    return found


@jit
def accumulate_residue(request, inverse_step, quantum, register_step, residue, work, cells, counts):
    """Add every request to its residue register, take whole levels out; return the length of the list.

    Parameters
    ----------
    request, inverse_step, quantum, work, cells, counts
        As in `round_deterministic`.
    register_step : float32
        Least significant bit of the register in levels, 2**-residue_bits; 2**-90 for an unlimited register.
    residue : float32[cell]
        What was asked for and not yet sent, in levels, within half a level. *Mutates* `residue`.
    """
    found = 0
    inverse_quantum = _F(1.0) / quantum
    inverse_register = _F(1.0) / register_step
    for start in range(0, request.size, _BLOCK):
        stop = min(start + _BLOCK, request.size)
        for c in range(start, stop):
            asked = np.rint(request[c] * inverse_step * inverse_register) * register_step
            total = residue[c] + asked
            sent = np.rint(total * inverse_quantum) * quantum
            residue[c] = total - sent
            work[c] = sent
        found = _collect(work, start, stop, found, cells, counts)
    return found


@jit
def scale_levels(level, step, cells, lam):
    """Write lam = level * step for the listed cells; a list as long as the array is the identity. *Mutates* `lam`."""
    if cells.size == lam.size:
        for c in range(lam.size):
            lam[c] = level[c] * step
    else:
        for n in range(cells.size):
            c = cells[n]
            lam[c] = level[c] * step


@jit
def count_pulses(counts):
    """Return the numbers of pulses up and down in a list, each event counting at least one pulse."""
    up = 0
    down = 0
    for n in range(counts.size):
        c = counts[n]
        whole = max(np.int64(1), np.int64(min(abs(c), _F(1e9)) + _F(0.5)))
        if c > _F(0.0):
            up += whole
        else:
            down += whole
    return up, down


@jit
def write_operations(cells, counts, n_bitlines, tile_bitlines, write_columns):
    """Count the row-wise write operations of a pulse list and the pulse slots they take.

    Cells of one word line whose bit lines lie in the same group of `write_columns` neighbours of one tile are written
    together: first all that go up, as many slots as the largest count among them, then all that go down. Groups
    follow each other.

    Parameters
    ----------
    cells : int32[n]
        Ascending, in [wordline, bitline] order.
    counts : float32[n]
    n_bitlines, tile_bitlines, write_columns : int

    Returns
    -------
    tuple of int
        Write operations, pulse slots up, pulse slots down.
    """
    groups = np.int64(0)
    slots_up = np.int64(0)
    slots_down = np.int64(0)
    last = np.int64(-1)
    up = np.int64(0)
    down = np.int64(0)
    for n in range(cells.size):
        column = np.int64(cells[n]) % n_bitlines
        group = (column // tile_bitlines) * tile_bitlines + (column % tile_bitlines) // write_columns
        word = (np.int64(cells[n]) // n_bitlines) * n_bitlines + group
        if word != last:
            slots_up += up
            slots_down += down
            up = np.int64(0)
            down = np.int64(0)
            groups += 1
            last = word
        whole = max(np.int64(1), np.int64(min(abs(counts[n]), _F(1e9)) + _F(0.5)))
        if counts[n] > _F(0.0):
            up = max(up, whole)
        else:
            down = max(down, whole)
    return groups, slots_up + up, slots_down + down
