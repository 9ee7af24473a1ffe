"""Whole arrays by the kernels of `bimu_hw.kernels.ir_drop`: many in one call, and what goes on inside one."""

from __future__ import annotations

import numpy as np

from bimu_hw.kernels import jit
from bimu_hw.kernels.ir_drop import BAD_VOLTAGE, NOT_CONVERGED, OK, SHORT, factorise, inject, solve


@jit
def source_currents(voltages, wires, factors, b, out):
    """Fill the currents that the sources deliver, for given column voltages b.

    Parameters
    ----------
    voltages : float64[line]
    wires, factors : Wires, Factors
    b : float64[line, column]
    out : float64[line]
        *Mutates* `out` [A].
    """
    m, n = b.shape
    for i in range(m):
        d, a, v = factors.cell[i], factors.right[i], b[i]
        current = conductance = 0.0
        for j in range(n - 1, 0, -1):
            current = a[j] * (current + d[j] * v[j])
            conductance = a[j] * (conductance + d[j])
        flow = d[0] * (voltages[i] - v[0]) + conductance * voltages[i] - current
        out[i] = flow / (1.0 + wires.source * (d[0] + conductance))


@jit
def solve_arrays(conductance, voltages, tolerance, budget, wires, factors, work, sensed, driven):
    """Solve arrays one after the other, each for one or several vectors.

    Parameters
    ----------
    conductance : float64[array, line, column]
        In siemens; 0 is open, infinity a short. Any strides.
    voltages : float64[array or 1, vector, line]
        Of the sources [V].
    tolerance, budget : float, int
        See `solve`.
    wires, factors, work : Wires, Factors, Work
        *Mutates* `factors` and `work`: they are left as the last array and vector made them.
    sensed : float64[array, vector, column]
        *Mutates* `sensed` [A].
    driven : float64[array, vector, line] or of size 0
        *Mutates* `driven`: currents of the sources [A]; left out if its size is 0.

    Returns
    -------
    int, int, int
        `OK` or what was wrong, and with which array and vector; arrays and vectors after it are not solved.
    """
    n_vectors = voltages.shape[1]
    for k in range(conductance.shape[0]):
        status = factorise(conductance[k], wires, factors, work.carry)
        if status != OK:
            return status, k, 0
        for v in range(n_vectors):
            vector = voltages[min(k, voltages.shape[0] - 1), v]
            if not np.isfinite(np.sum(np.abs(vector))):
                return BAD_VOLTAGE, k, v
            inject(vector, wires, factors, work.injected)
            if solve(tolerance, budget, wires, factors, work, sensed[k, v]) < 0:
                return NOT_CONVERGED, k, v
            if driven.size > 0:
                source_currents(vector, wires, factors, work.b, driven[k, v])
    return OK, 0, 0


@jit
def branches(conductance, voltages, source, wires, b, row, out_volts, out_current):
    """Fill the line voltages and cell currents that belong to given column voltages.

    Parameters
    ----------
    conductance : float64[line, column]
        As given to `factorise`.
    voltages : float64[line]
        Of the sources [V].
    source : float64[line, column] or of size 0
        Currents in parallel to the cells, from line to column [A].
    wires : Wires
    b : float64[line, column]
        Column voltages [V].
    row : float64[6, column]
        Work space.
    out_volts, out_current : float64[line, column]
        *Mutates* both: line voltages [V], cell currents from line to column without `source` [A].
    """
    m, n = b.shape
    r = wires.line
    limit = SHORT / r if r > 0.0 else np.inf
    left_conductance, left_current = row[0], row[1]
    for i in range(m):
        if wires.source == 0.0:
            for j in range(n):
                out_volts[i, j] = voltages[i]
                out_current[i, j] = conductance[i, j] * (voltages[i] - b[i, j])
            continue
        u, c = 1.0 / wires.source, voltages[i] / wires.source
        for j in range(n):
            d = min(conductance[i, j], limit)
            f = d * b[i, j] - (source[i, j] if source.size > 0 else 0.0)
            left_conductance[j], left_current[j] = u, c
            a = 1.0 / (1.0 + r * (u + d))
            u, c = a * (u + d), a * (c + f)
        u = c = 0.0
        for j in range(n - 1, -1, -1):
            d = min(conductance[i, j], limit)
            s = source[i, j] if source.size > 0 else 0.0
            # The line without this cell: a conductance to ground and a current, seen from the cell's node.
            total = left_conductance[j] + u
            current = left_current[j] + c - s
            out_volts[i, j] = current / (total + d) + d / (total + d) * b[i, j]
            out_current[i, j] = d / (total + d) * (current - total * b[i, j])
            a = 1.0 / (1.0 + r * (u + d))
            u, c = a * (u + d), a * (c + d * b[i, j] - s)
