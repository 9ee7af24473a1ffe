"""Small chips for tests, built from cards with stated values."""

from __future__ import annotations

from typing import Any

import numpy as np

from bimu_hw.cards import Card, Fact, device_specs, neutral_values
from bimu_hw.crossbar.chip import Chip, Encoded
from bimu_hw.crossbar.readout import ArraySpec
from bimu_hw.crossbar.synapses import Seeds, SynapseSpec
from bimu_hw.devices import get_model


def make_card(model_name: str, **values: float) -> Card:
    """Return a card of a model: nonidealities neutral, everything else 1, but for the values given."""
    params, costs = device_specs(get_model(model_name))
    neutral = neutral_values(get_model(model_name))

    def facts(specs: dict[str, Any]) -> dict[str, Fact]:
        default = {"g_on": 2.0, "g_off": 1.0, **neutral}
        return {
            name: Fact(float(values.get(name, default.get(name, 1.0))), spec.unit, "assumed", why="test")
            for name, spec in specs.items()
        }

    return Card(f"test_{model_name}", model_name, "test", "", "test", facts(params), facts(costs), {})


def ideal_arrays(**changes: Any) -> ArraySpec:
    values = {
        "tile_wordlines": 128, "tile_bitlines": 128, "columns": "differential", "inputs": "analog", "adc_bits": 0,
        "adc_range": 1.0, "gradient_bits": 0, "write_columns": 32,
    }  # fmt: skip
    return ArraySpec(**{**values, **changes})


def synapse_spec(storage: Card | None = None, sampler: Card | None = None, **changes: Any) -> SynapseSpec:
    values: dict[str, Any] = {
        "storage": storage or make_card("ideal_storage"), "sampler": sampler or make_card("ideal_sampler"),
        "policy": "deterministic", "residue_bits": 0, "lam_max": 4.0, "holds": "query",
        "columns": "differential",
    }  # fmt: skip
    return SynapseSpec(**{**values, **changes})


def make_chip(sizes=(12, 9, 4), n_sample=3, *, arrays=None, synapses=None, seed=1, **options: Any) -> Chip:
    return Chip(
        sizes, arrays or ideal_arrays(), synapses or synapse_spec(), Seeds(seed, seed, seed), n_sample, **options
    )


def analog(x: np.ndarray) -> Encoded:
    x = np.asarray(x, np.float32)
    return Encoded(x[None, None, :], np.ones(1, np.float32), x[None, :])
