"""One tile of a layer, read for many samples and planes: from weights to column sums with wire resistance."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bimu_hw.kernels import jit
from bimu_hw.kernels.circuit import factorise, settle, start, start_like
from bimu_hw.kernels.ir_drop import BAD_VOLTAGE, NOT_CONVERGED, OK

#: Known currents that a sense circuit subtracts: none, per unit of the summed values, of the summed sizes of values.
NOTHING, SUM, SUM_OF_SIZES = 0, 1, 2


class Tile(NamedTuple):
    """One tile in the order of the kernels: lines are driven, columns are sensed."""

    n_line: int
    n_column: int
    high: np.ndarray  #: float64[block of 8 lines, column, line]: conductance at weight +1 [S], flat
    low: np.ndarray  #: the same at weight -1
    place: np.ndarray  #: int64, the same order: which weight of the layer sets the cell; -1: none
    source: np.ndarray  #: int64[line]: which value of a plane drives the line; -1: none, it is held at 0 V
    sign: np.ndarray  #: float64[line]: factor of the value
    one_sided: bool  #: a negative voltage is not driven
    plus: np.ndarray  #: int64[output]: column whose current counts
    minus: np.ndarray  #: int64[output]: column whose current is subtracted; -1: none
    gain: np.ndarray  #: float64[output]
    known: float  #: current that is subtracted per unit of what `known_of` names [S]
    known_of: int
    replica: float  #: conductance of the replica line per driven line [S]
    unit: float  #: current of one weight unit [S]
    first_value: int  #: values of a plane that belong to the tile
    last_value: int
    index: int  #: of the tile along the lines
    first_output: int


@jit
def _drive(values, tile, lane, volts):
    m = tile.source.size
    for i in range(m):
        v = 0.0
        if tile.source[i] >= 0:
            v = tile.sign[i] * np.float64(values[tile.source[i]])
            if tile.one_sided:
                v = max(v, 0.0)
        volts[8 * i + lane] = v


@jit
def read_tile(planes, weights, duration, first, last, tile, wires, tolerance, budget, mean, mean_bound, ladders,
              fields, mean_fields, out, conductance):  # fmt: skip
    """Read one tile for a range of samples.

    Parameters
    ----------
    planes : float32[1 or sample, plane, value]
        In read voltages.
    weights : int8[look, wordline, bitline]
        look = sample, or sample * n_plane + plane when every look draws anew.
    duration : float64[plane]
        Weights of the planes' powers.
    first, last : int
        Samples to read.
    tile : Tile
    wires : Wires
        `source` is not 0.
    tolerance, budget : float, int
        See `circuit.settle`.
    mean : Ladders
        Of an array of this shape whose cells are all halfway between their states.
    mean_bound : float
        As `circuit.factorise` returned it.
    ladders, fields, mean_fields : Ladders, Fields, Fields
        Work space.
    out : float32[sample, plane, tile, output]
        Sums in weight units. *Mutates* the range's entries of this tile.
    conductance : float64[sample]
        *Mutates* the range: adds the power of the sources over the read voltage squared [S].

    Returns
    -------
    int, int
        `OK`, `BAD_VOLTAGE` or `NOT_CONVERGED`, and the sample.
    """
    n_sample, n_plane = out.shape[0], planes.shape[1]
    per_look = weights.shape[0] != n_sample
    # Samples that share their inputs start from what the mean array does with them.
    shared = planes.shape[0] == 1 and n_sample >= 3 and not per_look
    n = tile.n_column
    m = tile.source.size
    cells = weights.reshape(weights.shape[0], -1)
    width = 1 if per_look else 8
    ends = (wires.line, wires.source, wires.column, wires.sense)
    for p0 in range(0, n_plane, width):
        count = min(width, n_plane - p0)
        if shared:
            mean_fields.volts[: 8 * m] = 0.0
            for p in range(count):
                _drive(planes[0, p0 + p], tile, p, mean_fields.volts)
            start(m, n, wires.source, mean, mean_fields)
            # Only a place to start from: if it is not reached, the reads say so themselves.
            settle(m, n, ends, max(1e-4, tolerance), mean_bound, budget, mean, mean_fields)
        for s in range(first, last):
            row = 0 if planes.shape[0] == 1 else s
            look = cells[s * n_plane + p0 if per_look else s]
            for k in range(m * n):
                at = tile.place[k]
                ladders.cell[k] = tile.high[k] if at >= 0 and look[at] > 0 else tile.low[k]
            bound = factorise(tile.n_line, n, *ends, ladders, fields.carry)
            fields.volts[: 8 * m] = 0.0
            for p in range(count):
                _drive(planes[row, p0 + p], tile, p, fields.volts)
            if not np.isfinite(np.sum(np.abs(fields.volts[: 8 * m]))):
                return BAD_VOLTAGE, s
            if shared:
                start_like(m, n, ladders, fields, mean.line, mean_fields.injected)
            else:
                start(m, n, wires.source, ladders, fields)
            if settle(m, n, ends, tolerance, bound, budget, ladders, fields) < 0:
                return NOT_CONVERGED, s
            for p in range(count):
                values = planes[row, p0 + p]
                power = square = size = 0.0
                for i in range(m):
                    power += fields.volts[8 * i + p] * fields.delivered[8 * i + p]
                for k in range(tile.first_value, tile.last_value):
                    v = np.float64(values[k])
                    square += v * v
                    size += abs(v) if tile.known_of == SUM_OF_SIZES else v
                conductance[s] += duration[p0 + p] * (power + tile.replica * square)
                known = 0.0 if tile.known_of == NOTHING else tile.known * size
                to = out[s, p0 + p, tile.index]
                for k in range(tile.plus.size):
                    current = fields.carry[8 * tile.plus[k] + p]
                    if tile.minus[k] >= 0:
                        current -= fields.carry[8 * tile.minus[k] + p]
                    to[tile.first_output + k] = np.float32((tile.gain[k] * current - known) / tile.unit)
    return OK, 0
