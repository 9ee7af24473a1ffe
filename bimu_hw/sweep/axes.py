"""The axes of a sweep: from the table ``[sweep]`` to lists of values, in the order of the result's dimensions."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bimu_hw.errors import ScenarioError
from bimu_hw.random import Purpose, host_generator, stream_key
from bimu_hw.scenario.sweep_tables import Axis as AxisTable
from bimu_hw.scenario.sweep_tables import Sweep

#: The dimension of all axes that are sampled.
SAMPLE = "sample"
#: Names that no axis can have: they are dimensions, or variables, of every result.
RESERVED = frozenset(
    {SAMPLE, "seed", "seed_fabrication", "seed_noise", "seed_data", "task", "status", "cell_key", "accuracy_per_task",
     "accuracy_when_learned"}
)  # fmt: skip
#: The removal of a key, as after ``--set``.
REMOVED = ""

_WITH_UNIT = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*(.*?)\s*")


@dataclass(frozen=True)
class Axis:
    """One dimension of the result, apart from the seeds.

    Attributes
    ----------
    name : str
        Of the dimension.
    keys : tuple of str
        The keys of the scenario that vary along it.
    coordinates : tuple of str
        What the values of each key are called in the result; of an axis that is not sampled the first is `name`.
    rows : tuple of tuple
        For each point a value per key, as a scenario file has it; `REMOVED` for a key that is not there.
    """

    name: str
    keys: tuple[str, ...]
    coordinates: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


def axes_of(sweep: Sweep) -> tuple[Axis, ...]:
    """Return the axes of a sweep; those that are sampled are one axis, in the place of the first of them.

    Raises
    ------
    ScenarioError
        If a range is none, a value stands twice, a key is swept twice, or sampling is asked for and not used.
    """
    keys = [_keys(table) for table in sweep.axis]
    _check_keys([key for group in keys for key in group])
    short = _short_names([key for group in keys for key in group])
    sampled = [i for i, table in enumerate(sweep.axis) if _is_sampled(table)]
    _check_sampling(sweep, sampled, keys)
    axes = []
    for i, table in enumerate(sweep.axis):
        if i not in sampled:
            names = [short[key] for key in keys[i]]
            names[0] = table.name or names[0]
            axes.append(Axis(names[0], keys[i], tuple(names), _rows(table)))
        elif i == sampled[0]:
            names = [sweep.axis[k].name or short[keys[k][0]] for k in sampled]
            axes.append(Axis(SAMPLE, tuple(keys[k][0] for k in sampled), tuple(names), _samples(sweep, sampled)))
    names = [name for axis in axes for name in axis.coordinates]
    for name in names:
        if name in RESERVED or not re.fullmatch(r"[A-Za-z]\w*", name) or names.count(name) > 1:
            raise ScenarioError(
                f"[sweep]: an axis cannot be called {name!r}, which another dimension or variable of the result is, or "
                "which is no word; give the axis another name."
            )
    return tuple(axes)


def _keys(table: AxisTable) -> tuple[str, ...]:
    return table.keys or (table.key,)


def _is_sampled(table: AxisTable) -> bool:
    return table.range is not None and table.number is None


def _check_keys(keys: Sequence[str]) -> None:
    for key in keys:
        if key.partition(".")[0] in ("seeds", "sweep", "run", "schema_version", "expect"):
            raise ScenarioError(
                f"[sweep] {key}: is no key to sweep; for seeds write seeds = \"0:16\" in [sweep], or seeds_noise and "
                "the like to sweep them apart."
            )
        if keys.count(key) > 1:
            raise ScenarioError(f"[sweep] {key}: is on two axes; remove one.")


def _check_sampling(sweep: Sweep, sampled: Sequence[int], keys: Sequence[tuple[str, ...]]) -> None:
    if not sampled:
        if sweep.sampling is not None or sweep.samples is not None:
            raise ScenarioError(
                "[sweep] sampling, samples: have no effect, because no axis has a range without a number; remove them."
            )
        return
    key = keys[sampled[0]][0]
    if sweep.sampling is None or sweep.samples is None:
        raise ScenarioError(
            f"[sweep] {key}: has a range and no number; give it one, or say how it is sampled, for example sampling = "
            "\"sobol\" and samples = 64 in [sweep]."
        )
    if sweep.sampling == "sobol" and sweep.samples & (sweep.samples - 1):
        raise ScenarioError(
            f"[sweep] samples: got {sweep.samples}; a Sobol sequence is balanced for powers of 2 only: write "
            f"{1 << sweep.samples.bit_length()}, or sampling = \"random\"."
        )


def _short_names(keys: Sequence[str]) -> dict[str, str]:
    """Return for each key its last part, or as many of its last parts as tell it from the others."""
    found = {}
    for key in keys:
        parts = key.split(".")
        for n in range(1, len(parts) + 1):
            name = "_".join(parts[-n:])
            if name not in RESERVED and not any(o != key and "_".join(o.split(".")[-n:]) == name for o in keys):
                break
        found[key] = name
    return found


def _rows(table: AxisTable) -> tuple[tuple[Any, ...], ...]:
    keys = _keys(table)
    where = f"[sweep] {', '.join(keys)}"
    if table.values is None:
        rows = tuple((value,) for value in _range(table, where))
    elif table.keys:
        rows = tuple(tuple(row) if isinstance(row, (list, tuple)) else (row,) for row in table.values)
        for row in rows:
            if len(row) != len(keys):
                raise ScenarioError(f"{where}: got the row {list(row)!r}; expected {len(keys)} values, one per key.")
    else:
        rows = tuple((value,) for value in table.values)
    for i, row in enumerate(rows):
        if row in rows[:i]:
            shown = row[0] if len(row) == 1 else list(row)
            hint = "; write range with decimal points, or a smaller number" if table.range else "; remove one"
            raise ScenarioError(f"{where}: has the value {shown!r} twice{hint}.")
    return rows


def _range(table: AxisTable, where: str) -> list[Any]:
    low, high, whole, unit = _ends(table, where)
    assert table.number is not None
    between = _between(table.scale, low, high, np.arange(table.number) / (table.number - 1))
    between[0], between[-1] = low, high  # a rounded power is not quite what stands in the file
    return [_written(value, whole, unit) for value in between]


def _samples(sweep: Sweep, sampled: Sequence[int]) -> tuple[tuple[Any, ...], ...]:
    n = sweep.samples or 0
    if sweep.sampling == "sobol":
        from scipy.stats import qmc

        key = int(stream_key(sweep.sampling_seed, Purpose.SWEEP))
        unit = qmc.Sobol(len(sampled), scramble=True, seed=key).random(n)
    else:
        unit = host_generator(sweep.sampling_seed, Purpose.SWEEP).random((n, len(sampled)))
    columns = []
    for k, i in enumerate(sampled):
        table = sweep.axis[i]
        low, high, whole, written = _ends(table, f"[sweep] {table.key}")
        if whole and table.scale == "linear":
            column = low + np.floor(unit[:, k] * (high - low + 1))
        else:
            column = _between(table.scale, low, high, unit[:, k])
        columns.append([_written(value, whole, written) for value in column])
    return tuple(zip(*columns, strict=True))


def _ends(table: AxisTable, where: str) -> tuple[float, float, bool, str]:
    """Return both ends of a range, whether they are whole numbers, and the unit behind them."""
    assert table.range is not None
    ends = []
    for given in table.range:
        number, unit = given, ""
        if isinstance(given, str) and (found := _WITH_UNIT.fullmatch(given)):
            number, unit = float(found[1]), found[2]
        if isinstance(number, bool) or not isinstance(number, (int, float)) or not math.isfinite(number):
            raise ScenarioError(f"{where}: got {given!r} as an end of range; expected a number, or one with its unit.")
        ends.append((number, unit, isinstance(given, str)))
    (low, unit, is_text), (high, other, other_is_text) = ends
    if unit != other or is_text != other_is_text:
        raise ScenarioError(f"{where}: got the range {list(table.range)!r}; write both ends in the same unit.")
    if low >= high or (table.scale == "log" and low <= 0):
        least = ", from above 0 with scale = \"log\"" if table.scale == "log" else ""
        raise ScenarioError(f"{where}: got the range {list(table.range)!r}; allowed are ranges that rise{least}.")
    whole = isinstance(low, int) and isinstance(high, int)
    # A plain number in quotes stays one: scenarios write the dimensionless numbers of cards in both ways.
    return float(low), float(high), whole, unit if is_text and unit else ("1" if is_text else "")


def _between(scale: str, low: float, high: float, share: np.ndarray) -> np.ndarray:
    if scale == "log":
        return low * (high / low) ** share
    return low + (high - low) * share


def _written(value: float, whole: bool, unit: str) -> Any:
    """Return a value as a scenario file has it, with the twelve digits that no rounding of ours shows in."""
    if whole:
        return round(float(value))
    number = float(f"{float(value):.12g}")
    return number if not unit else f"{number!r} {unit}".removesuffix(" 1")


def put(tables: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key in the tables of a scenario, or remove it if the value is `REMOVED`.

    Raises
    ------
    ScenarioError
        If the key leads through something that is no table.
    """
    *path, last = key.split(".")
    table: Any = tables
    for part in path:
        if isinstance(table, list) and part.isdigit() and int(part) < len(table):
            table = table[int(part)]
        elif isinstance(table, dict):
            table = table.setdefault(part, {})
        if not isinstance(table, (dict, list)):
            break
    if not isinstance(table, dict):
        raise ScenarioError(f"[sweep] {key}: leads through something that is no table; check the spelling.")
    if isinstance(value, str) and value == REMOVED:
        table.pop(last, None)
    else:
        table[last] = value


def describe_row(axis: Axis, row: Sequence[Any]) -> str:
    """Return a point of an axis in words: ``n_levels = 4``."""
    pairs = zip(axis.coordinates, row, strict=True)
    return ", ".join(f"no {name}" if value == REMOVED else f"{name} = {value!r}" for name, value in pairs)


def seeds_of(sweep: Sweep, given: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
    """Return the seeds of a sweep by dimension: ``seed`` always, and those that are swept apart.

    `given` are the seeds of the scenario: where ``seed`` sweeps nothing it stands for them, by its noise seed.
    """
    apart = {
        f"seed_{name}": seeds for name in ("fabrication", "noise", "data") if (seeds := getattr(sweep, f"seeds_{name}"))
    }
    return {**apart, "seed": sweep.seeds or (given["noise"],)}
