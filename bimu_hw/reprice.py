"""Price a finished run again: what it would have cost with other cards, without simulating again.

A run's record holds what was counted, for the run and for every query, so new prices need no new simulation, and the
record that comes out equals that of a simulation with the other cards. That holds for prices alone: energies, powers
and areas. Anything else a card says shapes what happens (times, bits, levels, noise) or what the arrays dissipate (the
conductances and the voltage of a read, whose energy is summed while it happens); a card that changes it is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bimu_hw.cards import Card, Fact, load_card, load_component_card
from bimu_hw.costs import components_in_use, costs_of
from bimu_hw.crossbar.readout import Wires
from bimu_hw.errors import RunError
from bimu_hw.ledger import AreaBlock, price
from bimu_hw.record import RUN_FILE, area_values, group_dataset, group_variables, ledger_values, open_run
from bimu_hw.report.account import check_operations
from bimu_hw.scenario.model import Scenario
from bimu_hw.scenario.recorded import scenario_from_attrs
from bimu_hw.units import format_quantity

if TYPE_CHECKING:
    import xarray as xr

#: Units of prices: what a card says in any other shapes the run.
_PRICES = ("J", "W", "m^2", "m2")
#: Sizes that a card's prices hold for; the scenario's own sizes are those of the chip.
_SIZES = ("adc_reference_bits", "dac_reference_bits", "digital_reference_bits", "line_reference_cells")


def reprice(path: str | Path, cards: Mapping[str, str], folder: str | Path | None = None) -> xr.DataTree:
    """Return the record of a run as it would be with other cards.

    Parameters
    ----------
    path : str or Path
        The run's folder, or its ``run.nc``.
    cards : mapping of str to str
        The other cards, by role ("storage", "sampler", "components"): a name, or a path that ends in ``.toml``. Values
        that the scenario puts in place of a card's stay in place, if the run's own card is still at hand to tell them.
    folder : str or Path, optional
        Folder of the run's scenario; see `bimu_hw.scenario.recorded.scenario_from_record`.

    Returns
    -------
    xarray.DataTree
        Complete: its scenario, hash and digests are those of the other cards. States are read from the old file when
        they are used.

    Raises
    ------
    RunError
        If a card changes more than prices, or the scenario cannot be rebuilt.
    CardError
        If a card does not exist or is malformed.
    SchemaError
        If the file is not a run of this schema version.
    """
    import xarray as xr

    tree = open_run(path)
    check_operations(tree)
    file = Path(path) / RUN_FILE if Path(path).is_dir() else Path(path)
    old = scenario_from_attrs({str(name): value for name, value in tree.attrs.items()}, file, folder)
    new = _with_cards(old, cards)
    _refuse_more_than_prices(old, new)
    groups = {node.path: node.to_dataset(inherit=False) for node in tree.subtree}
    area, ledger, queries = (groups[name] for name in ("/area", "/ledger", "/queries"))
    blocks = {
        str(name): AreaBlock(int(count), str(key), 0.0)
        for name, count, key in zip(area["block"].values, area["count"].values, area["key"].values, strict=True)
    }
    costs = costs_of(new, blocks)
    values = {
        "/ledger": ledger_values(ledger["count"].values, ledger["array_energy"].values, costs),
        "/area": area_values(costs.blocks),
    }
    groups |= {group: group_dataset(group, group_variables(group), found) for group, found in values.items()}
    energy = price(queries["count"].values, queries["array_energy"].values, costs.table.joules)
    groups["/queries"] = queries.assign(energy=(queries["energy"].dims, energy, queries["energy"].attrs))
    groups["/"] = groups["/"].assign_attrs(_attrs(new))
    return xr.DataTree.from_dict(groups)


def _attrs(scenario: Scenario) -> dict[str, Any]:
    """Return the attributes of a record that depend on its cards."""
    return {
        "scenario_hash": scenario.hash,
        "resolved_scenario": json.dumps(scenario.resolved(), sort_keys=True),
        "storage_card_hash": scenario.storage_card.digest,
        "sampler_card_hash": scenario.sampler_card.digest,
        "component_card_hash": scenario.component_card.digest,
    }


def _with_cards(scenario: Scenario, names: Mapping[str, str]) -> Scenario:
    """Return the scenario with other cards, in which its own values are put."""
    found = {}
    for role, name in names.items():
        card = load_component_card(name) if role == "components" else load_card(name)
        before = _cards(scenario)[role]
        if card.model != before.model:
            raise RunError(
                f"{role} card {card.name!r}: is of model {card.model!r}, and the run's of {before.model!r}; "
                "another physics is another run: simulate it."
            )
        mine = {key: fact for key, fact in before.facts.items() if fact.why == "set by the scenario"}
        params, costs, common = (
            {**section, **{key: fact for key, fact in mine.items() if key in own}}
            for section, own in (
                (card.params, before.params), (card.costs, before.costs), (card.nonidealities, before.nonidealities)
            )
        )  # fmt: skip
        found[role] = card.with_facts(params, costs, common)
    return scenario.with_cards(found, {role: names[role] for role in found})


def _cards(scenario: Scenario) -> dict[str, Card]:
    return {"storage": scenario.storage_card, "sampler": scenario.sampler_card, "components": scenario.component_card}


def _refuse_more_than_prices(old: Scenario, new: Scenario) -> None:
    """Raise `RunError` for the first value that differs and is not a price."""
    before, after = _cards(old), _cards(new)
    # Times of converters at the scenario's resolution: a card may state them at another one.
    before["components"], after["components"] = components_in_use(old), components_in_use(new)
    idle = {"sense_time"} | (set(Wires._fields) if old.crossbar.ir_drop == "none" else set())
    for role, card in after.items():
        was, now = before[role].facts, card.facts
        for key in sorted(set(was) | set(now)):
            if key in _SIZES or (role == "components" and key in idle):
                continue
            a, b = was.get(key), now.get(key)
            if (a or b).unit in _PRICES or (a and b and a.value == b.value):  # type: ignore[union-attr]
                continue
            raise RunError(
                f"{role} card {card.name!r}, {key}: is {_words(b)}, and {_words(a)} in the run; that changes what "
                "happens and not only what it costs: simulate it."
            )


def _words(fact: Fact | None) -> str:
    return "not stated" if fact is None else format_quantity(fact.value, fact.unit, 6)
