"""What it takes to read the tiles of one layer: operations and ticks, by the way in which the sums are formed.

``analog``
    Currents or charges of a line add up by themselves and a converter turns the sum into a number. The planes of one
    phase are integrated one after the other and converted together; a bit-serial read has one plane in each phase, an
    integrating neuron several.
``popcount``
    The word lines are served one after the other, in all tiles at once. A gate compares each weight bit of the row
    with the input bit (XNOR; AND for an input of 0 and 1), and a counter at the end of every bit line adds up.
    Backwards a tree of adders sums over the bit lines of a row. Sums are exact integers; there is no converter.

Both directions of a read are described by the same numbers: forwards word lines are driven and bit lines sensed,
backwards the other way round. What the cells need in order to have their weight at all (random bits, latches), what the
lines cost and what the cells dissipate is counted by the work plan.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bimu_hw.operations import OPERATIONS, operation_index

Counts = npt.NDArray[np.int64]


class LookTimes(NamedTuple):
    """Ticks of the steps of a read: settling of the lines, one integration, one conversion, one step of a count."""

    drive: int
    integrate: int
    convert: int
    step: int


@dataclass(frozen=True)
class TileRead:
    """One read of the tiles of a layer, for all planes of an input.

    Attributes
    ----------
    driven, sensed : int
        Inputs and outputs of the layer, in the direction of the read.
    tile_driven, tile_sensed : int
        Those of a tile.
    phases : tuple of tuple of int
        For each phase, how long each of its planes lasts, in integration times of the array.
    lines_per_converter : int
        Sensed lines that share a converter (analog).
    tiles_per_converter : int
        Tiles that share a set of converters, which turns to one after the other (analog).
    accumulate : {"analog", "popcount"}
    transposed : bool
        Whether word lines are sensed and bit lines driven: the backward read.
    adders : int
        Full adders that one weight bit passes (popcount): 1 in a counter; more where every cell has an adder for each
        bit of its running sum.
    """

    driven: int
    sensed: int
    tile_driven: int
    tile_sensed: int
    phases: tuple[tuple[int, ...], ...]
    lines_per_converter: int = 1
    tiles_per_converter: int = 1
    accumulate: str = "analog"
    transposed: bool = False
    adders: int = 1

    @property
    def planes(self) -> int:
        """Planes of all phases."""
        return sum(len(phase) for phase in self.phases)

    @property
    def tiles_driven(self) -> int:
        """Tiles over which the sum of one output is spread."""
        return -(-self.driven // self.tile_driven)

    @property
    def sums(self) -> int:
        """Partial sums that leave the tiles and are added: one per output, tile and phase, or plane of a count."""
        groups = self.planes if self.accumulate == "popcount" else len(self.phases)
        return groups * self.tiles_driven * self.sensed

    @property
    def rows(self) -> int:
        """Driven lines of the fullest tile: the largest magnitude of its sums."""
        return min(self.driven, self.tile_driven)

    @property
    def turns(self) -> int:
        """Word lines of the fullest tile: a count serves one after the other in either direction."""
        return min(self.sensed, self.tile_sensed) if self.transposed else self.rows

    @property
    def count_bits(self) -> int:
        """Width of a counter that holds every sum of a tile: 0 to `rows` bits that agree."""
        return self.rows.bit_length()

    def counts(self) -> Counts:
        """Return the operations of the read, int64[operation]: sums formed, converted or counted, and added."""
        counts = np.zeros(len(OPERATIONS), np.int64)
        if self.accumulate == "popcount":
            bits = self.planes * self.driven * self.sensed * self.adders
            counts[operation_index("popcount", "bit")] = bits
        else:
            counts[operation_index("adc", "convert")] = self.sums
            steps = sum(sum(phase) for phase in self.phases)
            counts[operation_index("adc", "integrate")] = steps * self.tiles_driven * self.sensed
        counts[operation_index("digital", "add")] = self.sums
        return counts

    def ticks(self, times: LookTimes) -> int:
        """Return how long the read takes; all tiles work in lock-step."""
        if self.accumulate == "popcount":
            # The carries of the last row run through the counter before the next plane begins.
            return self.planes * (times.drive + (self.turns + self.count_bits) * times.step)
        integration = sum(times.drive + n * times.integrate for phase in self.phases for n in phase)
        return integration + len(self.phases) * self._conversion(times)

    def conversions(self, times: LookTimes, first: int = 0) -> tuple[tuple[int, int], ...]:
        """Return when converters work, as pairs of the tick they begin and the ticks they take; none in a count.

        Parameters
        ----------
        times : LookTimes
        first : int
            Tick at which the read begins.
        """
        if self.accumulate == "popcount":
            return ()
        found, tick, convert = [], first, self._conversion(times)
        for phase in self.phases:
            tick += sum(times.drive + n * times.integrate for n in phase)
            found.append((tick, convert))
            tick += convert
        return tuple(found)

    def _conversion(self, times: LookTimes) -> int:
        """Return how long the converters take to convert the sums of one phase."""
        columns = min(self.sensed, self.tile_sensed, self.lines_per_converter)
        return columns * self.tiles_per_converter * times.convert
