"""Tiles whose weights stay: matrices instead of solutions, once they pay off, and pulse-width inputs.

A pulse-width input holds a word line at the full read voltage for a time proportional to its value. The charge that a
column collects is that of the averaged voltage, the network being linear; the energy is not, for lines that are on
together share their wires. `pulse_width_planes` cuts the read into the stretches in which the same lines are on.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bimu_hw.crossbar.circuit import Planes, TileCircuit, Weights
from bimu_hw.crossbar.ir_drop_network import Floats
from bimu_hw.kernels.circuit_tiles import NOTHING, SUM_OF_SIZES, respond
from bimu_hw.kernels.ir_drop import OK, iteration_budget

#: Matrices are built to this tolerance: any sum of their rows is good to the loop's.
MATRIX_TOLERANCE = 1e-9


def pulse_width_planes(codes: NDArray[np.integer], n_slots: int) -> tuple[Planes, Floats]:
    """Return the planes that a pulse-width input drives one after the other.

    Parameters
    ----------
    codes : int[row, wordline]
        Slots during which a line is on, -n_slots to n_slots; a negative code drives with the opposite sign.
    n_slots : int

    Returns
    -------
    planes : float32[row, plane, wordline]
        -1, 0 or 1.
    duration : float64[plane]
        Share of the read that each plane takes. The charge is the sum over planes of duration times column sum; as
        `duration` of a read it gives the mean power.
    """
    codes = np.asarray(codes)
    edges = np.unique(np.append(np.abs(codes), 0))
    on = np.abs(codes)[:, None, :] > edges[:-1, None]
    return (on * np.sign(codes)[:, None, :]).astype(np.float32), np.diff(edges) / n_slots


class HeldReads:
    """Reads of weights that stay as they are.

    Parameters
    ----------
    circuit : TileCircuit
    weights : int8[sample, wordline, bitline]
        Must not change while this object is in use.
    transposed : bool
        Backward reads.
    n_reads : int
        Reads to expect of each sample, of up to eight planes each. If they pay for the matrices these are built with
        the first read; if they turn out to be more, as soon as the reads so far would have paid.
    """

    def __init__(self, circuit: TileCircuit, weights: Weights, transposed: bool = False, n_reads: int = 0) -> None:
        self._circuit = circuit
        self._weights = weights
        self._layer = circuit.reads[int(transposed)]
        self._expected = n_reads
        self._done = np.zeros(len(weights), np.int64)
        self._built = np.zeros(len(weights), bool)
        #: Of each tile, [sample, line, outputs and lines]: weight units and, for the power, siemens per read voltage.
        self._matrices = [
            np.empty((len(weights), tile.source.size, tile.plus.size + tile.source.size)) for tile in self._layer.tiles
        ]
        #: Building takes as many solves of eight vectors as there are eights of lines, to a higher tolerance.
        self.pays_off = max(tile.source.size for tile in self._layer.tiles) // 4

    def read(
        self, planes: Planes, first: int, last: int, out: Planes, conductance: Floats, duration: Floats | None = None
    ) -> None:
        """Read as `TileCircuit.forward` or, transposed, `TileCircuit.backward` do."""
        if duration is None:
            duration = np.ones(planes.shape[1])
        self._done[first:last] += -(-planes.shape[1] // 8)
        for s in range(first, last):
            if not self._built[s] and max(self._done[s], self._expected) >= self.pays_off:
                self._build(s)
        if self._built[first:last].all():
            self._multiply(planes, first, last, out, conductance, duration)
        elif not self._built[first:last].any():
            self._circuit.read(self._layer, planes, self._weights, first, last, out, conductance, duration)
        else:
            for s in range(first, last):
                if self._built[s]:
                    self._multiply(planes, s, s + 1, out, conductance, duration)
                else:
                    self._circuit.read(self._layer, planes, self._weights, s, s + 1, out, conductance, duration)

    def _multiply(
        self, planes: Planes, first: int, last: int, out: Planes, conductance: Floats, duration: Floats
    ) -> None:
        values = (planes if len(planes) == 1 else planes[first:last]).astype(np.float64)
        conductance[first:last] = 0.0
        for tile, matrices in zip(self._layer.tiles, self._matrices, strict=True):
            volts = np.where(tile.source >= 0, values[..., tile.source], 0.0) * tile.sign
            if tile.one_sided:
                volts = np.maximum(volts, 0.0)
            own = values[..., tile.first_value : tile.last_value]
            n = tile.plus.size
            found = volts @ matrices[first:last]
            sums = found[..., :n]
            if tile.known_of != NOTHING:
                size = np.abs(own) if tile.known_of == SUM_OF_SIZES else own
                sums -= tile.known / tile.unit * size.sum(axis=-1, keepdims=True)
            out[first:last, :, tile.number, tile.first_output : tile.first_output + n] = sums
            power = (found[..., n:] * volts).sum(axis=-1) + tile.replica * (own**2).sum(axis=-1)
            # Not a matrix product: its bits could depend on how many samples there are.
            conductance[first:last] += (power * duration).sum(axis=-1)

    def _build(self, s: int) -> None:
        layer = self._layer
        look = self._weights[s].reshape(-1)
        space = layer.space()
        ladders, fields = space[:2]
        try:
            for tile, mean, matrices in zip(layer.tiles, layer.means, self._matrices, strict=True):
                m, n = tile.source.size, tile.n_column
                sensed, power = np.empty((m, n)), np.empty((m, m))
                tolerance = min(self._circuit.tolerance, MATRIX_TOLERANCE)
                budget = iteration_budget(tile.n_line, n)
                status = respond(
                    look, tile, layer.wires, tolerance, budget, mean.overshoot, ladders, fields, sensed, power
                )
                if status != OK:
                    raise self._circuit.error(status, s)
                sums = sensed[:, tile.plus] - np.where(tile.minus >= 0, sensed[:, tile.minus], 0.0)
                matrices[s, :, : tile.plus.size] = sums * (tile.gain / tile.unit)
                matrices[s, :, tile.plus.size :] = power
        finally:
            layer.spaces.append(space)
        self._built[s] = True
