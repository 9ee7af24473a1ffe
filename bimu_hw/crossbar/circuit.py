"""The tiles of one layer as circuits: exact IR drop in forward and backward reads, fast enough to learn with.

`TileCircuit` turns sampled weights and input planes into the column sums that the converters see, in weight units, and
into the power that the sources deliver. Arrays that are drawn for each query are solved by `bimu_hw.kernels.circuit`;
for arrays that stay, `bimu_hw.crossbar.circuit_held` builds the matrices that take voltages to sensed and to source
currents. All voltages are in read voltages, so power comes as a conductance: times the read voltage
squared and the time it is the energy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bimu_hw.crossbar.ir_drop_network import Floats, check_tolerance, check_wires
from bimu_hw.crossbar.layout import DEVICES, TileLayout
from bimu_hw.errors import CircuitError
from bimu_hw.kernels.circuit import (
    LANES,
    Fields,
    Ladders,
    allocate,
    allocate_single,
    factorise,
    overshoot,
    padded,
    round_factors,
)
from bimu_hw.kernels.circuit_tiles import NOTHING, SUM, SUM_OF_SIZES, Tile, read_tile
from bimu_hw.kernels.ir_drop import BAD_VOLTAGE, OK, Wires, iteration_budget

Planes = NDArray[np.float32]
Weights = NDArray[np.int8]

#: Currents in the loop are certified to this share of the largest. The certificate is cautious: what was measured on
#: the digits quickstart lies 10 times lower and more, at what float32 column sums resolve.
LOOP_TOLERANCE = 1e-6


#: Work space of one read: in float64, in float32, and the mean array's.
Space = tuple[Ladders, Fields, Ladders, Fields, Fields]


class Mean(NamedTuple):
    """Factors of the array whose cells are all halfway between their states."""

    ladders: Ladders  #: in float32
    bound: float
    overshoot: float
    inverse: NDArray[np.float32]  #: of what its cells take of a current on their line


@dataclass
class LayerRead:
    """All tiles of a layer in one direction."""

    transposed: bool
    wires: Wires
    tiles: list[Tile]
    means: list[Mean]
    spaces: list[Space]
    n_tiles: int
    n_outputs: int
    gain: NDArray[np.float32]

    def space(self) -> Space:
        """Take work space from the pool, to be given back to `spaces`."""
        try:
            return self.spaces.pop()
        except IndexError:
            most = max(t.n_line for t in self.tiles), max(t.n_column for t in self.tiles)
            return *allocate(*most), *allocate_single(*most), allocate_single(*most)[1]


class TileCircuit:
    """The physical arrays of one layer.

    Parameters
    ----------
    shape : tuple of int
        Word lines and bit lines of the layer.
    tile_shape : tuple of int
        Word lines and bit lines of a tile, in synapses; tiles at the edges may be smaller.
    layout : TileLayout
    g_on, g_off : float64[wordline, bitline, device]
        What each device conducts in its two states [S] (`SynapseArray.device_conductances`).
    r_wordline, r_bitline, r_driver, r_sense : float
        In ohm, as in `bimu_hw.crossbar.ir_drop.solve_ir_drop`.
    tolerance : float
        Bound on the error of every sensed current over the largest of its read.

    Attributes
    ----------
    ideal : bool
        All resistances are 0: sums without a circuit (`bimu_hw.kernels.mvm`) are exact, and cheaper.
    forward_gain, backward_gain : float32[tile, bitline], float32[tile, wordline]
        Gain of each column's sense circuit: 1 until `calibrate` is called. The sums have it already.
    reads : list of LayerRead
        Tiles and work space of forward and of backward reads.

    Raises
    ------
    CircuitError
        If a shape does not fit, or a conductance, a resistance or the tolerance is not allowed.

    Notes
    -----
    Reads of disjoint ranges of samples may run at the same time; every read takes work space of its own from a pool.
    Results have the same bits however the samples are divided.
    """

    def __init__(
        self, shape: tuple[int, int], tile_shape: tuple[int, int], layout: TileLayout, g_on: Floats, g_off: Floats, *,
        r_wordline: float, r_bitline: float, r_driver: float = 0.0, r_sense: float = 0.0,
        tolerance: float = LOOP_TOLERANCE,
    ) -> None:  # fmt: skip
        expected = (*shape, DEVICES[layout.columns])
        for name, given in (("g_on", g_on), ("g_off", g_off)):
            if given.shape != expected or not (np.isfinite(given).all() and (given >= 0.0).all()):
                raise CircuitError(
                    f"TileCircuit, {name}: got shape {given.shape}; expected finite conductances, none negative, of "
                    f"shape {expected} [wordline, bitline, device]."
                )
        self.shape = shape
        self.tile_shape = tile_shape
        self.layout = layout
        self.tolerance = check_tolerance("TileCircuit", tolerance)
        resistances = dict(r_wordline=r_wordline, r_bitline=r_bitline, r_driver=r_driver, r_sense=r_sense)
        self.ideal = not any(resistances.values())
        self.reads: list[LayerRead] = []
        for transposed in (False, True):
            wires = check_wires("TileCircuit", transposed, **resistances)
            if wires.source == 0.0:
                # Ladders start with a resistance; this one changes currents by 1e-13 of themselves at most.
                most = float(max(g_on.max(), g_off.max())) * (2 * max(tile_shape) + 1)
                wires = wires._replace(source=1e-13 / most)
            self.reads.append(self._prepare(transposed, wires, g_on, g_off))

    @property
    def forward_gain(self) -> NDArray[np.float32]:
        """Gain of each column's sense circuit in a forward read, float32[row_tile, bitline]."""
        return self.reads[0].gain

    @property
    def backward_gain(self) -> NDArray[np.float32]:
        """Gain of each word line's sense circuit in a backward read, float32[column_tile, wordline]."""
        return self.reads[1].gain

    def _prepare(self, transposed: bool, wires: Wires, g_on: Floats, g_off: Floats) -> LayerRead:
        (n_w, n_b), (t_w, t_b) = self.shape, self.tile_shape
        tiles, means, shapes = [], [], {}
        for w in range(0, n_w, t_w):
            for b in range(0, n_b, t_b):
                rows, columns = slice(w, min(w + t_w, n_w)), slice(b, min(b + t_b, n_b))
                tile = self._tile(transposed, rows, columns, g_on[rows, columns], g_off[rows, columns])
                key = tile.n_line, tile.n_column
                if key not in shapes:
                    ladders, fields = allocate(*key)
                    ladders.cell[:] = 0.0
                    ladders.cell[tile.low + tile.gap > 0.0] = self.layout.middle
                    bound = factorise(*key, *wires, ladders, fields.passing)
                    ahead = overshoot(padded(key[0]), key[1], tuple(wires), ladders, fields)
                    single, _ = allocate_single(*key)
                    round_factors(padded(key[0]), key[1], ladders, single)
                    passed = single.line.reshape(-1, 4, 2)[:, 2].ravel()
                    inverse = np.divide(1.0, passed, out=np.zeros_like(passed), where=passed > 0.0)
                    shapes[key] = Mean(single, bound, ahead, inverse)
                tiles.append(tile)
                means.append(shapes[key])
        along, across = ((n_b, t_b), n_w) if transposed else ((n_w, t_w), n_b)
        n_tiles = -(-along[0] // along[1])
        return LayerRead(
            transposed, wires, tiles, means, [], n_tiles, across, np.ones((n_tiles, across), np.float32)
        )

    def _tile(self, transposed: bool, rows: slice, columns: slice, g_on: Floats, g_off: Floats) -> Tile:
        layout = self.layout
        n_w, n_b = rows.stop - rows.start, columns.stop - columns.start
        ones = np.ones((n_w, n_b), np.int8)
        place = layout.places(n_w, n_b)
        place = np.where(place < 0, -1, (place // n_b + rows.start) * self.shape[1] + place % n_b + columns.start)
        arrays: list[NDArray[Any]] = [
            layout.conductance(ones, g_on, g_off), layout.conductance(-ones, g_on, g_off), place
        ]  # fmt: skip
        pair_of_bitlines, pair_of_wordlines = layout.columns == "differential", layout.columns == "xnor"
        values = columns if transposed else rows
        n_driven, n_out = (n_b, n_w) if transposed else (n_w, n_b)
        source = np.arange(values.start, values.stop)
        sign = np.ones(n_driven)
        plus, minus = np.arange(n_out), np.full(n_out, -1)
        paired = pair_of_bitlines if transposed else pair_of_wordlines
        if paired:
            source, sign = np.repeat(source, 2), np.tile([1.0, -1.0], n_driven)
        elif layout.columns == "reference" and transposed:
            source, sign = np.append(source, -1), np.append(sign, 0.0)
        if pair_of_wordlines if transposed else pair_of_bitlines:
            plus, minus = 2 * plus, 2 * plus + 1
        elif layout.columns == "reference" and not transposed:
            minus[:] = n_out
        if transposed:
            # The kernels know one direction: seen from the other corner the array is transposed and runs backwards.
            arrays = [a[::-1, ::-1].T for a in arrays]
            source, sign = source[::-1], sign[::-1]
            last = arrays[0].shape[1] - 1
            plus, minus = last - plus, np.where(minus < 0, -1, last - minus)
        n_line, n_column = arrays[0].shape
        fill = padded(n_line) - n_line
        blocks: list[NDArray[Any]] = []
        high, low, place = arrays
        a: NDArray[Any]
        for a in (low, high - low, np.maximum(place, 0)):
            full = np.pad(a, ((fill, 0), (0, 0)))
            blocks.append(np.ascontiguousarray(full.reshape(-1, LANES, n_column).transpose(0, 2, 1)).ravel())
        known_of = NOTHING
        if layout.columns == "reference" and transposed:
            known_of = SUM
        elif pair_of_wordlines and not transposed:
            known_of = SUM_OF_SIZES
        tile_size = self.tile_shape[1] if transposed else self.tile_shape[0]
        return Tile(
            n_line, n_column, blocks[0], blocks[1], blocks[2],
            np.pad(source, (fill, 0), constant_values=-1), np.pad(sign, (fill, 0)),
            bool(pair_of_wordlines and not transposed), plus, minus, np.ones(n_out),
            layout.middle, known_of, float(layout.replica(np.ones(1), transposed)), layout.unit(transposed),
            values.start, values.stop, values.start // tile_size, rows.start if transposed else columns.start,
        )  # fmt: skip

    def forward(
        self, planes: Planes, weights: Weights, first: int, last: int, out: Planes, conductance: Floats,
        duration: Floats | None = None,
    ) -> None:  # fmt: skip
        """Drive the word lines and sense the bit lines, for samples first .. last - 1.

        Parameters
        ----------
        planes : float32[1 or sample, plane, wordline]
            In read voltages.
        weights : int8[look, wordline, bitline]
            look = sample, or sample * n_plane + plane when every look draws anew.
        first, last : int
        out : float32[sample, plane, row_tile, bitline]
            *Mutated* in the range: sums in weight units, before conversion.
        conductance : float64[sample]
            *Mutated* in the range: power that the sources deliver over the read voltage squared [S], summed over planes
            and tiles.
        duration : float64[plane], optional
            Factors of the planes' powers in that sum; 1 if not given.

        Raises
        ------
        CircuitError
            If a voltage is not finite or the tolerance is not reached.
        """
        self.read(self.reads[0], planes, weights, first, last, out, conductance, duration)

    def backward(
        self, planes: Planes, weights: Weights, first: int, last: int, out: Planes, conductance: Floats,
        duration: Floats | None = None,
    ) -> None:  # fmt: skip
        """Drive the bit lines and sense the word lines.

        Parameters
        ----------
        planes : float32[1 or sample, plane, bitline]
        weights, first, last, conductance, duration
            As in `forward`.
        out : float32[sample, plane, column_tile, wordline]
            *Mutated* in the range: sums in weight units, before conversion.
        """
        self.read(self.reads[1], planes, weights, first, last, out, conductance, duration)

    def read(
        self, read: LayerRead, planes: Planes, weights: Weights, first: int, last: int, out: Planes,
        conductance: Floats, duration: Floats | None = None,
    ) -> None:  # fmt: skip
        """Read all tiles of one of `reads`, as `forward` and `backward` say."""
        conductance[first:last] = 0.0
        if duration is None:
            duration = np.ones(planes.shape[1])
        space = read.space()
        try:
            for tile, mean in zip(read.tiles, read.means, strict=True):
                budget = iteration_budget(tile.n_line, tile.n_column)
                status, sample = read_tile(
                    planes, weights, duration, first, last, tile, read.wires, self.tolerance, budget, *mean, *space,
                    out, conductance,
                )  # fmt: skip
                if status != OK:
                    raise self.error(status, sample)
        finally:
            read.spaces.append(space)

    def error(self, status: int, sample: int) -> CircuitError:
        """Return what a kernel's status means."""
        if status == BAD_VOLTAGE:
            return CircuitError(f"TileCircuit, sample {sample}: a voltage is not finite; give finite inputs.")
        return CircuitError(
            f"TileCircuit, sample {sample}: the error of the currents could not be certified below tolerance = "
            f"{self.tolerance:g} of the largest; the wires drop nearly all of the voltage, so take less resistance "
            "or smaller tiles, or allow a larger tolerance."
        )

    def calibrate(self) -> None:
        """Trim the gain of every column's sense circuit, as a designer would, from then on.

        The weights of the calibration read are a checkerboard, so that every line carries its mean current. Word lines
        are driven with +1, -1, +1 ..., which makes every cell of a column pull the same way (bipolar drivers in one
        read, others in two). The gain is the ideal sum over the one that was found. Where a known current is
        subtracted (forward reads of XNOR cells, backward reads with a reference) all lines are driven with +1 and the
        whole current is trimmed, before the subtraction.
        """
        for read in self.reads:
            whole = read.tiles[0].known_of != NOTHING
            n = self.shape[1] if read.transposed else self.shape[0]
            pattern = np.where(np.add.outer(np.arange(self.shape[0]), np.arange(self.shape[1])) % 2, -1, 1)
            weights = pattern.astype(np.int8)[None]
            drive = np.ones(n) if whole else 1.0 - 2.0 * (np.arange(n) % 2)
            planes = drive.astype(np.float32)[None, None]
            out = np.empty((1, 1, read.n_tiles, read.n_outputs), np.float32)
            read.gain[:] = 1.0
            for tile in read.tiles:
                tile.gain[:] = 1.0
            self.read(read, planes, weights, 0, 1, out, np.empty(1), None)
            for tile in read.tiles:
                outputs = slice(tile.first_output, tile.first_output + tile.plus.size)
                part = slice(tile.first_value, tile.last_value)
                matrix = weights[0].T if read.transposed else weights[0]
                ideal = planes[0, 0, part].astype(np.float64) @ matrix[part, outputs]
                found = out[0, 0, tile.number, outputs].astype(np.float64)
                if whole:
                    known = tile.known * (part.stop - part.start) / tile.unit
                    ideal, found = ideal + known, found + known
                tile.gain[:] = ideal / found
                read.gain[tile.number, outputs] = tile.gain
