"""Reading an array: column sums, their conversion, and what the read drives.

A read has two stages. The first gives the sum of every column of every tile, in weight units; the second converts each
by itself and adds the results in digital. There is one `Readout` per layer and direction: bit lines and word lines have
converters of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bimu_hw.cards import read_conductances
from bimu_hw.crossbar.circuit import TileCircuit
from bimu_hw.crossbar.circuit_held import HeldReads
from bimu_hw.crossbar.encoding import EXACT_STEP, Converter, FloatArray
from bimu_hw.crossbar.keys import event_key
from bimu_hw.crossbar.layout import TileLayout
from bimu_hw.crossbar.synapses import Seeds, SynapseArray
from bimu_hw.crossbar.workers import Workers
from bimu_hw.kernels.bits import fill_normal
from bimu_hw.kernels.mvm import convert_and_add, driven_lines, driven_weight, tile_sums, transposed_tile_sums
from bimu_hw.random import Purpose, stream_key

Weights = npt.NDArray[np.int8]


class Wires(NamedTuple):
    """Resistances of an array in ohm: of the lines between neighbouring cells, of a driver, of a sense circuit."""

    r_wordline: float
    r_bitline: float
    r_driver: float
    r_sense: float


@dataclass(frozen=True)
class ArraySpec:
    """Geometry and converters of the arrays.

    Attributes
    ----------
    tile_wordlines, tile_bitlines : int
        Inputs and outputs of a tile, however many lines each takes.
    columns : {"differential", "reference", "xnor"}
    inputs : {"bit_serial", "analog", "pulse_width", "signed_bits"}
    adc_bits : int
        0: exact.
    adc_range : float
        Full scale of the converter as a fraction of the largest column sum of the layer's tiles. A backward read, which
        sums over few lines and so comes near its largest sum, always has the whole of it.
    gradient_bits : int
        Bits of the gradients driven backwards; 0: as they are.
    write_columns : int
        Columns programmed at once.
    adc_offset, adc_gain_error : float
        Standard deviation over the columns of their converters' offset in steps, and of their gain.
    adc_noise : float
        Standard deviation of the noise of a conversion in steps.
    partial_sum_bits : int
        Width of the words in which the results of tiles and planes are added; 0: unlimited.
    wires : Wires, optional
        Resistances; none at all if not given.
    compensation : {"none", "column_gain"}
        Whether the mean loss of each column in the wires is made up for by the gain of its sense circuit.
    accumulate : {"analog", "popcount"}
        Whether columns add up currents, or gates and counters add up weight bits, exactly.
    """

    tile_wordlines: int
    tile_bitlines: int
    columns: str
    inputs: str
    adc_bits: int
    adc_range: float
    gradient_bits: int
    write_columns: int
    adc_offset: float = 0.0
    adc_gain_error: float = 0.0
    adc_noise: float = 0.0
    partial_sum_bits: int = 0
    wires: Wires | None = None
    compensation: str = "none"
    accumulate: str = "analog"

    def tiles(self, shape: tuple[int, int]) -> tuple[int, int]:
        """Return how many tiles a layer takes along its word lines and along its bit lines."""
        return -(-shape[0] // self.tile_wordlines), -(-shape[1] // self.tile_bitlines)

    @property
    def both_polarities(self) -> bool:
        """Whether an input of either sign takes one look: by its driver, or on complementary word lines."""
        return self.inputs in ("analog", "signed_bits") or self.columns == "xnor"

    @property
    def gradient_slots(self) -> tuple[int, ...]:
        """How long each plane of a backward read lasts, in integration times of the array."""
        bits = self.gradient_bits
        if not bits:
            return (1,)
        return (1, 2**bits - 1) if self.inputs == "pulse_width" else (1,) * (bits + 1)


class Reads(NamedTuple):
    """What a pass drove, layer by layer, summed over its looks; the ledger turns it into counts and joules.

    Attributes
    ----------
    drives : tuple of int
        Lines charged: driven lines times the tiles they cross.
    conductance : tuple of float
        Sum of v**2 G over driven cells in siemens, v in units of the read voltage, or what the sources deliver to cells
        and wires in these units; a look that lasts for several integration times counts as often.
    """

    drives: tuple[int, ...]
    conductance: tuple[float, ...]


class Readout:
    """The circuits that read one layer's arrays in one direction.

    Parameters
    ----------
    synapses : SynapseArray
    arrays : ArraySpec
    seeds : Seeds
    n_sample : int
    workers : Workers
    circuit : TileCircuit, optional
        The layer's arrays with their wires; without it wires are ideal.
    transposed : bool
        Whether bit lines are driven and word lines sensed: the backward read.

    Attributes
    ----------
    sums : float32[sample, plane, tile, line]
        Column sums of the last read, before conversion.
    plain : bool
        Whether nothing lies between inputs, weights and sums: no spread, no wires, exact converters and words.
    largest_sum : float
        What the lines of a tile that are in use add up to at most, at unit input.
    """

    def __init__(
        self, synapses: SynapseArray, arrays: ArraySpec, seeds: Seeds, n_sample: int, workers: Workers,
        circuit: TileCircuit | None = None, transposed: bool = False,
    ) -> None:  # fmt: skip
        self._synapses, self._arrays, self._transposed = synapses, arrays, transposed
        self._n_sample, self._workers, self._circuit = n_sample, workers, circuit
        self._held: HeldReads | None = None
        self._delivered = np.zeros(n_sample)
        n_in, n_out = synapses.shape
        n_driven, n_sensed = (n_out, n_in) if transposed else (n_in, n_out)
        self._tile_lines = arrays.tile_bitlines if transposed else arrays.tile_wordlines
        # Full scale is what the lines in use can add up to: a layer may be narrower than a tile.
        self.largest_sum = float(min(n_driven, self._tile_lines))
        self._columns = (-(-n_driven // self._tile_lines), n_sensed)
        #: Tiles and lines that a driven line crosses.
        self._crossed = arrays.tiles(synapses.shape)[0 if transposed else 1], n_sensed
        self.sums = np.zeros((n_sample, 1, *self._columns), np.float32)
        self._middle, self._slope = _contributions(synapses, transposed)
        self._g_on, self._g_off = read_conductances(synapses.spec.sampler)
        #: Whether a driven line meets both cells of every pair.
        self._paired = arrays.columns == "differential" or (arrays.columns == "xnor" and transposed)

        def errors(deviation: float, word: int) -> FloatArray:
            out = np.empty(self._columns[0] * self._columns[1], np.float32)
            fill_normal(stream_key(seeds.fabrication, Purpose.ADC_ERROR, synapses.layer, int(transposed), word), out)
            return out.reshape(self._columns) * np.float32(deviation)

        self._offset = errors(arrays.adc_offset, 0)
        self._gain = np.float32(1.0) + errors(arrays.adc_gain_error, 1)
        self._noise_key = stream_key(seeds.noise, Purpose.ADC_NOISE, synapses.layer, int(transposed))
        self._exact_unit = np.full(1, EXACT_STEP, np.float32)
        half = 2.0 ** (arrays.partial_sum_bits - 1) if arrays.partial_sum_bits else np.inf
        self._word_ends = np.float32(-half), np.float32(half - 1.0)
        self.set_full_scale(self.largest_sum * (1.0 if transposed else arrays.adc_range))
        self.plain = (
            circuit is None
            and not (arrays.adc_bits or arrays.partial_sum_bits or arrays.adc_noise or self._offset.any())
            and all(bool((a == 1.0).all()) for a in (self._gain, self._slope))
            and not self._middle.any()
        )

    def set_full_scale(self, full_scale: float) -> None:
        """Set the range of the converters to [-full_scale, full_scale], in weight units."""
        self._converter = Converter.uniform(self._arrays.adc_bits, full_scale).as_tuple()
        self._largest_result = full_scale * self._columns[0]

    def hold(self, weights: Weights | None) -> None:
        """Be told that the weights stay as they are until further notice, or, with None, that they do not.

        Arrays with wires are then read through matrices as soon as these pay for themselves; nothing else changes.
        """
        if self._circuit is None or weights is None or len(weights) != self._n_sample:
            self._held = None
        elif self._held is None:
            self._held = HeldReads(self._circuit, weights, self._transposed)

    def read(
        self, planes: FloatArray, plane_weight: FloatArray, weights: Weights, event: int, out: FloatArray
    ) -> None:
        """Read all tiles for all planes of all samples.

        Parameters
        ----------
        planes : float32[1 or sample, plane, driven line]
        plane_weight : float32[plane] or float32[sample, plane]
        weights : int8[look, wordline, bitline]
        event : int
            Index of the query: keys the noise of the converters.
        out : float32[sample, sensed line]
            *Mutated*.
        """
        shape = (self._n_sample, planes.shape[1], *self._columns)
        if self.sums.shape != shape:
            self.sums = np.zeros(shape, np.float32)
        weight = plane_weight if plane_weight.ndim == 2 else plane_weight[None]
        key = event_key(self._noise_key, event)
        part = partial(self._read_part, planes, weight, weights, self._unit(weight), key, out)
        self._workers.split(self._n_sample, part)

    def _read_part(
        self, planes: FloatArray, plane_weight: FloatArray, weights: Weights, unit: FloatArray, key: np.uint64,
        out: FloatArray, first: int, last: int,
    ) -> None:  # fmt: skip
        sums = self.sums[first:last]
        if self._circuit is not None:
            if self._held is not None:
                self._held.read(planes, first, last, self.sums, self._delivered)
            else:
                solve = self._circuit.backward if self._transposed else self._circuit.forward
                solve(planes, weights, first, last, self.sums, self._delivered)
        else:
            looks = weights.shape[0] // self._n_sample
            kernel = transposed_tile_sums if self._transposed else tile_sums
            kernel(
                _rows(planes, first, last), weights[first * looks : last * looks], self._middle, self._slope,
                self._tile_lines, sums,
            )  # fmt: skip
        convert_and_add(
            sums, _rows(plane_weight, first, last), self._converter, self._gain, self._offset,
            np.float32(self._arrays.adc_noise), key, first, (_rows(unit, first, last), *self._word_ends),
            out[first:last],
        )  # fmt: skip

    def _unit(self, plane_weight: FloatArray) -> FloatArray:
        """Return the unit of the words in which results are added, such that the largest total of a read fits."""
        if not self._arrays.partial_sum_bits:
            return self._exact_unit
        largest = self._largest_result * np.abs(plane_weight).sum(axis=1)
        return np.maximum(largest * 2.0 ** (1 - self._arrays.partial_sum_bits), EXACT_STEP).astype(np.float32)

    def driven(
        self, planes: FloatArray, weights: Weights | None, slots: tuple[int, ...] | None = None
    ) -> tuple[int, float]:
        """Return what a read drives: lines charged, and the sum of v**2 G over driven cells in siemens.

        With wires the latter is what the sources delivered in the last read.

        Parameters
        ----------
        planes, weights
            As in `read`, and of the last one. None: a pass through relaxed weights, which binary cells of their
            mean would carry on average.
        slots : tuple of int, optional
            For pulses: how long each plane lasts, in integration times of the array. A line is on for a part of them.
        """
        if slots is not None:
            # A pulse has the full voltage for a part of the time: its square is the voltage that dissipates as much.
            planes = np.sqrt(planes * np.asarray(slots, np.float32)[:, None])
        lines, square = driven_lines(planes)
        if planes.shape[0] == 1:
            lines, square = lines * self._n_sample, square * self._n_sample
        crossed, width = self._crossed
        if self._circuit is not None:
            return lines * crossed, float(self._delivered.sum())
        if self._paired:
            # A pair carries g_on + g_off whatever its weight.
            return lines * crossed, square * width * (self._g_on + self._g_off)
        xnor = self._arrays.columns == "xnor"
        middle, half = (self._g_on + self._g_off) / 2.0, (self._g_on - self._g_off) / 2.0
        if weights is None:
            signs = self._mean_driven_weight(planes, xnor)
        else:
            signs = driven_weight(planes, weights, self._n_sample, self._transposed, xnor)
        # The reference column of each tile carries the mean of the two states.
        return lines * crossed, square * (width + (0 if xnor else crossed)) * middle + signs * half

    @property
    def driven_by_inputs(self) -> bool:
        """Whether what a read drives depends on the inputs alone, not on the weights."""
        return self._circuit is None and self._paired

    def _mean_driven_weight(self, planes: FloatArray, complementary: bool) -> float:
        """Return the mean of `driven_weight` over binary weights of a forward read."""
        v = planes.astype(np.float64)
        squares = (v * np.abs(v) if complementary else v * v).sum(axis=(0, 1))
        times = self._n_sample if planes.shape[0] == 1 else 1
        return times * float(squares @ self._synapses.mean_weight().sum(axis=1, dtype=np.float64))


def build_circuit(synapses: SynapseArray, arrays: ArraySpec) -> TileCircuit | None:
    """Return the arrays of a layer as circuits; None if its wires have no resistance."""
    if arrays.wires is None or not any(arrays.wires):
        return None
    layout = TileLayout(arrays.columns, *read_conductances(synapses.spec.sampler))
    tile = min(arrays.tile_wordlines, synapses.shape[0]), min(arrays.tile_bitlines, synapses.shape[1])
    circuit = TileCircuit(synapses.shape, tile, layout, *synapses.cells_read.conductances(), **arrays.wires._asdict())
    if arrays.compensation == "column_gain":
        circuit.calibrate()
    return circuit


def _rows(array: npt.NDArray[np.float32], first: int, last: int) -> npt.NDArray[np.float32]:
    """Return the rows of some samples of an array whose one row may serve them all."""
    return array if array.shape[0] == 1 else array[first:last]


def _contributions(synapses: SynapseArray, transposed: bool) -> tuple[FloatArray, FloatArray]:
    """Return middle and gain of the cells as the kernels take them: by polarity of the input if they depend on it."""
    if synapses.spec.columns != "xnor":
        middle, gain = synapses.value_middle, synapses.value_gain
        return (middle, gain) if transposed else (middle[None], gain[None])
    if transposed:
        return synapses.cells_read.values("backward")
    middle, gain = synapses.cells_read.values("negative")
    return np.stack([synapses.value_middle, middle]), np.stack([synapses.value_gain, gain])
