"""What a query and an update consist of: operations for the ledger, stages for the clock.

A stage is one operation of one resource: the tiles of a layer in lock-step, the digital unit, the write drivers.
Everything that does not depend on data is worked out once; what does (driven lines, pulses) is added per query.

The digital unit does per unit of a layer and sample: normalisation 3 multiply-accumulates, activation 1 addition;
per layer and sample a root and a division; per class an exponential and a logarithm for the uncertainties;
backwards 4 multiply-accumulates per unit for the normalisation. The rule's operations per synapse are the rule's
own (`bimu_hw.learning.rules`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bimu_hw.accelerator.architecture import PLAIN, Architecture
from bimu_hw.accelerator.clock import to_ticks
from bimu_hw.accelerator.looks import LookTimes, TileRead
from bimu_hw.accelerator.machine import Segment, span
from bimu_hw.accelerator.stage import RESOURCES, Block, Stage
from bimu_hw.cards import Card
from bimu_hw.crossbar.chip import Chip
from bimu_hw.crossbar.synapses import Programming, SynapseArray
from bimu_hw.ledger import AreaBlock, Entry
from bimu_hw.operations import layer_counts, new_counts, operation_index, phase_index

#: Bits of a normalised sum that is kept for the backward pass.
KEPT_BITS = 16
#: Bits of an unlimited residue register: a float32.
FLOAT_BITS = 32
#: Lines that are counted for the price of one addition: a full adder each, as many as an adder has.
COUNTED_BITS = 16

#: Bits of a column sum that no converter has rounded, on its way to the digital unit: as many as are kept.
EXACT_BITS = KEPT_BITS

Counts = npt.NDArray[np.int64]


class Piece(NamedTuple):
    """Work of a job that is done without a break.

    Attributes
    ----------
    blocks : tuple of Block
        What it comes to.
    segment : Segment
        Its stages, as units that they occupy.
    stages : sequence of Stage
        Of one chain.
    more : sequence of Stage
        What follows them: the pulses of an update.
    """

    blocks: tuple[Block, ...]
    segment: Segment
    stages: Sequence[Stage]
    more: Sequence[Stage] = ()


class Written(NamedTuple):
    """What programming takes in one layer: numbers of pulses, of rows that are selected, and of cells that are read."""

    up: int
    down: int
    rows: int
    reads: int


#: The operations of `Written`, in its order.
WRITTEN_OPERATIONS = (
    operation_index("storage", "pulse_up"), operation_index("storage", "pulse_down"),
    operation_index("write_driver", "row"), operation_index("storage", "read"),
)  # fmt: skip


class WorkPlan:
    """Operation counts and stages of queries and updates on one chip.

    Parameters
    ----------
    chip : Chip
    components, storage, sampler : Card
        The component card must be for the scenario's converter resolution.
    input_slots : tuple of int
        Planes that an example takes at the first layer: how long each lasts, in integration times.
    input_bits : int
        Bits of an input that are read from the input buffer, per line.
    columns_per_adc : int
    rule_operations : tuple of int
        Multiply-accumulates and functions per synapse and update.
    relaxed : bool
        Whether updates draw their own weights, so that the query's are of no use to them.
    rule_memory_bits : int
        Bits per synapse that the rule keeps for itself and reads at every update (the prior of BayesBiNN).
    rule_reads_lam : bool
        Whether an update reads the stored lam of every cell.
    rule_writes_memory : bool
        Whether the rule writes the bits that it keeps at every update (the moments of Adam).
    architecture : Architecture
    """

    def __init__(
        self, chip: Chip, components: Card, storage: Card, sampler: Card, *, input_slots: tuple[int, ...],
        input_bits: int,
        columns_per_adc: int, rule_operations: tuple[int, int], relaxed: bool, rule_memory_bits: int = 0,
        rule_reads_lam: bool = True, rule_writes_memory: bool = False, architecture: Architecture = PLAIN,
    ) -> None:  # fmt: skip
        self._chip = chip
        self.architecture = architecture
        self._input_slots = input_slots
        self._input_bits = input_bits
        self._columns_per_adc = columns_per_adc
        self._rule_operations = rule_operations
        self._rule_memory_bits = rule_memory_bits
        self._rule_reads_lam = rule_reads_lam
        self._rule_writes_memory = rule_writes_memory
        cost = {name: fact.value for name, fact in components.costs.items()}
        name = components.name
        self._digital = to_ticks(cost["digital_time"], f"{name}, digital_time")
        self._lanes = int(cost["digital_lanes"])
        self._write_row = to_ticks(cost["write_row_time"], f"{name}, write_row_time")
        self._times = LookTimes(
            to_ticks(cost["driver_time"], f"{name}, driver_time"),
            to_ticks(sampler.costs["read_time"].value, f"{sampler.name}, read_time"),
            to_ticks(cost["adc_convert_time"], f"{name}, adc_convert_time"),
            to_ticks(cost["popcount_time"], f"{name}, popcount_time"),
        )
        self._fresh = to_ticks(sampler.costs["sample_time"].value, f"{sampler.name}, sample_time")
        self._read_lam = to_ticks(storage.costs["read_time"].value, f"{storage.name}, read_time")
        self._width_up = to_ticks(storage.costs["pulse_width_up"].value, f"{storage.name}, pulse_width_up")
        self._width_down = to_ticks(storage.costs["pulse_width_down"].value, f"{storage.name}, pulse_width_down")
        self._link = to_ticks(cost["link_time"], f"{name}, link_time")
        self._link_bits = int(cost["link_bits"])
        #: V**2 t of one look, in volt-squared seconds: times a conductance, joules.
        self.volt2_second = sampler.costs["read_voltage"].value ** 2 * sampler.costs["read_time"].value
        counts, sample_stages = self._plan_inference()
        self.inference_stages = sample_stages * chip.n_sample
        #: What one query's inference takes apart from its data.
        self.inference = Entry.of(counts)
        updates, self.update_stages = self._plan_update()
        #: The same of one update, by index of the phase, without its forward pass and its pulses.
        self.update = tuple((phase, Entry.of(part)) for phase, part in enumerate(updates) if part.any())
        n_layers = len(chip.layers)
        segment = architecture.segment(sample_stages, chip.n_sample, n_layers)
        self.inference_block, self.update_block = Block.of(self.inference_stages), Block.of(self.update_stages)
        if architecture.pipeline != "none":
            ticks, _ = span([segment], architecture.capacities(n_layers))
            self.inference_block = self.inference_block._replace(ticks=ticks)
        self.inference_piece = Piece((self.inference_block,), segment, sample_stages)
        self._update_segment = architecture.segment(self.update_stages, 1, n_layers)
        self.refresh = self._plan_refresh()
        self.reforward = relaxed
        self._written: dict[int, tuple[npt.NDArray[np.int64], tuple[int, int]]] = {}
        self._write_stages = [Stage("write_drivers", 0, layer=k) for k in range(n_layers)]
        self._last_piece: tuple[list[Stage], Piece] | None = None
        self.area = self._plan_area({"component": components, "storage": storage, "sampler": sampler})
        #: Multiply-accumulates of one query: every weight of every sample, once.
        self.macs = chip.n_sample * sum(synapses.lam.size for synapses in chip.layers)

    @property
    def inference_ticks(self) -> int:
        """Duration of one query's inference, where nothing else goes on."""
        return self.inference_block.ticks

    def least_ticks(self, passes: float, updates: float) -> float:
        """Return the least ticks that the chip needs per query in the long run: its forward passes and updates."""
        architecture, n_layers = self.architecture, len(self._chip.layers)
        forward, update = self.inference_piece.segment, self._update_segment
        if architecture.pipeline != "queries":
            return passes * self.inference_block.ticks + updates * self.update_block.ticks
        capacities = np.array(architecture.capacities(n_layers))
        busy = np.bincount(forward.units, forward.ticks, len(capacities)) * forward.chains * passes
        busy += np.bincount(update.units, update.ticks, len(capacities)) * updates
        return float(max((busy / capacities).max(), self.inference_block.ticks / architecture.in_flight))

    @property
    def resources(self) -> tuple[str, ...]:
        """What stages occupy."""
        return (*RESOURCES, "interconnect") if self.architecture.tile_groups else RESOURCES

    def capacity(self, resource: str) -> int:
        """Return how many units of a resource can work side by side."""
        architecture = self.architecture
        if architecture.pipeline == "none":
            return 1
        if resource == "controller":
            # Queries, an update and a refresh.
            return architecture.in_flight + 2 if architecture.pipeline == "queries" else 1
        units = {"digital": architecture.digital_units, "interconnect": architecture.tile_groups}
        return units.get(resource, len(self._chip.layers))

    def look_ticks(self, holds: str) -> int:
        """Return the shortest time between two draws of one cell's weight: a look, or a sample of the whole network."""
        stages = self.inference_piece.stages
        if holds == "read":
            shape = self._chip.layers[0].shape
            return self._fresh_ticks(shape) + self._read(shape, (1,)).ticks(self._times)
        if self.architecture.pipeline != "none":
            return min(stage.ticks for stage in stages if stage.resource == "arrays")
        return sum(stage.ticks for stage in stages)

    def samplers(self, layer: int) -> int:
        """Return how many sampling elements a layer has."""
        shape, per_tile = self._chip.layers[layer].shape, self.architecture.samplers_per_tile
        return self._tiles(shape) * min(per_tile, self._tile_cells(shape)) if per_tile else shape[0] * shape[1]

    def _tiles(self, shape: tuple[int, int]) -> int:
        along, across = self._chip.arrays.tiles(shape)
        return along * across

    def _tile_cells(self, shape: tuple[int, int]) -> int:
        arrays = self._chip.arrays
        return min(shape[0], arrays.tile_wordlines) * min(shape[1], arrays.tile_bitlines)

    def _fresh_ticks(self, shape: tuple[int, int]) -> int:
        """Return how long the weights of a layer take to be drawn anew: in turn, where cells share an element."""
        per_tile = self.architecture.samplers_per_tile
        return self._fresh * (-(-self._tile_cells(shape) // per_tile) if per_tile else 1)

    def _read(self, shape: tuple[int, int], slots: tuple[int, ...], transposed: bool = False) -> TileRead:
        """Return the read of a layer's tiles: one look per plane, forwards or backwards."""
        arrays = self._chip.arrays
        lines, tile = shape, (arrays.tile_wordlines, arrays.tile_bitlines)
        if transposed:
            lines, tile = lines[::-1], tile[::-1]
        shared = min(self.architecture.tiles_per_adc, self._tiles(shape))
        phases = tuple((n,) for n in slots)
        return TileRead(*lines, *tile, phases, self._columns_per_adc, shared, arrays.accumulate, transposed)

    def _look(self, read: TileRead, fresh: int, layer: int) -> Stage:
        """Return the stage of a read that begins after the weights were drawn."""
        ticks = fresh + read.ticks(self._times)
        return Stage("arrays", ticks, self.samplers(layer), layer, read.conversions(self._times, fresh))

    def _sum_bits(self, read: TileRead) -> int:
        """Return the bits of the partial sums that leave a layer's tiles in a read."""
        arrays = self._chip.arrays
        counted = arrays.accumulate == "popcount"
        return read.sums * (read.count_bits if counted else arrays.adc_bits or EXACT_BITS)

    def _move(self, counts: Counts, stages: list[Stage], layer: int, bits: int, times: int = 1) -> None:
        """Move bits between a layer's tile group and a digital unit, if there is a bus."""
        if self.architecture.tile_groups and bits:
            _add(counts, "link", "bit", bits * times)
            stages += [Stage("interconnect", -(-bits // self._link_bits) * self._link, layer=layer)] * times

    def _digital_ticks(self, operations: int) -> int:
        return -(-operations // self._lanes) * self._digital

    def _plan_area(self, cards: Mapping[str, Card]) -> dict[str, AreaBlock]:
        """Return what takes area: cells, converters, and the periphery as one number."""
        chip = self._chip
        cells = sum(synapses.lam.size for synapses in chip.layers)
        converters, counters, amplifiers = 0, 0, 0
        for synapses in chip.layers:
            row_tiles, _ = chip.arrays.tiles(synapses.shape)
            n_out, width = synapses.shape[1], chip.arrays.tile_bitlines
            if chip.arrays.accumulate == "popcount":
                amplifiers += row_tiles * n_out
                counters += row_tiles * n_out * self._read(synapses.shape, (1,)).count_bits
                continue
            of_tiles = [-(-min(width, n_out - start) // self._columns_per_adc) for start in range(0, n_out, width)]
            # Tiles that share a set of converters have one as large as the largest of them needs.
            converters += sum((of_tiles * row_tiles)[:: self.architecture.tiles_per_adc])
        samplers = sum(self.samplers(k) for k in range(len(chip.layers)))
        inputs = chip.sizes[0] if chip.arrays.inputs == "analog" else 0
        return {
            "storage": AreaBlock.of(cells, "storage.area", cards),
            "sampler": AreaBlock.of(samplers, "sampler.area", cards),
            "adc": AreaBlock.of(converters, "component.adc_area", cards),
            "sense_amplifier": AreaBlock.of(amplifiers, "component.sense_area", cards),
            "popcount": AreaBlock.of(counters, "component.popcount_area", cards),
            "dac": AreaBlock.of(inputs, "component.dac_area", cards),
            "periphery": AreaBlock.of(1, "component.periphery_area", cards),
        }

    def _plan_inference(self) -> tuple[Counts, list[Stage]]:
        """Plan one query: for every sample, every layer's looks and what the digital unit does with them.

        Returns
        -------
        int64[layer, operation], list of Stage
            Counts of all samples; stages of one.
        """
        chip = self._chip
        by_layer = layer_counts(len(chip.layers))
        stages: list[Stage] = []
        last = len(chip.layers) - 1
        for k, synapses in enumerate(chip.layers):
            counts = by_layer[k]
            n_in, n_out = synapses.shape
            slots = self._input_slots if k == 0 else (1,) * chip.hidden_plane_count()
            planes = len(slots)
            read = self._read(synapses.shape, slots)
            cells = n_in * n_out
            looks = planes if synapses.spec.holds == "read" else 1
            latched = synapses.spec.holds == "query"
            fresh = looks * self._fresh_ticks(synapses.shape)
            if synapses.sampler.store_reads == "sample":
                # A digital sampler compares stored values, so it reads the store row by row for every sample.
                _add(counts, "storage", "read", cells)
                fresh += min(n_in, chip.arrays.tile_wordlines) * self._read_lam
            if k == 0 and chip.arrays.inputs == "analog":
                _add(counts, "dac", "convert", n_in)
            more = n_out
            if chip.arrays.columns == "xnor":
                # What the lines that are on add to every column is known from their number.
                more += planes * -(-n_in // COUNTED_BITS)
            adds = read.sums + more
            macs = 3 * n_out + (n_out if k == last else 0)
            functions = 2 + (2 * n_out if k == last else 0)
            _add(counts, "sampler", "bit", looks * cells)
            _add(counts, "sampler", "latch", latched * cells)
            counts += read.counts()
            _add(counts, "digital", "add", more)
            _add(counts, "digital", "mac", macs)
            _add(counts, "digital", "function", functions)
            in_bits = n_in * (self._input_bits if k == 0 else 1)
            _add(counts, "buffer", "read", in_bits)
            _add(counts, "buffer", "write", n_out * (1 if k < last else KEPT_BITS))
            _add(counts, "buffer", "read", chip.normalisation_bits * n_out)
            self._move(counts, stages, k, in_bits)
            stages.append(self._look(read, fresh, k))
            self._move(counts, stages, k, self._sum_bits(read))
            stages.append(Stage("digital", self._digital_ticks(adds + macs + functions), layer=k))
        return by_layer * chip.n_sample, stages

    def _plan_update(self) -> tuple[Counts, list[Stage]]:
        """Plan one update without its forward pass and its pulses.

        Returns
        -------
        int64[phase, layer, operation], list of Stage
        """
        chip = self._chip
        n_sample = chip.n_sample
        counts = new_counts(len(chip.layers))
        stages: list[Stage] = []
        for k in range(len(chip.layers) - 1, -1, -1):
            backward = counts[phase_index("backward"), k]
            n_in, n_out = chip.layers[k].shape
            macs = 4 * n_out * n_sample
            macs += n_in * n_out * n_sample if k > 0 else n_in * n_out + n_out * n_sample
            _add(backward, "digital", "mac", macs)
            _add(backward, "digital", "function", n_sample)
            _add(backward, "buffer", "write", n_out * n_sample * KEPT_BITS)
            _add(backward, "buffer", "read", n_out * n_sample * KEPT_BITS)
            stages.append(Stage("digital", self._digital_ticks(macs + n_sample), layer=k))
            if k > 0:
                slots = chip.arrays.gradient_slots
                planes = len(slots)
                back = self._read((n_in, n_out), slots, transposed=True)
                looks = planes * n_sample
                if chip.layers[k].spec.holds == "read":
                    _add(backward, "sampler", "bit", looks * n_in * n_out)
                backward += n_sample * back.counts()
                _add(backward, "digital", "add", n_in * n_sample)
                fresh = planes * self._fresh if chip.layers[k].spec.holds == "read" else 0
                self._move(backward, stages, k, n_out * (chip.arrays.gradient_bits or EXACT_BITS), n_sample)
                stages += [self._look(back, fresh, k)] * n_sample
                self._move(backward, stages, k, self._sum_bits(back), n_sample)
        for k, synapses in enumerate(chip.layers):
            read, rule = (counts[phase_index(phase), k] for phase in ("read_lambda", "rule"))
            n_in, n_out = synapses.shape
            cells = n_in * n_out
            macs, functions = self._rule_operations
            if self._rule_reads_lam:
                _add(read, "storage", "read", cells)
                rows = min(n_in, chip.arrays.tile_wordlines)
                stages.append(Stage("arrays", rows * self._read_lam, layer=k))
                self._move(read, stages, k, cells * self._lam_bits(synapses))
            _add(rule, "digital", "mac", macs * cells)
            _add(rule, "digital", "function", functions * cells)
            _add(rule, "digital", "add", cells)
            if synapses.spec.policy == "residue" and synapses.grid.quantum == 1.0:
                bits = synapses.spec.residue_bits or FLOAT_BITS
                _add(rule, "buffer", "read", bits * cells)
                _add(rule, "buffer", "write", bits * cells)
            _add(rule, "buffer", "read", self._rule_memory_bits * cells)
            _add(rule, "buffer", "write", self._rule_writes_memory * self._rule_memory_bits * cells)
            if chip.normalisation_bits:
                # Running statistics: two products and two sums per unit and sample.
                _add(rule, "digital", "mac", 4 * n_out * n_sample)
                _add(rule, "buffer", "read", chip.normalisation_bits * n_out)
                _add(rule, "buffer", "write", chip.normalisation_bits * n_out)
            stages.append(Stage("digital", self._digital_ticks((macs + functions + 1) * cells), layer=k))
        return counts, stages

    def _lam_bits(self, synapses: SynapseArray) -> int:
        """Return the bits of a level on its way to the rule."""
        grid = synapses.grid
        return max(1, int(2 * grid.level_max).bit_length()) if grid.quantum == 1.0 else EXACT_BITS

    def _plan_refresh(self) -> tuple[Entry, Piece]:
        """Plan a refresh: every cell is read and written back as it was, row by row, tiles side by side."""
        chip = self._chip
        by_layer = layer_counts(len(chip.layers))
        stages = []
        for k, synapses in enumerate(chip.layers):
            n_in, n_out = synapses.shape
            rows = min(n_in, chip.arrays.tile_wordlines)
            groups = -(-min(n_out, chip.arrays.tile_bitlines) // chip.arrays.write_columns)
            _add(by_layer[k], "storage", "read", n_in * n_out)
            _add(by_layer[k], "storage", "pulse_up", n_in * n_out)
            along, across = chip.arrays.tiles(synapses.shape)
            _add(by_layer[k], "write_driver", "row", n_in * self._column_groups(n_out))
            stages.append(Stage("arrays", rows * self._read_lam, layer=k))
            one = rows * groups * (self._write_row + self._width_up)
            stages.append(Stage("write_drivers", one * self._rounds(along * across), layer=k))
        segment = self.architecture.segment(stages, 1, len(chip.layers))
        return Entry.of(by_layer), Piece((Block.of(stages),), segment, stages)

    def _column_groups(self, n_out: int) -> int:
        """Return how many groups of columns the tiles of one row of tiles are written in."""
        width, at_once = self._chip.arrays.tile_bitlines, self._chip.arrays.write_columns
        return sum(-(-min(width, n_out - start) // at_once) for start in range(0, n_out, width))

    def _rounds(self, tiles: int) -> int:
        """Return how often the write drivers of a layer turn to other tiles."""
        drivers = self.architecture.write_drivers
        return -(-tiles // drivers) if drivers else 1

    def kept_bits(self) -> int:
        """Return the bits of one example that wait for a late label: its inputs, at the first layer."""
        return self._chip.sizes[0] * self._input_bits

    @property
    def joules_per_siemens(self) -> float:
        """What is dissipated in the arrays for every siemens of driven cells: V**2 t."""
        # Bits that are counted are read by their amplifiers or latches, and no current flows through a column.
        return self.volt2_second if self._chip.arrays.accumulate == "analog" else 0.0

    def programming(self, done: Sequence[Programming]) -> tuple[list[Written], list[Stage]]:
        """Return, of programming one update's pulses, what each layer takes and the stages."""
        written, stages = [], []
        retries = self.architecture.verify_retries
        times = 1 + max(retries, 0)
        for k, layer in enumerate(done):
            up, down = layer.pulses_up * times, (layer.pulses_down + layer.refresh_pulses) * times
            rows, ticks = self._writing_of(layer.tiles)
            written.append(Written(up, down, rows, up + down if retries >= 0 else 0))
            if ticks:
                stages.append(self.write_stage(k, ticks))
        return written, stages

    def write_stage(self, layer: int, ticks: int) -> Stage:
        """Return the stage of programming a layer; the last one if it takes as long."""
        if self._write_stages[layer].ticks != ticks:
            self._write_stages[layer] = Stage("write_drivers", ticks, layer=layer)
        return self._write_stages[layer]

    def _writing_of(self, tiles: npt.NDArray[np.int64]) -> tuple[int, int]:
        """Return row-wise operations and ticks of writing tiles; remembered for those that cannot change."""
        known = self._written.get(id(tiles))
        if known is not None:
            return known[1]
        retries = self.architecture.verify_retries
        times, verify = 1 + max(retries, 0), self._read_lam if retries >= 0 else 0
        slot_ticks = np.array([self._write_row, self._width_up + verify, self._width_down + verify]) * times
        work = int(tiles[:, 0].sum()) * times, self._busiest(tiles @ slot_ticks)
        if not tiles.flags.writeable:
            # Kept with the array, so that no other one gets its number.
            self._written[id(tiles)] = tiles, work
        return work

    def _busiest(self, ticks: npt.NDArray[np.int64]) -> int:
        """Return how long the busiest driver writes: each has a tile, or every so-manieth one after the other."""
        drivers = self.architecture.write_drivers
        if not drivers or drivers >= len(ticks):
            return int(ticks.max())
        return max(int(ticks[first::drivers].sum()) for first in range(drivers))

    def update_piece(self, programming: list[Stage]) -> Piece:
        """Return the work of an update without its forward pass; that of the last one if it is the same."""
        if self._last_piece is not None and self._last_piece[0] == programming:
            return self._last_piece[1]
        segment = self._update_segment
        if programming:
            more = self.architecture.segment(programming, 1, len(self._chip.layers))
            segment = Segment(1, np.append(segment.units, more.units), np.append(segment.ticks, more.ticks))
        ticks = sum(stage.ticks for stage in programming)
        block = Block(ticks, len(programming), (("write_drivers", len(programming), ticks),), ())
        piece = Piece((self.update_block, block), segment, self.update_stages, programming)
        self._last_piece = programming, piece
        return piece


def _add(counts: Counts, component: str, name: str, n: int) -> None:
    counts[operation_index(component, name)] += n
