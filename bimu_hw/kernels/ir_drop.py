"""Exact currents of a crossbar whose wires have resistance: line elimination and conjugate gradients.

The network. Line i is driven through `Wires.source` ohms into its cell 0 and runs through `Wires.line` ohms
from cell to cell; its far end is open. Column j starts open at row 0, runs through `Wires.column` ohms from
row to row and ends through `Wires.sense` ohms in the ground of the sensing circuit. Cell (i, j), of
conductance D, joins line i to column j. A forward read has word lines as lines and bit lines as columns; the
transposed read is the same network seen from its other corner (both index orders reversed and the array
transposed), so these kernels know one direction only.

The mathematics. Kirchhoff's law for the line voltages w and the column voltages b reads

    (T_line + D) w - D b = sources,        (T_col + D) b - D w = 0,

with T the tridiagonal matrices of the wires. Eliminating every line on its own (a tridiagonal solve) leaves
the Schur complement

    S b = f,   S = T_col + D - D (T_line + D)^-1 D,   f = D (T_line + D)^-1 sources.

Split S = P - N, where N is the off-diagonal part of D (T_line + D)^-1 D: how a column's voltage reaches
*other* columns through the lines. P = T_col + diagonal falls apart into one tridiagonal matrix per column, is
exact along the columns, and differs from S only in modes that are smooth along both directions: conjugate
gradients preconditioned by P need 5 to 50 iterations (Chronopoulos and Gear, J. Comput. Appl. Math. 25, 153,
1989: both inner products of an iteration at once, so one iteration walks the array twice).

Ladders instead of matrices. Every tridiagonal solve is a walk along a chain of Norton equivalents: a
conductance u and a current c, seen from a node, become u t/(1 + r t), c/(1 + r t) with t = u + D behind the
next r ohms. No term is ever subtracted, so the factors are accurate to rounding, r = 0 needs no special case,
and a short may be replaced by D = 1e18 / r, which differs from the limit by 1e-18 relative, below rounding.

A certificate. S is an M-matrix, and current injected at a node leaves through the terminals once: a residual
rho in Kirchhoff's law changes all terminal currents together by at most sum |rho|. A step z = P^-1 rho leaves
the residual N z. The iteration stops on the bound sum |N z|, evaluated at the end for a step computed afresh from
b <- P^-1 (f + N b), again without a subtraction, and not on an estimate.

All sums run in a fixed order (per column, then over columns): the bits depend on no thread count.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bimu_hw.kernels import jit

#: What a solve can report; the calling object turns anything but `OK` into an error.
OK, BAD_CONDUCTANCE, BAD_VOLTAGE, UNBOUNDED, NOT_CONVERGED = 0, 1, 2, 3, 4

#: A short is a cell of this conductance times the resistance of one wire segment.
SHORT = 1e18

_BLOCK = 16  # lines that are set up side by side, to hide the latency of the divisions
_EPSILON = 2.0**-52


class Wires(NamedTuple):
    """Resistances [ohm]: of a segment of a line, source to cell 0, of a segment of a column, last cell to ground."""

    line: float
    source: float
    column: float
    sense: float


class Factors(NamedTuple):
    """What one array's conductances leave behind, float64[line, column]."""

    left: np.ndarray  #: share of a Norton current that passes a node and the segment behind it, from the source
    right: np.ndarray  #: the same, towards the source
    cell: np.ndarray  #: conductance, shorts replaced [S]
    share: np.ndarray  #: share of a current arriving on the line that leaves through the cell
    down: np.ndarray  #: share of a Norton current that passes a node of the column and the segment below


class Work(NamedTuple):
    """Work space of one solve, float64, [line, column]; `row` is [6, column], `carry` at least [16]."""

    injected: np.ndarray
    residual: np.ndarray
    z: np.ndarray
    reached: np.ndarray
    direction: np.ndarray
    image: np.ndarray
    b: np.ndarray
    row: np.ndarray
    carry: np.ndarray


def allocate(n_lines: int, n_columns: int) -> tuple[Factors, Work]:
    """Return uninitialised factors and work space for arrays of one shape (12 arrays of that shape)."""
    # Staggered by 17 cache lines: arrays of 2**k elements that start alike would share the same cache sets.
    size = n_lines * n_columns
    slab = np.empty((12, size + 136))
    arrays = [part[:size].reshape(n_lines, n_columns) for part in slab]
    row, carry = np.empty((6, n_columns)), np.empty(max(n_columns, _BLOCK))
    return Factors(*arrays[:5]), Work(*[*arrays[5:], row, carry])


def iteration_budget(n_lines: int, n_columns: int) -> int:
    """Return the iterations to allow a solve: many times what an array without shorts needs."""
    return 10 * (n_lines + n_columns) + 500


@jit
def factorise(conductance, wires, factors, carry):
    """Walk the ladders of one array.

    Parameters
    ----------
    conductance : float64[line, column]
        In siemens; 0 is open, infinity a short. Any strides.
    wires : Wires
    factors : Factors
        *Mutates* all of it.
    carry : float64[at least max(16, column)]
        Work space.

    Returns
    -------
    int
        `OK`, `BAD_CONDUCTANCE` (negative or NaN) or `UNBOUNDED` (a short on a line whose wire has no
        resistance).
    """
    m, n = conductance.shape
    left, right, cell, share, down = factors
    r = wires.line
    limit = SHORT / r if r > 0.0 else np.inf
    ideal = wires.source == 0.0
    status = OK
    for start in range(0, m, _BLOCK):
        rows = min(_BLOCK, m - start)
        for k in range(rows):
            carry[k] = 0.0 if ideal else 1.0 / wires.source
        for j in range(n):
            for k in range(rows):
                given = conductance[start + k, j]
                if not given >= 0.0:
                    status = BAD_CONDUCTANCE
                d = min(given, limit)
                if d == np.inf and status == OK:
                    status = UNBOUNDED
                u = carry[k]
                a = 1.0 / (1.0 + r * (u + d))
                cell[start + k, j] = d
                left[start + k, j] = a
                share[start + k, j] = u
                carry[k] = (u + d) * a
        for k in range(rows):
            carry[k] = 0.0
        for j in range(n - 1, -1, -1):
            for k in range(rows):
                d = cell[start + k, j]
                t = carry[k] + d
                a = 1.0 / (1.0 + r * t)
                u = share[start + k, j] + carry[k]
                passed = d / (d + u) if d > 0.0 else 0.0
                right[start + k, j] = a
                share[start + k, j] = passed
                down[start + k, j] = passed * u
                carry[k] = t * a
    if ideal:
        # The line is at the voltage of its source everywhere: no column reaches another one.
        share[:] = 0.0
        down[:] = cell
    carry[:] = 0.0
    for i in range(m):
        q = wires.column if i < m - 1 else wires.sense
        row = down[i]
        for j in range(n):
            t = carry[j] + row[j]
            a = 1.0 / (1.0 + q * t)
            row[j] = a
            carry[j] = t * a
    return status


@jit
def _spread(start, volts, injection, factors, row, out):
    """Let four lines carry the currents `injection * volts` from each node to the cells of all other columns.

    The last lines of the array are done again where fewer than four are left; four independent recurrences hide each
    other's latency.
    """
    m, n = volts.shape
    i1, i2, i3 = min(start + 1, m - 1), min(start + 2, m - 1), min(start + 3, m - 1)
    d0, d1, d2, d3 = injection[start], injection[i1], injection[i2], injection[i3]
    v0, v1, v2, v3 = volts[start], volts[i1], volts[i2], volts[i3]
    a0, a1, a2, a3 = factors.left[start], factors.left[i1], factors.left[i2], factors.left[i3]
    t0, t1, t2, t3 = row[0], row[1], row[2], row[3]
    c0 = c1 = c2 = c3 = 0.0
    for j in range(n):
        t0[j], t1[j], t2[j], t3[j] = c0, c1, c2, c3
        c0 = a0[j] * (c0 + d0[j] * v0[j])
        c1 = a1[j] * (c1 + d1[j] * v1[j])
        c2 = a2[j] * (c2 + d2[j] * v2[j])
        c3 = a3[j] * (c3 + d3[j] * v3[j])
    a0, a1, a2, a3 = factors.right[start], factors.right[i1], factors.right[i2], factors.right[i3]
    s0, s1, s2, s3 = factors.share[start], factors.share[i1], factors.share[i2], factors.share[i3]
    o0, o1, o2, o3 = out[start], out[i1], out[i2], out[i3]
    c0 = c1 = c2 = c3 = 0.0
    for j in range(n - 1, -1, -1):
        o0[j] = s0[j] * (t0[j] + c0)
        o1[j] = s1[j] * (t1[j] + c1)
        o2[j] = s2[j] * (t2[j] + c2)
        o3[j] = s3[j] * (t3[j] + c3)
        c0 = a0[j] * (c0 + d0[j] * v0[j])
        c1 = a1[j] * (c1 + d1[j] * v1[j])
        c2 = a2[j] * (c2 + d2[j] * v2[j])
        c3 = a3[j] * (c3 + d3[j] * v3[j])


@jit
def _descend(residual, down, carry, out):
    """First half of the column solves: the Norton current that leaves each node downwards."""
    m, n = residual.shape
    carry[:] = 0.0
    for i in range(m):
        source, a, below = residual[i], down[i], out[i]
        for j in range(n):
            c = a[j] * (carry[j] + source[j])
            below[j] = c
            carry[j] = c


@jit
def _ascend_row(i, wires, down, z):
    """Second half of the column solves, one row: turn currents into voltages, from the sensed end upwards."""
    m, n = z.shape
    row = z[i]
    if i == m - 1:
        for j in range(n):
            row[j] = wires.sense * row[j]
    else:
        below, a = z[i + 1], down[i]
        for j in range(n):
            row[j] = a[j] * below[j] + wires.column * row[j]


@jit
def _ascend_and_reach(wires, factors, work):
    """Finish z = P^-1 residual, form N z, and return residual.z, z.N z and sum |N z| in one walk."""
    residual, z, reached, row = work.residual, work.z, work.reached, work.row
    m, n = z.shape
    energy, shared, size = row[4], row[5], work.carry
    energy[:] = 0.0
    shared[:] = 0.0
    size[:] = 0.0
    for i in range(m - 1, -1, -1):
        _ascend_row(i, wires, factors.down, z)
        if i % 4 == 0:
            _spread(i, z, factors.cell, factors, row, reached)
            for k in range(i, min(i + 4, m)):
                rk, zk, nk = residual[k], z[k], reached[k]
                for j in range(n):
                    energy[j] += rk[j] * zk[j]
                    shared[j] += nk[j] * zk[j]
                    size[j] += abs(nk[j])
    gamma = nu = bound = 0.0
    for j in range(n):
        gamma += energy[j]
        nu += shared[j]
        bound += size[j]
    return gamma, nu, bound


@jit
def _step_and_descend(alpha, beta, first, factors, work):
    """Take one step of conjugate gradients and start the column solves for the next."""
    residual, z, reached, p, s, b = work.residual, work.z, work.reached, work.direction, work.image, work.b
    m, n = z.shape
    carry = work.carry
    carry[:] = 0.0
    for i in range(m):
        ri, zi, ni, pi, si, bi, di = residual[i], z[i], reached[i], p[i], s[i], b[i], factors.down[i]
        if first:
            for j in range(n):
                pi[j] = zi[j]
                si[j] = ri[j] - ni[j]
        else:
            for j in range(n):
                pi[j] = zi[j] + beta * pi[j]
                si[j] = ri[j] - ni[j] + beta * si[j]
        for j in range(n):
            bi[j] += alpha * pi[j]
        for j in range(n):
            rest = ri[j] - alpha * si[j]
            c = di[j] * (carry[j] + rest)
            ri[j] = rest
            zi[j] = c
            carry[j] = c


@jit
def _largest_current(b, z, sense):
    largest = 0.0
    m = b.shape[0]
    for j in range(b.shape[1]):
        largest = max(largest, abs(b[m - 1, j] + z[m - 1, j]) / sense)
    return largest


@jit
def _iterate(tolerance, floor, budget, wires, factors, work):
    """Add S^-1 residual to b until the bound is met; return the number of iterations."""
    b, z = work.b, work.z
    m, n = b.shape
    alpha = beta = previous = 1.0
    _descend(work.residual, factors.down, work.carry, z)
    for iteration in range(budget + 1):
        gamma, nu, bound = _ascend_and_reach(wires, factors, work)
        slope = gamma - nu
        if iteration > 0:
            beta = gamma / previous
            slope -= beta * gamma / alpha
        if bound <= 0.5 * tolerance * _largest_current(b, z, wires.sense) + floor:
            break
        if iteration == budget or not slope > 0.0:
            break
        alpha = gamma / slope
        previous = gamma
        _step_and_descend(alpha, beta, iteration == 0, factors, work)
    for i in range(m):
        for j in range(n):
            b[i, j] += z[i, j]
    return iteration


@jit
def _renew(wires, factors, work):
    """Replace b by P^-1 (f + N b), leave its residual, and return the residual's sum for the certificate."""
    residual, z, reached, b = work.residual, work.z, work.reached, work.b
    m, n = b.shape
    for i in range(0, m, 4):
        _spread(i, b, factors.cell, factors, work.row, reached)
    for i in range(m):
        for j in range(n):
            residual[i, j] = work.injected[i, j] + reached[i, j]
    _descend(residual, factors.down, work.carry, z)
    for i in range(m - 1, -1, -1):
        _ascend_row(i, wires, factors.down, z)
        for j in range(n):
            reached[i, j] = z[i, j] - b[i, j]
            b[i, j] = z[i, j]
    for i in range(0, m, 4):
        _spread(i, reached, factors.cell, factors, work.row, residual)
    return _sum_of_sizes(residual, work.row[4])


@jit
def _sum_of_sizes(array, size):
    """Return the sum of absolute values, column by column."""
    size[:] = 0.0
    for i in range(array.shape[0]):
        for j in range(array.shape[1]):
            size[j] += abs(array[i, j])
    total = 0.0
    for j in range(array.shape[1]):
        total += size[j]
    return total


@jit
def inject(voltages, wires, factors, out):
    """Fill the currents f that the sources send into grounded columns.

    Parameters
    ----------
    voltages : float64[line]
    wires, factors : Wires, Factors
    out : float64[line, column]
        *Mutates* `out` [A].
    """
    m, n = out.shape
    for i in range(m):
        if wires.source == 0.0:
            for j in range(n):
                out[i, j] = factors.cell[i, j] * voltages[i]
        else:
            c = voltages[i] / wires.source
            for j in range(n):
                out[i, j] = factors.share[i, j] * c
                c *= factors.left[i, j]


@jit
def inject_cells(source, wires, factors, work):
    """Add to `work.injected` what currents in parallel to the cells send into grounded columns.

    Parameters
    ----------
    source : float64[line, column]
        Current from line to column, beside the cell [A].
    wires, factors, work : Wires, Factors, Work
        *Mutates* `work.injected`, `work.z`, `work.reached`.
    """
    m, n = source.shape
    work.z[:] = -1.0
    for i in range(0, m, 4):
        _spread(i, work.z, source, factors, work.row, work.reached)
    for i in range(m):
        for j in range(n):
            s, share = source[i, j], factors.share[i, j]
            if s != 0.0:
                work.injected[i, j] += s - share * s
            work.injected[i, j] += work.reached[i, j]


@jit
def solve(tolerance, budget, wires, factors, work, out):
    """Solve for the column voltages and the sensed currents of what `work.injected` holds.

    Parameters
    ----------
    tolerance : float
        Bound on the error of any terminal current over the largest sensed current, beyond 8 rounding errors
        of the summed injected currents.
    budget : int
        Iterations allowed.
    wires, factors : Wires, Factors
    work : Work
        *Mutates* all but `injected`; `b` holds the column voltages [V].
    out : float64[column]
        *Mutates* `out`: the sensed currents [A].

    Returns
    -------
    int
        Iterations taken, or -1 if the tolerance was not reached.
    """
    injected, b = work.injected, work.b
    m, n = b.shape
    b[:] = 0.0
    if wires.sense == 0.0:
        out[:] = 0.0
        for i in range(m):
            for j in range(n):
                out[j] += injected[i, j]
        return 0
    work.residual[:] = injected
    floor = 8.0 * _EPSILON * _sum_of_sizes(injected, work.row[4])
    taken = 0
    worse = 0
    last = np.inf
    while taken <= budget and worse < 3:
        taken += 1 + _iterate(tolerance, floor, budget - taken, wires, factors, work)
        bound = _renew(wires, factors, work)
        largest = 0.0
        for j in range(n):
            out[j] = b[m - 1, j] / wires.sense
            largest = max(largest, abs(out[j]))
        if bound <= tolerance * largest + floor:
            return taken
        # Rounding spoilt the recurrence of the residual: go on from the one that `_renew` left.
        worse = worse + 1 if bound > 0.5 * last else 0
        last = bound
    return -1
