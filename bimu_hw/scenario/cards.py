"""The cards a scenario names, with the values it puts in place of theirs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bimu_hw.cards import COMPONENT_COSTS, Card, common_specs, device_specs, load_card, load_component_card
from bimu_hw.devices import ParamSpec, SamplerModel, StorageModel, get_model
from bimu_hw.errors import CardError, DeviceModelError, ScenarioError, UnitError
from bimu_hw.scenario.reading import Source, brief
from bimu_hw.scenario.tables import ScenarioFile


@dataclass(frozen=True)
class LoadedCards:
    """The three cards of a scenario, and the physics of the two device cards."""

    storage: Card
    sampler: Card
    components: Card
    storage_model: StorageModel
    sampler_model: SamplerModel


def load_cards(file: ScenarioFile, folder: Path, source: Source) -> LoadedCards:
    """Load the cards of a scenario.

    Raises
    ------
    ScenarioError
        If a card does not exist, breaks a rule or has another role, or a value is unknown or out of range.
    """
    storage, sampler, components = file.device.storage, file.device.sampler, file.components.card
    storage_card = _load(load_card, storage, folder, source.at("device.storage"))
    sampler_card = _load(load_card, sampler, folder, source.at("device.sampler"))
    component_card = _load(load_component_card, components, folder, source.at("components.card"))
    storage_model = get_model(storage_card.model)
    if not isinstance(storage_model, StorageModel):
        raise ScenarioError(_wrong_role(source.at("device.storage"), storage, "sampling", "storage"))
    sampler_model = get_model(sampler_card.model)
    if not isinstance(sampler_model, SamplerModel):
        raise ScenarioError(_wrong_role(source.at("device.sampler"), sampler, "storage", "sampling"))
    components_table, given = "components.params", dict(file.components.params)
    if file.labels.energy is not None:
        if "label_energy" in given:
            raise ScenarioError(
                f"{source.at('labels.energy')}: {components_table}.label_energy sets the same number; leave one out."
            )
        component_card = component_card.with_values({"label_energy": file.labels.energy}, COMPONENT_COSTS, "labels")
    return LoadedCards(
        _override(storage_card, file.device.storage_params, _specs(storage_model), source, "device.storage_params"),
        _override(sampler_card, file.device.sampler_params, _specs(sampler_model), source, "device.sampler_params"),
        _override(component_card, given, COMPONENT_COSTS, source, components_table),
        storage_model,
        sampler_model,
    )


def _load(load: Callable[[str, Path], Card], name: str, folder: Path, where: str) -> Card:
    try:
        return load(name, folder)
    except (CardError, DeviceModelError, UnitError) as error:
        raise ScenarioError(f"{where}: {error}") from error


def _wrong_role(where: str, name: str, role: str, wanted: str) -> str:
    return (f"{where}: got {name!r}, the card of a {role} element; name that of a {wanted} element "
            "(bimu-hw devices list shows them).")  # fmt: skip


def _specs(model: StorageModel | SamplerModel) -> Mapping[str, ParamSpec]:
    params, costs = device_specs(model)
    return {**params, **costs, **common_specs(model)}


def _override(
    card: Card, values: Mapping[str, object], specs: Mapping[str, ParamSpec], source: Source, table: str
) -> Card:
    for name, value in values.items():
        where = source.at(f"{table}.{name}")
        unit = specs[name].unit if name in specs else "1"
        if isinstance(value, bool) or not isinstance(value, (int, float, str)):
            raise ScenarioError(f"{where}: got {brief(value)}; expected a number, or a text with number and unit.")
        if unit != "1" and not isinstance(value, str):
            raise ScenarioError(
                f"{where}: got {value!r}; write the number with its unit as a text, "
                f"for example {name} = \"{value} {unit}\"."
            )
        try:
            card = card.with_values({name: value}, specs, where.removesuffix(f".{name}"))
        except (CardError, UnitError) as error:
            raise ScenarioError(str(error)) from error
    return card
