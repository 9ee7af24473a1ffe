"""Nodal analysis of any network of resistors from a plain list of them: the oracle of the crossbar solvers.

Nothing here knows lines, columns or eliminations. Resistors of zero ohm merge their nodes, resistors of infinite ohm
are left out, and the sparse system of all nodes is solved directly and refined in extended precision.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import splu


@dataclass
class Netlist:
    """Resistors between numbered nodes, and nodes held at a voltage."""

    a: np.ndarray
    b: np.ndarray
    ohm: np.ndarray
    held: np.ndarray
    volts: np.ndarray

    def solve(self) -> np.ndarray:
        """Return the voltages of all nodes."""
        size = int(max(self.a.max(), self.b.max(), self.held.max())) + 1
        short = self.ohm == 0.0
        links = coo_array((np.ones(short.sum()), (self.a[short], self.b[short])), shape=(size, size))
        n, merged = connected_components(links, directed=False)
        known = np.full(n, np.nan)
        for node, volt in zip(merged[self.held], self.volts, strict=True):
            if not np.isnan(known[node]) and known[node] != volt:
                raise ValueError("two held nodes of different voltage are merged")
            known[node] = volt
        used = np.isfinite(self.ohm) & ~short
        a, b, g = merged[self.a[used]], merged[self.b[used]], 1.0 / self.ohm[used].astype(np.longdouble)
        free = np.flatnonzero(np.isnan(known))
        volts = np.where(np.isnan(known), 0.0, known).astype(np.longdouble)
        if free.size:
            ends = np.r_[a, b], np.r_[b, a]
            weights = np.r_[g, g].astype(float)
            off = coo_array((weights, ends), shape=(n, n)).tocsc()
            diagonal = coo_array((off.sum(axis=1), (np.arange(n), np.arange(n))), shape=(n, n)).tocsc()
            matrix = (diagonal - off)[free][:, free].tocsc()
            factors = splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
            # The first step solves; the others refine with residuals in extended precision.
            for _ in range(4):
                flow = g * (volts[b] - volts[a])
                residual = np.zeros(n, np.longdouble)
                np.add.at(residual, a, flow)
                np.subtract.at(residual, b, flow)
                volts[free] += factors.solve(residual[free].astype(float))
        return volts[merged].astype(float)


@dataclass
class Crossbar:
    """Node numbers of a crossbar and its netlist."""

    netlist: Netlist
    word: np.ndarray
    bit: np.ndarray
    word_terminal: np.ndarray
    bit_terminal: np.ndarray


def crossbar(conductance, word_volts, bit_volts, r_wordline, r_bitline, r_driver, r_sense) -> Crossbar:
    """Return the netlist of a crossbar whose word-line and bit-line terminals are held at voltages.

    Each terminal has a node of its own, held at its voltage; its driver or sense resistance and the first wire segment
    are two resistors in series.
    """
    conductance = np.asarray(conductance, float)
    m, n = conductance.shape
    word = np.arange(m * n).reshape(m, n)
    bit = word + m * n
    word_inner = 2 * m * n + np.arange(m)
    bit_inner = word_inner[-1] + 1 + np.arange(n)
    word_terminal = bit_inner[-1] + 1 + np.arange(m)
    bit_terminal = word_terminal[-1] + 1 + np.arange(n)
    with np.errstate(divide="ignore"):
        cells = np.where(np.isinf(conductance), 0.0, 1.0 / conductance)
    pieces = [
        (word, bit, cells),
        (word[:, :-1], word[:, 1:], r_wordline),
        (bit[:-1], bit[1:], r_bitline),
        (word_inner, word[:, 0], r_wordline),
        (word_terminal, word_inner, r_driver),
        (bit[-1], bit_inner, r_bitline),
        (bit_inner, bit_terminal, r_sense),
    ]
    a = np.concatenate([p[0].ravel() for p in pieces])
    b = np.concatenate([p[1].ravel() for p in pieces])
    ohm = np.concatenate([np.broadcast_to(np.asarray(p[2], float), p[0].shape).ravel() for p in pieces])
    held = np.r_[word_terminal, bit_terminal]
    volts = np.r_[np.broadcast_to(word_volts, m), np.broadcast_to(bit_volts, n)].astype(float)
    return Crossbar(Netlist(a, b, ohm, held, volts), word, bit, word_terminal, bit_terminal)


def solve(conductance, voltages, *, r_wordline, r_bitline, r_driver=0.0, r_sense=0.0, transposed=False):
    """Return the sensed currents, and the voltages at the cells of the word lines and of the bit lines.

    The sensed current is what flows through the resistance at the terminal, or, where there is none, the sum of the
    currents of the cells; shorted cells then must not touch that terminal.
    """
    drive = (0.0, voltages) if transposed else (voltages, 0.0)
    circuit = crossbar(conductance, *drive, r_wordline, r_bitline, r_driver, r_sense)
    volts = circuit.netlist.solve()
    word, bit = volts[circuit.word], volts[circuit.bit]
    terminal = r_wordline + r_driver if transposed else r_bitline + r_sense
    if terminal > 0.0:
        sensed = (word[:, 0] if transposed else bit[-1]) / terminal
    else:
        currents = np.where(np.isinf(conductance), 0.0, conductance) * (word - bit)
        sensed = -currents.sum(axis=1) if transposed else currents.sum(axis=0)
    return sensed, word, bit


def solve_nonlinear(conductance, voltages, current_of, **options):
    """Solve with cells of current `current_of(volts)` by iterating on their chord conductances (no derivative)."""
    chord = np.asarray(conductance, float)
    for _ in range(500):
        sensed, word, bit = solve(chord, voltages, **options)
        drop = word - bit
        safe = np.where(drop == 0.0, 1.0, drop)
        after = np.where(drop == 0.0, conductance, current_of(drop) / safe)
        if np.max(np.abs(after - chord)) <= 1e-15 * np.max(after):
            return sensed, word, bit
        chord = after
    raise RuntimeError("the chord iteration did not settle")
