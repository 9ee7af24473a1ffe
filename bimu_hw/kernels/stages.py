"""Stages of jobs in flight: which unit works for whom, until when. All in integers.

A job is a row of segments; a segment is a number of equal chains of stages that run side by side, and the next segment
begins when all of them are through. A stage occupies one unit of its kind. A unit that becomes free goes to the waiting
stage of the lowest priority number, among equals to the one that has waited longest; nothing is interrupted. What ends
at one tick ends in the order in which it was started.

All that changes lies in one vector, `live` (int64), so that it can be copied to look ahead, and written down. Its
parts, for `n_slot` jobs of at most `n_chain` chains and `n_unit` kinds of unit:

    n_slot * n_chain each   place in the segment (-1: idle), end of the stage (-1: waiting), order
    n_slot each             segment, chains left, tick at which the job was done (-1), order of that, priority
    n_unit                  units that are free
    1                       the next order
"""

from __future__ import annotations

import numpy as np

from bimu_hw.kernels import jit

#: Numbers kept per chain and per slot.
PER_CHAIN, PER_SLOT = 3, 5


@jit
def _start(live, n, c, ticks, tick):
    """Let the stage of a chain begin."""
    live[n + c] = tick + ticks
    live[2 * n + c] = live[live.size - 1]
    live[live.size - 1] += 1


@jit
def begin(live, unit, ticks, chains, n_chain, slot, segment, tick):
    """Begin a segment of the job in a slot: all of its chains ask for their first unit, one after the other.

    Parameters
    ----------
    live : int64[...]
    unit, ticks : int64[slot, segment, stage]
        Kind of unit and duration of every stage.
    chains : int64[slot, segment]
    n_chain, slot, segment, tick : int

    Notes
    -----
    *Mutates* `live`.
    """
    n_slot = unit.shape[0]
    n = n_slot * n_chain
    slots = PER_CHAIN * n
    live[slots + slot] = segment
    live[slots + n_slot + slot] = chains[slot, segment]
    for i in range(chains[slot, segment]):
        c = slot * n_chain + i
        live[c] = 0
        _request(live, n, n_slot, c, unit[slot, segment, 0], ticks[slot, segment, 0], tick)


@jit
def _request(live, n, n_slot, c, kind, ticks, tick):
    """Give a chain the unit that its stage needs, or let it wait."""
    free = PER_CHAIN * n + PER_SLOT * n_slot + kind
    if live[free] > 0:
        live[free] -= 1
        _start(live, n, c, ticks, tick)
    else:
        live[n + c] = -1
        live[2 * n + c] = live[live.size - 1]
        live[live.size - 1] += 1


@jit
def _release(live, unit, ticks, n, n_chain, kind, tick):
    """Give a unit that has become free to the stage that is first in line."""
    n_slot = unit.shape[0]
    slots = PER_CHAIN * n
    best, best_slot, best_priority, best_order = -1, 0, 0, 0
    for slot in range(n_slot):
        segment, priority = live[slots + slot], live[slots + 4 * n_slot + slot]
        if segment < 0 or (best >= 0 and priority > best_priority):
            continue
        for c in range(slot * n_chain, (slot + 1) * n_chain):
            if live[c] >= 0 and live[n + c] < 0 and unit[slot, segment, live[c]] == kind:
                order = live[2 * n + c]
                if best < 0 or priority < best_priority or order < best_order:
                    best, best_slot, best_priority, best_order = c, slot, priority, order
    if best < 0:
        live[slots + PER_SLOT * n_slot + kind] += 1
    else:
        _start(live, n, best, ticks[best_slot, live[slots + best_slot], live[best]], tick)


@jit
def advance(live, unit, ticks, length, chains, n_segment, n_chain, until, first, log):
    """Let time pass.

    Parameters
    ----------
    live, unit, ticks, chains, n_chain
        As in `begin`.
    length : int64[slot, segment]
        Stages of a chain.
    n_segment : int64[slot]
    until : int
        Last tick whose ends take place.
    first : bool
        Whether to stop at the tick at which the first job is done.
    log : int64[1 + row, 5]
        Row 0 holds the number of rows written; a row: slot, segment, place, first tick and duration of a stage that has
        ended. What finds no room is not written.

    Returns
    -------
    int
        Tick of the first job that was done, if `first`; else, or if there is none, -1. All that is due at that tick has
        taken place.

    Notes
    -----
    *Mutates* `live` and `log`.
    """
    n_slot = unit.shape[0]
    n = n_slot * n_chain
    slots = PER_CHAIN * n
    found = np.int64(-1)
    while True:
        c, slot = -1, 0
        for k in range(n_slot):
            if live[slots + k] < 0:
                continue
            for i in range(k * n_chain, (k + 1) * n_chain):
                end = live[n + i]
                if live[i] < 0 or end < 0:
                    continue
                if c < 0 or end < live[n + c] or (end == live[n + c] and live[2 * n + i] < live[2 * n + c]):
                    c, slot = i, k
        if c < 0 or live[n + c] > until:
            return found
        tick = live[n + c]
        segment, place = live[slots + slot], live[c]
        if log[0, 0] + 1 < log.shape[0]:
            row = log[0, 0] + 1
            log[0, 0] = row
            log[row, 0], log[row, 1], log[row, 2] = slot, segment, place
            log[row, 3], log[row, 4] = tick - ticks[slot, segment, place], ticks[slot, segment, place]
        # Out of the way first, so that it is not in line for the unit it leaves.
        live[c] = -1
        _release(live, unit, ticks, n, n_chain, unit[slot, segment, place], tick)
        place += 1
        if place < length[slot, segment]:
            live[c] = place
            _request(live, n, n_slot, c, unit[slot, segment, place], ticks[slot, segment, place], tick)
            continue
        live[slots + n_slot + slot] -= 1
        if live[slots + n_slot + slot] > 0:
            continue
        if segment + 1 < n_segment[slot]:
            begin(live, unit, ticks, chains, n_chain, slot, segment + 1, tick)
            continue
        live[slots + slot] = -1
        live[slots + 2 * n_slot + slot] = tick
        live[slots + 3 * n_slot + slot] = live[live.size - 1]
        live[live.size - 1] += 1
        if first and found < 0:
            found = until = tick


@jit
def submit(live, unit, ticks, length, chains, n_segment, n_chain, slot, priority, tick, log):
    """Let time pass until a job begins, and begin it; parameters as in `advance` and `begin`.

    Notes
    -----
    *Mutates* `live` and `log`.
    """
    n_slot = unit.shape[0]
    advance(live, unit, ticks, length, chains, n_segment, n_chain, tick, False, log)
    live[PER_CHAIN * n_slot * n_chain + 4 * n_slot + slot] = priority
    begin(live, unit, ticks, chains, n_chain, slot, 0, tick)


@jit
def look_ahead(live, unit, ticks, length, chains, n_segment, n_chain, log, out):
    """Let time pass on a copy until the first job is done.

    Parameters
    ----------
    live, unit, ticks, length, chains, n_segment, n_chain
        As in `advance`.
    log : int64[1, 5]
        Without room.
    out : int64[...]
        The copy.

    Returns
    -------
    int
        Tick of the first job that is done, or, if some are that were not fetched, of the last of them; -1: there is
        none. The copy has come to the end of that tick.

    Notes
    -----
    *Mutates* `out` and `log`.
    """
    n_slot = unit.shape[0]
    first = PER_CHAIN * n_slot * n_chain + 2 * n_slot
    through = np.int64(-1)
    for slot in range(n_slot):
        through = max(through, live[first + slot])
    for i in range(live.size):
        out[i] = live[i]
    if through >= 0:
        advance(out, unit, ticks, length, chains, n_segment, n_chain, through, False, log)
        return through
    return advance(out, unit, ticks, length, chains, n_segment, n_chain, np.int64(2**63 - 1), True, log)
