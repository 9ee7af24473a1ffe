"""What a stored level suffers whatever device holds it: telegraph and flicker noise, unwanted pulses, wear.

All work on centred levels, flat over cells. The processes in time are exact for any step: a telegraph signal and an
Ornstein-Uhlenbeck process are Markov, so their transition over an interval is known in closed form.
"""

from __future__ import annotations

import math

import numpy as np

from bimu_hw.kernels import jit
from bimu_hw.kernels.bits import cell_bits, centred_uniform, fold, key_halves, normal_from_bits, philox
from bimu_hw.kernels.counters import add_pulses
from bimu_hw.kernels.elementary import exp32

_F = np.float32
_I = np.int32
_U32 = np.uint32
_U64 = np.uint64


@jit
def draw_traps(key, fraction, amplitude, sigma, occupied_share, trap, shift):
    """Give a fraction of the cells a trap, occupied or not as in equilibrium.

    Parameters
    ----------
    key : uint64
    fraction : float
        Share of cells with a trap.
    amplitude, sigma : float
        Median of the difference between the two levels seen, in levels, and the standard deviation of its logarithm.
    occupied_share : float
        Probability that a trap is occupied in equilibrium.
    trap : int8[cell]
        0 empty, 1 occupied.
    shift : float32[cell]
        Difference between the two levels of a cell, of either sign; 0 without a trap. *Mutates* `trap`, `shift`.
    """
    low_a, high_a = key_halves(fold(key, _U64(1)))
    low_b, high_b = key_halves(fold(key, _U64(2)))
    for c in range(trap.size):
        which, state, sign, _ = philox(key, _U64(c), _U64(0))
        normal = normal_from_bits(cell_bits(low_a, high_a, _U32(c)), cell_bits(low_b, high_b, _U32(c)))
        size = _F(amplitude * math.exp(sigma * np.float64(normal)))
        size = size if (sign & _U32(1)) == _U32(1) else -size
        has = (np.float64(which) + 0.5) * 2.0**-32 < fraction
        shift[c] = size if has else _F(0.0)
        trap[c] = np.int8((np.float64(state) + 0.5) * 2.0**-32 < occupied_share)


@jit
def advance_traps(key, memory, occupied_share, trap):
    """Let every trap capture and emit over an interval: one exact step of a two-state Markov process.

    Parameters
    ----------
    key : uint64
    memory : float
        exp(-t / tau_capture - t / tau_emission).
    occupied_share : float
        Probability that a trap is occupied in equilibrium.
    trap : int8[cell]
        *Mutates* `trap`.
    """
    low, high = key_halves(key)
    from_empty = _F(occupied_share * (1.0 - memory))
    from_occupied = _F(occupied_share + (1.0 - occupied_share) * memory)
    for c in range(trap.size):
        p = from_occupied if trap[c] == 1 else from_empty
        trap[c] = np.int8(centred_uniform(cell_bits(low, high, _U32(c))) < p)


@jit
def draw_flicker(key, flicker):
    """Start every component of the flicker noise in equilibrium: a standard normal. *Mutates* `flicker`."""
    for d in range(flicker.shape[0]):
        own = fold(key, _U64(d))
        low_a, high_a = key_halves(fold(own, _U64(1)))
        low_b, high_b = key_halves(fold(own, _U64(2)))
        for c in range(flicker.shape[1]):
            flicker[d, c] = normal_from_bits(cell_bits(low_a, high_a, _U32(c)), cell_bits(low_b, high_b, _U32(c)))


@jit
def advance_flicker(key, rates, interval, flicker):
    """Let every component relax and fluctuate over an interval: one exact step of an Ornstein-Uhlenbeck process.

    Parameters
    ----------
    key : uint64
    rates : float64[component]
        Relaxation rates in 1/s.
    interval : float
        In seconds.
    flicker : float32[component, cell]
        Standard normals in equilibrium. *Mutates* `flicker`.
    """
    for d in range(flicker.shape[0]):
        own = fold(key, _U64(d))
        low_a, high_a = key_halves(fold(own, _U64(1)))
        low_b, high_b = key_halves(fold(own, _U64(2)))
        memory = _F(math.exp(-rates[d] * interval))
        fresh = _F(math.sqrt(-math.expm1(-2.0 * rates[d] * interval)))
        row = flicker[d]
        for c in range(row.size):
            normal = normal_from_bits(cell_bits(low_a, high_a, _U32(c)), cell_bits(low_b, high_b, _U32(c)))
            row[c] = memory * row[c] + fresh * normal


@jit
def add_noise(trap, shift, sigma, flicker, out):
    """Add telegraph and flicker noise to the levels seen: +-1/2 of the shift, and sigma times each component.

    Parameters
    ----------
    trap : int8[cell]
    shift : float32[cell]
        Empty without telegraph noise.
    sigma : float32
        Of one component, in levels.
    flicker : float32[component, cell]
        No component without flicker noise.
    out : float32[cell]
        *Mutates* `out`.
    """
    for c in range(shift.size):
        out[c] += shift[c] * (_F(trap[c]) - _F(0.5))
    for d in range(flicker.shape[0]):
        row = flicker[d]
        for c in range(row.size):
            out[c] += sigma * row[c]


@jit
def draw_limits(key, median, sigma, limit):
    """Draw how many pulses each cell survives, log-normal. *Mutates* `limit` (float32[cell])."""
    low_a, high_a = key_halves(fold(key, _U64(1)))
    low_b, high_b = key_halves(fold(key, _U64(2)))
    for c in range(limit.size):
        normal = normal_from_bits(cell_bits(low_a, high_a, _U32(c)), cell_bits(low_b, high_b, _U32(c)))
        limit[c] = _F(median) * exp32(_F(sigma) * normal)


@jit
def answerable(cells, counts, level, pulse_count, limit, narrowing, level_max, whole, out_cells, out_counts):
    """Return how many cells of a list still answer, and with how many pulses each.

    A cell that has had as many pulses as it survives is worn out and answers no more. Before, its window may narrow in
    proportion to its wear: pulses beyond +-(1 - narrowing * wear) of the last level do nothing. Pulses without an
    answer are sent all the same, so they count.

    Parameters
    ----------
    cells : int32[n]
    counts : float32[n]
    level : float32[cell]
        Levels the cells hold.
    pulse_count : int32[cell]
    limit : float32[cell]
    narrowing : float32
        Share of the window lost at the end of life; 0: what happens at the last level is the device's own.
    level_max : float32
        Last level; infinite on a continuous element, whose window does not narrow.
    whole : bool
        Whether counts are whole numbers of pulses.
    out_cells, out_counts : int32[n], float32[n]
        The list of those that answer. *Mutates* both and `pulse_count`, by what no device will count.
    """
    n_out = 0
    for n in range(cells.size):
        c, count = cells[n], counts[n]
        wear = _F(pulse_count[c]) / limit[c]
        size = abs(count)
        if wear >= _F(1.0):
            size = _F(0.0)
        elif narrowing > _F(0.0):
            top = level_max * (_F(1.0) - narrowing * wear)
            room = max(top - level[c], _F(0.0)) if count > _F(0.0) else max(top + level[c], _F(0.0))
            if whole:
                room = np.floor(room + _F(1e-3))
            size = min(size, room)
        pulse_count[c] = add_pulses(pulse_count[c], abs(count) - size)
        if size > _F(0.0):
            out_cells[n_out] = c
            out_counts[n_out] = size if count > _F(0.0) else -size
            n_out += 1
    return n_out


@jit
def half_selected(cells, counts, whole, n_bitlines, tile_wordlines, tile_bitlines, write_columns, direction, trials):
    """Count the pulses of one direction that each cell sees at half amplitude while others of its tile are written.

    A cell is half selected with its word line whenever another group of columns on it is written, or its own group and
    it is not among the written cells; and with its bit line whenever another cell of that bit line is written.

    Parameters
    ----------
    cells : int32[n]
        Written cells, ascending.
    counts : float32[n]
    whole : bool
        Whether counts are whole numbers; otherwise each is one pulse.
    n_bitlines, tile_wordlines, tile_bitlines, write_columns : int
    direction : float32
        +1 or -1.
    trials : int32[cell]
        *Mutates* `trials`.
    """
    n_wordlines = trials.size // n_bitlines
    groups_per_tile = -(-tile_bitlines // write_columns)
    column_tiles = -(-n_bitlines // tile_bitlines)
    n_groups = groups_per_tile * column_tiles
    row_tiles = -(-n_wordlines // tile_wordlines)
    slots = np.zeros((n_wordlines, n_groups), np.int32)
    along = np.zeros((row_tiles, n_bitlines), np.int32)
    for n in range(cells.size):
        i, j = cells[n] // n_bitlines, cells[n] % n_bitlines
        if counts[n] * direction <= _F(0.0):
            continue
        pulses = _I(abs(counts[n]) + _F(0.5)) if whole else _I(1)
        tile = j // tile_bitlines
        group = tile * groups_per_tile + (j - tile * tile_bitlines) // write_columns
        slots[i, group] = max(slots[i, group], pulses)
        along[i // tile_wordlines, j] += pulses
    for i in range(n_wordlines):
        for tile in range(column_tiles):
            row = _I(0)
            for g in range(groups_per_tile):
                row += slots[i, tile * groups_per_tile + g]
            for j in range(tile * tile_bitlines, min((tile + 1) * tile_bitlines, n_bitlines)):
                trials[i * n_bitlines + j] = row + along[i // tile_wordlines, j]
    for n in range(cells.size):
        i, j = cells[n] // n_bitlines, cells[n] % n_bitlines
        pulses = _I(abs(counts[n]) + _F(0.5)) if whole else _I(1)
        tile = j // tile_bitlines
        group = tile * groups_per_tile + (j - tile * tile_bitlines) // write_columns
        own = pulses if counts[n] * direction > _F(0.0) else _I(0)
        trials[cells[n]] -= slots[i, group] + own


@jit
def draw_hits(key, probability, trials, each, cells, counts):
    """Draw how many of a cell's trials hit, and return how many cells are hit: binomial, at a cost that follows the
    hits.

    Trials of all cells stand in one row; the gaps between hits are geometric.

    Parameters
    ----------
    key : uint64
    probability : float
        Of one trial, within (0, 1].
    trials : int32[cell]
    each : float32
        Pulses of one hit, with its sign.
    cells, counts : int32[cell], float32[cell]
        Ascending list of the cells that are hit. *Mutates* both.
    """
    found = 0
    drawn = _U64(0)
    slope = 1.0 / math.log1p(-probability) if probability < 1.0 else 0.0
    word, _, _, _ = philox(key, drawn, _U64(0))
    gap = np.floor(math.log((np.float64(word) + 0.5) * 2.0**-32) * slope)
    for c in range(trials.size):
        left = np.float64(trials[c])
        hits = 0
        while gap < left:
            left -= gap + 1.0
            hits += 1
            drawn += _U64(1)
            word, _, _, _ = philox(key, drawn, _U64(0))
            gap = np.floor(math.log((np.float64(word) + 0.5) * 2.0**-32) * slope)
        gap -= left
        if hits > 0:
            cells[found] = c
            counts[found] = each * _F(hits)
            found += 1
    return found


@jit
def add_normal(key, sigma, lam, out):
    """Write lam plus a normal error of standard deviation `sigma` to `out` (float32[cell]). *Mutates* `out`."""
    low_a, high_a = key_halves(fold(key, _U64(1)))
    low_b, high_b = key_halves(fold(key, _U64(2)))
    for c in range(lam.size):
        normal = normal_from_bits(cell_bits(low_a, high_a, _U32(c)), cell_bits(low_b, high_b, _U32(c)))
        out[c] = lam[c] + sigma * normal
