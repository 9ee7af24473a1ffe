"""One tile of a layer, read for many samples and planes: from weights to column sums with wire resistance."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bimu_hw.kernels import jit
from bimu_hw.kernels.circuit import Fields, descend, descend_like, factorise, round_factors, settle, start
from bimu_hw.kernels.ir_drop import BAD_VOLTAGE, NOT_CONVERGED, OK

#: From this tolerance on the first steps are in float32, until currents are known to so many times the tolerance, but
#: not for more than so many steps.
_SINGLE, _ROUGHLY, _FEW = 3e-7, 30.0, 12
#: To what the mean array is solved for a start: what a sample's own pattern changes is of that size.
_START = 1e-2

#: Known currents that a sense circuit subtracts: none, per unit of the summed values, of the summed sizes of values.
NOTHING, SUM, SUM_OF_SIZES = 0, 1, 2


class Tile(NamedTuple):
    """One tile in the order of the kernels: lines are driven, columns are sensed."""

    n_line: int
    n_column: int
    low: np.ndarray  #: float64[block of 8 lines, column, line]: conductance at weight -1 [S], flat
    gap: np.ndarray  #: what weight +1 adds to it
    place: np.ndarray  #: int64, the same order: which weight of the layer sets the cell (any, where `gap` is 0)
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
    number: int  #: of the tile along the lines
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
def read_tile(planes, weights, duration, first, last, tile, wires, tolerance, budget, mean, mean_bound, ahead, inverse,
              ladders, fields, single, quick, mean_quick, out, conductance):  # fmt: skip
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
        In float32, of an array of this shape whose cells are all halfway between their states.
    mean_bound, ahead : float
        As `circuit.factorise` and `circuit.overshoot` returned them.
    inverse : float32[pair of lines * column * 2]
        Of `mean`, as in `circuit.descend_like`.
    ladders, fields : Ladders, Fields
        Work space in float64.
    single, quick, mean_quick : Ladders, Fields, Fields
        Work space in float32.
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
    narrow = Fields(fields.injected, quick.falling, fields.passing, fields.carry, fields.moved, fields.volts,
                    fields.delivered)  # fmt: skip
    for p0 in range(0, n_plane, width):
        count = min(width, n_plane - p0)
        if shared:
            mean_quick.volts[: 8 * m] = 0.0
            for p in range(count):
                _drive(planes[0, p0 + p], tile, p, mean_quick.volts)
            start(m, n, wires.source, mean, mean_quick)
            descend(m, n, mean, mean_quick)
            # Only a place to start from: if it is not reached, the reads say so themselves.
            settle(m, n, ends, max(_START, tolerance), mean_bound, ahead, _FEW, mean, mean_quick)
        for s in range(first, last):
            row = 0 if planes.shape[0] == 1 else s
            look = cells[s * n_plane + p0 if per_look else s]
            for k in range(m * n):
                # A product, not a branch that nobody could predict.
                ladders.cell[k] = tile.low[k] + tile.gap[k] * np.float64(look[tile.place[k]] > 0)
            bound = factorise(tile.n_line, n, *ends, ladders, fields.passing)
            fields.volts[: 8 * m] = 0.0
            for p in range(count):
                _drive(planes[row, p0 + p], tile, p, fields.volts)
            if not np.isfinite(np.sum(np.abs(fields.volts[: 8 * m]))):
                return BAD_VOLTAGE, s
            steps = -1
            if tolerance >= _SINGLE:
                round_factors(m, n, ladders, single)
                for k in range(8 * m):
                    quick.volts[k] = np.float32(fields.volts[k])
                if shared:
                    descend_like(m, n, single, quick, inverse, mean_quick.injected)
                else:
                    start(m, n, wires.source, single, quick)
                    descend(m, n, single, quick)
                steps = settle(m, n, ends, _ROUGHLY * tolerance, bound, ahead, _FEW, single, quick)
                if steps > 0:
                    steps = settle(m, n, ends, tolerance, bound, 0.0, _FEW, ladders, narrow)
            if steps < 0:
                start(m, n, wires.source, ladders, fields)
                descend(m, n, ladders, fields)
                if settle(m, n, ends, tolerance, bound, ahead, budget, ladders, fields) < 0:
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
                to = out[s, p0 + p, tile.number]
                for k in range(tile.plus.size):
                    current = fields.carry[8 * tile.plus[k] + p]
                    if tile.minus[k] >= 0:
                        current -= fields.carry[8 * tile.minus[k] + p]
                    to[tile.first_output + k] = np.float32((tile.gain[k] * current - known) / tile.unit)
    return OK, 0


@jit
def respond(look, tile, wires, tolerance, budget, ahead, ladders, fields, sensed, delivered):
    """Find the matrices that take the voltages of one array to its sensed and to its source currents.

    Parameters
    ----------
    look : int8[wordline * bitline]
        Weights of the layer.
    tile, wires, tolerance, budget, ahead, ladders, fields
        As in `read_tile`.
    sensed : float64[line, column]
        *Mutates* `sensed` [S].
    delivered : float64[line, line]
        *Mutates* `delivered` [S]: current of the second line's source per volt of the first.

    Returns
    -------
    int
        `OK` or `NOT_CONVERGED`.
    """
    n = tile.n_column
    m = tile.source.size
    ends = (wires.line, wires.source, wires.column, wires.sense)
    for k in range(m * n):
        ladders.cell[k] = tile.low[k] + tile.gap[k] * np.float64(look[tile.place[k]] > 0)
    bound = factorise(tile.n_line, n, *ends, ladders, fields.passing)
    for i in range(0, m, 8):
        fields.volts[: 8 * m] = 0.0
        for p in range(8):
            fields.volts[8 * (i + p) + p] = 1.0
        start(m, n, wires.source, ladders, fields)
        descend(m, n, ladders, fields)
        if settle(m, n, ends, tolerance, bound, ahead, budget, ladders, fields) < 0:
            return NOT_CONVERGED
        for p in range(8):
            for j in range(n):
                sensed[i + p, j] = fields.carry[8 * j + p]
            for k in range(m):
                delivered[i + p, k] = fields.delivered[8 * k + p]
    return OK
