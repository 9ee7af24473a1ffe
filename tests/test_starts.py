"""What the cells of a chip start from: the record of another run, or measured conductances."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from bimu_hw.errors import BimuError, DataError, RunError, ScenarioError
from bimu_hw.record import lam_from_record
from bimu_hw.run import Run, build_chip, resume_run, run_scenario
from bimu_hw.run_folder import RunFolder
from bimu_hw.scenario import load_scenario
from bimu_hw.scenario.recorded import scenario_from_record

QUICKSTART = Path(__file__).parents[1] / "scenarios" / "quickstart.toml"
SHORT = ("stream.examples=40", "stream.tasks=1", "evaluation.examples=5", "network.hidden=[7]")
SHAPES = [(64, 7), (7, 10)]


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    """Return the folder of a run that has learned something, with levels of its own."""
    path = tmp_path_factory.mktemp("learned") / "first"
    run_scenario(load_scenario(QUICKSTART, SHORT), path, progress=False)
    return path


def following(learned, *overrides):
    return load_scenario(QUICKSTART, (*SHORT, "stream.examples=6", f"network.initial_lam={learned}", *overrides))


def cells(scenario):
    return [synapses.lam.reshape(synapses.shape) for synapses in build_chip(scenario, 64, 10).layers]


def sound(scenario):
    chip = build_chip(scenario, 64, 10)
    return [(synapses.state.fault == 0).reshape(synapses.shape) for synapses in chip.layers]


@pytest.mark.parametrize("given", ["first", "first/run.nc"])
def test_a_chip_starts_from_what_another_learned(learned, given):
    lams = lam_from_record(learned, SHAPES)
    ideal = ("device.storage=ideal_storage", "device.programming=deterministic", "device.residue_bits=",
             "device.lam_max=")  # fmt: skip
    for found, lam in zip(cells(following(learned.parent / given, *ideal)), lams, strict=True):
        np.testing.assert_array_equal(found, lam)


def test_what_was_learned_is_rounded_to_the_levels_of_the_store(learned):
    """8 levels of 8/7: every sound cell takes the nearest, and the residue register keeps what is left over."""
    scenario = following(learned, "device.storage_params.n_levels=8")
    chip = build_chip(scenario, 64, 10)
    step = 8.0 / 7.0
    for synapses, lam in zip(chip.layers, lam_from_record(learned, SHAPES), strict=True):
        nearest = np.clip(np.rint(lam / step - 0.5) + 0.5, -3.5, 3.5) * step
        healthy = (synapses.state.fault == 0).reshape(synapses.shape)
        distance = np.abs(synapses.lam.reshape(synapses.shape) - nearest)
        tie = np.abs(np.abs(lam / step - nearest / step) - 0.5) < 1e-5
        assert healthy.sum() > 0.9 * healthy.size
        assert distance[healthy & ~tie].max() < 1e-5
        left = synapses.residue.reshape(synapses.shape)
        np.testing.assert_allclose(left[healthy & ~tie], ((lam - nearest) / step)[healthy & ~tie], atol=2.0**-12)


def test_the_path_is_relative_to_the_scenario(learned, tmp_path, monkeypatch):
    (tmp_path / "scenarios").mkdir()
    shutil.copy(QUICKSTART, tmp_path / "scenarios" / "mine.toml")
    shutil.copytree(learned, tmp_path / "runs" / "first")
    monkeypatch.chdir(tmp_path)
    scenario = load_scenario("scenarios/mine.toml", (*SHORT, "network.initial_lam=../runs/first"))
    for found, lam in zip(scenario.starts.lams, lam_from_record(learned), strict=True):
        np.testing.assert_array_equal(found, lam)


def test_the_hash_is_that_of_the_content_not_of_the_place(learned, tmp_path):
    wanted = following(learned)
    shutil.copytree(learned, tmp_path / "elsewhere")
    assert following(tmp_path / "elsewhere").hash == wanted.hash
    other = tmp_path / "other"
    run_scenario(load_scenario(QUICKSTART, (*SHORT, "seeds.noise=2")), other, progress=False)
    assert following(other).hash != wanted.hash
    assert load_scenario(QUICKSTART, (*SHORT, "stream.examples=6")).hash != wanted.hash
    assert wanted.resolved()["starts"] == list(wanted.starts.digests)
    assert "starts" not in load_scenario(QUICKSTART).resolved()


def test_a_run_that_started_from_another_is_replayed(learned, tmp_path, monkeypatch):
    """From its record alone: the other run is found beside it, under the path given, or in a folder that is named."""
    wanted = following(learned)
    runs = tmp_path / "runs"
    run_scenario(wanted, runs / "second", progress=False)
    found = scenario_from_record(runs / "second")
    assert found.hash == wanted.hash
    run_scenario(found, tmp_path / "again", progress=False)
    for mine, theirs in zip(lam_from_record(tmp_path / "again"), lam_from_record(runs / "second"), strict=True):
        np.testing.assert_array_equal(mine, theirs)

    (tmp_path / "home" / "scenarios").mkdir(parents=True)
    shutil.copytree(learned, tmp_path / "home" / "first")
    shutil.copy(QUICKSTART, tmp_path / "home" / "scenarios" / "mine.toml")
    relative = load_scenario(
        tmp_path / "home" / "scenarios" / "mine.toml",
        (*SHORT, "stream.examples=6", "network.initial_lam=../first"),
    )
    run_scenario(relative, runs / "third", progress=False)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RunError, match=r"'\.\./first', which it starts from, is not there; looked at .* name the fold"):
        scenario_from_record(runs / "third")
    assert scenario_from_record(runs / "third", tmp_path / "home" / "scenarios").hash == relative.hash
    shutil.copytree(learned, runs / "first")
    assert scenario_from_record(runs / "third").hash == relative.hash
    run_scenario(load_scenario(QUICKSTART, (*SHORT, "seeds.noise=2")), runs / "first", overwrite=True,
                 progress=False)  # fmt: skip
    with pytest.raises(RunError, match=r"'\.\./first', which it starts from, is not what it was; looked at"):
        scenario_from_record(runs / "third")


def test_a_run_is_not_resumed_from_another_start(learned, tmp_path):
    first = tmp_path / "first"
    shutil.copytree(learned, first)
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(KeyboardInterrupt), folder.begin(following(first), False):
        raise KeyboardInterrupt
    shutil.rmtree(first)
    with pytest.raises(ScenarioError, match="where there is no finished run"):
        resume_run(folder.out, progress=False)
    run_scenario(load_scenario(QUICKSTART, (*SHORT, "seeds.noise=2")), first, progress=False)
    with pytest.raises(RunError, match="a file that it starts from"):
        resume_run(folder.out, progress=False)
    shutil.rmtree(first)
    shutil.copytree(learned, first)
    resumed = resume_run(folder.out, progress=False)
    run_scenario(following(first), tmp_path / "straight", progress=False)
    straight = (tmp_path / "straight" / "run.nc").read_bytes()
    assert (resumed.path / "run.nc").read_bytes() == straight


def test_a_start_that_is_none_is_refused(learned, tmp_path):
    for value, words in (
        ("unifrom", "got 'unifrom'. Did you mean 'uniform'.*Or give the path of a finished run"),
        ("../runs/missing", "'../runs/missing', where there is no finished run; make it first: bimu-hw run SCENARIO"),
        ("../runs/quickstart", "make it first: bimu-hw run quickstart --out .*runs/quickstart"),
        (str(tmp_path), "where there is no finished run"),
        ("", "got ''"),
    ):
        with pytest.raises(ScenarioError, match=f"network.initial_lam: .*{words}") as caught:
            load_scenario(QUICKSTART, (*SHORT, f"network.initial_lam={value!r}"))
        assert "\n" not in str(caught.value)
    (tmp_path / "run.nc").write_text("no record")
    with pytest.raises(ScenarioError, match=r"initial_lam: .*cannot be read as NetCDF-4"):
        following(tmp_path)
    with pytest.raises(ScenarioError, match="has layers of 64 x 7 and 7 x 10 synapses; this network needs 64 x 8"):
        Run(following(learned, "network.hidden=[8]"))


# Measured conductances


def maps(folder, scenario, rng):
    """Write a map for each layer, measured on chips that stand at known places between the levels."""
    costs = scenario.storage_card.params
    low, high = costs["g_antiparallel"].value, costs["g_parallel"].value
    share = [rng.uniform(0.0, 1.0, shape) for shape in SHAPES]
    np.savez(folder / "input.npz", conductance=(low + share[0] * (high - low)) * 1e6, unit=np.array("uS"))
    rows = "\n".join(",".join(f"{value!r}" for value in row) for row in (low + share[1] * (high - low)).tolist())
    (folder / "output.csv").write_text(f"# unit: S\n{rows}\n", encoding="utf-8")
    return share


def measured(folder, *overrides):
    shutil.copy(QUICKSTART, folder / "mine.toml")
    # A tile is no larger than an array that was measured.
    tile = ("crossbar.tile_bitlines=7", "crossbar.columns_per_adc=7", "accelerator.write_columns=7")
    return load_scenario(
        folder / "mine.toml", (*SHORT, *tile, 'device.conductance_map=["input.npz", "output.csv"]', *overrides)
    )


def test_a_chip_stands_where_it_was_measured(tmp_path):
    """Not rounded: lam_max is 4, so a share of the range from antiparallel to parallel stands for -4 to 4."""
    share = maps(tmp_path, load_scenario(QUICKSTART), np.random.default_rng(5))
    scenario = measured(tmp_path)
    for found, part, healthy in zip(cells(scenario), share, sound(scenario), strict=True):
        assert healthy.sum() > 0.9 * healthy.size
        np.testing.assert_allclose(found[healthy], (8.0 * part - 4.0)[healthy], atol=2e-3)
    run_scenario(scenario, tmp_path / "run", progress=False)
    found = scenario_from_record(tmp_path / "run", tmp_path)
    assert found.hash == scenario.hash
    changed = (tmp_path / "output.csv").read_text(encoding="utf-8").replace("0.0004", "0.0005")
    (tmp_path / "output.csv").write_text(changed, encoding="utf-8")
    assert measured(tmp_path).hash != scenario.hash
    with pytest.raises(RunError, match=r"'output\.csv', which it starts from, is not what it was"):
        scenario_from_record(tmp_path / "run", tmp_path)


def test_maps_that_do_not_fit_are_refused(tmp_path):
    share = maps(tmp_path, load_scenario(QUICKSTART), np.random.default_rng(6))
    assert share[0].shape == SHAPES[0]
    for overrides, words in (
        (('device.conductance_map=["input.npz"]',), "conductance_map: got 1 of them for 2 layers"),
        (('device.conductance_map=["input.npz", "gone.csv"]',), "conductance_map: .*gone.csv: cannot be read"),
        (("network.initial_lam=zero",), "network.initial_lam: has no effect, because the cells start from device.cond"),
        (("device.storage=ideal_storage", "device.residue_bits=", "device.lam_max="),
         "conductance_map: has no effect, because a measured conductance is read as a level"),
    ):  # fmt: skip
        with pytest.raises(ScenarioError, match=words) as caught:
            measured(tmp_path, *overrides)
        assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match=r"input\.npz: has the shape \(64, 7\); domain_wall_mtj in a layer of \(64"):
        Run(measured(tmp_path, "network.hidden=[9]"))
    with pytest.raises(BimuError, match="reaches from"):
        Run(measured(tmp_path, 'device.storage_params.g_parallel="300 uS"'))
