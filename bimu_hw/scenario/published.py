"""The file of a published macro: its geometry, its prices with their sources, and the numbers it must reproduce.

A case describes what the simulator needs to plan and price one product of a matrix and a vector, or the inference of a
small network, and the published numbers that this is held against. What it fits, it says, and on which points.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from bimu_hw.cards import COMPONENT_COSTS, Card, device_specs, load_card, load_component_card, read_fact
from bimu_hw.devices import get_model
from bimu_hw.errors import CardError, ScenarioError, did_you_mean
from bimu_hw.operations import COMPONENTS
from bimu_hw.scenario.reading import Source, explain, read_toml
from bimu_hw.scenario.table import Table
from bimu_hw.scenario.values import Count, Fraction, NonNegative, Positive, Voltage

Texts = Annotated[tuple[str, ...], Field(strict=False)]
Phases = Annotated[
    tuple[Annotated[tuple[Count, ...], Field(strict=False, min_length=1)], ...], Field(strict=False, min_length=1)
]
Layers = Annotated[
    tuple[Annotated[tuple[Count, ...], Field(strict=False, min_length=2, max_length=2)], ...],
    Field(strict=False, min_length=1),
]

#: What a row may be about; a multiply-accumulate is two operations, whatever its bits.
METRICS = ("fj_per_op", "fj_per_mac", "pj_per_output", "pj", "us", "tops_per_watt", "tops")
#: Those that are linear in prices or durations, so that facts can be solved for.
LINEAR = METRICS[:5]


class Macro(Table):
    """The arrays and how they are read."""

    layers: Layers
    """Inputs and outputs of each layer; one layer is one product."""
    tile_wordlines: Count
    """Inputs of a tile."""
    tile_bitlines: Count
    """Outputs of a tile."""
    accumulate: Literal["analog", "popcount"]
    """How sums are formed: in the array, then converted; or by gates and counters."""
    phases: Phases = ((1,),)
    """For each phase the integration times of its planes; one conversion ends each phase."""
    adc: Literal["sar", "flash", "sense_amplifier"] = "sar"
    """Kind of the converters (analog)."""
    adc_bits: Annotated[int, Field(ge=0, le=16)] = 0
    """Resolution of the converters; 0: as the prices are stated."""
    columns_per_adc: Count = 1
    """Outputs that share a converter."""
    adders: Count = 1
    """Full adders that a weight bit passes (popcount)."""
    lines_per_input: Count = 1
    """Word lines that an input takes."""
    lines_driven: Fraction = 1.0
    """Share of the word lines that are charged in a plane."""
    input_converters: bool = False
    """Whether each line is sent an input pulse of its own per plane, at the price of an input converter."""
    cells_per_weight: Count = 1
    """Cells that one input drives for one output."""
    cells_on: Fraction | None = None
    """Share of the driven cells at g_on, the others at g_off; omitted: the price of a line has its cells in it."""
    bits_sensed: bool = False
    """Whether every weight bit is sensed by an amplifier, at the price of a random bit of the sampling card."""
    samples: Count = 1
    """How often all layers are read for one result."""
    copies: Count = 1
    """Macros that work side by side."""


class Point(Table):
    """One operating point: what differs from the case."""

    name: Annotated[str, Field(min_length=1)]
    """What rows call it."""
    supply: Voltage | None = None
    """Supply voltage, if not that of the facts."""
    macro: dict[str, Any] = Field(default={})
    """Other values for keys of [macro]."""


class Fit(Table):
    """Facts that are solved for, so that the named points are met."""

    facts: Texts
    """Facts of the case, each of which scales the metric."""
    metric: Literal[LINEAR]  # type: ignore[valid-type]
    """Metric of the rows they are fitted to."""
    of: Texts = ()
    """Components that the metric counts; all if not given."""
    points: Texts
    """Points, at least as many as facts."""


class PublishedRow(Table):
    """One published number."""

    point: str
    """Name of a point."""
    metric: Literal[METRICS]  # type: ignore[valid-type]
    """What it is."""
    of: Texts = ()
    """Components that it counts; all if not given."""
    value: Positive | None = None
    """The published number."""
    low: NonNegative | None = None
    """Lower end of a published bracket."""
    high: Positive | None = None
    """Upper end of a published bracket, or a bound."""
    tolerance: Positive = 0.05
    """Largest relative error at which the row still counts as reproduced."""
    tests: Literal["counting", "scaling", "absolute"]
    """What it takes to hit the number: to count right, to carry a price over, or to know what things cost."""
    fed_in: bool = False
    """Whether the number follows from what the case was given: the row then tests that nothing is lost on the way."""
    where: Annotated[str, Field(min_length=1)]
    """Where in the source."""

    @model_validator(mode="after")
    def _check_bounds(self) -> PublishedRow:
        if (self.value is None) == (self.low is None and self.high is None):
            raise ValueError("has a value and a bracket, or neither; give value, or low and high.")
        return self


class CaseFile(Table):
    """A case as written."""

    schema_version: Literal[1]
    """Version of this format."""
    title: Annotated[str, Field(min_length=1)]
    """One line."""
    citation: Annotated[str, Field(min_length=1)]
    """The paper, and who read its numbers."""
    taken: Texts
    """What is taken from it."""
    assumed: Texts
    """What is assumed."""
    traps: Texts = ()
    """Traps avoided."""
    not_modelled: Texts = ()
    """What the chip has and the model has not."""
    base: str
    """Component card for what the case does not state."""
    base_cell: str = "ideal_sampler"
    """Card of the cells that are read, for what the case does not state."""
    from_base: Texts = ()
    """Prices that are taken from these cards on purpose; any other that is needed must be stated."""
    reference_supply: Voltage | None = None
    """Supply voltage at which the facts hold."""
    delay_exponent: NonNegative = 0.0
    """Durations go as supply to the power of minus this."""
    references: dict[str, str] = Field(default={})
    """Sources of the facts."""
    facts: dict[str, Any] = Field(default={})
    """Prices and times, as on a card."""
    macro: Macro
    """Geometry."""
    fit: Annotated[tuple[Fit, ...], Field(strict=False)] = ()
    """Facts that are solved for."""
    point: Annotated[tuple[Point, ...], Field(strict=False, min_length=1)]
    """Operating points."""
    expect: Annotated[tuple[PublishedRow, ...], Field(strict=False, min_length=1)]
    """Published numbers."""


class Case(CaseFile):
    """A case, checked, with its cards."""

    name: str
    """Name of its file."""
    component_card: Any
    """Component card with the facts of the case in place."""
    cell_card: Any
    """Card of the cells, likewise."""

    def macro_at(self, point: str) -> Macro:
        """Return the macro at an operating point."""
        other = next(p for p in self.point if p.name == point)
        return Macro.model_validate({**self.macro.model_dump(), **other.macro})

    def supply_at(self, point: str) -> float | None:
        """Return the supply voltage of an operating point."""
        return next(p for p in self.point if p.name == point).supply or self.reference_supply


def load_case(path: Path) -> Case:
    """Read a case.

    Raises
    ------
    ScenarioError
        In one sentence, if the file is malformed, names what does not exist, or states a fact no model has.
    """
    content, text = read_toml(path)
    source = Source(str(path), text)
    try:
        file = CaseFile.model_validate(content)
    except ValidationError as error:
        raise explain(error, source, CaseFile) from None
    try:
        components, cell = load_component_card(file.base), load_card(file.base_cell)
    except CardError as error:
        raise ScenarioError(f"{source.name}: {error}") from error
    components, cell = _with_facts(file, components, cell, source)
    case = Case.model_construct(**dict(file), name=path.stem, component_card=components, cell_card=cell)
    _check(case, source)
    return case


def _with_facts(file: CaseFile, components: Card, cell: Card, source: Source) -> tuple[Card, Card]:
    """Put the facts of a case in place of those of the cards."""
    _, cell_costs = device_specs(get_model(cell.model))
    specs = {**cell_costs, **COMPONENT_COSTS}
    ours, theirs = dict(components.costs), dict(cell.costs)
    for name, given in file.facts.items():
        where = source.at(f"facts.{name}")
        if name not in specs:
            raise ScenarioError(f"{where}: unknown fact. {did_you_mean(name, specs)}")
        try:
            fact = read_fact(given, specs[name], file.references, where)
        except CardError as error:
            raise ScenarioError(str(error)) from error
        (ours if name in COMPONENT_COSTS else theirs)[name] = fact
    return replace(components, costs=ours), replace(cell, costs=theirs)


def _check(case: Case, source: Source) -> None:
    points = {point.name for point in case.point}
    for name in case.from_base:
        _known(name, {*case.component_card.costs, *case.cell_card.costs} - set(case.facts), source.at("from_base"))
    for n, row in enumerate(case.expect):
        _known(row.point, points, source.at(f"expect.{n}.point"))
    for n, point in enumerate(case.point):
        if point.supply is not None and case.reference_supply is None:
            raise ScenarioError(f"{source.at(f'point.{n}.supply')}: has no effect without reference_supply; give that.")
        try:
            case.macro_at(point.name)
        except ValidationError as error:
            raise explain(error, Source(source.at(f"point.{n}.macro")), Macro) from None
    for n, fit in enumerate(case.fit):
        for name in fit.points:
            _known(name, points, source.at(f"fit.{n}.points"))
        for name in fit.facts:
            _known(name, case.facts, source.at(f"fit.{n}.facts"))
        if len(fit.points) < len(fit.facts):
            raise ScenarioError(f"{source.at(f'fit.{n}.points')}: {len(fit.points)} points cannot fix {len(fit.facts)} "
                                "facts; name more points.")  # fmt: skip
    named = [(f"expect.{n}.of", row.of) for n, row in enumerate(case.expect)]
    for where, components in [*named, *((f"fit.{n}.of", fit.of) for n, fit in enumerate(case.fit))]:
        for name in components:
            _known(name, COMPONENTS, source.at(where))


def _known(name: str, allowed: Any, where: str) -> None:
    if name not in allowed:
        raise ScenarioError(f"{where}: got {name!r}. {did_you_mean(name, allowed)}")
