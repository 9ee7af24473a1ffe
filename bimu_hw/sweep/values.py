"""What the key of a scenario is worth in a checked scenario: an SI value, its unit and its meaning."""

from __future__ import annotations

import json
from typing import Any

from bimu_hw.cards import COMPONENT_COSTS, common_specs, device_specs
from bimu_hw.devices import get_model
from bimu_hw.scenario import Scenario
from bimu_hw.scenario.recorded import unit_of_key

_CARDS = {
    ("device", "storage_params"): "storage_card",
    ("device", "sampler_params"): "sampler_card",
    ("components", "params"): "component_card",
}


def value_of(scenario: Scenario, key: str) -> Any:
    """Return the value of a dotted key: a float in SI, a text for words, lists and truth values, None if it is idle."""
    parts = key.split(".")
    card = _CARDS.get((*parts[:2],)) if len(parts) == 3 else None  # type: ignore[arg-type]
    if card is not None:
        return float(getattr(scenario, card).facts[parts[2]].value)
    value: Any = scenario
    for part in parts:
        if isinstance(value, (tuple, list)):
            value = value[int(part)]
        elif value is not None:
            value = getattr(value, part)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return float(value)
    # A list of tables, such as pauses, as the scenario has it.
    return json.dumps([one.model_dump(mode="json") if hasattr(one, "model_dump") else one for one in value])


def attrs_of(scenario: Scenario, key: str) -> dict[str, str]:
    """Return ``key``, ``units`` and ``long_name`` of a dotted key."""
    parts = key.split(".")
    card = _CARDS.get((*parts[:2],)) if len(parts) == 3 else None  # type: ignore[arg-type]
    if card is not None:
        loaded = getattr(scenario, card)
        specs = COMPONENT_COSTS if card == "component_card" else _specs(loaded.model)
        return {"key": key, "units": loaded.facts[parts[2]].unit, "long_name": specs[parts[2]].doc.rstrip(".")}
    unit, meaning = unit_of_key(parts)
    return {"key": key, "units": unit, "long_name": meaning.split(":")[0].split(";")[0].rstrip(".")}


def _specs(name: str) -> dict[str, Any]:
    model = get_model(name)
    params, costs = device_specs(model)
    return {**params, **costs, **common_specs(model)}
