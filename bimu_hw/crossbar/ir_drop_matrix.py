"""The exact effective matrix of a crossbar with wire resistance, for arrays that stay as they are.

The array is linear, so its sensed currents are a matrix times its voltages. The matrix is built by block
elimination from the open end of the columns to the sensed end, one row of cells at a time: with T the
conductance matrix that the columns see at row i (line i included) and C the currents per volt of the lines so
far, the next segment of the columns, q ohms each, turns them into

    T <- (1 + q T)^-1 T,        C <- (1 + q T)^-1 C,

a Cholesky factorisation and two triangular solves with dense blocks. q = 0 leaves both as they are. The
result is exact to rounding and every read after it is one matrix product. Its column sums are checked against one
certified solve by line elimination, which costs as good as nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import lapack

from bimu_hw.crossbar.ir_drop_network import Floats, Network
from bimu_hw.crossbar.ir_drop_shorts import solve_with_shorts
from bimu_hw.errors import CircuitError
from bimu_hw.kernels import ir_drop as kernels
from bimu_hw.kernels.ir_drop_dense import add_line


def effective_matrix(
    conductance: ArrayLike,
    *,
    r_wordline: float,
    r_bitline: float,
    r_driver: float = 0.0,
    r_sense: float = 0.0,
    transposed: bool = False,
) -> Floats:
    """Return the matrix that takes the voltages of a crossbar to its sensed currents.

    Parameters
    ----------
    conductance : array [wordline, bitline]
        In siemens; 0 is open, infinity a short.
    r_wordline, r_bitline, r_driver, r_sense : float
        In ohm, as in `bimu_hw.crossbar.ir_drop.solve_ir_drop`.
    transposed : bool
        Drive the bit lines and sense the word lines.

    Returns
    -------
    float64[wordline, bitline]
        M in siemens, with ``bitline_currents = voltages @ M``; if `transposed`, the transpose, [bitline, wordline],
        with ``wordline_currents = voltages @ M`` (the network is reciprocal).

    Raises
    ------
    CircuitError
        If a conductance is negative or NaN, a shape or a resistance is not allowed, or there is a loop
        without resistance.
    """
    where = "effective_matrix"
    options = dict(r_wordline=r_wordline, r_bitline=r_bitline, r_driver=r_driver, r_sense=r_sense)
    forward = Network.check(where, conductance, False, **options)
    # The dense blocks are as wide as the columns: let the shorter side be the columns.
    backward = forward.n_columns > forward.n_lines
    network = Network.check(where, conductance, backward, **options)
    if network.shorts_join_lines:
        backward = not backward
        network = Network.check(where, conductance, backward, **options)
    if network.shorts_join_lines:
        matrix = solve_with_shorts(network, np.eye(network.n_lines)).sensed
    else:
        matrix = _eliminate(network)
        _confirm(network, matrix)
    if backward:
        matrix = matrix[::-1, ::-1]
    # `matrix` is [line, column], and a transposed read wants [bitline, wordline].
    return np.ascontiguousarray(matrix if backward == transposed else matrix.T)


def _eliminate(network: Network) -> Floats:
    """Return the effective matrix as [line, column]."""
    m, n = network.conductance.shape
    wires = network.wires
    cells = np.ascontiguousarray(network.conductance)
    row = np.empty((4, n))
    # Rows of `block` are LAPACK's columns: first the symmetric T, then one row of C per line.
    block = np.zeros((n + m, n))
    for i in range(m):
        columns = block[:n]
        add_line(cells[i], wires, row, columns, block[n + i])
        q = wires.column if i < m - 1 else wires.sense
        if q == 0.0:
            continue
        pencil = q * columns
        pencil.flat[:: n + 1] += 1.0
        factor, info = lapack.dpotrf(pencil.T, lower=1, overwrite_a=1, clean=0)
        first = 0 if i < m - 1 else n
        _, failed = lapack.dpotrs(factor, block[first : n + i + 1].T, lower=1, overwrite_b=1)
        if info or failed:
            raise CircuitError(
                f"{network.where}: the block of row {i} could not be factorised (LAPACK {info or failed}); bring the "
                "resistances of cells, wires and terminals closer together."
            )
    return block[n:]


def _confirm(network: Network, matrix: Floats) -> None:
    """Raise if the currents under equal voltages are not those of a certified solve."""
    m, n = network.conductance.shape
    factors, work = kernels.allocate(m, n)
    kernels.factorise(network.conductance, network.wires, factors, work.carry)
    kernels.inject(np.ones(m), network.wires, factors, work.injected)
    sensed = np.empty(n)
    taken = kernels.solve(1e-10, kernels.iteration_budget(m, n), network.wires, factors, work, sensed)
    if taken < 0 or np.max(np.abs(matrix.sum(axis=0) - sensed)) > 1e-9 * np.max(np.abs(sensed)):
        raise CircuitError(
            f"{network.where}: the column sums could not be confirmed to 1e-9 of the largest; bring the resistances of "
            "cells, wires and terminals, which span too many orders of magnitude, closer together."
        )
