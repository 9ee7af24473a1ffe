"""A scenario, checked: every key has a value, every value has an effect, and the cards it names are loaded."""

from __future__ import annotations

import copy
import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from bimu_hw.cards import Card
from bimu_hw.errors import ScenarioError
from bimu_hw.learning.policies import LabelPolicy, policy_from_spec
from bimu_hw.presets import PRESETS, RULE_PARAMETERS
from bimu_hw.random import check_seed
from bimu_hw.scenario import tables
from bimu_hw.scenario.devices import LoadedCards, load_cards
from bimu_hw.scenario.reading import Source, apply_overrides, explain, read_toml
from bimu_hw.scenario.rules import POLICY_KEYS, check, fill, idle_keys

SEED_NAMES = ("fabrication", "noise", "data")


@dataclass(frozen=True)
class Scenario:
    """One run, fully described. Made by `load_scenario` or `make_scenario`, which check it.

    Attributes
    ----------
    name : str
        The file's name without its ending.
    folder : Path
        The folder that relative paths in the scenario start from.
    tables : ScenarioFile
        All tables with presets and dependent defaults filled in; the properties below are its parts.
    storage_card, sampler_card, component_card : Card
        With the scenario's own values in place.
    """

    name: str
    folder: Path
    tables: tables.ScenarioFile
    storage_card: Card
    sampler_card: Card
    component_card: Card

    @property
    def title(self) -> str:
        """One line that says what is run."""
        return self.tables.title

    @property
    def claim(self) -> str:
        """What the scenario shows."""
        return self.tables.claim

    @property
    def seeds(self) -> tables.Seeds:
        """The three seeds."""
        return self.tables.seeds

    @property
    def stream(self) -> tables.Stream:
        """Task stream."""
        return self.tables.stream

    @property
    def network(self) -> tables.Network:
        """Network."""
        return self.tables.network

    @property
    def learning(self) -> tables.Learning:
        """Learning rule."""
        return self.tables.learning

    @property
    def labels(self) -> tables.Labels:
        """Label policy and oracle."""
        return self.tables.labels

    @property
    def device(self) -> tables.Device:
        """Storage and sampling elements."""
        return self.tables.device

    @property
    def crossbar(self) -> tables.Crossbar:
        """Tiles and converters."""
        return self.tables.crossbar

    @property
    def components(self) -> tables.Components:
        """Circuits around the arrays."""
        return self.tables.components

    @property
    def accelerator(self) -> tables.Accelerator:
        """Arrivals, queue and programming."""
        return self.tables.accelerator

    @property
    def evaluation(self) -> tables.Evaluation:
        """Accuracy on the test set."""
        return self.tables.evaluation

    @property
    def record(self) -> tables.Record:
        """What is recorded."""
        return self.tables.record

    @property
    def run(self) -> tables.Run:
        """Computer."""
        return self.tables.run

    @property
    def expect(self) -> tuple[tables.Expect, ...]:
        """Numbers the run must hit."""
        return self.tables.expect

    @property
    def dataset(self) -> str | Path:
        """The data set as `bimu_hw.learning.data.load_dataset` takes it: a name, or a path that leads there."""
        given = self.stream.dataset
        return self.folder / given if given.lower().endswith(".npz") else given

    @property
    def n_levels(self) -> int:
        """Number of levels of the storage element; 0 for a continuous one."""
        return int(self.storage_card.params["n_levels"].value)

    @property
    def rule_parameters(self) -> dict[str, float]:
        """Hyperparameters of the learning rule, named as its arguments."""
        return {name: getattr(self.learning, name) for name in RULE_PARAMETERS[self.learning.rule]}

    def label_policy(self) -> LabelPolicy:
        """Return the label policy."""
        keys = POLICY_KEYS[self.labels.policy]
        return policy_from_spec(self.labels.policy, **{name: getattr(self.labels, key) for name, key in keys.items()})

    def resolved(self) -> dict[str, Any]:
        """Return every value that has an effect, SI, as JSON can hold it.

        Keys that the other keys leave without effect are left out; cards appear with all their values, so that
        ``device.storage_params`` and its like are in there too.
        """
        content = self.tables.model_dump(mode="json", exclude={"device": {"storage_params", "sampler_params"},
                                                               "components": {"params"}})  # fmt: skip
        for table, key in idle_keys(self.tables, self.n_levels):
            content[table].pop(key, None)
        content["cards"] = {
            "storage": _card_values(self.storage_card),
            "sampler": _card_values(self.sampler_card),
            "components": _card_values(self.component_card),
        }
        return content

    @cached_property
    def hash(self) -> str:
        """SHA-256 (hexadecimal) of what is computed: `resolved` without title, claim and expectations."""
        content = self.resolved()
        for words in ("title", "claim", "expect"):
            del content[words]
        text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def run_name(self) -> str:
        """Default name of the run's folder: file name, eight digits of the hash, seeds."""
        seeds = [getattr(self.seeds, name) for name in SEED_NAMES]
        words = [str(seeds[0])] if len(set(seeds)) == 1 else [str(seed) for seed in seeds]
        return f"{self.name}-{self.hash[:8]}-s{'.'.join(words)}"


def load_scenario(path: str | Path, overrides: Sequence[str] = (), seed: int | None = None) -> Scenario:
    """Read a scenario file and check it.

    Parameters
    ----------
    path : str or Path
    overrides : sequence of str
        ``"dotted.key=value"`` as after ``--set``: the value a TOML literal, else a text; an empty value removes
        the key.
    seed : int, optional
        Value of all three seeds; an override of one seed still wins.

    Raises
    ------
    ScenarioError
        In one sentence, if the file is missing or malformed, a key is unknown, missing or out of range, keys
        contradict each other or have no effect, or a card or data set does not exist.
    """
    path = Path(path)
    content, text = read_toml(path)
    return _make(content, path.parent, path.stem, Source(str(path), text), overrides, seed)


def make_scenario(
    content: dict[str, Any], *, folder: str | Path = ".", name: str = "scenario",
    overrides: Sequence[str] = (), seed: int | None = None,
) -> Scenario:  # fmt: skip
    """Check a scenario given as the tables of its file; arguments and errors are those of `load_scenario`.

    `content` is left as it is.
    """
    return _make(copy.deepcopy(content), Path(folder), name, Source(name), overrides, seed)


def _make(
    content: dict[str, Any], folder: Path, name: str, source: Source, overrides: Sequence[str], seed: int | None
) -> Scenario:
    options: dict[str, str] = {}
    if seed is not None:
        content["seeds"] = dict.fromkeys(SEED_NAMES, check_seed(seed))
        options["seeds"] = "--seed"
    options |= apply_overrides(content, overrides)
    source = Source(source.name, source.text, options)
    try:
        file = tables.ScenarioFile.model_validate(content)
    except ValidationError as error:
        raise explain(error, source, tables.ScenarioFile) from None
    cards = load_cards(file, folder, source)
    file = fill(file, cards, source)
    check(file, cards, folder, source)
    return Scenario(name, folder, file, cards.storage, cards.sampler, cards.components)
