"""Many reads of one tile with wire resistance, fast enough for the learning loop.

The network, its Schur complement S = P - N on the columns and the ladders are those of `bimu_hw.kernels.ir_drop`.
Tiles in the loop are small and their cells conduct little against their wires, so the plain iteration

    b <- P^-1 (f + N b)

gains about a digit per step, and more with its slowest mode, which is smooth along lines and columns, taken out: every
fourth step, from the first on, goes on by rho / (1 - rho) of itself, rho being that mode's factor in the mean array.
The iteration needs two fields, what the lines inject into the columns (f + N b) and the currents on their way down the
columns; the source sits in the ladder of its line. Eight vectors of one array go through every walk side by side
(`bimu_hw.kernels.lanes`) and share its factors.

Certificate. Of a current injected into a column of P the share prod(a) reaches its terminal and the rest leaves through
the diagonal, K, so P^-1 K 1 <= eta = 1 - min prod(a). With all columns at 1 V a line returns a part of what it takes to
its source, in a cell K times the share of the source's voltage that reaches the line's open end or more, so
N 1 <= kappa K 1, where kappa = 1 less the least such share; all entries are positive. If column voltages move by at
most beta from one plain step to the next, what the lines inject is off by at most N beta <= beta kappa K, and all steps
to come make at most beta kappa K / (1 - kappa eta) of it: the sensed currents are known to beta kappa / (1 - kappa eta)
times the sum of K down a column. beta is found on the way down the columns.

Memory. Lines are padded to a multiple of eight at the open end of the columns, by lines without cells, and walked two
by two: what a walk reads lies in the order in which it reads, as [pair of lines, column, ...], flat.

Precision. Factors and fields come in float64 and in float32; walks compute in the precision of what they are given. The
first steps may be taken in float32, which costs half. What is left of their rounding errors when a step in float64
follows counts as any other error of the iteration and is certified with it; of that step only `falling` may then be
float32, rounded before its change is measured.
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
    load_like,
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
    """Factors of one array, flat float64 or float32 (see the module's text)."""

    cell: np.ndarray  #: [block of 8 lines, column, line] conductance [S]
    #: [pair of lines, column, 4, 2]: the cell's conductance; share of a Norton current that passes a node and the
    #: segment behind it, from the source; share of a current arriving on the line that leaves through the cell; share
    #: that passes towards the source (of column 0 through the source's resistance).
    line: np.ndarray
    down: np.ndarray  #: [line, column] share that passes a node of the column and the segment below
    entry: np.ndarray  #: [line] conductance that a source sees [S]


class Fields(NamedTuple):
    """Work space of one solve of eight vectors, flat, float64 or float32 (beside float64, `falling` may be float32)."""

    injected: np.ndarray  #: [pair of lines, column, 2, vector]
    falling: np.ndarray  #: [pair of lines, column, 2, vector]
    passing: np.ndarray  #: [column, 2 lines, vector]
    carry: np.ndarray  #: [column, vector]: in the end the sensed currents
    moved: np.ndarray  #: [column, vector]: bound on the last change of a column's voltages [V]
    volts: np.ndarray  #: [line, vector]: of the sources
    delivered: np.ndarray  #: [line, vector]: currents of the sources


def padded(n_lines: int) -> int:
    """Return the number of lines with those that fill up the last block of eight."""
    return -(-n_lines // LANES) * LANES


def allocate(n_lines: int, n_columns: int) -> tuple[Ladders, Fields]:
    """Return uninitialised factors and fields for arrays up to one shape."""
    m = padded(n_lines)
    cells = m * n_columns
    ladders = Ladders(*(_aligned(size) for size in (cells, 4 * cells, cells, m)))
    across = n_columns * LANES
    sizes = (cells * LANES, cells * LANES, 2 * across, across, across, m * LANES, m * LANES)
    return ladders, Fields(*(_aligned(size) for size in sizes))


def allocate_single(n_lines: int, n_columns: int) -> tuple[Ladders, Fields]:
    """Return the same in float32."""
    ladders, fields = allocate(n_lines, n_columns)
    singles = [[_aligned(a.size, np.float32) for a in group] for group in (ladders, fields)]
    return Ladders(*singles[0]), Fields(*singles[1])


def _aligned(size: int, dtype: type = np.float64) -> np.ndarray:
    """Return an uninitialised array that starts with a cache line: no load of eight lanes then straddles two."""
    slab: np.ndarray = np.empty(size + 16, dtype)
    first = -slab.ctypes.data % 64 // slab.itemsize
    return slab[first : first + size]


@jit
def factorise(n_line, n, line, source, column, sense, ladders, work):
    """Walk the ladders of one array.

    The conductance to the left of node j of a line is N / D, that to its right M / E, both pairs by linear recurrences:
    a step costs one division, not three, and none waits for another. N' E + M D, with the cell in N', is the same at
    all nodes.

    Parameters
    ----------
    n_line, n : int
        Lines, without those that fill the last block, and columns.
    line, source, column, sense : float
        Resistances as in `ir_drop.Wires` [ohm]; `source` is not 0.
    ladders : Ladders
        `cell` is given. *Mutates* the others.
    work : float64[at least 16 column]
        Work space.

    Returns
    -------
    float
        Bound on the error of a sensed current per volt of the last change of a column voltage [S]; infinite if the
        recurrences overflow (lines some 700 decay lengths long).
    """
    m = (n_line + 7) // 8 * 8
    cell, coefficients, down, entry = ladders
    one, r, r_end = splat(work, 1.0), splat(work, line), splat(work, source)
    overall = steepest = splat(work, 0.0)
    for k in range(0, m, 8):
        base = k * n
        e = one
        v = splat(work, 0.0)
        for j in range(n - 1, -1, -1):
            store(work, 16 * j, e)
            store(work, 16 * j + 8, v)
            v = add(v, multiply(load(cell, base + 8 * j), e))
            e = add(e, multiply(r if j > 0 else r_end, v))
        store(entry, k, divide(v, e))
        # e is the source's voltage over that at the open end.
        overall = add(overall, e)
        steepest = greatest(steepest, e)
        scale = divide(one, e)
        before = e
        u = one
        b = r_end
        for j in range(n):
            d, e, v = load(cell, base + 8 * j), load(work, 16 * j), load(work, 16 * j + 8)
            g = multiply(d, scale)
            passed = multiply(g, multiply(b, e))
            kept = multiply(g, add(multiply(u, e), multiply(v, b)))
            u = add(u, multiply(d, b))
            following = add(b, multiply(r, u))
            inverse = divide(one, multiply(following, before))
            a = multiply(multiply(b, before), inverse)
            c = multiply(multiply(e, following), inverse)
            before, b = e, following
            at = 4 * base + 8 * j
            store(coefficients, at, line_up_0(d, a, passed, c))
            store(coefficients, at + 8 * n, line_up_1(d, a, passed, c))
            store(coefficients, at + 16 * n, line_up_2(d, a, passed, c))
            store(coefficients, at + 24 * n, line_up_3(d, a, passed, c))
            at = base + j
            store_lane(down, at, kept, 0)
            store_lane(down, at + n, kept, 1)
            store_lane(down, at + 2 * n, kept, 2)
            store_lane(down, at + 3 * n, kept, 3)
            store_lane(down, at + 4 * n, kept, 4)
            store_lane(down, at + 5 * n, kept, 5)
            store_lane(down, at + 6 * n, kept, 6)
            store_lane(down, at + 7 * n, kept, 7)
    store(work, 0, overall)
    store(work, 8, steepest)
    finite = np.isfinite(np.sum(work[:8]))
    kappa = 1.0 - 1.0 / np.max(work[8:16])
    u = work[:n]
    passed = work[n : 2 * n]
    total = work[2 * n : 3 * n]
    u[:] = 0.0
    passed[:] = 1.0
    total[:] = 0.0
    for i in range(m):
        q = column if i < m - 1 else sense
        row = down[i * n : (i + 1) * n]
        for j in range(n):
            k = row[j]
            t = u[j] + k
            a = 1.0 / (1.0 + q * t)
            row[j] = a
            u[j] = t * a
            passed[j] *= a
            total[j] += k
    contraction = kappa * (1.0 - np.min(passed))
    return kappa * np.max(total) / (1.0 - contraction) if finite and contraction < 1.0 else np.inf


@jit
def round_factors(m, n, ladders, out):
    """Copy factors to float32. *Mutates* `out`."""
    for k in range(8 * (m // 2) * n):
        out.line[k] = np.float32(ladders.line[k])
    for k in range(m * n):
        out.down[k] = np.float32(ladders.down[k])
    for k in range(m):
        out.entry[k] = np.float32(ladders.entry[k])


@jit
def start(m, n, source, ladders, fields):
    """Let the lines inject what their sources send into grounded columns."""
    line, injected, volts = ladders.line, fields.injected, fields.volts
    g = splat(injected, 1.0 / source)
    for i in range(m):
        t = multiply(load(volts, 8 * i), g)
        odd = i % 2
        for j in range(n):
            at = 4 * (i - odd) * n + 8 * j + odd
            store(injected, 8 * ((i - odd) * n + 2 * j + odd), multiply(spread(line, at + 4), t))
            t = multiply(spread(line, at + 2), t)


@jit
def descend(m, n, ladders, fields):
    """Carry what is injected down the columns; `carry` ends as the sensed currents."""
    down, injected, falling, carry = ladders.down, fields.injected, fields.falling, fields.carry
    zero = splat(carry, 0.0)
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
def descend_like(m, n, ladders, fields, inverse, injected):
    """Do as `descend` with what the lines inject in another array, scaled by what their cells take of it.

    `inverse` is one over the share that the other array's cells take, [pair of lines, column, 2]; 0 where it is 0.
    """
    down, mine, falling, carry = ladders.down, ladders.line, fields.falling, fields.carry
    zero = splat(carry, 0.0)
    for j in range(n):
        store(carry, 8 * j, zero)
    for k in range(0, m, 2):
        for j in range(n):
            at = 8 * k * n + 16 * j
            here = k * n + j
            ratio = k // 2 * n + j
            b = multiply(multiply(spread(mine, 8 * ratio + 4), spread(inverse, 2 * ratio)), load(injected, at))
            c = multiply(spread(down, here), add(load(carry, 8 * j), b))
            store(falling, at, c)
            b = multiply(multiply(spread(mine, 8 * ratio + 5), spread(inverse, 2 * ratio + 1)), load(injected, at + 8))
            c = multiply(spread(down, here + n), add(c, b))
            store(falling, at + 8, c)
            store(carry, 8 * j, c)


@jit
def descend_again(m, n, column, sense, beyond, ladders, fields):
    """Do as `descend`, and add up in `moved` by how much the voltages of each column may have changed.

    `falling` goes on by `beyond` times its change, `carry` does not.
    """
    down, injected, falling, carry, moved = ladders.down, fields.injected, fields.falling, fields.carry, fields.moved
    zero, further, q = splat(carry, 0.0), splat(carry, beyond), splat(carry, column)
    for j in range(n):
        store(carry, 8 * j, zero)
        store(moved, 8 * j, zero)
    for k in range(0, m, 2):
        q1 = splat(carry, sense if k == m - 2 else column)
        for j in range(n):
            at = 8 * k * n + 16 * j
            here = k * n + j
            c = multiply(spread(down, here), add(load(carry, 8 * j), load(injected, at)))
            step = subtract(c, load_like(carry, falling, at))
            change = multiply(q, absolute(step))
            store(falling, at, add(c, multiply(further, step)))
            c = multiply(spread(down, here + n), add(c, load(injected, at + 8)))
            step = subtract(c, load_like(carry, falling, at + 8))
            store(falling, at + 8, add(c, multiply(further, step)))
            store(carry, 8 * j, c)
            store(moved, 8 * j, add(load(moved, 8 * j), add(change, multiply(q1, absolute(step)))))


@jit
def ascend(m, n, source, column, sense, ladders, fields):
    """Turn falling currents into column voltages and let the lines inject anew; fill `delivered`.

    On the way out a cell's own Norton current waits in the place of what will be injected there.
    """
    coefficients, down, entry = ladders.line, ladders.down, ladders.entry
    injected, falling, passing, carry, _, volts, delivered = fields
    zero = splat(carry, 0.0)
    q1 = splat(carry, sense)
    q0 = splat(carry, column)
    g = splat(carry, 1.0 / source)
    for j in range(n):
        store(carry, 8 * j, zero)
    for k in range(m - 2, -1, -2):
        # Two lines at a time: their chains hide each other's latency, and what passes stays in the nearest cache.
        row = k * n
        t0 = multiply(load(volts, 8 * k), g)
        t1 = multiply(load(volts, 8 * k + 8), g)
        for j in range(n):
            at = 4 * row + 8 * j
            to = 8 * row + 16 * j
            here = row + j
            c0, c1 = load_like(carry, falling, to), load_like(carry, falling, to + 8)
            b1 = add(multiply(spread(down, here + n), load(carry, 8 * j)), multiply(q1, c1))
            b0 = add(multiply(spread(down, here), b1), multiply(q0, c0))
            store(carry, 8 * j, b0)
            b0 = multiply(spread(coefficients, at), b0)
            b1 = multiply(spread(coefficients, at + 1), b1)
            store(injected, to, b0)
            store(injected, to + 8, b1)
            store(passing, 16 * j, t0)
            store(passing, 16 * j + 8, t1)
            t0 = multiply(spread(coefficients, at + 2), add(t0, b0))
            t1 = multiply(spread(coefficients, at + 3), add(t1, b1))
        q1 = q0
        t0 = t1 = zero
        for j in range(n - 1, -1, -1):
            at = 4 * row + 8 * j
            to = 8 * row + 16 * j
            b0, b1 = load(injected, to), load(injected, to + 8)
            store(injected, to, multiply(spread(coefficients, at + 4), add(load(passing, 16 * j), t0)))
            store(injected, to + 8, multiply(spread(coefficients, at + 5), add(load(passing, 16 * j + 8), t1)))
            t0 = multiply(spread(coefficients, at + 6), add(t0, b0))
            t1 = multiply(spread(coefficients, at + 7), add(t1, b1))
        # What the line takes with grounded columns, less what they send back.
        store(delivered, 8 * k, subtract(multiply(spread(entry, k), load(volts, 8 * k)), t0))
        store(delivered, 8 * k + 8, subtract(multiply(spread(entry, k + 1), load(volts, 8 * k + 8)), t1))


@jit
def settle(m, n, wires, tolerance, error_bound, ahead, budget, ladders, fields):
    """Iterate from falling currents to sensed currents within the tolerance.

    Parameters
    ----------
    m, n : int
    wires : (float line, float source, float column, float sense)
    tolerance : float
        Of the largest sensed current of each vector.
    error_bound : float
        As `factorise` returned it.
    ahead : float
        As `overshoot` returned it for the mean array.
    budget : int
        Steps allowed.
    ladders, fields : Ladders, Fields
        *Mutates* `fields`: `carry` holds the sensed, `delivered` the source currents.

    Returns
    -------
    int
        Steps taken, or -1 if the tolerance was not reached.
    """
    carry, moved, volts, entry = fields.carry, fields.moved, fields.volts, ladders.entry
    _, source, column, sense = wires
    for step in range(budget):
        ascend(m, n, source, column, sense, ladders, fields)
        descend_again(m, n, column, sense, ahead if step % 4 == 0 else 0.0, ladders, fields)
        most = largest = splat(carry, 0.0)
        for j in range(n):
            most = greatest(most, load(moved, 8 * j))
            largest = greatest(largest, absolute(load(carry, 8 * j)))
        store(moved, 0, most)
        store(fields.passing, 0, largest)
        enough = 0
        for p in range(8):
            limit = tolerance * fields.passing[p]
            bound = error_bound * moved[p]
            if bound > limit:
                floor = 0.0
                for i in range(m):
                    floor += abs(volts[8 * i + p]) * entry[i]
                limit += 8.0 * _EPSILON * floor
            enough += bound <= limit
        if enough == 8:
            return step + 1
    return -1


@jit
def overshoot(m, n, wires, ladders, fields):
    """Return by how much a step should go on to take out the slowest mode of the mean array, at most 1."""
    _, source, column, sense = wires
    fields.volts[: 8 * m] = 1.0
    start(m, n, source, ladders, fields)
    descend(m, n, ladders, fields)
    first = last = rho = 0.0
    for step in range(12):
        ascend(m, n, source, column, sense, ladders, fields)
        descend_again(m, n, column, sense, 0.0, ladders, fields)
        size = np.max(fields.moved[: 8 * n])
        if step == 0:
            first = size
        elif not size > 1e-10 * first:
            break
        else:
            rho = size / last
        last = size
    return min(rho / (1.0 - rho), 1.0) if rho < 1.0 else 1.0
