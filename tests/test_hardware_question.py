"""The hardware question and the label savings: their rows are scenarios, and their tables say what was read."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

from bimu_hw.cli import run_commands
from bimu_hw.errors import RunError
from bimu_hw.report.hardware_question import STORES, Outcome, hardware_rows, row_scenario
from bimu_hw.report.hardware_table import format_outcomes, write_outcomes
from bimu_hw.report.label_savings import Point, folder_name, format_savings, policies, saving, saving_rows
from bimu_hw.report.row_runs import run_rows

SCENARIOS = Path(__file__).parents[1] / "scenarios"


def test_every_row_is_a_scenario_of_its_own():
    rows = hardware_rows()
    scenarios = [row_scenario(row, SCENARIOS / "hardware_question.toml") for row in rows]
    assert len({row.name for row in rows}) == len({s.hash for s in scenarios}) == len(rows) == 27
    for row, scenario in zip(rows, scenarios, strict=True):
        assert (scenario.n_levels == 0) == row.store.startswith("ideal")
        assert (scenario.device.programming == "native") == (row.programming == "native")
        # All rows see the same stream.
        assert scenario.stream == scenarios[0].stream
        assert scenario.seeds == scenarios[0].seeds
    for store in list(STORES)[:2]:
        of_store = [row for row in rows if row.store == store]
        assert len(of_store) == 5 * 2 + 1
        assert sorted({s.device.residue_bits for r, s in zip(rows, scenarios, strict=True)
                       if r in of_store and s.device.programming == "residue"}) == [8, 12, 16]  # fmt: skip


def test_the_table_shows_what_was_measured(tmp_path):
    row = hardware_rows()[0]
    outcome = Outcome(row, 1, 0.5, 0.25, 0.75, 0.9, 0.1, math.nan, 0.0, 12.5, 300.0, 3e-4, 2e-7, 3e-7)
    table = format_outcomes([outcome])
    wanted = "| 50.0 | 25.0 | 75.0 | 0.900 | 10.0 | - | 0.0 | 12.5 | 300 | 0.03 | 200 nJ | 300 nJ |"
    assert wanted in table
    other = replace(outcome, seed=2, newest=0.7, plasticity=1.0, energy_per_update=4e-7)
    # Two seeds: mean, and the deviation of a sample, 0.2 / sqrt(2).
    table = format_outcomes([outcome, other])
    assert "| 60.0 ± 14.1 | 25.0 ± 0.0 | 75.0 ± 0.0 | 0.950 ± 0.071 | 10.0 ± 0.0 | - |" in table
    assert "| 300 nJ | 300 nJ |" in table
    rows = [replace(outcome, row=row) for row in hardware_rows()[:3] for _ in range(2)]
    assert len(format_outcomes(rows).splitlines()) == 2 + 3
    assert {file.name for file in write_outcomes(rows, tmp_path)} == {
        "hardware_question.md", "hardware_question.json", "hardware_question.png",
    }  # fmt: skip


def test_a_folder_of_another_scenario_is_refused_before_anything_runs(tmp_path):
    scenario = row_scenario(hardware_rows()[0], SCENARIOS / "hardware_question.toml")
    (tmp_path / "b").mkdir()
    for name in ("run.nc", "summary.json", "scenario.json"):
        (tmp_path / "b" / name).write_text('{"scenario_hash": "0123456789"}')
    with pytest.raises(RunError, match="holds the run of another scenario"):
        run_rows({"a": scenario, "b": scenario}, tmp_path, progress=False)
    assert not (tmp_path / "a").exists()


def test_rows_of_the_label_savings():
    rows = saving_rows(SCENARIOS / "label_savings.toml", [1, 3], [1, 2])
    assert len(rows) == 2 * 2 * 3 * 2
    assert len({folder_name(key) for key in rows}) == len(rows)
    assert rows["BiMU", "ideal, analog", "all", 1].labels.policy == "always"
    # Half a count below the count: 3 of 10 samples ask, 2 do not.
    assert 0.2 < rows["BayesBiNN", "memristor pair, 16 levels", "3 of 10", 2].labels.threshold < 0.3
    assert policies([1], 4)["1 of 4"][1] == "labels.threshold=0.125"


def test_the_saving_is_the_fewest_labels_that_reach_all_of_them():
    every = Point("BiMU", "x", "all", (1.0, 1.0, 1.0), (0.80, 0.82, 0.84))
    good = Point("BiMU", "x", "1 of 10", (0.30, 0.30, 0.30), (0.81, 0.82, 0.84))
    # Better with one seed, and below all labels on average.
    near = Point("BiMU", "x", "2 of 10", (0.10, 0.10, 0.10), (0.805, 0.81, 0.84))
    poor = Point("BiMU", "x", "5 of 10", (0.05, 0.05, 0.05), (0.60, 0.62, 0.64))
    found = saving([every, good, near, poor])
    assert found is not None
    assert found[0] is good
    assert found[1] == pytest.approx(1 / 0.3)
    assert saving([every, poor]) is None
    table = format_savings([every, good, near, poor])
    assert "| BiMU | x | 1 of 10 | 30.0 ± 0.0 | 3.3 |" in table


def test_what_the_commands_refuse(capsys):
    assert run_commands(["hardware-question", "--rows", "flash"]) == 2
    assert "--list names them" in capsys.readouterr().err
    assert run_commands(["label-savings", "--counts", "few"]) == 2
    assert "write numbers of samples" in capsys.readouterr().err
    assert run_commands(["hardware-question", "--list"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 27
