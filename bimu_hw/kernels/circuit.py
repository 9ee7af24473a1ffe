"""Many reads of one tile with wire resistance, fast enough for the learning loop.

The network, its Schur complement S = P - N on the columns and the ladders are those of `bimu_hw.kernels.ir_drop`.
Tiles in the loop are small and their cells conduct little against their wires, so the plain iteration

    b <- P^-1 (f + N b)

gains one to two digits per step. It needs two fields, what the lines inject into the columns (f + N b) and the
currents on their way down the columns; the source sits in the ladder of its line. Eight vectors of one array go through
every walk side by side (`bimu_hw.kernels.lanes`) and share its factors.

Certificate. After a step the residual of Kirchhoff's law, rho, is the change of what the lines inject. Of a current
injected into a column of P the share prod(a) reaches its terminal and the rest leaves through the diagonal, K, so with
eta = 1 - min prod(a) both P^-1 K 1 <= eta and N 1 <= K 1 hold, all entries being positive: |rho| <= kappa K bounds the
error of any column voltage by kappa eta / (1 - eta), and the currents sensed one column solve later by that times the
sum of K down a column. (Where a cell is open, K = 0 and the weaker bound eta sum |rho| is taken.)

Memory. Lines are padded to a multiple of eight at the open end of the columns, by lines without cells, and walked two
by two: what a walk reads lies in the order in which it reads, as [pair of lines, column, ...], flat.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bimu_hw.kernels import jit
from bimu_hw.kernels.lanes import (
    absolute,
    add,
    divide,
    greatest,
    line_up_0,
    line_up_1,
    line_up_2,
    line_up_3,
    load,
    multiply,
    splat,
    spread,
    store,
    store_lane,
    subtract,
)

LANES = 8
_EPSILON = 2.0**-52


class Ladders(NamedTuple):
    """Factors of one array, flat float64 (see the module's text)."""

    cell: np.ndarray  #: [block of 8 lines, column, line] conductance [S]
    left: np.ndarray  #: work space, as `cell`
    right: np.ndarray  #: work space, as `cell`
    share: np.ndarray  #: work space, as `cell`
    #: [pair of lines, column, 4, 2]: the cell's conductance; share of a Norton current that passes a node and the
    #: segment behind it, from the source; share of a current arriving on the line that leaves through the cell; share
    #: that passes towards the source (of column 0 through the source's resistance).
    line: np.ndarray
    down: np.ndarray  #: [line, column] share that passes a node of the column and the segment below
    entry: np.ndarray  #: [line] conductance that a source sees [S]


class Fields(NamedTuple):
    """Work space of one solve of eight vectors, flat float64."""

    injected: np.ndarray  #: [pair of lines, column, 2, vector]
    falling: np.ndarray  #: [pair of lines, column, 2, vector]
    passing: np.ndarray  #: [column, 2 (current, injection), 2 lines, vector]
    carry: np.ndarray  #: [column, vector]: in the end the sensed currents
    volts: np.ndarray  #: [line, vector]: of the sources
    delivered: np.ndarray  #: [line, vector]: currents of the sources
    size: np.ndarray  #: [vector]: largest residual of the last step [A]


def padded(n_lines: int) -> int:
    """Return the number of lines with those that fill up the last block of eight."""
    return -(-n_lines // LANES) * LANES


def allocate(n_lines: int, n_columns: int) -> tuple[Ladders, Fields]:
    """Return uninitialised factors and fields for arrays up to one shape."""
    m = padded(n_lines)
    cells = m * n_columns
    ladders = Ladders(*(_aligned(cells) for _ in range(4)), _aligned(4 * cells), _aligned(cells), _aligned(m))
    sizes = (cells * LANES, cells * LANES, n_columns * 4 * LANES, n_columns * LANES, m * LANES, m * LANES, LANES)
    return ladders, Fields(*(_aligned(size) for size in sizes))


def _aligned(size: int) -> np.ndarray:
    """Return an uninitialised array that starts with a cache line: no load of eight lanes then straddles two."""
    slab = np.empty(size + 8)
    first = -slab.ctypes.data % 64 // 8
    return slab[first : first + size]


@jit
def factorise(n_line, n, line, source, column, sense, ladders, carry):
    """Walk the ladders of one array.

    Parameters
    ----------
    n_line, n : int
        Lines, without those that fill the last block, and columns.
    line, source, column, sense : float
        Resistances as in `ir_drop.Wires` [ohm]; `source` is not 0.
    ladders : Ladders
        `cell` is given. *Mutates* the others.
    carry : float64[at least 8 column]
        Work space.

    Returns
    -------
    float
        Bound on the error of a sensed current over the largest residual.
    """
    m = (n_line + 7) // 8 * 8
    cell, left, right, share, coefficients, down, entry = ladders
    one, r = splat(1.0), splat(line)
    r_end = splat(source)
    for k in range(0, m, 8):
        base = k * n
        u = splat(1.0 / source)
        v = splat(0.0)
        for j in range(n):
            here = base + 8 * j
            t = add(u, load(cell, here))
            a = divide(one, add(one, multiply(r, t)))
            store(left, here, a)
            store(share, here, u)
            u = multiply(t, a)
            there = base + 8 * (n - 1 - j)
            s = add(v, load(cell, there))
            if j == n - 1:
                r = r_end
            c = divide(one, add(one, multiply(r, s)))
            store(right, there, c)
            # The conductance to the right waits in `left`'s place of the mirrored loop below.
            store(carry, 8 * (n - 1 - j), v)
            v = multiply(s, c)
        r = splat(line)
        store(entry, k, v)
        for j in range(n):
            here = base + 8 * j
            d = load(cell, here)
            u = add(load(share, here), load(carry, 8 * j))
            passed = divide(d, add(d, u))
            a, c = load(left, here), load(right, here)
            at = 4 * base + 8 * j
            store(coefficients, at, line_up_0(d, a, passed, c))
            store(coefficients, at + 8 * n, line_up_1(d, a, passed, c))
            store(coefficients, at + 16 * n, line_up_2(d, a, passed, c))
            store(coefficients, at + 24 * n, line_up_3(d, a, passed, c))
            u = multiply(passed, u)
            at = base + j
            store_lane(down, at, u, 0)
            store_lane(down, at + n, u, 1)
            store_lane(down, at + 2 * n, u, 2)
            store_lane(down, at + 3 * n, u, 3)
            store_lane(down, at + 4 * n, u, 4)
            store_lane(down, at + 5 * n, u, 5)
            store_lane(down, at + 6 * n, u, 6)
            store_lane(down, at + 7 * n, u, 7)
    u = carry[:n]
    passed = carry[n : 2 * n]
    total = carry[2 * n : 3 * n]
    least = carry[3 * n : 4 * n]
    u[:] = 0.0
    passed[:] = 1.0
    total[:] = 0.0
    least[:] = np.inf
    for i in range(m):
        q = column if i < m - 1 else sense
        row = down[i * n : (i + 1) * n]
        fill = np.inf if i < m - n_line else 0.0
        for j in range(n):
            k = row[j]
            t = u[j] + k
            a = 1.0 / (1.0 + q * t)
            row[j] = a
            u[j] = t * a
            passed[j] *= a
            total[j] += k
            least[j] = min(least[j], k + fill)
    eta = 1.0 - np.min(passed)
    bound = eta * (n_line * n)
    smallest = np.min(least)
    if smallest > 0.0 and eta < 1.0:
        bound = min(bound, eta / (1.0 - eta) * np.max(total) / smallest)
    return bound


@jit
def start(m, n, source, ladders, fields):
    """Let the lines inject what their sources send into grounded columns."""
    line, injected, volts = ladders.line, fields.injected, fields.volts
    g = splat(1.0 / source)
    for i in range(m):
        t = multiply(load(volts, 8 * i), g)
        odd = i % 2
        for j in range(n):
            at = 4 * (i - odd) * n + 8 * j + odd
            store(injected, 8 * ((i - odd) * n + 2 * j + odd), multiply(spread(line, at + 4), t))
            t = multiply(spread(line, at + 2), t)


@jit
def start_like(m, n, ladders, fields, line, injected):
    """Let the lines inject what they inject in another array, scaled by what their cells take of it."""
    mine, out = ladders.line, fields.injected
    for k in range(m // 2 * n):
        for odd in range(2):
            other = line[8 * k + 4 + odd]
            ratio = mine[8 * k + 4 + odd] / other if other > 0.0 else 0.0
            to = 16 * k + 8 * odd
            store(out, to, multiply(splat(ratio), load(injected, to)))


@jit
def descend(m, n, ladders, fields):
    """Carry what is injected down the columns; `carry` ends as the sensed currents."""
    down, injected, falling, carry = ladders.down, fields.injected, fields.falling, fields.carry
    zero = splat(0.0)
    for j in range(n):
        store(carry, 8 * j, zero)
    for k in range(0, m, 2):
        for j in range(n):
            at = 8 * k * n + 16 * j
            here = k * n + j
            c = multiply(spread(down, here), add(load(carry, 8 * j), load(injected, at)))
            store(falling, at, c)
            c = multiply(spread(down, here + n), add(c, load(injected, at + 8)))
            store(falling, at + 8, c)
            store(carry, 8 * j, c)


@jit
def ascend(m, n, source, column, sense, ladders, fields):
    """Turn falling currents into column voltages and let the lines inject anew; fill `delivered` and `size`."""
    coefficients, down, entry = ladders.line, ladders.down, ladders.entry
    injected, falling, passing, carry, volts, delivered, size = fields
    zero = splat(0.0)
    q1 = splat(sense)
    q0 = splat(column)
    g = splat(1.0 / source)
    for j in range(n):
        store(carry, 8 * j, zero)
    changed0 = changed1 = zero
    for k in range(m - 2, -1, -2):
        # Two lines at a time: their chains hide each other's latency, and what passes stays in the nearest cache.
        row = k * n
        t0 = multiply(load(volts, 8 * k), g)
        t1 = multiply(load(volts, 8 * k + 8), g)
        for j in range(n):
            at = 4 * row + 8 * j
            to = 8 * row + 16 * j
            here = row + j
            b1 = add(multiply(spread(down, here + n), load(carry, 8 * j)), multiply(q1, load(falling, to + 8)))
            b0 = add(multiply(spread(down, here), b1), multiply(q0, load(falling, to)))
            store(carry, 8 * j, b0)
            store(passing, 32 * j, t0)
            store(passing, 32 * j + 8, t1)
            b0 = multiply(spread(coefficients, at), b0)
            b1 = multiply(spread(coefficients, at + 1), b1)
            store(passing, 32 * j + 16, b0)
            store(passing, 32 * j + 24, b1)
            a0 = spread(coefficients, at + 2)
            a1 = spread(coefficients, at + 3)
            t0 = add(multiply(a0, t0), multiply(a0, b0))
            t1 = add(multiply(a1, t1), multiply(a1, b1))
        q1 = q0
        t0 = t1 = zero
        for j in range(n - 1, -1, -1):
            at = 4 * row + 8 * j
            to = 8 * row + 16 * j
            x0 = multiply(spread(coefficients, at + 4), add(load(passing, 32 * j), t0))
            x1 = multiply(spread(coefficients, at + 5), add(load(passing, 32 * j + 8), t1))
            changed0 = greatest(changed0, absolute(subtract(x0, load(injected, to))))
            changed1 = greatest(changed1, absolute(subtract(x1, load(injected, to + 8))))
            store(injected, to, x0)
            store(injected, to + 8, x1)
            a0 = spread(coefficients, at + 6)
            a1 = spread(coefficients, at + 7)
            t0 = add(multiply(a0, t0), multiply(a0, load(passing, 32 * j + 16)))
            t1 = add(multiply(a1, t1), multiply(a1, load(passing, 32 * j + 24)))
        # What the line takes with grounded columns, less what they send back.
        store(delivered, 8 * k, subtract(multiply(spread(entry, k), load(volts, 8 * k)), t0))
        store(delivered, 8 * k + 8, subtract(multiply(spread(entry, k + 1), load(volts, 8 * k + 8)), t1))
    store(size, 0, greatest(changed0, changed1))


@jit
def settle(m, n, wires, tolerance, error_bound, budget, ladders, fields):
    """Iterate from what the lines inject to currents within the tolerance.

    Parameters
    ----------
    m, n : int
    wires : (float line, float source, float column, float sense)
    tolerance : float
        Of the largest sensed current of each vector.
    error_bound : float
        As `factorise` returned it.
    budget : int
        Steps allowed.
    ladders, fields : Ladders, Fields
        *Mutates* `fields`: `carry` holds the sensed, `delivered` the source currents.

    Returns
    -------
    int
        Steps taken, or -1 if the tolerance was not reached.
    """
    carry, size, volts, entry = fields.carry, fields.size, fields.volts, ladders.entry
    _, source, column, sense = wires
    for step in range(1, budget + 1):
        descend(m, n, ladders, fields)
        enough = 0
        largest = np.zeros(8)
        for j in range(n):
            for p in range(8):
                largest[p] = max(largest[p], abs(carry[8 * j + p]))
        ascend(m, n, source, column, sense, ladders, fields)
        for p in range(8):
            limit = tolerance * largest[p]
            bound = error_bound * size[p]
            if bound > limit:
                floor = 0.0
                for i in range(m):
                    floor += abs(volts[8 * i + p]) * entry[i]
                limit += 8.0 * _EPSILON * floor
            enough += bound <= limit
        if enough == 8:
            descend(m, n, ladders, fields)
            return step
    return -1
