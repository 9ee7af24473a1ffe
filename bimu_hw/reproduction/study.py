"""A study as its file describes it: rows to run, and what was published for them.

A study is a TOML file. ``[scenario]`` has the tables that all rows share; each ``[[row]]`` has a name, a title, the
keys in which its scenario differs, and its published values, each with where it stands. Rows that cannot be run here
stand under ``[[not_run]]`` with the reason. No published value lives in code.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bimu_hw.errors import ScenarioError, did_you_mean
from bimu_hw.scenario import Scenario, make_scenario
from bimu_hw.scenario.reading import read_toml

#: The study of the paper whose learning rule this package builds on.
PAPER = Path(__file__).with_name("paper.toml")


@dataclass(frozen=True)
class Published:
    """One published number.

    Attributes
    ----------
    metric : str
        Key of ``summary.json``.
    tasks : int
        After how many tasks.
    value : float
        In the unit of the summary: accuracies as fractions.
    std : float or None
        Standard deviation over seeds, where it was published.
    where : str
        Where it stands in the source.
    """

    metric: str
    tasks: int
    value: float
    std: float | None
    where: str


@dataclass(frozen=True, eq=False)
class Row:
    """One line of the study: a scenario, run once for each seed.

    Attributes
    ----------
    name, title, note : str
    tasks : int or None
        Fixed number of tasks; None: as many as asked for.
    most_tasks : int or None
        As many as asked for, up to this number.
    scenario : mapping
        Keys that differ from the study's, table by table.
    published : tuple of Published
    """

    name: str
    title: str
    note: str
    tasks: int | None
    most_tasks: int | None
    scenario: Mapping[str, Any]
    published: tuple[Published, ...]

    def n_tasks(self, asked: int) -> int:
        """Return the number of tasks that this row has when `asked` are asked for."""
        return self.tasks or min(asked, self.most_tasks or asked)


@dataclass(frozen=True)
class NotRun:
    """A published row that is not run here.

    Attributes
    ----------
    title, published, why : str
    """

    title: str
    published: str
    why: str


@dataclass(frozen=True)
class Cell:
    """One run of a study: a row, a number of tasks and a seed.

    Attributes
    ----------
    row : Row
    tasks, seed : int
    scenario : Scenario
    """

    row: Row
    tasks: int
    seed: int
    scenario: Scenario

    @property
    def name(self) -> str:
        """Name of the run's folder."""
        return f"{self.row.name}-{self.tasks}-s{self.seed}"


@dataclass(frozen=True)
class Study:
    """Rows, and where their published values come from.

    Attributes
    ----------
    title, source, protocol : str
    rows : tuple of Row
    not_run : tuple of NotRun
    scenario : mapping
        Tables that all rows share.
    folder : Path
        Relative paths start here.
    """

    title: str
    source: str
    protocol: str
    rows: tuple[Row, ...]
    not_run: tuple[NotRun, ...]
    scenario: Mapping[str, Any]
    folder: Path

    def select(self, names: Iterable[str]) -> tuple[Row, ...]:
        """Return the rows of these names, in this order; all of them if none is named.

        Raises
        ------
        ScenarioError
            If there is no such row.
        """
        by_name = {row.name: row for row in self.rows}
        wanted = list(names)
        for name in wanted:
            if name not in by_name:
                raise ScenarioError(f"--rows: got {name!r}. {did_you_mean(name, by_name)}")
        return tuple(by_name[name] for name in wanted) if wanted else self.rows

    def cell(self, row: Row, tasks: int, seed: int) -> Cell:
        """Return one run of a row, its scenario checked."""
        content = copy.deepcopy(dict(self.scenario))
        content["title"] = f"{row.title}, {tasks} task{'s' if tasks > 1 else ''}"
        for table, keys in row.scenario.items():
            content.setdefault(table, {}).update(keys)
        content["stream"]["tasks"] = tasks
        if "examples_per_task" in content["stream"]:
            content["stream"]["examples"] = tasks * content["stream"].pop("examples_per_task")
        return Cell(row, tasks, seed, make_scenario(content, folder=self.folder, name=row.name, seed=seed))

    def cells(self, rows: Sequence[Row], tasks: int, seeds: int) -> list[Cell]:
        """Return the runs of some rows, seeds 1 to `seeds`, row by row."""
        return [self.cell(row, row.n_tasks(tasks), seed) for row in rows for seed in range(1, seeds + 1)]


_ROW_KEYS = {"name", "title", "note", "tasks", "most_tasks", "scenario", "published"}
_STUDY_KEYS = {"title", "source", "protocol", "scenario", "row", "not_run"}


def load_study(path: str | Path) -> Study:
    """Read a study.

    Parameters
    ----------
    path : str or Path

    Raises
    ------
    ScenarioError
        If the file is missing, not TOML, or not a study.
    """
    path = Path(path)
    content, _ = read_toml(path)
    _known(path, "", content, _STUDY_KEYS)
    try:
        rows = tuple(_row(path, row) for row in content["row"])
        study = Study(
            content["title"], content["source"], content["protocol"].strip(), rows,
            tuple(NotRun(**row) for row in content.get("not_run", ())), content["scenario"], path.parent,
        )  # fmt: skip
    except (KeyError, TypeError, AttributeError) as error:
        what = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
        raise ScenarioError(f"{path}: not a study ({what}); {PAPER.name} of the package shows the form.") from None
    names = [row.name for row in rows]
    for name in names:
        if names.count(name) > 1:
            raise ScenarioError(f"{path}: two rows are called {name!r}; rename one.")
    return study


def _row(path: Path, row: dict[str, Any]) -> Row:
    _known(path, f"row {row['name']!r}, ", row, _ROW_KEYS)
    published = tuple(
        Published(p["metric"], p["tasks"], p["value"], p.get("std"), p["where"]) for p in row.get("published", ())
    )
    return Row(
        row["name"], row["title"], row.get("note", ""), row.get("tasks"), row.get("most_tasks"), row["scenario"],
        published,
    )  # fmt: skip


def _known(path: Path, where: str, given: Mapping[str, Any], allowed: set[str]) -> None:
    for key in given:
        if key not in allowed:
            raise ScenarioError(f"{path}, {where}{key}: unknown key. {did_you_mean(key, allowed)}")
