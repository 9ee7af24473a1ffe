"""A scenario rebuilt from the record of its run: for replaying a run, and for pricing it again.

The record holds every value that had an effect, those of the three cards included, so neither the scenario file nor
a card's file need exist any more. Only a data set that was a file must still be there; its content is checked against
the recorded hash when a run loads it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, get_args

from pydantic import ValidationError

from bimu_hw import __version__
from bimu_hw.cards import COMPONENT_COSTS, NONE, Card, Fact, device_specs, load_card, load_component_card
from bimu_hw.devices import ParamSpec, SamplerModel, StorageModel, get_model
from bimu_hw.errors import BimuError, RunError, SchemaError, UnitError
from bimu_hw.nonidealities import SPECS
from bimu_hw.record import RUN_FILE, open_run
from bimu_hw.scenario.cards import LoadedCards
from bimu_hw.scenario.model import CARD_KEYS, Scenario, assemble
from bimu_hw.scenario.reading import Source, explain
from bimu_hw.scenario.starts import find_start
from bimu_hw.scenario.table import Table
from bimu_hw.scenario.tables import ScenarioFile
from bimu_hw.scenario.timing import find_trace
from bimu_hw.units import parse_quantity

Specs = Mapping[str, ParamSpec]

#: What a card's numbers are kept under.
_PARTS = ("params", "costs", "nonidealities")
#: The SI units a key of a scenario can have; which one follows from the example in its schema.
_UNITS = ("s", "Hz", "K", "ohm", "S", "V", "A", "J", "W", "F", "m", "m^2", "rad")


@dataclass(frozen=True)
class RecordedCard(Card):
    """A card of which only the record is left: its values, and the digest of the facts that stood behind them.

    Kinds, sources and ranges are not in a record: every number counts as assumed here.
    """

    recorded_digest: str = ""

    @property
    def digest(self) -> str:
        """The digest that the run recorded."""
        return self.recorded_digest

    def with_values(self, overrides: Mapping[str, float | str], specs: Specs, where: str) -> Card:
        """Return a card with other values, whose digest is that of its own facts."""
        plain = Card(**{f.name: getattr(self, f.name) for f in fields(Card)})
        return plain.with_values(overrides, specs, where)


def scenario_from_record(path: str | Path, folder: str | Path | None = None) -> Scenario:
    """Rebuild the scenario of a finished run from its record.

    Parameters
    ----------
    path : str or Path
        The run's folder, or its ``run.nc``.
    folder : str or Path, optional
        Folder of the scenario, which the paths of its data set and of what it starts from are relative to. Default: the
        current folder or the run's own, whichever has them; a run that it starts from may also be its neighbour.

    Returns
    -------
    Scenario
        Of the same hash. A card is the one its name still leads to, with the run's own values in place, if that has
        the recorded digest; else a `RecordedCard`.

    Raises
    ------
    RunError
        If there is no such run, its data set or what it starts from is not there, a device model is not installed, or
        this version of the package makes another scenario of it.
    SchemaError
        If the file is not a run of this schema version, or lacks its scenario.
    """
    with open_run(path) as tree:
        attrs = {str(name): value for name, value in tree.attrs.items()}
    return scenario_from_attrs(attrs, Path(path) / RUN_FILE if Path(path).is_dir() else Path(path), folder)


def scenario_from_attrs(attrs: Mapping[str, Any], file: Path, folder: str | Path | None = None) -> Scenario:
    """Rebuild a scenario from the root attributes of a record that is `file`; otherwise as `scenario_from_record`."""
    content = _resolved(attrs, file)
    wanted = attrs["scenario_hash"]
    place = _data_folder(content["stream"]["dataset"], file, folder)
    _find_starts(content, file, folder)
    name = file.resolve().parent.name.partition(f"-{wanted[:8]}")[0]
    try:
        cards = _cards(content, place)
        scenario = _build(content, cards, place, name, Source(str(file)))
    except BimuError as error:
        why = str(error).rstrip(".")
        raise RunError(
            f"{file}: its scenario cannot be rebuilt{_versions(attrs)} ({why}); use the version that wrote the run, or "
            "run the scenario again."
        ) from error
    if scenario.hash != wanted:
        raise RunError(
            f"{file}: its scenario cannot be rebuilt{_versions(attrs)}: it has hash {scenario.hash[:8]} here and "
            f"{wanted[:8]} in the record; use the version that wrote the run, or run the scenario again."
        )
    return scenario


def recorded_cards(attrs: Mapping[Any, Any], file: Path) -> list[Card]:
    """Return the three cards of a record: storage, sampler, components.

    Each is the card that its name still leads to, with the run's own values in place, if that has the recorded digest;
    else a `RecordedCard`, which knows no sources. To read about a run takes less than to repeat it: the model need
    not be installed, and may have other numbers today than when the run was written.

    Raises
    ------
    SchemaError
        If the record that is `file` lacks its scenario.
    """
    content = _resolved({str(name): value for name, value in attrs.items()}, file)
    cards = []
    for role in CARD_KEYS:
        try:
            cards.append(_card(content, role, file.parent))
        except BimuError:
            recorded = content["cards"][role]
            unknown = {name: ParamSpec(name, "", "") for part in _PARTS for name in recorded.get(part, {})}
            cards.append(_recorded_card(recorded, _values(recorded), unknown))
    return cards


def rebuilt_card(attrs: Mapping[Any, Any], file: Path, role: str) -> Card:
    """Return the storage, sampler or components card (`role`) of a record, fit to make devices of.

    Raises
    ------
    SchemaError
        If the record that is `file` lacks its scenario.
    RunError
        If the model is not installed, or has other numbers than when the run was written.
    """
    content = _resolved({str(name): value for name, value in attrs.items()}, file)
    try:
        return _card(content, role, file.parent)
    except BimuError as error:
        why = str(error).rstrip(".")
        raise RunError(
            f"{file}: its {role} card is not one of this version{_versions(attrs)} ({why}); use the version that wrote "
            "the run, or run the scenario again."
        ) from error


def _resolved(attrs: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """Return the recorded scenario, checked as far as the code here relies on its form."""
    try:
        content = json.loads(attrs["resolved_scenario"])
        roles = content["cards"]
        well_formed = (
            isinstance(attrs["scenario_hash"], str)
            and isinstance(content["stream"]["dataset"], str)
            and all(isinstance(content[table], dict) for table in ("device", "components", "network"))
            and all(isinstance(roles[role][part], dict) for role in CARD_KEYS for part in ("params", "costs"))
            and all(isinstance(roles[role][part], str) for role in CARD_KEYS for part in ("name", "model", "digest"))
        )
    except (KeyError, TypeError, ValueError):
        well_formed = False
    if not well_formed:
        raise SchemaError(f"{file}: holds no complete scenario (attributes resolved_scenario, scenario_hash).")
    return content


def _versions(attrs: Mapping[str, Any]) -> str:
    writer = attrs.get("bimu_hw_version", "unknown")
    return "" if writer == __version__ else f" (written by bimu-hw {writer}, this is {__version__})"


def _data_folder(dataset: str, file: Path, folder: str | Path | None) -> Path:
    """Return the folder that the data set's path starts from."""
    places = [Path(), file.parent] if folder is None else [Path(folder)]
    if not dataset.lower().endswith(".npz"):
        return places[0]
    for place in places:
        if (place / dataset).is_file():
            return place
    looked = " and ".join(f"'{place}'" for place in dict.fromkeys(places))
    raise RunError(
        f"{file}: its data set {dataset!r} is not there; looked in {looked}: name the folder of its scenario."
    )


def _find_starts(content: dict[str, Any], file: Path, folder: str | Path | None) -> None:
    """Put the places where they are now for the paths of what the scenario starts from."""
    if wanted := content.get("arrivals"):
        content["accelerator"]["trace"] = find_trace(content["accelerator"]["trace"], wanted, file, folder)
    digests = content.get("starts", [])
    if maps := content["device"].get("conductance_map"):
        found = [find_start(*one, file, folder) for one in zip(maps, digests, strict=True)]
        content["device"]["conductance_map"] = found
    elif digests:
        content["network"]["initial_lam"] = find_start(content["network"]["initial_lam"], digests[0], file, folder)


def _cards(content: Mapping[str, Any], folder: Path) -> LoadedCards:
    """Return the recorded cards with their models; `BimuError` if one is not of this version."""
    storage_model, sampler_model = (get_model(content["cards"][role]["model"]) for role in ("storage", "sampler"))
    if not isinstance(storage_model, StorageModel) or not isinstance(sampler_model, SamplerModel):
        raise RunError("a device model has another role than when the run was written")
    storage, sampler, components = (_card(content, role, folder) for role in CARD_KEYS)
    return LoadedCards(storage, sampler, components, storage_model, sampler_model)


def _card(content: Mapping[str, Any], role: str, folder: Path) -> Card:
    recorded = content["cards"][role]
    load: Callable[[str, Path], Card] = load_card
    if role == "components":
        load, each = load_component_card, (NONE, COMPONENT_COSTS, NONE)
    else:
        each = (*device_specs(get_model(recorded["model"])), SPECS)
    for part, specs in zip(_PARTS, each, strict=True):
        # A nonideality that a card does not state is not there; every other number must be.
        for name in sorted(set(recorded.get(part, {})) - set(specs)):
            raise RunError(f"model {recorded['model']!r} no longer has a number {name!r}")
        for name in sorted(set(specs) - set(recorded[part])) if part != "nonidealities" else ():
            raise RunError(f"model {recorded['model']!r} has a new number {name!r}")
    table, key = CARD_KEYS[role]
    values, known_specs = _values(recorded), {name: spec for specs in each for name, spec in specs.items()}
    everything = {name: value for part in values.values() for name, value in part.items()}
    known = _known_card(recorded, content[table].get(key, ""), load, folder, everything, known_specs)
    return _recorded_card(recorded, values, known_specs) if known is None else known


def _values(recorded: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    # Infinity is a text in the record, because JSON has none.
    return {part: {name: float(value) for name, value in recorded.get(part, {}).items()} for part in _PARTS}


def _recorded_card(recorded: Mapping[str, Any], values: Mapping[str, Mapping[str, float]], specs: Specs) -> Card:
    params, costs, nonidealities = (
        {
            name: Fact(value, specs[name].unit, "assumed", why="as the run recorded it", low=value, high=value)
            for name, value in values[part].items()
        }
        for part in _PARTS
    )
    return RecordedCard(
        recorded["name"], recorded["model"], f"{recorded['name']}, as the run recorded it", "", "record of a run",
        params, costs, {}, nonidealities, recorded_digest=recorded["digest"],
    )  # fmt: skip


def _known_card(
    recorded: Mapping[str, Any], named: str, load: Callable[[str, Path], Card], folder: Path,
    values: Mapping[str, float], specs: Specs,
) -> Card | None:  # fmt: skip
    """Return the card that the name still leads to, with its facts, if it is the recorded one; else None."""
    try:
        card = load(named, folder)
        facts = card.facts
        if (card.name, card.model) != (recorded["name"], recorded["model"]):
            return None
        changed = {name: value for name, value in values.items() if name not in facts or facts[name].value != value}
        card = card.with_values(changed, specs, "record")
    except BimuError:
        return None
    return card if card.digest == recorded["digest"] else None


def _build(content: Mapping[str, Any], cards: LoadedCards, folder: Path, name: str, source: Source) -> Scenario:
    no_tables = ("cards", "starts", "arrivals")
    tables = {key: _as_written(key, value) for key, value in content.items() if key not in no_tables}
    try:
        file = ScenarioFile.model_validate(tables)
    except ValidationError as error:
        raise explain(error, source, ScenarioFile) from None
    return assemble(file, cards, folder, name, tables, source)


def _as_written(table: str, value: Any) -> Any:
    """Return a table of the record, or a list of tables, as a scenario file has it: no null, quantities as texts."""
    kind = getattr(ScenarioFile.model_fields.get(table), "annotation", None)
    if isinstance(value, list) and get_args(kind):
        return [_table_as_written(get_args(kind)[0], row) for row in value]
    return _table_as_written(kind, value)


def _table_as_written(kind: Any, value: Any) -> Any:
    if not (isinstance(value, dict) and isinstance(kind, type) and issubclass(kind, Table)):
        return value
    schemas = kind.model_json_schema().get("properties", {})
    written = {}
    for key, given in value.items():
        schema = schemas.get(key, {})
        texts = [s for s in (schema, *schema.get("anyOf", ())) if s.get("type") == "string" and "examples" in s]
        if texts and isinstance(given, (int, float)):
            given = f"{given!r} {_unit(texts[0]['examples'][0])}"
        if given is not None:
            written[key] = given
    return written


def _unit(example: str) -> str:
    for unit in _UNITS:
        try:
            parse_quantity(example, unit, "example")
        except UnitError:
            continue
        return unit
    raise RunError(f"a quantity such as {example!r} has a unit that is not known here")


def unit_of_key(parts: Sequence[str]) -> tuple[str, str]:
    """Return the SI unit of a key of a scenario ("1" for what has none) and what the key means."""
    kind: Any = ScenarioFile
    schema: dict[str, Any] = {}
    for part in parts:
        if not (isinstance(kind, type) and issubclass(kind, Table)):
            continue
        schema = kind.model_json_schema().get("properties", {}).get(part, {})
        info = kind.model_fields.get(part)
        kind = getattr(info, "annotation", None)
        kind = get_args(kind)[0] if get_args(kind) else kind
    texts = [s for s in (schema, *schema.get("anyOf", ())) if s.get("type") == "string" and "examples" in s]
    return _unit(texts[0]["examples"][0]) if texts else "1", schema.get("description", parts[-1])
