"""Published results run again: rows, what an interruption leaves, and a table that hides nothing."""

from __future__ import annotations

import csv
import json
import statistics
import time
import tomllib

import pytest
import xarray

from bimu_hw import checkpoint
from bimu_hw.cli import run_commands
from bimu_hw.errors import RunError, ScenarioError
from bimu_hw.reproduction import PAPER, load_study, reproduce, write_report
from bimu_hw.reproduction import progress as progress_module
from bimu_hw.reproduction.progress import sessions_of, standing
from bimu_hw.run import Run, resume_run

STUDY = """
title = "a study"
source = "a source"
protocol = "a protocol"

[scenario]
schema_version = 1
stream = {{ dataset = "digits", kind = "permuted", inputs = "standardised", examples_per_task = 20 }}
network = {{ hidden = [6], samples = 2 }}
labels = {{ policy = "always" }}
device = {{ storage = "ideal_storage", sampler = "ideal_sampler", programming = "deterministic" }}
components = {{ card = "cmos_28nm" }}
accelerator = {{ arrivals = "back_to_back", write_columns = 8 }}
record = {{ state = false, checkpoint_interval = "0 s" }}
evaluation = {{ examples = 20 }}

[scenario.crossbar]
tile_wordlines = 64
tile_bitlines = 64
columns = "differential"
inputs = "analog"
adc_bits = 0
columns_per_adc = 8

[[row]]
name = "one"
title = "One task"
tasks = 1
published = [{{ metric = "accuracy_last_k", tasks = 1, value = 0.25, std = 0.01, where = "table 1" }}]
scenario.learning = {{ rule = "bimu", gradient = "relaxed", preset = "bimu_mnist_1_task" }}

[[row]]
name = "many"
title = "Many tasks"
note = "a note"
most_tasks = 3
published = [
  {{ metric = "accuracy_last_k", tasks = 3, value = 0.5, where = "table 2" }},
  {{ metric = "backward_transfer", tasks = 1000, value = -0.8, where = "table 2" }},
]
scenario.learning = {{ rule = "bayesbinn", gradient = "relaxed", lr = {lr}, prior_strength = 0.001 }}

[[not_run]]
title = "Another"
published = "12 %"
why = "no data"
"""


def study(folder, lr=0.77):
    path = folder / "study.toml"
    path.write_text(STUDY.format(lr=lr))
    return load_study(path)


def table_of(out):
    with open(out / "reproduction.csv", newline="") as file:
        return {(row["row"], int(row["tasks"]), row["metric"]): row for row in csv.DictReader(file)}


def test_rows_are_run_once_and_compared_with_what_was_published(tmp_path):
    out, said = tmp_path / "out", []
    report = reproduce(study(tmp_path), out, tasks=5, seeds=2, progress=False, tell=said.append)
    assert [sentence for sentence in said if "begins" in sentence] == [
        f"{name}: begins." for name in ("one-1-s1", "one-1-s2", "many-3-s1", "many-3-s2")
    ]
    ours = [json.loads((out / f"one-1-s{k}/summary.json").read_text())["accuracy_last_k"] for k in (1, 2)]
    one = table_of(out)["one", 1, "accuracy_last_k"]
    assert float(one["ours"]) == pytest.approx(statistics.mean(ours))
    assert float(one["ours_std"]) == pytest.approx(statistics.stdev(ours))
    assert float(one["difference"]) == pytest.approx(statistics.mean(ours) - 0.25)
    assert table_of(out)["many", 3, "backward_transfer"]["difference"] == ""  # published for another number of tasks
    text = report.read_text(encoding="utf-8")
    for words in ("25.00 ± 1.00 %", "(−0.8000 after 1000 tasks)", "not run: no data", "a note", "a source"):
        assert words in text
    # Of the row with several tasks the layers, too: means over the seeds, straight from the files.
    trees = [xarray.open_datatree(out / f"many-3-s{k}/run.nc", engine="h5netcdf") for k in (1, 2)]
    shown = [line.split(" | ")[1:4] for line in text.splitlines() if line.startswith("| Many tasks | ")][-3:]
    assert [line[0] for line in shown] == ["1", "2", "3"]
    for task, line in enumerate(shown):
        newest = statistics.mean(float(tree["tasks"]["accuracy"][task, task]) for tree in trees)
        plastic = [
            statistics.mean(float(tree["freezing"]["plasticity"].isel(layer=k, task=task)) for tree in trees)
            for k in (0, 1)
        ]
        assert line[1:] == [f"{100 * newest:.1f}", f"{plastic[0]:.2f} / {plastic[1]:.2f}"]
    runs = json.loads((out / "reproduction.json").read_text(encoding="utf-8"))["runs"]
    assert [run["examples"] for run in runs] == [20, 20, 60, 60]

    before = {path: path.stat().st_mtime_ns for path in out.glob("*/run.nc")}
    reproduce(study(tmp_path), out, tasks=5, seeds=2, progress=False, tell=said.append)
    assert said[-4:] == [f"{name}: finished before." for name in ("one-1-s1", "one-1-s2", "many-3-s1", "many-3-s2")]
    assert {path: path.stat().st_mtime_ns for path in out.glob("*/run.nc")} == before


def test_an_interrupted_row_goes_on_to_the_same_bits_and_meanwhile_says_how_far_it_is(tmp_path, monkeypatch):
    described = study(tmp_path)
    many = described.select(["many"])
    reproduce(described, tmp_path / "whole", tasks=3, rows=many, progress=False)

    class Interrupted(KeyboardInterrupt):
        pass

    def interrupt(self, index, tick, once=Run.before_query):
        once(self, index, tick)
        if index == 50:
            raise Interrupted

    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(Run, "before_query", interrupt)
        with pytest.raises(KeyboardInterrupt, match="same command again"):
            reproduce(described, out, tasks=3, rows=many, progress=False)
    there = standing(out / "many-3-s1", 3)
    assert (there.state, there.tasks) == ("begun", 2)
    text = write_report(described, out, described.cells(described.rows, 3, 1)).read_text(encoding="utf-8")
    assert "stands at 2 of 3 tasks (50 examples) with" in text
    lines = table_of(out)
    assert lines["one", 1, "accuracy_last_k"]["stands"] == "not run"
    assert lines["many", 3, "accuracy_last_k"]["ours"] == ""
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "CHECKPOINT_VERSION", 10**6)
        text = write_report(described, out, described.cells(described.rows, 3, 1)).read_text(encoding="utf-8")
        assert "begun, by another version of bimu-hw, which can say how far it is" in text
        assert "stands at 0 of" not in text

    said = []
    reproduce(described, out, tasks=3, rows=many, progress=False, tell=said.append)
    assert said == ["many-3-s1: goes on after 2 of 3 tasks.", "many-3-s1: finished."]
    assert len(sessions_of(out / "many-3-s1")) == 2
    assert (out / "many-3-s1/run.nc").read_bytes() == (tmp_path / "whole/many-3-s1/run.nc").read_bytes()


def test_a_folder_with_another_scenario_is_refused_and_a_busy_one_is_left_alone(tmp_path, monkeypatch):
    described, out = study(tmp_path), tmp_path / "out"
    one = described.select(["one"])
    reproduce(described, out, tasks=1, rows=one, progress=False)
    with monkeypatch.context() as patch:
        patch.setattr("bimu_hw.run_folder.RunFolder.finished", False)
        patch.setattr("bimu_hw.run_folder.RunFolder.begun_hash", "")
        with pytest.raises(RunError):  # nothing to go on with
            resume_run(out / "one-1-s1", progress=False)
    other = load_study(write(tmp_path, STUDY.format(lr=0.77).replace("samples = 2", "samples = 3")))
    with pytest.raises(RunError, match=r"one-1-s1: holds the run of another scenario .* choose another --out"):
        reproduce(other, out, tasks=1, rows=other.select(["one"]), progress=False)

    from bimu_hw.run_folder import RunFolder

    cell = described.cell(one[0], 1, 7)
    said = []
    monkeypatch.setattr(described.__class__, "cells", lambda *a: [cell])
    with RunFolder(out / cell.name).begin(cell.scenario, overwrite=False):
        reproduce(described, out, tasks=1, rows=one, progress=False, tell=said.append)
    assert said[-1] == "one-1-s7: another process is at it."
    assert not sessions_of(out / cell.name)


def test_the_account_is_kept_while_a_run_is_under_way(tmp_path, monkeypatch):
    monkeypatch.setattr(progress_module, "_BEAT", 0.01)
    out = tmp_path / "run"

    def spent() -> float:
        return sum(note["cpu_s"] for note in sessions_of(out))

    with progress_module.session(out):
        # A slow disk may hold up the first note for long: give up late, and only because a test must end.
        end = time.monotonic() + 120.0
        while spent() <= 0.2:
            assert time.monotonic() < end
            sum(range(10_000))
        under_way = spent()
    assert len(sessions_of(out)) == 1
    assert spent() >= under_way


def write(folder, text):
    path = folder / "other.toml"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('why = "no data"', "", "not a study"),
        ('title = "One task"', 'titel = "One task"', r"row 'one', titel: unknown key\. Did you mean 'title'\?"),
        ('name = "many"', 'name = "one"', "two rows are called 'one'"),
        ('protocol = "a protocol"', "", "'protocol' is missing"),
    ],
)
def test_what_is_no_study_is_refused_in_a_sentence(tmp_path, old, new, words):
    with pytest.raises(ScenarioError, match=words):
        load_study(write(tmp_path, STUDY.format(lr=1).replace(old, new)))


def test_every_row_of_the_paper_is_a_valid_scenario_and_says_where_its_values_stand():
    paper = load_study(PAPER)
    hashes = [cell.scenario.hash for cell in paper.cells(paper.rows, 100, 1)]
    assert len(set(hashes)) == len(paper.rows)  # no row is another one under a second name
    assert all(published.where for row in paper.rows for published in row.published)
    with pytest.raises(ScenarioError, match=r"--rows: got 'bimo'\. Did you mean 'bimu'\?"):
        paper.select(["bimo"])
    assert tomllib.loads(PAPER.read_text(encoding="utf-8"))["source"].endswith("arXiv:2605.30198")


def test_the_command_lists_rows_reports_without_running_and_refuses_in_a_sentence(tmp_path, capsys):
    assert run_commands(["reproduce", "paper", "--list"]) == 0
    listed = capsys.readouterr().out
    assert all(row.name in listed for row in load_study(PAPER).rows)
    study(tmp_path)
    words = ["reproduce", str(tmp_path / "study.toml"), "--out", str(tmp_path / "out")]
    assert run_commands([*words, "--report"]) == 2
    refused = f"--out: there is no folder {tmp_path / 'out'}; name the one that holds the runs.\n"
    assert capsys.readouterr().err == refused
    (tmp_path / "out").mkdir()
    assert run_commands([*words, "--report", "--quiet"]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "out" / "reproduction.md")
    assert {line["stands"] for line in table_of(tmp_path / "out").values()} == {"not run"}
    assert run_commands([*words, "--rows", "ones"]) == 2
    assert capsys.readouterr().err == "--rows: got 'ones'. Did you mean 'one'?\n"
    assert run_commands([*words, "--rows", ""]) == 2
    assert capsys.readouterr().err.startswith("--rows: got ''. ")
    assert run_commands(["reproduce", "papers"]) == 2
    assert capsys.readouterr().err == "study 'papers': not known; name \"paper\", or the path of a .toml file.\n"
