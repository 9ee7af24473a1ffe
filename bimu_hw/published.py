"""Published macros, planned, counted and priced by the simulator, and held against what their papers say.

Nothing here computes an energy or a time of its own: reads of tiles are planned by `bimu_hw.accelerator.looks`,
prices are carried over by `bimu_hw.scaling`, and `bimu_hw.ledger` multiplies. Energies are linear in prices and times
in durations, so what a case fits is the solution of a linear system over the points it names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bimu_hw.accelerator.clock import to_seconds, to_ticks
from bimu_hw.accelerator.looks import LookTimes, TileRead
from bimu_hw.cards import COMPONENT_COSTS, Card, Fact, load_card, read_conductances
from bimu_hw.errors import ScenarioError, did_you_mean
from bimu_hw.ledger import CostTable, price
from bimu_hw.operations import COMPONENTS, OPERATIONS, operation_index
from bimu_hw.scaling import scale_adc, scale_lines, scale_supply
from bimu_hw.scenario.published import Case, Fit, Macro, load_case

#: Numbers of cards that a duration is made of, by how sums are formed.
_TIMES = {
    "analog": ("driver_time", "read_time", "adc_convert_time"), "popcount": ("driver_time", "popcount_time"),
}  # fmt: skip
#: Values at which a fit tries what a fact does, by its unit: any would do, but ticks are integers.
_TRIAL = {"J": 1e-12, "s": 1e-6, "S": 1e-6}
_CELL_READ = ("g_on", "g_off", "read_voltage", "read_time")


@dataclass(frozen=True)
class Result:
    """One result of a macro: a product, or the inference of a network.

    Attributes
    ----------
    joules : float64[component]
    seconds : float
    macs, outputs : int
        Multiply-accumulates, and outputs of all layers and samples.
    copies : int
        Macros that work side by side.
    """

    joules: npt.NDArray[np.float64]
    seconds: float
    macs: int
    outputs: int
    copies: int

    def metric(self, name: str, of: tuple[str, ...] = ()) -> float:
        """Return a number of `bimu_hw.scenario.published.METRICS`; `of` names the components whose energy counts."""
        energy = float(sum(self.joules[COMPONENTS.index(c)] for c in of)) if of else float(self.joules.sum())
        ops = 2.0 * self.macs
        return {
            "tops_per_watt": lambda: ops / energy * 1e-12,
            "tops": lambda: self.copies * ops / self.seconds * 1e-12,
            "fj_per_op": lambda: energy / ops * 1e15,
            "fj_per_mac": lambda: energy / self.macs * 1e15,
            "pj_per_output": lambda: energy / self.outputs * 1e12,
            "pj": lambda: energy * 1e12,
            "us": lambda: self.seconds * 1e6,
        }[name]()


@dataclass(frozen=True)
class PublishedOutcome:
    """One row of the table.

    Attributes
    ----------
    case, point, metric, where, tests : str
    role : {"fed in", "fitted", "predicted"}
        Whether the row follows from what the case was given, was used to solve for a fact of it, or neither.
    expected : str
    simulated : float
    error : float
        Relative to the published value, or to the nearer end of a bracket; 0 inside one.
    allowed : float
        Largest error; 0 for a bracket.
    """

    case: str
    point: str
    metric: str
    where: str
    tests: str
    role: str
    expected: str
    simulated: float
    error: float
    allowed: float

    @property
    def met(self) -> bool:
        """Whether the error is allowed."""
        return abs(self.error) <= self.allowed


def simulate(case: Case, point: str, values: Mapping[str, float] | None = None, *, timed: bool = True) -> Result:
    """Plan and price one result of a case at an operating point.

    Parameters
    ----------
    case : Case
    point : str
    values : mapping of str to float, optional
        Values for facts of the case, in SI: those that were solved for.
    timed : bool
        Whether durations are wanted, and their facts must be there.

    Raises
    ------
    ScenarioError
        If a price or a time is needed that neither the case states nor `from_base` names.
    """
    macro = case.macro_at(point)
    components, cell = _cards_at(case, macro, point, values or {})
    counts = np.zeros(len(OPERATIONS), np.int64)
    ticks, siemens_slots = 0, 0.0
    times = _times(components, cell)
    g_on, g_off = read_conductances(cell)
    for n_in, n_out in macro.layers:
        read = TileRead(
            n_in, n_out, macro.tile_wordlines, macro.tile_bitlines, macro.phases, macro.columns_per_adc,
            accumulate=macro.accumulate, adders=macro.adders,
        )  # fmt: skip
        counts += read.counts()
        lines = round(n_in * macro.lines_per_input * macro.lines_driven)
        crossed = -(-n_out // macro.tile_bitlines)
        counts[operation_index("driver", "drive")] += read.planes * lines * crossed
        counts[operation_index("dac", "convert")] += read.planes * lines * crossed * macro.input_converters
        counts[operation_index("sampler", "bit")] += n_in * n_out * macro.bits_sensed
        if macro.cells_on is not None:
            slots = sum(sum(phase) for phase in macro.phases)
            siemens_slots += slots * n_in * n_out * macro.cells_per_weight * (g_off + macro.cells_on * (g_on - g_off))
        ticks += read.ticks(times)
    counts, siemens_slots, ticks = counts * macro.samples, siemens_slots * macro.samples, ticks * macro.samples
    _all_stated(case, macro, counts, timed)
    volt2_second = cell.costs["read_voltage"].value ** 2 * cell.costs["read_time"].value
    costs = CostTable.from_cards({"component": components, "storage": load_card("ideal_storage"), "sampler": cell})
    joules = price(counts, np.asarray(siemens_slots * volt2_second), costs.joules)
    macs = sum(n_in * n_out for n_in, n_out in macro.layers) * macro.samples
    outputs = sum(n_out for _, n_out in macro.layers) * macro.samples
    slower = _slower(case, point)
    return Result(joules, to_seconds(ticks) * slower, macs, outputs, macro.copies)


def solve(case: Case) -> dict[str, float]:
    """Return the facts that a case fits, in SI, by name: the least squares of relative errors over the named points.

    Raises
    ------
    ScenarioError
        If a fact would not be positive.
    """
    values: dict[str, float] = {}
    for fit in case.fit:
        wanted = np.array([_published(case, fit, point) for point in fit.points])
        others = {**values, **dict.fromkeys(fit.facts, 0.0)}
        base = _at_points(case, fit, others)
        columns = []
        for name in fit.facts:
            one = _TRIAL[fact_of(case, name).unit]
            columns.append((_at_points(case, fit, {**others, name: one}) - base) / one)
        matrix = np.stack(columns, axis=1) / wanted[:, None]
        solved, *_ = np.linalg.lstsq(matrix, (wanted - base) / wanted, rcond=None)
        for name, value in zip(fit.facts, solved, strict=True):
            if not value > 0.0:
                raise ScenarioError(
                    f"{case.name}, fit: {name} would be {value:g}, which nothing has; fit another fact."
                )
            values[name] = float(value)
    return values


def _at_points(case: Case, fit: Fit, values: Mapping[str, float]) -> npt.NDArray[np.float64]:
    timed = fit.metric == "us"
    return np.array([simulate(case, point, values, timed=timed).metric(fit.metric, fit.of) for point in fit.points])


def outcomes(case: Case) -> list[PublishedOutcome]:
    """Return the table of a case: every published number beside the simulated one."""
    values = solve(case)
    rows = []
    for row in case.expect:
        result = simulate(case, row.point, values, timed=row.metric in ("tops", "us"))
        simulated = result.metric(row.metric, row.of)
        fitted = any(row.point in f.points and (row.metric, row.of) == (f.metric, f.of) for f in case.fit)
        if row.value is not None:
            expected, error = f"{row.value:.4g}", simulated / row.value - 1.0
        else:
            low, high = row.low or 0.0, row.high or np.inf
            expected = f"{low:g} to {high:g}" if row.low else f"below {high:g}"
            error = simulated / high - 1.0 if simulated > high else simulated / low - 1.0 if simulated < low else 0.0
        role = "fitted" if fitted else "fed in" if row.fed_in else "predicted"
        name = row.metric + (f" of {', '.join(row.of)}" if row.of else "")
        rows.append(
            PublishedOutcome(
                case.name, row.point, name, row.where, row.tests, role, expected, simulated, error,
                0.0 if row.value is None else row.tolerance,
            )
        )  # fmt: skip
    return rows


def published_cases(folder: Path, name: str | None = None) -> list[Case]:
    """Return the cases of a folder in the order of their names, or the one of that name or path.

    Raises
    ------
    ScenarioError
        If there is none, or it is malformed.
    """
    files = {path.stem: path for path in sorted(folder.glob("*.toml"))}
    if name is None:
        if not files:
            raise ScenarioError(f"{folder}: has no cases; run from a checkout, or give the path of a case.")
        return [load_case(path) for path in files.values()]
    if name.endswith(".toml"):
        return [load_case(Path(name))]
    if name not in files:
        raise ScenarioError(f"published case {name!r}: not known. {did_you_mean(name, files)} A path ends in .toml.")
    return [load_case(files[name])]


def _cards_at(case: Case, macro: Macro, point: str, values: Mapping[str, float]) -> tuple[Card, Card]:
    components: Card = case.component_card
    cell: Card = case.cell_card
    for name, value in values.items():
        card = components if name in COMPONENT_COSTS else cell
        costs = {**card.costs, name: replace(card.costs[name], value=value, low=value, high=value)}
        if card is components:
            components = replace(components, costs=costs)
        else:
            cell = replace(cell, costs=costs)
    if macro.accumulate == "analog":
        components = scale_adc(components, macro.adc_bits, macro.adc)
    components = scale_lines(components, macro.tile_bitlines)
    supply = case.supply_at(point)
    if supply is not None and case.reference_supply is not None:
        components = scale_supply(components, case.reference_supply, supply)
        volts = cell.costs["read_voltage"]
        factor = supply / case.reference_supply
        cell = replace(cell, costs={**cell.costs, "read_voltage": replace(volts, value=volts.value * factor)})
    return components, cell


def _times(components: Card, cell: Card) -> LookTimes:
    return LookTimes(
        *(
            to_ticks(card.costs[name].value, f"{card.name}, {name}")
            for card, name in (
                (components, "driver_time"), (cell, "read_time"), (components, "adc_convert_time"),
                (components, "popcount_time"),
            )
        )
    )  # fmt: skip


def _slower(case: Case, point: str) -> float:
    """Return the factor of all durations at the supply voltage of a point."""
    supply, reference = case.supply_at(point), case.reference_supply
    return 1.0 if supply is None or reference is None else (supply / reference) ** -case.delay_exponent


def _all_stated(case: Case, macro: Macro, counts: npt.NDArray[np.int64], timed: bool) -> None:
    """Refuse a price or a time that would come silently from a card the case only builds on."""
    needed = {op.cost for op, n in zip(OPERATIONS, counts, strict=True) if n}
    if macro.accumulate == "analog" and macro.adc_bits == 1 and "adc_convert_energy" in needed:
        needed = needed - {"adc_convert_energy"} | {"sense_energy"}
    if timed:
        needed.update(_TIMES[macro.accumulate])
    if macro.cells_on is not None:
        needed.update(_CELL_READ)
    silent = sorted(needed - set(case.facts) - set(case.from_base))
    if silent:
        raise ScenarioError(
            f"{case.name}, facts: {silent[0]!r} is needed and not stated; state it, or name it in from_base."
        )


def fact_of(case: Case, name: str) -> Fact:
    """Return a fact of a case as its file states it."""
    card: Card = case.component_card if name in COMPONENT_COSTS else case.cell_card
    return card.costs[name]


def _published(case: Case, fit: Fit, point: str) -> float:
    """Return the published number that a fit is to meet at a point."""
    for row in case.expect:
        if (row.point, row.metric, row.of) == (point, fit.metric, fit.of) and row.value is not None:
            return float(row.value)
    raise ScenarioError(f"{case.name}, fit: expect has no value of {fit.metric!r} at {point!r} to fit to; add one.")
