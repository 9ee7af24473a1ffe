"""The plan of a sweep: every cell with its key, checked before the first one runs."""

from __future__ import annotations

import copy
import hashlib
import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bimu_hw import __version__
from bimu_hw.checkpoint import source_digest
from bimu_hw.devices import model_module, model_names
from bimu_hw.errors import BimuError, RunError, ScenarioError
from bimu_hw.random import Purpose, stream_key
from bimu_hw.scenario import Scenario, make_scenario
from bimu_hw.scenario.reading import Source, apply_overrides, read_toml
from bimu_hw.scenario.sweep_tables import read_seeds, read_sweep
from bimu_hw.sweep.axes import Axis, axes_of, describe_row, put, seeds_of
from bimu_hw.sweep.values import attrs_of, value_of

#: Raised whenever ``sweep.json`` or the files of cells change their meaning.
FORMAT = 1
#: Hexadecimal digits of a cell's key.
KEY_DIGITS = 24
_SEEDS = ("fabrication", "noise", "data")


@dataclass(frozen=True)
class Coordinate:
    """Values along a dimension of the result, in SI.

    Attributes
    ----------
    name, dim : str
    values : list of float or None, or of str
        None, or an empty text, where the key is not there.
    attrs : dict of str to str
    """

    name: str
    dim: str
    values: list[Any]
    attrs: dict[str, str]


@dataclass(frozen=True)
class Plan:
    """All cells of a sweep, in the order of the result's dimensions.

    Attributes
    ----------
    name, title, folder : str
        `folder` is what relative paths in the scenario start from.
    base : dict
        The tables that all cells share.
    axes : tuple of Axis
    seeds : dict of str to tuple of int
        By dimension, the last being ``seed``.
    own_seeds : dict of str to int
        The scenario's, where none are swept.
    common : bool
        Whether all points have the same seeds.
    keys : tuple of str
        Of every cell.
    coordinates : tuple of Coordinate
    resolved : dict
        The first cell's scenario, with every value that has an effect.
    cards : dict of str to list of str
        The names of all cards in use, by role.
    identity : dict of str to str
        The version and the sources of the package that the cells belong to.
    """

    name: str
    title: str
    folder: str
    base: dict[str, Any]
    axes: tuple[Axis, ...]
    seeds: dict[str, tuple[int, ...]]
    own_seeds: dict[str, int]
    common: bool
    keys: tuple[str, ...]
    coordinates: tuple[Coordinate, ...]
    resolved: dict[str, Any]
    cards: dict[str, list[str]]
    identity: dict[str, str]

    @property
    def sizes(self) -> dict[str, int]:
        """Length of every dimension, in order."""
        return {axis.name: len(axis.rows) for axis in self.axes} | {dim: len(s) for dim, s in self.seeds.items()}

    def content(self, number: int) -> dict[str, Any]:
        """Return the tables of one cell's scenario, which `make_scenario` makes it of."""
        *_, rows, seeds = self._point(number)
        tables = self._tables(rows)
        tables["seeds"] = seeds
        return tables

    def describe(self, number: int) -> str:
        """Return one cell in words: its point on each axis, and its seeds."""
        *_, rows, seeds = self._point(number)
        words = [describe_row(axis, row) for axis, row in zip(self.axes, rows, strict=True)]
        shown = set(seeds.values())
        words.append(f"seed {shown.pop()}" if len(shown) == 1 else f"seeds {', '.join(map(str, seeds.values()))}")
        return ", ".join(words)

    def _point(self, number: int) -> tuple[Any, ...]:
        per_point = math.prod(len(s) for s in self.seeds.values())
        point, seed = divmod(number, per_point)
        rows: list[Any] = []
        for axis in reversed(self.axes):
            point, i = divmod(point, len(axis.rows))
            rows.insert(0, axis.rows[i])
        choice = next(itertools.islice(itertools.product(*self.seeds.values()), seed, None))
        return rows, self._seeds(rows, choice)

    def _tables(self, rows: Sequence[Sequence[Any]]) -> dict[str, Any]:
        tables = copy.deepcopy(self.base)
        for axis, row in zip(self.axes, rows, strict=True):
            for key, value in zip(axis.keys, row, strict=True):
                put(tables, key, value)
        return tables

    def _seeds(self, rows: Sequence[Sequence[Any]], choice: Sequence[int]) -> dict[str, int]:
        """Return the three seeds of a cell; of points with seeds of their own they are mixed with the point."""
        by_dim = dict(zip(self.seeds, choice, strict=True))
        seeds = dict(self.own_seeds) or dict.fromkeys(_SEEDS, by_dim["seed"])
        seeds |= {dim.removeprefix("seed_"): seed for dim, seed in by_dim.items() if dim != "seed"}
        if self.common:
            return seeds
        text = json.dumps([[axis.keys, row] for axis, row in zip(self.axes, rows, strict=True)], sort_keys=True)
        word = int(hashlib.sha256(text.encode()).hexdigest()[:15], 16)
        return {name: int(stream_key(seed, Purpose.SWEEP, word)) >> 1 for name, seed in seeds.items()}

    def to_json(self) -> str:
        """Return the content of ``sweep.json``."""
        return json.dumps({"format": FORMAT, **asdict(self)}, allow_nan=False)

    @staticmethod
    def from_json(text: str, where: str) -> Plan:
        """Return the plan in a ``sweep.json``; `RunError` if it is none, or one of another format."""
        try:
            content = json.loads(text)
            if (found := content.pop("format")) != FORMAT:
                raise RunError(
                    f"{where}: has format {found}, and this version reads format {FORMAT}; use the one that wrote it."
                )
            content["axes"] = tuple(
                Axis(a["name"], tuple(a["keys"]), tuple(a["coordinates"]), tuple(tuple(row) for row in a["rows"]))
                for a in content["axes"]
            )
            content["coordinates"] = tuple(Coordinate(**one) for one in content["coordinates"])
            content["seeds"] = {dim: tuple(seeds) for dim, seeds in content["seeds"].items()}
            return Plan(**{**content, "keys": tuple(content["keys"])})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise RunError(f"{where}: is not the plan of a sweep, or is damaged; choose another folder.") from error


def make_plan(
    path: Path, overrides: Sequence[str] = (), seeds: Sequence[str] = (), tell: Callable[[int, int], None] | None = None
) -> Plan:
    """Read a scenario that is to be swept, and check every cell.

    Parameters
    ----------
    path : Path
    overrides : sequence of str
        As after ``--set``.
    seeds : sequence of str
        As after ``--seeds``: ``"0:16"``, or ``"noise=0:16"`` for seeds that are swept apart.
    tell : callable, optional
        Is told how many points of how many are checked.

    Raises
    ------
    ScenarioError
        In one sentence that names axis and value, if a cell is no scenario that can be run.
    """
    content, text = read_toml(path)
    options = apply_overrides(content, overrides)
    source = Source(str(path), text, options)
    table = dict(content.pop("sweep", {})) if isinstance(content.get("sweep", {}), dict) else content.pop("sweep")
    if isinstance(table, dict):
        table |= _seed_options(seeds)
    if not table:
        raise ScenarioError(
            f"{path}: has no [sweep], and no --seeds are given: there is nothing to sweep; use bimu-hw run."
        )
    sweep = read_sweep(table, source)
    axes = axes_of(sweep)
    own = {name: content.get("seeds", {}).get(name, 0) for name in _SEEDS} if sweep.seeds is None else {}
    swept = seeds_of(sweep, own or dict.fromkeys(_SEEDS, 0))
    content.setdefault("run", {})
    if isinstance(content["run"], dict):
        content["run"] = {**content["run"], "threads": 1}
    plan = Plan(
        path.stem, "", str(path.parent.resolve()), content, axes, swept, own, sweep.common_random_numbers, (), (),
        {}, {}, {},
    )  # fmt: skip
    return _filled(plan, source, tell)


def _seed_options(given: Sequence[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for option in given:
        name, equals, seeds = option.rpartition("=")
        if equals and name not in _SEEDS:
            raise ScenarioError(f"--seeds {option}: got {name!r}; allowed are {', '.join(_SEEDS)}, or no name for all.")
        try:
            found[f"seeds_{name}" if equals else "seeds"] = list(read_seeds(seeds))
        except ScenarioError as error:
            raise ScenarioError(f"--seeds: {error}") from None
    return found


def _filled(plan: Plan, source: Source, tell: Callable[[int, int], None] | None) -> Plan:
    """Return the plan with all that only the checked scenarios of its cells say."""
    keys: list[str] = []
    cards: dict[str, set[str]] = {"storage": set(), "sampler": set(), "components": set()}
    values: list[list[list[Any]]] = [[[None] * len(axis.rows) for _ in axis.keys] for axis in plan.axes]
    attrs: dict[str, dict[str, str]] = {}
    first: Scenario | None = None
    data: dict[str, str] = {}
    n_points = math.prod(len(axis.rows) for axis in plan.axes)
    for done, (index, rows) in enumerate(_points(plan.axes)):
        scenario = _checked(plan, rows, source)
        first = first or scenario
        seeds = [plan._seeds(rows, choice) for choice in itertools.product(*plan.seeds.values())]
        suffix = _data_digest(scenario, data)
        keys += [_key(hash, suffix) for hash in scenario.hashes(seeds)]
        cards["storage"].add(scenario.storage_card.name)
        cards["sampler"].add(scenario.sampler_card.name)
        cards["components"].add(scenario.component_card.name)
        for k, (axis, i) in enumerate(zip(plan.axes, index, strict=True)):
            for j, key in enumerate(axis.keys):
                if values[k][j][i] is None:
                    values[k][j][i] = value_of(scenario, key)
                if key not in attrs and values[k][j][i] is not None:
                    attrs[key] = attrs_of(scenario, key)
        if tell is not None:
            tell(done + 1, n_points)
    assert first is not None
    resolved = {**first.resolved(), "seeds": plan.content(0)["seeds"]}
    return Plan(
        plan.name, first.title, plan.folder, plan.base, plan.axes, plan.seeds, plan.own_seeds, plan.common,
        tuple(keys), tuple(_coordinates(plan, values, attrs)), resolved,
        {role: sorted(names) for role, names in cards.items()},
        {"bimu_hw_version": __version__, "source_digest": sources()},
    )  # fmt: skip


def sources() -> str:
    """Return the digest of all sources that cells are computed with, the device models among them."""
    return source_digest(sorted(model_module(name) for name in model_names()))


def _points(axes: Sequence[Axis]) -> Iterator[tuple[tuple[int, ...], tuple[Any, ...]]]:
    for index in itertools.product(*(range(len(axis.rows)) for axis in axes)):
        yield index, tuple(axis.rows[i] for axis, i in zip(axes, index, strict=True))


def _checked(plan: Plan, rows: Sequence[Sequence[Any]], source: Source) -> Scenario:
    tables = plan._tables(rows)
    tables["seeds"] = dict.fromkeys(_SEEDS, 0)
    swept = {key: "[sweep]" for axis in plan.axes for key in axis.keys}
    where = Source(source.name, source.text, {**source.overrides, **swept})
    try:
        return make_scenario(tables, folder=plan.folder, name=plan.name, source=where)
    except ScenarioError as error:
        # The axis that the sentence is about, or all of them where it is about how they go together.
        about = [i for i, axis in enumerate(plan.axes) if any(f"[sweep] {key}:" in str(error) for key in axis.keys)]
        points = [describe_row(plan.axes[i], rows[i]) for i in about or range(len(rows))]
        where_to = f"{source.name}, cells with {', '.join(points)}: " if points else ""
        raise ScenarioError(f"{where_to}{error}") from None


def _key(scenario_hash: str, data_digest: str) -> str:
    whole = hashlib.sha256(f"{scenario_hash}{data_digest}".encode()).hexdigest() if data_digest else scenario_hash
    return whole[:KEY_DIGITS]


def _data_digest(scenario: Scenario, known: dict[str, str]) -> str:
    """Return the digest of a data set that is a file; what is named in the package has a digest of its own."""
    if isinstance(scenario.dataset, str):
        return ""
    name = str(scenario.dataset)
    if name not in known:
        known[name] = hashlib.sha256(scenario.dataset.read_bytes()).hexdigest()
    return known[name]


def key_of(scenario: Scenario) -> str:
    """Return the key of a cell: it stands for every value that has an effect, the seeds, and the data."""
    return _key(scenario.hash, _data_digest(scenario, {}))


def cell_scenario(content: Mapping[str, Any], folder: str, name: str, key: str) -> Scenario:
    """Return the scenario of a cell; `RunError` if a card or a file that it reads is not what it was."""
    try:
        scenario = make_scenario(dict(content), folder=folder, name=name)
        found = key_of(scenario)
    except (BimuError, OSError) as error:
        raise RunError(f"cell {key}: its scenario can no longer be made ({str(error).rstrip('.')}).") from error
    if found != key:
        raise RunError(
            f"cell {key}: its scenario gives other values than when the sweep was planned (a card, a data set or a "
            "default has changed); restore what it was, or start the sweep command again."
        )
    return scenario


def _coordinates(
    plan: Plan, values: list[list[list[Any]]], attrs: Mapping[str, dict[str, str]]
) -> Iterator[Coordinate]:
    for axis, columns in zip(plan.axes, values, strict=True):
        if axis.name not in axis.coordinates:  # the number of a sample
            meta = {"units": "1", "long_name": "number of the sample"}
            yield Coordinate(axis.name, axis.name, [float(i) for i in range(len(axis.rows))], meta)
        for name, key, column in zip(axis.coordinates, axis.keys, columns, strict=True):
            # JSON has no infinity, which stands for a key without effect: the lam_max of a continuum of levels.
            column = [None if isinstance(v, float) and not math.isfinite(v) else v for v in column]
            is_text = any(isinstance(value, str) for value in column)
            if is_text:
                column = ["" if value is None else _text(value) for value in column]
            known = attrs.get(key, {"key": key, "units": "1", "long_name": key})
            meta = {k: v for k, v in known.items() if not (is_text and k == "units")}
            yield Coordinate(name, axis.name, column, meta)


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
