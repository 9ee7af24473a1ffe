"""What a scenario's operations, array reads and areas cost: its three cards, at the sizes the scenario has."""

from __future__ import annotations

from collections.abc import Mapping

from bimu_hw.cards import Card
from bimu_hw.crossbar.readout import Wires
from bimu_hw.ledger import AreaBlock, CostTable, ReadPrice
from bimu_hw.record import Costs
from bimu_hw.scaling import scale_adc, scale_dac, scale_digital, scale_lines
from bimu_hw.scenario import Scenario


def components_in_use(scenario: Scenario) -> Card:
    """Return the component card at the resolution and kind of the scenario's converters and the length of its lines."""
    crossbar = scenario.crossbar
    cells = crossbar.tile_bitlines * (2 if crossbar.columns == "differential" else 1)
    card = scale_dac(scale_adc(scenario.component_card, crossbar.adc_bits, crossbar.adc), crossbar.dac_bits)
    width = scenario.architecture.digital_bits
    return scale_lines(card if width is None else scale_digital(card, width), cells)


def costs_of(scenario: Scenario, blocks: Mapping[str, AreaBlock]) -> Costs:
    """Return what operations, array reads and area cost with the cards of a scenario."""
    components, sampler = components_in_use(scenario), scenario.sampler_card
    cards = {"component": components, "storage": scenario.storage_card, "sampler": sampler}
    wires = [components.costs[name] for name in Wires._fields] if scenario.crossbar.ir_drop == "exact" else []
    return Costs(
        CostTable.from_cards(cards), ReadPrice.from_cards(sampler, wires),
        {name: AreaBlock.of(block.count, block.key, cards) for name, block in blocks.items()},
    )  # fmt: skip
