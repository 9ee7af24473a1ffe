"""One line of a crossbar as seen from its columns: the step of the block elimination to the effective matrix.

Line i of `bimu_hw.kernels.ir_drop`, eliminated on its own, joins the columns at row i by the conductance
matrix

    K = D - D (T_line + D)^-1 D

and sends the current D (T_line + D)^-1 e_0 / source per volt of its source into them. The inverse of a
tridiagonal matrix is semiseparable, so K is filled from running products along the line, again without a
subtraction.
"""

from __future__ import annotations

import numpy as np

from bimu_hw.kernels import jit
from bimu_hw.kernels.ir_drop import SHORT


@jit
def add_line(conductance, wires, row, matrix, out):
    """Add one line to the conductance matrix that the columns see above it.

    Parameters
    ----------
    conductance : float64[column]
        Cells of the line [S]; a short needs `wires.line` > 0.
    wires : Wires
    row : float64[4, column]
        Work space.
    matrix : float64[column, column]
        *Mutates* `matrix` [S]: made symmetric (it is, but for rounding) and K added.
    out : float64[column]
        *Mutates* `out` [S]: current into each column per volt of the source, columns grounded.
    """
    n = conductance.size
    if wires.source == 0.0:
        for j in range(n):
            matrix[j, j] += conductance[j]
            out[j] = conductance[j]
    else:
        r = wires.line
        limit = SHORT / r if r > 0.0 else np.inf
        before, share, through, reach = row[0], row[1], row[2], row[3]
        u = c = 1.0 / wires.source
        for j in range(n):
            d = min(conductance[j], limit)
            before[j], out[j] = u, c
            a = 1.0 / (1.0 + r * (u + d))
            u, c = a * (u + d), a * c
        u = 0.0
        for j in range(n - 1, -1, -1):
            d = min(conductance[j], limit)
            share[j] = d / (d + before[j] + u)
            out[j] *= share[j]
            matrix[j, j] += share[j] * (before[j] + u)
            through[j] = 1.0 / (1.0 + r * (u + d))
            u = through[j] * (u + d)
        # reach[k]: current that a volt on column k sends to node j of the line, for all k > j at once.
        for j in range(n - 1, -1, -1):
            line, s, a = matrix[j], share[j], through[j]
            for k in range(j + 1, n):
                line[k] -= s * reach[k]
                reach[k] *= a
            reach[j] = a * min(conductance[j], limit)
    for j in range(n):
        for k in range(j):
            # Only the upper triangle was changed; what the last elimination left below it is the same but for rounding.
            matrix[j, k] = matrix[k, j]
