"""A scenario, checked: every key has a value, every value has an effect, and the cards it names are loaded."""

from __future__ import annotations

import copy
import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import PrivateAttr, ValidationError

from bimu_hw.accelerator.trace import trace_digest
from bimu_hw.cards import Card
from bimu_hw.errors import ScenarioError
from bimu_hw.learning.policies import LabelPolicy, policy_from_spec
from bimu_hw.learning.streams import STREAM_PARAMETERS
from bimu_hw.presets import RULE_PARAMETERS
from bimu_hw.random import check_seed
from bimu_hw.scenario.cards import LoadedCards, load_cards
from bimu_hw.scenario.cells import with_cell
from bimu_hw.scenario.checks import POLICY_KEYS, check_and_fill, idle_keys
from bimu_hw.scenario.reading import Source, apply_overrides, explain, read_toml
from bimu_hw.scenario.starts import WORDS, Starts, load_starts
from bimu_hw.scenario.tables import ScenarioFile
from bimu_hw.scenario.timing import NEUTRAL, check_maps, load_trace

#: The roles of the three cards, each with the table and key that name it.
CARD_KEYS = {"storage": ("device", "storage"), "sampler": ("device", "sampler"), "components": ("components", "card")}
_SEEDS = ("fabrication", "noise", "data")


class Scenario(ScenarioFile):
    """One run, fully described: the tables of its file with every default filled in, and its cards.

    Made by `load_scenario` or `make_scenario`, which check it. All quantities are SI.
    """

    _given: dict[str, Any] = PrivateAttr()
    _name: str = PrivateAttr()
    _folder: Path = PrivateAttr()
    _cards: LoadedCards = PrivateAttr()
    _starts: Starts = PrivateAttr()
    _trace: npt.NDArray[np.int64] | None = PrivateAttr()

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return self._name

    @property
    def given(self) -> dict[str, Any]:
        """The tables as given, with overrides and seed: `make_scenario` makes the same scenario of them."""
        return self._given

    @property
    def folder(self) -> Path:
        """The folder that relative paths in the scenario start from."""
        return self._folder

    @property
    def storage_card(self) -> Card:
        """Storage card, with the scenario's own values in place."""
        return self._cards.storage

    @property
    def sampler_card(self) -> Card:
        """Sampling card, with the scenario's own values in place."""
        return self._cards.sampler

    @property
    def component_card(self) -> Card:
        """Component card, with the scenario's own values in place."""
        return self._cards.components

    def with_cards(self, cards: Mapping[str, Card], names: Mapping[str, str]) -> Scenario:
        """Return the same scenario with other cards, by role: "storage", "sampler" and "components".

        Parameters
        ----------
        cards : mapping of str to Card
            Of the same models.
        names : mapping of str to str
            How the scenario names them.
        """
        tables = dict(self)
        for role, name in names.items():
            table, key = CARD_KEYS[role]
            tables[table] = tables[table].model_copy(update={key: name})
        other = Scenario.model_construct(self.model_fields_set, **tables)
        for private, value in (self.__pydantic_private__ or {}).items():
            setattr(other, private, value)
        own = self._cards
        storage, sampler, components = (cards.get(role, getattr(own, role)) for role in CARD_KEYS)
        other._cards = replace(own, storage=storage, sampler=sampler, components=components)
        return other

    @property
    def starts(self) -> Starts:
        """What was read from the files that the cells start from: empty if there are none."""
        return self._starts

    @property
    def trace(self) -> npt.NDArray[np.int64] | None:
        """Arrival times from a file, in picoseconds, if the scenario names one."""
        return self._trace

    @property
    def n_levels(self) -> int:
        """Number of levels of the storage element; 0 for a continuous one."""
        return int(self.storage_card.params["n_levels"].value)

    @property
    def dataset(self) -> str | Path:
        """The data set as `bimu_hw.learning.data.load_dataset` takes it: a name, or a path that leads there."""
        given = self.stream.dataset
        return self.folder / given if given.lower().endswith(".npz") else given

    @property
    def ood_sets(self) -> dict[str, str | Path]:
        """The sets of ``evaluation.ood`` by name, as `bimu_hw.learning.streams.ood_images` takes them."""
        return {n: self.folder / n if n.lower().endswith(".npz") else n for n in self.evaluation.ood}

    @property
    def stream_options(self) -> dict[str, Any]:
        """The options of the task stream, as `bimu_hw.learning.streams.TaskStream` takes them, but for its seed."""
        shared = (
            "kind", "tasks", "epochs", "examples", "inputs", "label_noise", "imbalance", "task_order", "switch_window",
        )  # fmt: skip
        return {name: getattr(self.stream, name) for name in (*shared, *STREAM_PARAMETERS[self.stream.kind])}

    @property
    def rule_parameters(self) -> dict[str, float]:
        """Hyperparameters of the learning rule, named as its arguments."""
        return {name: getattr(self.learning, name) for name in RULE_PARAMETERS[self.learning.rule]}

    def label_policy(self) -> LabelPolicy:
        """Return the label policy."""
        keys = POLICY_KEYS[self.labels.policy]
        return policy_from_spec(self.labels.policy, **{name: getattr(self.labels, key) for name, key in keys.items()})

    def resolved(self) -> dict[str, Any]:
        """Return every value that has an effect, in SI, as JSON can hold it.

        Keys without effect in this scenario are left out. In place of the overrides of card values it has ``cards``:
        every value of the three cards; with files that the cells start from also ``starts``, the digests of their
        content.
        """
        content = self.model_dump(mode="json")
        del content["sweep"]
        # How often a run is saved has no effect on it.
        del content["record"]["checkpoint_interval"]
        # It only stood for other keys.
        del content["device"]["cell"]
        # What these put in place of a card's values is in the cards.
        del content["device"]["storage_params"], content["device"]["sampler_params"], content["components"]["params"]
        del content["labels"]["energy"]
        if not self.ageing:
            del content["ageing"]
        if not self.evaluation.ood:
            del content["evaluation"]["ood"]
        for key, neutral in (("task_order", None), ("switch_window", 0), ("imbalance", 1.0)):
            if content["stream"][key] == neutral:
                del content["stream"][key]
        if self.network.normalisation == "layer":
            del content["network"]["normalisation"]
        for table, key, neutral in NEUTRAL:
            if content[table][key] == neutral:
                del content[table][key]
        for table, key in idle_keys(self, self.n_levels):
            content[table].pop(key, None)
        if not content["architecture"]:
            del content["architecture"]
        if self.trace is not None:
            content["arrivals"] = trace_digest(self.trace)
        if self.device.conductance_map is None:
            content["device"].pop("conductance_map", None)
        cards = {"storage": self.storage_card, "sampler": self.sampler_card, "components": self.component_card}
        content["cards"] = {role: _card_values(card) for role, card in cards.items()}
        return {**content, "starts": list(self.starts.digests)} if self.starts.digests else content

    @cached_property
    def hash(self) -> str:
        """SHA-256 (hexadecimal) of what is computed: `resolved` without title, claim, expectations and ``[run]``.

        Of files that the cells start from the content counts, and not where they lie.
        """
        return self.hashes([self.seeds.model_dump()])[0]

    def hashes(self, seeds: Iterable[Mapping[str, int]]) -> list[str]:
        """Return the hash that the scenario would have with each of some seeds (fabrication, noise, data)."""
        content = {k: v for k, v in self.resolved().items() if k not in ("title", "claim", "expect", "run")}
        content["device"].pop("conductance_map", None)
        content["accelerator"].pop("trace", None)
        if content["network"].get("initial_lam") not in WORDS:
            content["network"].pop("initial_lam", None)
        found = []
        for one in seeds:
            content["seeds"] = dict(one)
            text = json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False)
            found.append(hashlib.sha256(text.encode()).hexdigest())
        return found

    @property
    def run_name(self) -> str:
        """Default name of the run's folder: the scenario's name, eight digits of its hash, its seeds."""
        seeds = [getattr(self.seeds, name) for name in _SEEDS]
        shown = seeds[:1] if len(set(seeds)) == 1 else seeds
        return f"{self.name}-{self.hash[:8]}-s{'.'.join(str(seed) for seed in shown)}"


def _card_values(card: Card) -> dict[str, Any]:
    sections = {"params": card.params, "costs": card.costs}
    if card.nonidealities:
        sections["nonidealities"] = card.nonidealities
    return {
        "name": card.name,
        "model": card.model,
        "digest": card.digest,
        # JSON has no infinity; a card may (an endurance without limit).
        **{
            section: {k: fact.value if math.isfinite(fact.value) else str(fact.value) for k, fact in facts.items()}
            for section, facts in sections.items()
        },
    }


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
    content: dict[str, Any],
    *,
    folder: str | Path = ".",
    name: str = "scenario",
    overrides: Sequence[str] = (),
    seed: int | None = None,
    source: Source | None = None,
) -> Scenario:
    """Check a scenario given as the tables of its file, which are left as they are; otherwise as `load_scenario`.

    `source` says for messages where its keys come from; omitted: from something of that name.
    """
    return _make(copy.deepcopy(content), Path(folder), name, source or Source(name), overrides, seed)


def _make(
    content: dict[str, Any], folder: Path, name: str, source: Source, overrides: Sequence[str], seed: int | None
) -> Scenario:
    options = dict(source.overrides)
    if seed is not None:
        content["seeds"] = dict.fromkeys(_SEEDS, check_seed(seed))
        options["seeds"] = "--seed"
    options |= apply_overrides(content, overrides)
    source = Source(source.name, source.text, options)
    try:
        file = ScenarioFile.model_validate(with_cell(content, source))
    except ValidationError as error:
        raise explain(error, source, ScenarioFile) from None
    if file.sweep is not None:
        raise ScenarioError(
            f"{source.at('sweep')}: describes many runs; start them with bimu-hw sweep, or leave it out for a single "
            "run (--set sweep=)."
        )
    return assemble(file, load_cards(file, folder, source), folder, name, content, source)


def assemble(
    file: ScenarioFile, cards: LoadedCards, folder: Path, name: str, given: dict[str, Any], source: Source
) -> Scenario:
    """Return the scenario of a file, checked, with its cards and what it starts from; `given` are its tables."""
    filled = check_and_fill(file, cards, folder, source)
    scenario = Scenario.model_construct(filled.model_fields_set, **dict(filled))
    scenario._given, scenario._name, scenario._folder, scenario._cards = given, name, folder, cards
    scenario._starts = load_starts(filled, folder, source)
    scenario._trace = load_trace(filled, folder, source)
    check_maps(filled, scenario._starts, source)
    return scenario


def scenario_schema() -> dict[str, Any]:
    """Return the JSON schema of scenario files, for editors."""
    schema = ScenarioFile.model_json_schema()
    tables = [schema, *schema["$defs"].values()]
    for table in tables:
        table.pop("title", None)
        table["properties"] = {name: _plain_schema(key) for name, key in table["properties"].items()}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "bimu-hw scenario", **schema}


def _plain_schema(key: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of a key without what TOML has not (null) and what says nothing (a title made of the name)."""
    plain = {k: v for k, v in key.items() if k != "title" and not (k == "default" and v is None)}
    options = [option for option in plain.get("anyOf", ()) if option != {"type": "null"}]
    if len(options) == 1:
        del plain["anyOf"]
        plain |= options[0]
    return plain
