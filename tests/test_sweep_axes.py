"""What [sweep] means: axes, names, samples, seeds; and one sentence for whatever is wrong with it."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from sweeping import SHAPE, SWEEP, write_tiny

from bimu_hw.cli import run_commands
from bimu_hw.errors import ScenarioError
from bimu_hw.scenario import load_scenario, make_scenario
from bimu_hw.scenario.sweep_tables import Sweep
from bimu_hw.sweep.axes import axes_of
from bimu_hw.sweep.plan import KEY_DIGITS, Plan, cell_scenario, make_plan


def axes(*tables, **sweep):
    return axes_of(Sweep.model_validate({"axis": list(tables), **sweep}))


def rows(*tables, **sweep):
    (axis,) = axes(*tables, **sweep)
    return [row[0] if len(row) == 1 else row for row in axis.rows]


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    return make_plan(write_tiny(tmp_path_factory.mktemp("plan")))


# Axes


def test_values_stay_what_they_are():
    assert rows({"key": "labels.policy", "values": ["always", "never"]}) == ["always", "never"]


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({"range": [4, 64], "number": 5, "scale": "log"}, [4, 8, 16, 32, 64]),
        ({"range": [0, 10], "number": 3}, [0, 5, 10]),
        ({"range": [0.1, 0.3], "number": 3}, [0.1, 0.2, 0.3]),
        ({"range": ["1 kHz", "100 kHz"], "number": 3, "scale": "log"}, ["1.0 kHz", "10.0 kHz", "100.0 kHz"]),
        ({"range": ["0.1", "0.3"], "number": 2}, ["0.1", "0.3"]),
    ],
)
def test_a_range_is_evenly_spaced_and_keeps_its_kind(table, expected):
    assert rows({"key": "a.b", **table}) == expected


def test_keys_vary_together():
    (axis,) = axes({"keys": ["a.x", "b.y"], "values": [[1, 2], [3, ""]]})
    assert (axis.name, axis.coordinates, axis.rows) == ("x", ("x", "y"), ((1, 2), (3, "")))


def test_a_name_is_as_long_as_it_must_be():
    found = axes(
        {"key": "device.storage_params.read_noise", "values": [1, 2]},
        {"key": "device.sampler_params.slope", "values": [1, 2]},
        {"key": "device.sampler_params.read_noise", "values": [1, 2]},
        {"key": "labels.rate", "values": [1, 2], "name": "asked"},
    )
    assert [axis.name for axis in found] == ["storage_params_read_noise", "slope", "sampler_params_read_noise", "asked"]


@pytest.mark.parametrize("sampling", ["random", "sobol"])
def test_samples_lie_in_their_ranges_and_a_larger_set_begins_with_the_smaller(sampling):
    tables = (
        {"key": "a.noise", "range": [0.01, 1.0], "scale": "log"},
        {"key": "a.levels", "range": [2, 9]},
        {"key": "a.rate", "range": ["1 Hz", "3 Hz"]},
    )
    few, many = (axes(*tables, sampling=sampling, samples=n, sampling_seed=4)[0] for n in (64, 128))
    assert few.name == "sample"
    assert few.coordinates == ("noise", "levels", "rate")
    assert many.rows[:64] == few.rows
    noise, levels, rate = (np.array(c) for c in zip(*many.rows, strict=True))
    assert 0.01 <= noise.min() < noise.max() <= 1.0
    assert set(levels) == set(range(2, 10))
    hertz = [float(text.removesuffix(" Hz")) for text in rate]
    assert 1 <= min(hertz) < max(hertz) <= 3
    # Half of the samples of a log scale lie below its geometric mean: exactly for Sobol's; within 5 sigma of 64 at
    # random (one false alarm in 1.7 million, and the seed is fixed).
    assert abs(np.sum(noise < 0.1) - 64) <= (0 if sampling == "sobol" else 5 * np.sqrt(32))
    assert axes(*tables, sampling=sampling, samples=64, sampling_seed=5)[0].rows != few.rows


@pytest.mark.parametrize(
    ("tables", "sweep", "words"),
    [
        ([{"key": "a.b", "values": [1, 1]}], {}, "has the value 1 twice"),
        ([{"key": "a.b", "range": [0, 2], "number": 9}], {}, "has the value 0 twice; write range with decimal points"),
        ([{"key": "a.b", "range": [2, 1], "number": 3}], {}, "ranges that rise"),
        ([{"key": "a.b", "range": [0.0, 1.0], "number": 3, "scale": "log"}], {}, "from above 0"),
        ([{"key": "a.b", "range": ["1 Hz", "2 kHz"], "number": 3}], {}, "both ends in the same unit"),
        ([{"key": "a.b", "range": [True, 2], "number": 3}], {}, "expected a number"),
        ([{"key": "a.b", "range": [1, 2]}], {}, "has a range and no number"),
        ([{"key": "a.b", "range": [1, 2]}], {"sampling": "sobol", "samples": 12}, "powers of 2 only: write 16"),
        ([{"key": "a.b", "values": [1, 2]}], {"samples": 4}, "no axis has a range without a number"),
        ([{"key": "seeds.noise", "values": [1, 2]}], {}, "for seeds write seeds"),
        ([{"key": "a.b", "values": [1, 2]}, {"key": "a.b", "values": [3]}], {}, "is on two axes"),
        ([{"key": "a.b", "values": [1], "name": "task"}], {}, "cannot be called 'task'"),
        ([{"key": "a.b", "values": [1], "name": "x"}, {"key": "a.x", "values": [1]}], {}, "cannot be called 'x'"),
        ([{"keys": ["a.b", "a.c"], "values": [[1, 2], [3]]}], {}, "got the row [3]; expected 2 values"),
    ],
)
def test_a_wrong_axis_is_refused_in_a_sentence(tables, sweep, words):
    with pytest.raises(ScenarioError) as caught:
        axes(*tables, **sweep)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


# Cells


def test_cells_are_every_combination_in_order(plan):
    assert tuple(plan.sizes.values()) == SHAPE
    assert list(plan.sizes) == ["n_levels", "policy", "rate", "seed"]
    points = itertools.product([4, 16], ["always", "budgeted"], ["1.0 kHz", "100.0 kHz"], [0, 1])
    for number, (levels, policy, rate, seed) in enumerate(points):
        content = plan.content(number)
        assert content["device"]["storage_params"] == {"n_levels": levels}
        assert (content["labels"]["policy"], content["accelerator"]["rate"]) == (policy, rate)
        assert ("budget" in content["labels"]) == (policy == "budgeted")
        assert set(content["seeds"].values()) == {seed}


def test_a_key_is_the_hash_of_the_scenario_that_would_run(plan):
    assert len(set(plan.keys)) == len(plan.keys) == np.prod(SHAPE)
    for number in (0, 7, 15):
        scenario = make_scenario(plan.content(number), folder=plan.folder, name=plan.name)
        assert scenario.hash[:KEY_DIGITS] == plan.keys[number]
        assert cell_scenario(plan.content(number), plan.folder, plan.name, plan.keys[number]) == scenario


def test_coordinates_are_real_values_with_units(plan):
    found = {one.name: one for one in plan.coordinates}
    assert found["rate"].values == pytest.approx([1e3, 1e5])
    assert found["rate"].attrs["units"] == "Hz"
    assert found["n_levels"].attrs["key"] == "device.storage_params.n_levels"
    assert found["policy"].values == ["always", "budgeted"]
    assert "units" not in found["policy"].attrs
    assert (found["budget"].dim, found["budget"].values) == ("policy", [None, 0.5])


def test_a_plan_survives_its_file(plan):
    assert Plan.from_json(plan.to_json(), "here") == plan


def test_seeds_swept_apart_are_dimensions_of_their_own(tmp_path):
    path = write_tiny(tmp_path)
    plan = make_plan(path, seeds=["5:7", "noise=0:3"])
    assert plan.sizes == {"n_levels": 2, "policy": 2, "rate": 2, "seed_noise": 3, "seed": 2}
    seeds = [plan.content(number)["seeds"] for number in range(6)]
    assert [(s["fabrication"], s["noise"], s["data"]) for s in seeds] == [
        (5, 0, 5), (6, 0, 6), (5, 1, 5), (6, 1, 6), (5, 2, 5), (6, 2, 6),
    ]  # fmt: skip


def test_without_seeds_the_scenario_keeps_its_own(tmp_path):
    plan = make_plan(write_tiny(tmp_path, SWEEP.replace('seeds = "0:2"', "")), ["seeds.noise=9"])
    assert plan.content(3)["seeds"] == {"fabrication": 1, "noise": 9, "data": 1}
    assert plan.seeds == {"seed": (9,)}


def test_points_have_the_same_seeds_unless_asked_otherwise(plan, tmp_path):
    assert plan.content(0)["seeds"] == plan.content(14)["seeds"]
    text = SWEEP.replace("[sweep]", "[sweep]\ncommon_random_numbers = false", 1)
    apart = make_plan(write_tiny(tmp_path, text))
    seeds = [tuple(apart.content(number)["seeds"].values()) for number in range(len(apart.keys))]
    assert len(set(seeds)) == len(seeds)


def test_a_new_value_or_seed_leaves_the_other_keys(plan, tmp_path):
    more = make_plan(write_tiny(tmp_path, SWEEP.replace("[4, 16]", "[4, 8, 16]")), seeds=["0:3"])
    assert set(plan.keys) < set(more.keys)


# Wrong cells


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[4, 16]", "[4, 1]", "cells with n_levels = 1: [sweep] device.storage_params.n_levels: got n_levels = 1"),
        ("[4, 16]", '[4, "x"]', "n_levels = 'x'"),
        ("params.n_levels", "params.n_level", "Did you mean 'n_levels'?"),
        ('"budgeted", 0.5, 0.5', '"budgeted", 0.5, ""', "policy = 'budgeted', budget = 0.5, no gamma"),
        ('"always", "", ""', '"always", "", 0.5', "labels.gamma: has no effect"),
        ('"1 kHz", "100 kHz"', "1.0, 2.0", "rate = 1.0: [sweep] accelerator.rate: got 1.0; write a number"),
        ("number = 2", "nunber = 2", "unknown key. Did you mean 'number'?"),
        ('"0:2"', '"2:0"', "sweep.seeds: got '2:0'"),
        ('"0:2"', "[1, 1]", "names a seed twice"),
    ],
)
def test_a_cell_that_cannot_run_is_named_and_nothing_is_written(old, new, words, tmp_path, capsys):
    assert SWEEP.count(old) == 1
    path = write_tiny(tmp_path, SWEEP.replace(old, new))
    assert run_commands(["sweep", str(path), "--out", str(tmp_path / "out")]) == 2
    printed = capsys.readouterr()
    assert words in printed.err
    assert printed.err.count("\n") == 1
    assert str(path) in printed.err or "[sweep]" in printed.err
    assert not (tmp_path / "out").exists()


def test_a_single_run_refuses_a_sweep_and_says_what_to_do(tmp_path):
    path = write_tiny(tmp_path)
    with pytest.raises(ScenarioError, match=r"tiny.toml:\d+, sweep: describes many runs; start .* bimu-hw sweep"):
        load_scenario(path)
    assert load_scenario(path, ["sweep="]).title


def test_nothing_to_sweep_is_said(tmp_path):
    path = write_tiny(tmp_path, "")
    with pytest.raises(ScenarioError, match="there is nothing to sweep"):
        make_plan(path)
    assert make_plan(path, seeds=["0:4"]).sizes == {"seed": 4}
    with pytest.raises(ScenarioError, match="got 'nose'; allowed are fabrication, noise, data"):
        make_plan(path, seeds=["nose=0:4"])


SHIPPED = sorted((Path(__file__).parents[1] / "scenarios").glob("sweep_*.toml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_cell_of_a_shipped_sweep_is_valid(path):
    assert path.read_text(encoding="utf-8").startswith("#:schema ./schema.json\n")
    plan = make_plan(path)
    assert len(set(plan.keys)) == np.prod(list(plan.sizes.values()))
