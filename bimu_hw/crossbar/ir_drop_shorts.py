"""Exact solution of a crossbar with shorts on driven wires that have no resistance.

There a short makes one node of a line and a node of a column, which line elimination cannot express. Modified
nodal analysis can: the current of each short is an unknown of its own, and the matching equation says that
its ends have the same voltage (Ho, Ruehli, Brennan, IEEE Trans. Circuits Syst. 22, 504, 1975). Such circuits
are rare and small; this route is for being right, not for being fast.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.linalg import splu

from bimu_hw.crossbar.ir_drop_network import Floats, Network
from bimu_hw.errors import CircuitError


class Solution(NamedTuple):
    """Currents and voltages in the kernels' order; the last three are [vector, line, column]."""

    sensed: Floats
    driven: Floats
    line_voltages: Floats
    column_voltages: Floats
    cell_currents: Floats


def _check_loops(network: Network, line: np.ndarray, column: np.ndarray, shorts: np.ndarray) -> None:
    """Raise if shorts, ideal wires and ideal sources close a loop (union-find over the nodes; -1 is ground)."""
    parent: dict[int, int] = {}

    def root(node: int) -> int:
        while parent.setdefault(node, node) != node:
            parent[node] = node = parent[parent[node]]
        return node

    for i, j in shorts:
        a, b = root(int(line[i])), root(int(column[i, j]))
        if a == b:
            if network.transposed:
                i, j = network.n_columns - 1 - j, network.n_lines - 1 - i
            raise CircuitError(
                f"{network.where}: the short at [wordline {i}, bitline {j}] closes a loop without resistance, whose "
                "current is not defined; give the wires, the drivers or the sense amplifiers a resistance."
            )
        parent[a] = b


def solve_with_shorts(network: Network, voltages: Floats) -> Solution:
    """Solve by modified nodal analysis, for lines without wire resistance.

    Parameters
    ----------
    network : Network
        With ``wires.line == 0``.
    voltages : float64[vector, line]
        In volt.

    Returns
    -------
    Solution

    Raises
    ------
    CircuitError
        If there is a loop without resistance.
    """
    cells, wires = network.conductance, network.wires
    m, n = cells.shape
    # Node numbers: -1 is a node of known voltage, which for a line is its source's and for a column ground.
    line = np.full(m, -1) if wires.source == 0.0 else np.arange(m)
    start = 0 if wires.source == 0.0 else m
    if wires.column > 0.0:
        column = start + np.arange(m * n).reshape(m, n)
    elif wires.sense > 0.0:
        column = np.broadcast_to(start + np.arange(n), (m, n))
    else:
        column = np.full((m, n), -1)
    shorts = np.argwhere(np.isinf(cells))
    _check_loops(network, line, column, shorts)

    n_nodes = max(int(line.max()), int(column.max())) + 1
    rows: list[np.ndarray] = []
    cols: list[np.ndarray] = []
    entries: list[np.ndarray] = []

    def stamp(a: np.ndarray, b: np.ndarray, values: np.ndarray | float) -> None:
        known = (a >= 0) & (b >= 0)
        rows.append(a[known])
        cols.append(b[known])
        entries.append(np.broadcast_to(np.asarray(values, dtype=np.float64), a.shape)[known])

    def join(a: np.ndarray, b: np.ndarray, values: np.ndarray | float) -> None:
        stamp(a, a, values)
        stamp(b, b, values)
        stamp(a, b, np.negative(values))
        stamp(b, a, np.negative(values))

    finite = np.where(np.isinf(cells), 0.0, cells)
    lines = np.broadcast_to(line[:, None], (m, n))
    join(lines.ravel(), column.ravel(), finite.ravel())
    if wires.column > 0.0:
        join(column[:-1].ravel(), column[1:].ravel(), 1.0 / wires.column)
    if wires.sense > 0.0:
        stamp(column[-1], column[-1], 1.0 / wires.sense)
    if wires.source > 0.0:
        stamp(line, line, 1.0 / wires.source)
    i, j = shorts.T
    unknown = n_nodes + np.arange(len(shorts))
    for node, sign in ((lines[i, j], 1.0), (column[i, j], -1.0)):
        stamp(node, unknown, sign)
        stamp(unknown, node, sign)

    size = n_nodes + len(shorts)
    right = np.zeros((size, len(voltages)))
    if wires.source > 0.0:
        right[line] = voltages.T / wires.source
    else:
        known_column = column.ravel() >= 0
        for vector in range(len(voltages)):
            sent = (finite * voltages[vector][:, None]).ravel()[known_column]
            np.add.at(right[:, vector], column.ravel()[known_column], sent)
        right[unknown] = -voltages.T[i]
    if size == 0:
        solution = right
    else:
        triplets = (np.concatenate(entries), (np.concatenate(rows), np.concatenate(cols)))
        solution = splu(coo_array(triplets, shape=(size, size)).tocsc()).solve(right)
    padded = np.vstack([solution[:n_nodes], np.zeros((1, len(voltages)))])
    column_voltages = np.moveaxis(padded[column], -1, 0)
    known_lines = voltages if wires.source == 0.0 else padded[line].T
    line_voltages = np.broadcast_to(known_lines[:, :, None], column_voltages.shape)
    cell_currents = finite * (line_voltages - column_voltages)
    cell_currents[:, i, j] = solution[n_nodes:].T
    sensed = cell_currents.sum(axis=1) if wires.sense == 0.0 else column_voltages[:, -1] / wires.sense
    return Solution(sensed, cell_currents.sum(axis=2), line_voltages, column_voltages, cell_currents)
