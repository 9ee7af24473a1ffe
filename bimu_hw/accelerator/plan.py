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
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from bimu_hw.accelerator.clock import to_ticks
from bimu_hw.cards import Card
from bimu_hw.crossbar.chip import Chip
from bimu_hw.crossbar.readout import Reads
from bimu_hw.crossbar.synapses import Programming
from bimu_hw.ledger import AreaBlock, Entry
from bimu_hw.operations import CHIP, layer_counts, new_counts, operation_index, phase_index

#: Bits of a normalised sum that is kept for the backward pass.
KEPT_BITS = 16
#: Bits of an unlimited residue register: a float32.
FLOAT_BITS = 32
#: Lines that are counted for the price of one addition: a full adder each, as many as an adder has.
COUNTED_BITS = 16

RESOURCES = ("controller", "arrays", "digital", "write_drivers")

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Stage:
    """One operation of one resource.

    Attributes
    ----------
    resource : str
    ticks : int
    biased : int
        Sampling elements that are biased meanwhile: those of the layer whose array is looked at.
    layer : int
    """

    resource: str
    ticks: int
    biased: int = 0
    layer: int = CHIP


class Block(NamedTuple):
    """Stages that follow each other, and what they come to.

    Attributes
    ----------
    ticks : int
    n_stages : int
    use : tuple of (str, int, int)
        Events and ticks of each resource.
    biased_ticks : tuple of (int, int)
        Layers, and ticks times the sampling elements that are biased meanwhile.
    """

    ticks: int
    n_stages: int
    use: tuple[tuple[str, int, int], ...]
    biased_ticks: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, stages: Sequence[Stage]) -> Block:
        """Add up stages."""
        use: dict[str, tuple[int, int]] = {}
        biased: dict[int, int] = {}
        for stage in stages:
            events, ticks = use.get(stage.resource, (0, 0))
            use[stage.resource] = events + 1, ticks + stage.ticks
            if stage.biased:
                biased[stage.layer] = biased.get(stage.layer, 0) + stage.biased * stage.ticks
        return cls(
            sum(stage.ticks for stage in stages), len(stages), tuple((name, *sums) for name, sums in use.items()),
            tuple(biased.items()),
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
    """

    def __init__(
        self, chip: Chip, components: Card, storage: Card, sampler: Card, *, input_slots: tuple[int, ...],
        input_bits: int,
        columns_per_adc: int, rule_operations: tuple[int, int], relaxed: bool, rule_memory_bits: int = 0,
        rule_reads_lam: bool = True, rule_writes_memory: bool = False,
    ) -> None:  # fmt: skip
        self._chip = chip
        self._input_slots = input_slots
        self._input_bits = input_bits
        self._columns_per_adc = columns_per_adc
        self._rule_operations = rule_operations
        self._rule_memory_bits = rule_memory_bits
        self._rule_reads_lam = rule_reads_lam
        self._rule_writes_memory = rule_writes_memory
        cost = {name: fact.value for name, fact in components.costs.items()}
        name = components.name
        self._drive = to_ticks(cost["driver_time"], f"{name}, driver_time")
        self._convert = to_ticks(cost["adc_convert_time"], f"{name}, adc_convert_time")
        self._digital = to_ticks(cost["digital_time"], f"{name}, digital_time")
        self._lanes = int(cost["digital_lanes"])
        self._write_row = to_ticks(cost["write_row_time"], f"{name}, write_row_time")
        self._integrate = to_ticks(sampler.costs["read_time"].value, f"{sampler.name}, read_time")
        self._fresh = to_ticks(sampler.costs["sample_time"].value, f"{sampler.name}, sample_time")
        self._read_lam = to_ticks(storage.costs["read_time"].value, f"{storage.name}, read_time")
        self._width_up = to_ticks(storage.costs["pulse_width_up"].value, f"{storage.name}, pulse_width_up")
        self._width_down = to_ticks(storage.costs["pulse_width_down"].value, f"{storage.name}, pulse_width_down")
        #: V**2 t of one look, in volt-squared seconds: times a conductance, joules.
        self.volt2_second = sampler.costs["read_voltage"].value ** 2 * sampler.costs["read_time"].value
        counts, self.inference_stages = self._plan_inference()
        #: What one query's inference takes apart from its data.
        self.inference = Entry.of(counts)
        updates, self.update_stages = self._plan_update()
        #: The same of one update, by index of the phase, without its forward pass and its pulses.
        self.update = tuple((phase, Entry.of(part)) for phase, part in enumerate(updates) if part.any())
        self.inference_block, self.update_block = Block.of(self.inference_stages), Block.of(self.update_stages)
        self.reforward = relaxed
        self.area = self._plan_area({"component": components, "storage": storage, "sampler": sampler})
        #: Multiply-accumulates of one query: every weight of every sample, once.
        self.macs = chip.n_sample * sum(synapses.lam.size for synapses in chip.layers)

    @property
    def inference_ticks(self) -> int:
        """Duration of one query's inference."""
        return sum(stage.ticks for stage in self.inference_stages)

    def look_ticks(self, holds: str) -> int:
        """Return the shortest time between two draws of one cell's weight: a look, or a sample of the whole network."""
        stages = self.inference_stages[: 2 * len(self._chip.layers)]
        if holds == "read":
            first = self._chip.layers[0].shape[1]
            columns = min(first, self._chip.arrays.tile_bitlines, self._columns_per_adc)
            return self._fresh + self._look((1,), columns)
        return sum(stage.ticks for stage in stages)

    def _look(self, slots: tuple[int, ...], columns: int) -> int:
        """Return the duration of one look per plane, `columns` columns sharing a converter."""
        return sum(self._drive + n * self._integrate + columns * self._convert for n in slots)

    def _digital_ticks(self, operations: int) -> int:
        return -(-operations // self._lanes) * self._digital

    def _plan_area(self, cards: Mapping[str, Card]) -> dict[str, AreaBlock]:
        """Return what takes area: cells, converters, and the periphery as one number."""
        chip = self._chip
        cells = sum(synapses.lam.size for synapses in chip.layers)
        converters = 0
        for synapses in chip.layers:
            row_tiles, _ = chip.arrays.tiles(synapses.shape)
            n_out, width = synapses.shape[1], chip.arrays.tile_bitlines
            converters += row_tiles * sum(
                -(-min(width, n_out - start) // self._columns_per_adc) for start in range(0, n_out, width)
            )
        inputs = chip.sizes[0] if chip.arrays.inputs == "analog" else 0
        return {
            "storage": AreaBlock.of(cells, "storage.area", cards),
            "sampler": AreaBlock.of(cells, "sampler.area", cards),
            "adc": AreaBlock.of(converters, "component.adc_area", cards),
            "dac": AreaBlock.of(inputs, "component.dac_area", cards),
            "periphery": AreaBlock.of(1, "component.periphery_area", cards),
        }

    def _plan_inference(self) -> tuple[Counts, list[Stage]]:
        """Plan one query: for every sample, every layer's looks and what the digital unit does with them.

        Returns
        -------
        int64[layer, operation], list of Stage
        """
        chip = self._chip
        by_layer = layer_counts(len(chip.layers))
        stages = []
        last = len(chip.layers) - 1
        per_sample = []
        for k, synapses in enumerate(chip.layers):
            counts = by_layer[k]
            n_in, n_out = synapses.shape
            slots = self._input_slots if k == 0 else (1,) * chip.hidden_plane_count()
            planes = len(slots)
            row_tiles, _ = chip.arrays.tiles(synapses.shape)
            cells = n_in * n_out
            looks = planes if synapses.spec.holds == "read" else 1
            latched = synapses.spec.holds == "query"
            fresh = looks * self._fresh
            if synapses.sampler.store_reads == "sample":
                # A digital sampler compares stored values, so it reads the store row by row for every sample.
                _add(counts, "storage", "read", cells)
                fresh += min(n_in, chip.arrays.tile_wordlines) * self._read_lam
            if k == 0 and chip.arrays.inputs == "analog":
                _add(counts, "dac", "convert", n_in)
            adds = planes * row_tiles * n_out + n_out
            if chip.arrays.columns == "xnor":
                # What the lines that are on add to every column is known from their number.
                adds += planes * -(-n_in // COUNTED_BITS)
            macs = 3 * n_out + (n_out if k == last else 0)
            functions = 2 + (2 * n_out if k == last else 0)
            _add(counts, "sampler", "bit", looks * cells)
            _add(counts, "sampler", "latch", latched * cells)
            _add(counts, "adc", "convert", planes * row_tiles * n_out)
            _add(counts, "digital", "add", adds)
            _add(counts, "digital", "mac", macs)
            _add(counts, "digital", "function", functions)
            _add(counts, "buffer", "read", n_in * (self._input_bits if k == 0 else 1))
            _add(counts, "buffer", "write", n_out * (1 if k < last else KEPT_BITS))
            _add(counts, "buffer", "read", chip.normalisation_bits * n_out)
            columns = min(n_out, chip.arrays.tile_bitlines, self._columns_per_adc)
            per_sample.append(Stage("arrays", fresh + self._look(slots, columns), cells, k))
            per_sample.append(Stage("digital", self._digital_ticks(adds + macs + functions), layer=k))
        for _ in range(chip.n_sample):
            stages += per_sample
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
                _, column_tiles = chip.arrays.tiles((n_in, n_out))
                looks = planes * n_sample
                if chip.layers[k].spec.holds == "read":
                    _add(backward, "sampler", "bit", looks * n_in * n_out)
                _add(backward, "adc", "convert", looks * column_tiles * n_in)
                _add(backward, "digital", "add", looks * column_tiles * n_in + n_in * n_sample)
                lines = min(n_in, chip.arrays.tile_wordlines, self._columns_per_adc)
                fresh = planes * self._fresh if chip.layers[k].spec.holds == "read" else 0
                ticks = fresh + self._look(slots, lines)
                stages += [Stage("arrays", ticks, n_in * n_out, k)] * n_sample
        for k, synapses in enumerate(chip.layers):
            read, rule = (counts[phase_index(phase), k] for phase in ("read_lambda", "rule"))
            n_in, n_out = synapses.shape
            cells = n_in * n_out
            macs, functions = self._rule_operations
            if self._rule_reads_lam:
                _add(read, "storage", "read", cells)
                rows = min(n_in, chip.arrays.tile_wordlines)
                stages.append(Stage("arrays", rows * self._read_lam, layer=k))
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

    def kept_bits(self) -> int:
        """Return the bits of one example that wait for a late label: its inputs, at the first layer."""
        return self._chip.sizes[0] * self._input_bits

    def read_joules(self, reads: Reads) -> npt.NDArray[np.float64]:
        """Return the energy dissipated in the arrays, float64[layer]: V**2 G t over driven cells."""
        return reads.conductance * self.volt2_second

    def programming(self, done: tuple[Programming, ...]) -> tuple[Entry, list[Stage]]:
        """Return counts and stages of programming one update's pulses, handed over layer by layer."""
        by_layer = layer_counts(len(self._chip.layers))
        stages = []
        for k, layer in enumerate(done):
            counts = by_layer[k]
            _add(counts, "storage", "pulse_up", layer.pulses_up)
            _add(counts, "storage", "pulse_down", layer.pulses_down + layer.refresh_pulses)
            _add(counts, "write_driver", "row", int(layer.tiles[:, 0].sum()))
            # Tiles are written side by side: the stage lasts as long as the busiest of them.
            ticks = layer.tiles @ np.array([self._write_row, self._width_up, self._width_down])
            if ticks.any():
                stages.append(Stage("write_drivers", int(ticks.max()), layer=k))
        return Entry.of(by_layer), stages


def _add(counts: Counts, component: str, name: str, n: int) -> None:
    counts[operation_index(component, name)] += n
