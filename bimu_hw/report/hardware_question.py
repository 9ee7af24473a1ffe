"""The hardware question: one stream on several stores, ways of programming and rules, what each learns and costs.

Rows are scenarios that differ from one file in the keys below; `bimu_hw.report.hardware_table` shows what came out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from bimu_hw.devices import get_model
from bimu_hw.record import open_run
from bimu_hw.scenario import Scenario, load_scenario
from bimu_hw.studies.measure import spread

#: The stores: name in the table, and the keys that make it of the scenario's, a memristor pair.
STORES: dict[str, tuple[str, ...]] = {
    "memristor pair, 16 levels": (),
    "domain wall, 8 positions": (
        "device.storage=dw_notched", "device.storage_params.n_levels=8", "device.storage_params.endurance=",
    ),
    "ideal, analog": ("device.storage=ideal_storage", "device.lam_max=", "device.storage_params.endurance="),
}  # fmt: skip
#: Ways of turning a request into pulses that need finite levels; an analog store does what it is asked.
PROGRAMMING: dict[str, tuple[str, ...]] = {
    "deterministic": ("device.programming=deterministic", "device.residue_bits="),
    "stochastic": ("device.programming=stochastic", "device.residue_bits="),
    **{f"residue, {bits} bits": ("device.programming=residue", f"device.residue_bits={bits}") for bits in (8, 12, 16)},
}
_AS_ASKED = ("device.programming=deterministic", "device.residue_bits=")
_NO_BIMU = tuple(
    f"learning.{key}=" for key in ("lr_max", "likelihood_multiplier", "kl_multiplier", "memory_window")
)  # fmt: skip
#: The rules. BayesBiNN's rate was chosen among 0.1 to 15 on the ideal store, seed 2, 3 tasks of 1,000 digits; its prior
#: strength is the published one.
RULES: dict[str, tuple[str, ...]] = {
    "BiMU": (),
    "BayesBiNN": (*_NO_BIMU, "learning.rule=bayesbinn", "learning.lr=5.0", "learning.prior_strength=1.25e-5"),
}
#: Rates of native programming, chosen the same way for each store among 0.3 to 10 (the memristor pair: 1 to 10).
NATIVE_LR = {"memristor pair, 16 levels": 1.0, "domain wall, 8 positions": 3.0, "ideal, analog": 10.0}
#: The algorithm's reference: the relaxed gradient, which no binary cell can do.
_REFERENCE = (
    "learning.gradient=relaxed", "device.sampler=ideal_sampler", "crossbar.inputs=analog", "crossbar.adc_bits=0",
    "crossbar.adc_range=", "crossbar.gradient_bits=",
)  # fmt: skip


@dataclass(frozen=True)
class Row:
    """One row: a store, a way of programming, a rule, and the keys that make its scenario."""

    name: str
    store: str
    programming: str
    rule: str
    overrides: tuple[str, ...]


def hardware_rows() -> tuple[Row, ...]:
    """Return the rows, store by store; the analog store has no residue, and rounds nothing."""
    rows = []
    for s, (store, keys) in enumerate(STORES.items()):
        analog = store == "ideal, analog"
        ways = {"as asked": _AS_ASKED} if analog else PROGRAMMING
        for p, (way, programming) in enumerate(ways.items()):
            for rule, learning in RULES.items():
                name = f"{s}{p}_{store.split(',')[0]}_{way}_{rule}".replace(", ", "_").replace(" ", "_").lower()
                rows.append(Row(name, store, way, rule, (*keys, *programming, *learning)))
        native = (
            *keys, *_NO_BIMU, "learning.rule=native", "device.programming=native", "device.residue_bits=",
            f"learning.lr={NATIVE_LR[store]}",
        )  # fmt: skip
        rows.append(Row(f"{s}9_{store.split(',')[0].replace(' ', '_')}_native", store, "native", "none", native))
    for rule, learning in RULES.items():
        keys = (*STORES["ideal, analog"], *_AS_ASKED, *learning, *_REFERENCE)
        rows.append(Row(f"30_reference_{rule.lower()}", "ideal, relaxed gradient", "as asked", rule, keys))
    return tuple(rows)


def row_scenario(row: Row, path: Path, overrides: Sequence[str] = (), seed: int | None = None) -> Scenario:
    """Return the scenario of a row; further overrides come after the row's own."""
    return load_scenario(path, (*row.overrides, *overrides), seed)


_FRACTIONS = ("plasticity", "saturated_fraction", "dead_zone_fraction", "rail_fraction")


@dataclass(frozen=True)
class Outcome:
    """What one row came to with one seed, or the mean over seeds.

    Attributes
    ----------
    row : Row
    seed : int or None
        None: the mean over seeds, or the deviation.
    newest, last_five, learned : float
        Accuracy at the end on the newest task and on the mean of the last five; mean over tasks of the accuracy right
        after each was learned.
    plasticity, saturated, dead_zone, rail : float
        First layer at the end of the last task: mean sech**2(lam), and fractions of synapses.
    pulses_mean, pulses_max : float
        Programming pulses per cell (of a pair: both devices), and of the cell with the most.
    endurance_used : float
        Of the busiest cell, where the scenario states an endurance; NaN otherwise.
    energy_per_update, energy_per_query : float
        Joules; the second with everything: inference, label, update and what the chip draws while it waits. NaN for an
        ideal store, whose pulses have no price.
    """

    row: Row
    seed: int | None
    newest: float
    last_five: float
    learned: float
    plasticity: float
    saturated: float
    dead_zone: float
    rail: float
    pulses_mean: float
    pulses_max: float
    endurance_used: float
    energy_per_update: float
    energy_per_query: float


def read_outcome(row: Row, scenario: Scenario, folder: Path, summary: dict[str, Any]) -> Outcome:
    """Read what a finished run says about its row."""
    with open_run(folder) as run:
        frozen = run["freezing"].to_dataset().isel(task=-1, layer=0)
        accuracy = run["tasks"].to_dataset()["accuracy"].values
        layers = [run[name].to_dataset().isel(snapshot=-1) for name in run.children if name.startswith("layer_")]
        devices = [layer["pulse_count"].values.astype(np.int64) for layer in layers]
        fractions = {name: float(frozen[name]) for name in _FRACTIONS}
    cells = np.concatenate([counts.reshape(*counts.shape[:2], -1).sum(axis=2).ravel() for counts in devices])
    endurance = scenario.storage_card.nonidealities.get("endurance")
    limit = endurance.value if endurance is not None else 0.0
    priced = get_model(scenario.storage_card.model).family != "ideal"
    energies = summary["energy_per_update_J"], summary["energy_per_query_J"]["all"]
    per_update, per_query = (value if priced and value else math.nan for value in energies)
    return Outcome(
        row=row, seed=scenario.seeds.noise,
        newest=summary["accuracy_newest_task"], last_five=summary["accuracy_last_k"],
        learned=float(np.mean(np.diagonal(accuracy))), plasticity=fractions["plasticity"],
        saturated=fractions["saturated_fraction"], dead_zone=fractions["dead_zone_fraction"],
        rail=fractions["rail_fraction"], pulses_mean=float(cells.mean()), pulses_max=float(cells.max()),
        endurance_used=max(int(counts.max()) for counts in devices) / limit if limit else math.nan,
        energy_per_update=per_update, energy_per_query=per_query,
    )  # fmt: skip


def over_seeds(outcomes: Sequence[Outcome]) -> list[tuple[Outcome, Outcome | None]]:
    """Return mean and standard deviation (of a sample) of every row, row by row; of one seed there is no deviation."""
    of_row: dict[Row, list[Outcome]] = {}
    for outcome in outcomes:
        of_row.setdefault(outcome.row, []).append(outcome)
    names = [field.name for field in fields(Outcome) if field.name not in ("row", "seed")]
    found = []
    for row, several in of_row.items():
        both = {name: spread([getattr(outcome, name) for outcome in several]) for name in names}
        mean, deviation = (Outcome(row, None, **{name: of[part] for name, of in both.items()}) for part in (0, 1))
        found.append((mean, deviation if len(several) > 1 else None))
    return found
