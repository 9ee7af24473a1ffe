"""The first and the last command: a scenario to begin with, and conductances to leave with."""

from __future__ import annotations

import tomllib
from pathlib import Path

import numpy as np
import pytest

from bimu_hw.cli import run_commands
from bimu_hw.errors import RunError
from bimu_hw.record import open_run, write_run
from bimu_hw.record.export import export_conductances
from bimu_hw.run import Run
from bimu_hw.scenario import load_scenario
from bimu_hw.scenario.shipped import shipped_scenarios

QUICKSTART = Path(__file__).parents[1] / "scenarios" / "quickstart.toml"
SHORT = (
    "stream.examples=12", "stream.tasks=1", "evaluation.examples=2", "network.hidden=[20]", "network.samples=2",
    "crossbar.tile_wordlines=10", "crossbar.tile_bitlines=8", "accelerator.write_columns=8",
)  # fmt: skip


def run_to(folder, *overrides):
    folder.mkdir()
    run = Run(load_scenario(QUICKSTART, (*SHORT, *overrides)))
    run.accelerator.run()
    write_run(run.finish(), folder / "run.nc")
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return run_to(tmp_path_factory.mktemp("start") / "run")


def test_init_writes_a_scenario_that_is_valid_and_keeps_its_comments(tmp_path, capsys):
    assert run_commands(["init", str(tmp_path / "chip")]) == 0
    written = tmp_path / "chip" / "scenario.toml"
    assert "bimu-hw run" in capsys.readouterr().out
    assert written.read_text(encoding="utf-8") == QUICKSTART.read_text(encoding="utf-8")
    assert (tmp_path / "chip" / "schema.json").is_file()
    assert run_commands(["validate", str(written)]) == 0


def test_init_overwrites_nothing_and_knows_the_shipped_names(tmp_path, capsys):
    assert run_commands(["init", str(tmp_path), "--from", "mnist_ideal"]) == 0
    assert tomllib.loads((tmp_path / "scenario.toml").read_text(encoding="utf-8"))["stream"]["dataset"] == "mnist"
    assert run_commands(["init", str(tmp_path)]) == 2
    assert "exists" in capsys.readouterr().err
    assert run_commands(["init", str(tmp_path / "b"), "--from", "quickstrat"]) == 2
    assert "Did you mean 'quickstart'?" in capsys.readouterr().err
    assert not (tmp_path / "b").exists()


def test_the_shipped_scenarios_are_found():
    assert {"quickstart", "mnist_ideal"} <= set(shipped_scenarios())


def test_exported_conductances_are_those_recorded(folder, tmp_path):
    paths = export_conductances(folder, tmp_path)
    assert [path.name for path in paths] == ["layer_0.npz", "layer_1.npz"]
    with open_run(folder) as run, np.load(paths[1], allow_pickle=False) as archive:
        state = run["layer_1"].to_dataset().isel(snapshot=-1)
        np.testing.assert_array_equal(archive["conductance"], state["conductance"].values)
        np.testing.assert_array_equal(archive["lam"], state["lam"].values)
        assert str(archive["unit"]) == "S"


def test_a_chip_starts_from_what_another_exported(folder, tmp_path):
    maps = [str(path) for path in export_conductances(folder, tmp_path / "maps", "csv")]
    again = Run(load_scenario(QUICKSTART, (*SHORT, f"device.conductance_map={maps}")))
    with open_run(folder) as run:
        for k, synapses in enumerate(again.chip.layers):
            state = run[f"layer_{k}"].to_dataset().isel(snapshot=-1)
            sound = state["fault"].values == 0
            lam = np.asarray(synapses.snapshot(0.0)["lam"])
            # Conductances are float32, levels a wide step apart.
            np.testing.assert_allclose(lam[sound], state["lam"].values[sound], atol=1e-3)


def test_a_pair_has_a_table_for_each_device(tmp_path):
    folder = run_to(tmp_path / "run", "device.storage=hfox_2t2r")
    names = [path.name for path in export_conductances(folder, tmp_path / "out", "csv")]
    assert names == [f"layer_{k}_device_{j}.csv" for k in (0, 1) for j in (0, 1)]
    first = (tmp_path / "out" / names[0]).read_text(encoding="utf-8").splitlines()
    assert first[0] == "# unit: S"
    assert len(first) == 1 + 64
    assert len(first[1].split(",")) == 20


def test_export_answers_bad_input_in_a_sentence(folder, tmp_path, capsys):
    assert run_commands(["export", str(folder), "--out", str(tmp_path / "a"), "--snapshot", "7"]) == 2
    assert "snapshot 7: there are" in capsys.readouterr().err
    assert not (tmp_path / "a").exists()
    assert run_commands(["export", str(tmp_path), "--out", str(tmp_path / "a")]) == 2
    with pytest.raises(RunError, match="no states"):
        export_conductances(run_to(tmp_path / "stateless", "record.state=false"), tmp_path / "a")
