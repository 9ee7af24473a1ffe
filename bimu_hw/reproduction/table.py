"""The report of a study: published value, ours, difference, and where ours comes from; Markdown, CSV and JSON."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bimu_hw.record import write_durably
from bimu_hw.reproduction.frozen import HEADER, frozen_lines
from bimu_hw.reproduction.progress import Standing, sessions_of, standing
from bimu_hw.reproduction.study import Cell, Published, Row, Study

#: The words for what is compared; others go by their own name.
_WORDS = {
    "accuracy_last_k": "mean of the last {newest}",
    "accuracy_last_20": "mean of the last 20",
    "accuracy_last_100": "mean of the last 100",
    "accuracy_newest_task": "newest task",
    "backward_transfer": "backward transfer",
}
_ORIGIN = ("row", "tasks", "seed", "scenario", "version", "CPU time", "sessions", "memory, MiB", "began", "stands")
_COLUMNS = (
    "row", "tasks", "metric", "published", "published_std", "published_tasks", "ours", "ours_std", "n_seeds",
    "difference", "stands",
)  # fmt: skip
#: What every row shows, published or not.
_ALWAYS = ("accuracy_last_k", "accuracy_newest_task")


@dataclass(frozen=True)
class Line:
    """One number of one row.

    Attributes
    ----------
    row, title, metric : str
    tasks : int
    published : Published or None
        For this number of tasks if there is one, else for the nearest.
    values : tuple of float
        Ours, seed by seed, of finished runs.
    stands : str
        What is finished, and where the rest stands.
    """

    row: str
    title: str
    metric: str
    tasks: int
    published: Published | None
    values: tuple[float, ...]
    stands: str

    @property
    def comparable(self) -> bool:
        """Whether there are a published value for this number of tasks and one of ours."""
        return self.published is not None and self.published.tasks == self.tasks and bool(self.values)

    @property
    def difference(self) -> float | None:
        """Ours minus the published value; None where they cannot be compared."""
        return float(np.mean(self.values)) - self.published.value if self.comparable and self.published else None


def write_report(study: Study, out: Path, cells: Iterable[Cell]) -> Path:
    """Write ``reproduction.md``, ``.csv`` and ``.json`` into `out`; return the first.

    Parameters
    ----------
    study : Study
    out : Path
    cells : iterable of Cell
        The runs that were asked for; the report also has what earlier calls left in `out`.
    """
    groups = _groups(study, out, cells)
    lines, runs, frozen = [], [], []
    for row, tasks in groups:
        found = {seed: (out / f"{row.name}-{tasks}-s{seed}") for seed in sorted(groups[row, tasks])}
        stands = {seed: standing(path, tasks) for seed, path in found.items()}
        lines += _lines(row, tasks, list(stands.values()))
        runs += [_run(row, tasks, seed, stands[seed], path) for seed, path in found.items()]
        if tasks > 1:
            done = {found[seed]: one.summary for seed, one in stands.items() if one.state == "done"}
            frozen += frozen_lines(row.title, done)
    for name, text in (
        ("reproduction.md", _markdown(study, lines, runs, frozen)), ("reproduction.csv", _csv(lines)),
        ("reproduction.json", json.dumps(_plain(study, lines, runs), indent=1) + "\n"),
    ):  # fmt: skip
        content = text.encode()
        write_durably(out / name, lambda file, content=content: file.write(content))  # type: ignore[misc]
    return out / "reproduction.md"


def _groups(study: Study, out: Path, cells: Iterable[Cell]) -> dict[tuple[Row, int], set[int]]:
    """Return the seeds, asked for or found in the folder, of every row and number of tasks, in the study's order."""
    names = {row.name: k for k, row in enumerate(study.rows)}
    found: dict[tuple[int, int], set[int]] = {}
    for cell in cells:
        found.setdefault((names[cell.row.name], cell.tasks), set()).add(cell.seed)
    for path in out.iterdir():
        match = re.fullmatch(r"(\w+)-(\d+)-s(\d+)", path.name)
        if match and match[1] in names and path.is_dir():
            found.setdefault((names[match[1]], int(match[2])), set()).add(int(match[3]))
    ordered = sorted(found, key=lambda key: (study.rows[key[0]].tasks is None, key))
    return {(study.rows[k], tasks): found[k, tasks] for k, tasks in ordered}


def _lines(row: Row, tasks: int, stands: Sequence[Standing]) -> list[Line]:
    metrics = dict.fromkeys([*_ALWAYS, *(published.metric for published in row.published)])
    if tasks == 1:
        del metrics["accuracy_newest_task"]  # the same number
        metrics.pop("backward_transfer", None)
    for k in (20, 100):
        if k > tasks:
            metrics.pop(f"accuracy_last_{k}", None)
    lines = []
    for metric in metrics:
        known = [published for published in row.published if published.metric == metric]
        nearest = min(known, key=lambda one: abs(np.log(one.tasks / tasks)), default=None)
        done = [s.summary.get(metric) for s in stands if s.state == "done"]
        values = tuple(float(value) for value in done if value is not None)
        if not values and metric != "accuracy_last_k" and (nearest is None or nearest.tasks != tasks):
            continue  # nothing of ours yet, and nothing to hold it against
        lines.append(Line(row.name, row.title, metric, tasks, nearest, values, _stands(stands, tasks, metric)))
    return lines


def _stands(stands: Sequence[Standing], tasks: int, metric: str) -> str:
    words = []
    done = sum(s.state == "done" for s in stands)
    if done:
        words.append("done" if done == len(stands) else f"{done} of {len(stands)} seeds done")
    for one in stands:
        if one.state == "begun":
            so_far = one.summary.get(metric)
            value = "" if so_far is None else f" with {100 * so_far:.2f} %"
            words.append(
                f"stands at {one.tasks} of {tasks} tasks ({one.examples:,} examples){value}"
                if one.examples >= 0
                else "begun, by another version of bimu-hw, which can say how far it is"
            )
    missing = sum(s.state == "not run" for s in stands)
    if missing:
        words.append("not run" if missing == len(stands) else f"{missing} not run")
    return "; ".join(words)


def _ended(run: dict[str, Any]) -> str:
    if run["state"] == "done" or run["examples"] < 0:
        return str(run["state"])
    return f"{run['tasks_ended']} tasks, {run['examples']:,} examples"


def _run(row: Row, tasks: int, seed: int, stand: Standing, path: Path) -> dict[str, Any]:
    """Return the provenance of one run."""
    sessions = sessions_of(path)

    def all_of(key: str) -> str:
        return ", ".join(dict.fromkeys(str(s[key]) for s in sessions if s.get(key)))

    peaks = [s["peak_memory_MiB"] for s in sessions if s.get("peak_memory_MiB")]
    return {
        "row": row.name, "tasks": tasks, "seed": seed, "state": stand.state, "tasks_ended": stand.tasks,
        "examples": stand.examples,
        "scenario_hash": stand.scenario_hash, "version": all_of("version"), "commit": all_of("commit"),
        "processor": all_of("processor"), "python": all_of("python"), "sessions": len(sessions),
        "cpu_s": round(sum(s.get("cpu_s", 0.0) for s in sessions), 1), "peak_memory_MiB": max(peaks, default=None),
        "began": sessions[0]["began"] if sessions else "",
    }  # fmt: skip


def _is_percent(metric: str) -> bool:
    return metric.startswith("accuracy")


def _number(metric: str, value: float) -> str:
    return f"{100 * value:.2f} %" if _is_percent(metric) else f"{value:.4f}".replace("-", "−")


def _gap(metric: str, value: float) -> str:
    """Return a difference with its sign, of accuracies in percentage points."""
    return (f"{100 * value:+.2f}" if _is_percent(metric) else f"{value:+.4f}").replace("-", "−")


def _spread(metric: str, mean: float, std: float | None) -> str:
    if std is None:
        return _number(metric, mean)
    text = f"{100 * mean:.2f} ± {100 * std:.2f} %" if _is_percent(metric) else f"{mean:.4f} ± {std:.4f}"
    return text.replace("-", "−")


def _published(line: Line) -> str:
    one = line.published
    if one is None:
        return "–"
    text = _spread(line.metric, one.value, one.std)
    return text if one.tasks == line.tasks else f"({text} after {one.tasks} tasks)"


def _ours(line: Line) -> str:
    if not line.values:
        return "–"
    std = float(np.std(line.values, ddof=1)) if len(line.values) > 1 else None
    seeds = f"{len(line.values)} seed{'s' if len(line.values) > 1 else ''}"
    return f"{_spread(line.metric, float(np.mean(line.values)), std)} ({seeds})"


def _markdown(
    study: Study, lines: Sequence[Line], runs: Sequence[dict[str, Any]], frozen: Sequence[tuple[str, ...]]
) -> str:
    rows: list[tuple[object, ...]] = []
    for line in lines:
        gap = line.difference
        single = line.tasks == 1 and line.metric == "accuracy_last_k"
        what = _WORDS.get(line.metric, line.metric).format(newest=min(5, line.tasks))
        what = "accuracy" if single else what
        rows.append((
            line.title, line.tasks, what, _published(line), _ours(line),
            "–" if gap is None else _gap(line.metric, gap), line.stands,
        ))  # fmt: skip
    rows += [(one.title, "", "", one.published, "–", "–", f"not run: {one.why}") for one in study.not_run]
    header = ("row", "tasks", "quantity", "published", "ours", "difference", "stands")
    origin = [
        (
            f"`{run['row']}`", run["tasks"], run["seed"], f"`{run['scenario_hash'][:8]}`",
            f"{run['version']} {run['commit']}".strip() or "–", _hours(run["cpu_s"]), run["sessions"],
            run["peak_memory_MiB"] or "–", run["began"][:10] or "–", _ended(run),
        )
        for run in runs if run["state"] != "not run"
    ]  # fmt: skip
    machines = ", ".join(dict.fromkeys(f"{r['processor']}, Python {r['python']}" for r in runs if r["processor"]))
    shown = {line.row for line in lines}
    notes = [f"- `{row.name}` ({row.title}): {row.note}" for row in study.rows if row.note and row.name in shown]
    return "\n".join([
        study.protocol, "", f"Published values: {study.source}. Mean ± standard deviation over seeds; a published "
        "value in brackets is for another number of tasks and is not compared. Differences of accuracies are in "
        "percentage points.", "",
        *_table(header, rows), "", *notes, *([""] if notes else []), *(_frozen(frozen) if frozen else []),
        "Where our numbers come from" + (f" ({machines})" if machines else "") + ":", "",
        *_table(_ORIGIN, origin), "",
    ])  # fmt: skip


def _frozen(lines: Sequence[tuple[str, ...]]) -> list[str]:
    return [
        "What the layers do meanwhile, from the first on (group `/freezing` of the record; plasticity: mean "
        "sech²λ; flips: synapses whose mean weight has changed its sign since the task before; frozen: by plasticity, "
        "as `docs/model.md` defines it):", "", *_table(HEADER, lines), "",
    ]  # fmt: skip


def _hours(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 60:.0f} min"


def _table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    lines = [header, ["---"] * len(header), *rows]
    return [f"| {' | '.join(str(cell).replace('|', '/') for cell in line)} |" for line in lines]


def _csv(lines: Sequence[Line]) -> str:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(_COLUMNS)
    for entry in map(_entry, lines):
        table.writerow(["" if entry[key] is None else entry[key] for key in _COLUMNS])
    return text.getvalue()


def _entry(line: Line) -> dict[str, Any]:
    one, values = line.published, line.values
    return {
        "row": line.row, "title": line.title, "tasks": line.tasks, "metric": line.metric,
        "published": one.value if one else None, "published_std": one.std if one else None,
        "published_tasks": one.tasks if one else None, "published_where": one.where if one else None,
        "ours": float(np.mean(values)) if values else None,
        "ours_std": float(np.std(values, ddof=1)) if len(values) > 1 else None, "n_seeds": len(values),
        "difference": line.difference, "stands": line.stands,
    }  # fmt: skip


def _plain(study: Study, lines: Sequence[Line], runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    not_run = [{"title": one.title, "published": one.published, "why": one.why} for one in study.not_run]
    return {
        "title": study.title, "source": study.source, "protocol": study.protocol,
        "lines": [_entry(line) for line in lines], "runs": list(runs), "not_run": not_run,
    }  # fmt: skip
