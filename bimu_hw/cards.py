"""Cards: the numbers of a device or component, each with value, unit, kind and source.

A card is a TOML file::

    [card]
    name = "hfox_2t2r"            # how scenarios call it
    model = "soft_bounds_pair"    # the physics (devices), or the kind of component
    title = "HfOx 1T1R pair, 130 nm"
    notes = "what the sources do not give"

    [references]
    bonnet2023 = "Bonnet et al., Nat. Commun. 14, 7530 (2023), doi:10.1038/s41467-023-43317-9"

    [params.sigma_c2c]
    value = "0.3"                 # always a string: a number, with its unit where it has one
    kind = "measured"             # measured | fitted | derived | assumed
    source = "bonnet2023"         # a key of [references]; required unless assumed
    where = "Fig. 3"              # where in the source; required for measured and fitted
    why = "..."                   # required for assumed: the reason for this value; for derived: the derivation
    range = ["0.1", "0.5"]        # optional: what the value may be, for intervals in reports

Tables ``[params.*]`` hold what the physics needs and ``[costs.*]`` what energy, time and area need; the card of a
storage element may state in ``[nonidealities.*]`` what it suffers besides (`bimu_hw.nonidealities`).
"""

from __future__ import annotations

import hashlib
import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from bimu_hw.devices import DeviceModel, ParamSpec, get_model, model_module, model_names
from bimu_hw.errors import CardError, did_you_mean
from bimu_hw.nonidealities import SPECS
from bimu_hw.units import parse_quantity

KINDS = ("measured", "fitted", "derived", "assumed")
N_LEVELS = ParamSpec(
    "n_levels", "1", "number of levels; 0 for a continuous element", 0, 2**24, neutral=0.0, integer=True
)

NONE: Mapping[str, ParamSpec] = {}


@dataclass(frozen=True)
class Fact:
    """One number of a card with its provenance, in SI.

    Attributes
    ----------
    value : float
    unit, kind, source, where, why : str
    low, high : float
        The range the value may lie in; equal to `value` where the card gives none.
    """

    value: float
    unit: str
    kind: str
    source: str = ""
    where: str = ""
    why: str = ""
    low: float = float("nan")
    high: float = float("nan")


@dataclass(frozen=True)
class Card:
    """A card, checked against its specification.

    Attributes
    ----------
    name, model, title, notes, origin : str
        `origin` says where the card was read (package resource or file name).
    params, costs : mapping of str to Fact
    nonidealities : mapping of str to Fact
        Of a storage element, those that the card states (`bimu_hw.nonidealities`).
    references : mapping of str to str
        What `source` of a fact names, in words.
    digest : str
        SHA-256 of the facts (value, unit, kind, source, place, range), independent of layout and comments.
    """

    name: str
    model: str
    title: str
    notes: str
    origin: str
    params: Mapping[str, Fact]
    costs: Mapping[str, Fact]
    references: Mapping[str, str]
    nonidealities: Mapping[str, Fact] = field(default_factory=dict)

    @property
    def facts(self) -> dict[str, Fact]:
        """All numbers of the card by name."""
        return {**self.params, **self.nonidealities, **self.costs}

    @property
    def digest(self) -> str:
        """SHA-256 of the facts and where they come from, independent of layout and comments."""
        lines = [f"{self.name}|{self.model}"]
        lines += [
            f"{name}={(f.value, f.unit, f.kind, f.source, f.where, f.low, f.high)!r}"
            for name, f in sorted(self.facts.items())
        ]
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()

    @property
    def assumed_share(self) -> float:
        """Share of the card's numbers that are assumed."""
        facts = self.facts.values()
        return sum(f.kind == "assumed" for f in facts) / len(facts)

    def with_facts(
        self, params: Mapping[str, Fact], costs: Mapping[str, Fact], nonidealities: Mapping[str, Fact]
    ) -> Card:
        """Return a copy with other facts."""
        return replace(self, params=params, costs=costs, nonidealities=nonidealities)

    def with_values(self, overrides: Mapping[str, float | str], specs: Mapping[str, ParamSpec], where: str) -> Card:
        """Return a copy in which the named numbers have other values, marked as set by the scenario.

        Parameters
        ----------
        overrides : mapping
            Values by name: numbers in SI, or texts with a unit.
        specs : mapping
            What the card may state, by name.
        where : str
            What messages call the place of the values.

        Raises
        ------
        CardError
            If a name is unknown or a value is out of range.
        UnitError
            If a text is not a quantity of the number's unit.
        """
        params, costs, common = dict(self.params), dict(self.costs), dict(self.nonidealities)
        for name, given in overrides.items():
            if name not in specs:
                raise CardError(f"{where}.{name}: unknown parameter of {self.model!r}. {did_you_mean(name, specs)}")
            value = _value(given, specs[name], f"{where}.{name}")
            fact = Fact(value, specs[name].unit, "assumed", why="set by the scenario", low=value, high=value)
            (params if name in params else costs if name in costs else common)[name] = fact
        return replace(self, params=params, costs=costs, nonidealities=common)


def device_specs(model: DeviceModel) -> tuple[dict[str, ParamSpec], dict[str, ParamSpec]]:
    """Return the parameter and the cost specifications that a card of this model must fill."""
    params = {s.name: s for s in model.specs}
    if model.role == "storage":
        params = {"n_levels": N_LEVELS, **params}
    return params, {s.name: s for s in model.costs}


def common_specs(model: DeviceModel) -> Mapping[str, ParamSpec]:
    """Return the specifications of what a card of this model may state besides: the nonidealities of a store."""
    return SPECS if model.role == "storage" else NONE


def neutral_values(model: DeviceModel) -> dict[str, float]:
    """Return the neutral value of every nonideality of a model."""
    params, costs = device_specs(model)
    return {name: spec.neutral for name, spec in {**params, **costs}.items() if spec.neutral is not None}


def read_conductances(sampler: Card) -> tuple[float, float]:
    """Return (g_on, g_off) of a sampling element at its read voltage, in siemens.

    A tunnel junction's magnetoresistance TMR = g_on / g_off - 1 falls with the voltage V as TMR(V) = TMR(0) / (1 + (V /
    V_half)**2), with V_half its parameter ``tmr_half_voltage``; its state of low resistance, g_on, hardly changes.
    Other elements have the conductances of their card.
    """
    g_on, g_off = sampler.costs["g_on"].value, sampler.costs["g_off"].value
    half = sampler.params.get("tmr_half_voltage")
    if half is None or g_off == 0.0:
        return g_on, g_off
    falloff = 1.0 + (sampler.costs["read_voltage"].value / half.value) ** 2
    return g_on, g_off if falloff == 1.0 else g_on / (1.0 + (g_on / g_off - 1.0) / falloff)


def parse_card(text: str, origin: str) -> Card:
    """Read and check a device card.

    Parameters
    ----------
    text : str
        TOML.
    origin : str
        What to call it in messages.

    Raises
    ------
    CardError
        If it is malformed, incomplete, has unknown keys or a value out of range, or a number without provenance.
    DeviceModelError
        If its model is not registered.
    """
    table = _toml(text, origin)
    head = _head(table, origin)
    model = get_model(head["model"])
    params, costs = device_specs(model)
    return _build(table, head, origin, params, costs, common_specs(model))


def _build(
    table: dict[str, Any], head: dict[str, str], origin: str,
    params: Mapping[str, ParamSpec], costs: Mapping[str, ParamSpec], common: Mapping[str, ParamSpec] = NONE,
) -> Card:  # fmt: skip
    sections = {"card", "references", "params", "costs", *({"nonidealities"} if common else ())}
    _no_unknown(table, sections, origin)
    references = table.get("references", {})
    facts: dict[str, dict[str, Fact]] = {}
    for section, specs in (("params", params), ("costs", costs)):
        given = table.get(section, {})
        _no_unknown(given, set(specs), f"{origin}, {section}")
        missing = [name for name in specs if name not in given]
        if missing:
            raise CardError(f"{origin}, {section}: {missing[0]!r} is missing ({specs[missing[0]].doc}); add it.")
        facts[section] = {
            name: read_fact(given[name], spec, references, f"{origin}, {section}.{name}")
            for name, spec in specs.items()
        }
    stated = table.get("nonidealities", {})
    _no_unknown(stated, set(common), f"{origin}, nonidealities")
    shared = {
        name: read_fact(stated[name], common[name], references, f"{origin}, nonidealities.{name}") for name in stated
    }
    return Card(
        head["name"], head["model"], head["title"], head.get("notes", ""), origin,
        facts["params"], facts["costs"], references, shared,
    )  # fmt: skip


def _toml(text: str, origin: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise CardError(f"{origin}: not valid TOML: {error}.") from error


def _head(table: dict[str, Any], origin: str) -> dict[str, str]:
    head = table.get("card", {})
    _no_unknown(head, {"name", "model", "title", "notes", "node", "family"}, f"{origin}, card")
    for key in ("name", "model", "title"):
        if not isinstance(head.get(key), str) or not head[key]:
            raise CardError(f'{origin}, card.{key}: missing; write {key} = "..." in [card].')
    return head


def _no_unknown(table: Mapping[str, Any], allowed: set[str], where: str) -> None:
    for key in table:
        if key not in allowed:
            raise CardError(f"{where}.{key}: unknown key. {did_you_mean(key, allowed)}")


def _value(given: float | str, spec: ParamSpec, where: str) -> float:
    value = float(given) if isinstance(given, (int, float)) else parse_quantity(given, spec.unit, where)
    if not (spec.low <= value <= spec.high and math.isfinite(value)):
        raise CardError(
            f"{where}: got {given!r}; allowed is {spec.low:g} to {spec.high:g} (unit {spec.unit}): {spec.doc}."
        )
    if spec.integer and value != round(value):
        raise CardError(
            f"{where}: got {given!r}; allowed are whole numbers from {spec.low:g} to {spec.high:g}: {spec.doc}."
        )
    return value


def read_fact(given: Any, spec: ParamSpec, references: Mapping[str, str], where: str) -> Fact:
    """Check one number and its provenance, given as the table of a card; `where` is what messages call it.

    Raises
    ------
    CardError
        If something is missing, unknown or out of range.
    """
    if not isinstance(given, dict):
        raise CardError(f"{where}: got {given!r}; expected a table with value, kind and source.")
    _no_unknown(given, {"value", "kind", "source", "where", "why", "range"}, where)
    if not isinstance(given.get("value"), str):
        raise CardError(f"{where}.value: got {given.get('value')!r}; write the number as a string with its unit.")
    kind = given.get("kind")
    if kind not in KINDS:
        raise CardError(f"{where}.kind: got {kind!r}; allowed are {', '.join(KINDS)}.")
    source = given.get("source", "")
    if source and source not in references:
        raise CardError(f"{where}.source: {source!r} is not in [references]. {did_you_mean(source, references)}")
    if kind in ("measured", "fitted") and not (source and given.get("where")):
        raise CardError(f"{where}: a {kind} value needs source and where; without a source its kind is 'assumed'.")
    if kind == "derived" and not (source or given.get("why")):
        raise CardError(f"{where}: a derived value needs a source or, in why, its derivation.")
    if kind == "assumed" and not given.get("why"):
        raise CardError(f"{where}: an assumed value needs why: the reason for this value.")
    value = _value(given["value"], spec, where)
    bounds = given.get("range", [given["value"], given["value"]])
    if not (isinstance(bounds, list) and len(bounds) == 2):
        raise CardError(f"{where}.range: got {bounds!r}; expected two strings, the lowest and the highest value.")
    low, high = (parse_quantity(str(b), spec.unit, f"{where}.range") for b in bounds)
    if not low <= value <= high:
        raise CardError(f"{where}.range: {given['value']!r} lies outside {bounds[0]!r} to {bounds[1]!r}.")
    return Fact(value, spec.unit, kind, source, given.get("where", ""), given.get("why", ""), low, high)


def _shipped() -> Iterator[tuple[str, str]]:
    """Yield (origin, text) of every card that comes with a registered model."""
    seen: set[str] = set()
    for name in model_names():
        for i, text in enumerate(get_model(name).cards):
            yield f"{model_module(name)} card {i}", text
        package = model_module(name).rpartition(".")[0]
        if not package or package in seen:
            continue
        seen.add(package)
        folder = files(package).joinpath("cards")
        if folder.is_dir():
            for path in sorted(folder.iterdir(), key=lambda p: p.name):
                if path.name.endswith(".toml"):
                    yield f"{package}/cards/{path.name}", path.read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def shipped_cards() -> dict[str, Card]:
    """Return every card that comes with a registered model, by name.

    Raises
    ------
    CardError
        If one of them breaks a rule, or two have one name.
    """
    cards: dict[str, Card] = {}
    for origin, text in _shipped():
        card = parse_card(text, origin)
        if card.name in cards:
            raise CardError(f"{origin}: the name {card.name!r} is taken by {cards[card.name].origin}; rename one.")
        cards[card.name] = card
    return cards


def load_card(name: str, folder: Path | None = None) -> Card:
    """Load a device card by registered name, or from a file when `name` ends in ``.toml``.

    Parameters
    ----------
    name : str
        A card's name or a path; a relative path is taken from `folder`.
    folder : Path, optional
        The folder of the scenario that names the card.

    Raises
    ------
    CardError
        If there is no such card or file, or it breaks a rule.
    """
    if not name.endswith(".toml"):
        cards = shipped_cards()
        if name not in cards:
            raise CardError(f"device card {name!r}: not known. {did_you_mean(name, cards)} A path must end in .toml.")
        return cards[name]
    path = Path(name) if folder is None else folder / name
    return parse_card(_read_card_file(name, path), path.name)


def _read_card_file(name: str, path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        known = path.stem in {**shipped_cards(), **shipped_component_cards()}
        raise CardError(
            f"card {name!r}: cannot be read ({error.strerror}); looked for {path.name!r} in '{path.parent}'."
            + (f" The card that is shipped is called {path.stem!r}, without .toml." if known else "")
        ) from error
    except UnicodeDecodeError as error:
        raise CardError(f"card {name!r}: is not UTF-8 text.") from error


def _component_spec(
    name: str, unit: str, doc: str, low: float = 0.0, high: float = math.inf, integer: bool = False,
    neutral: float | None = None,
) -> ParamSpec:  # fmt: skip
    return ParamSpec(name, unit, doc, low=low, high=high, neutral=neutral, integer=integer)


#: What a component card states: the periphery, the digital unit and the label oracle around the arrays.
COMPONENT_COSTS = {
    s.name: s
    for s in (
        _component_spec("line_reference_cells", "1", "cells on the line of the line energies", 1.0, 65536.0, True),
        _component_spec("driver_drive_energy", "J", "charging one word line of a tile for one look"),
        _component_spec("driver_time", "s", "settling of the word lines before integration"),
        _component_spec("adc_reference_bits", "1", "resolution that the converter's values hold for", 2.0, 16.0, True),
        _component_spec("adc_convert_energy", "J", "one conversion at the reference resolution"),
        _component_spec("adc_convert_time", "s", "one conversion at the reference resolution"),
        _component_spec("adc_integrate_energy", "J", "one sum held for one integration time, where a conversion's own "
                        "energy leaves it out"),
        _component_spec("adc_offset", "1", "offset of a column's converter in steps, rms over columns", neutral=0.0),
        _component_spec("adc_gain_error", "1", "relative gain error of a column's converter, rms", neutral=0.0),
        _component_spec("adc_noise", "1", "noise of one conversion in steps, rms", neutral=0.0),
        _component_spec("dac_reference_bits", "1", "resolution that the input converter's values hold for", 1.0, 16.0,
                        True),
        _component_spec("dac_convert_energy", "J", "one conversion of an input to an analog word-line voltage"),
        _component_spec("dac_inl", "1", "error in the middle of an input converter's range in steps, rms", neutral=0.0),
        _component_spec("sense_energy", "J", "one decision of a sense amplifier, the converter of 1 bit"),
        _component_spec("sense_time", "s", "one decision of a sense amplifier"),
        _component_spec("sense_offset", "1", "offset of a sense amplifier over its full scale, rms", neutral=0.0),
        _component_spec("popcount_bit_energy", "J", "one weight bit compared with its input and counted"),
        _component_spec("popcount_time", "s", "one step of a population count: a row, or a level of the adder tree"),
        _component_spec("popcount_area", "m^2", "comparing and counting the bits of one line, per bit of the count"),
        _component_spec("r_wordline", "ohm", "word line between neighbouring cells", neutral=0.0),
        _component_spec("r_bitline", "ohm", "bit line between neighbouring cells", neutral=0.0),
        _component_spec("r_driver", "ohm", "driver of a line, at the line's beginning", neutral=0.0),
        _component_spec("r_sense", "ohm", "input of the circuit that senses a line", neutral=0.0),
        _component_spec("digital_add_energy", "J", "one accumulate of a partial sum"),
        _component_spec("digital_mac_energy", "J", "one multiply-accumulate"),
        _component_spec("digital_function_energy", "J", "one exponential, logarithm, root or division"),
        _component_spec("digital_time", "s", "one operation of one lane of the digital unit"),
        _component_spec("digital_lanes", "1", "operations of the digital unit done side by side", 1.0, integer=True),
        _component_spec("buffer_read_energy", "J", "one bit read from a buffer"),
        _component_spec("buffer_write_energy", "J", "one bit written to a buffer"),
        _component_spec("write_row_energy", "J", "selecting one row for programming"),
        _component_spec("write_row_time", "s", "selecting one row for programming"),
        _component_spec("link_bits", "1", "bits that a bus between tiles and digital unit moves at once", 1.0,
                        integer=True),
        _component_spec("link_energy", "J", "moving one bit between a tile group and a digital unit"),
        _component_spec("link_time", "s", "one transfer of a bus"),
        _component_spec("wake_energy", "J", "switching the chip on after a sleep"),
        _component_spec("wake_time", "s", "from the end of a sleep until the chip can work"),
        _component_spec("digital_reference_bits", "1", "width of the words that the digital energies hold for", 1.0,
                        64.0, True),
        _component_spec("label_energy", "J", "asking for one label and receiving it, the way there and back"),
        _component_spec("leakage_power", "W", "periphery and digital unit of the whole chip, always on"),
        _component_spec("adc_area", "m^2", "one converter at the reference resolution"),
        _component_spec("dac_area", "m^2", "one converter of an input to an analog word-line voltage"),
        _component_spec("sense_area", "m^2", "one sense amplifier"),
        _component_spec("periphery_area", "m^2", "drivers, digital unit and buffers of the whole chip"),
    )
}


def parse_component_card(text: str, origin: str) -> Card:
    """Read and check a component card; `[card] model` must be ``"components"``.

    Raises
    ------
    CardError
        If it is malformed, incomplete, or breaks a rule.
    """
    table = _toml(text, origin)
    head = _head(table, origin)
    if head["model"] != "components":
        raise CardError(f'{origin}, card.model: got {head["model"]!r}; a component card has model = "components".')
    return _build(table, head, origin, {}, COMPONENT_COSTS)


@lru_cache(maxsize=1)
def shipped_component_cards() -> dict[str, Card]:
    """Return the component cards that come with the package, by name."""
    folder = files("bimu_hw").joinpath("components")
    cards = (
        parse_component_card(path.read_text(encoding="utf-8"), f"bimu_hw/components/{path.name}")
        for path in sorted(folder.iterdir(), key=lambda p: p.name)
        if path.name.endswith(".toml")
    )
    return {card.name: card for card in cards}


def load_component_card(name: str, folder: Path | None = None) -> Card:
    """Load a component card by name, or from a file when `name` ends in ``.toml`` (relative to `folder`).

    Raises
    ------
    CardError
        If there is no such card or file, or it breaks a rule.
    """
    if not name.endswith(".toml"):
        cards = shipped_component_cards()
        if name not in cards:
            raise CardError(f"component card {name!r}: not known. {did_you_mean(name, cards)} A path ends in .toml.")
        return cards[name]
    path = Path(name) if folder is None else folder / name
    return parse_component_card(_read_card_file(name, path), path.name)
