"""What bounds a run of many tasks: few snapshots, few evaluations, and freezing as one number per task and layer."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import bimu_hw
from bimu_hw.run import run_scenario
from bimu_hw.scenario import load_scenario

QUICKSTART = Path(__file__).parents[1] / "scenarios" / "quickstart.toml"


def run(folder, *overrides):
    return bimu_hw.open_run(run_scenario(load_scenario(QUICKSTART, overrides), folder, progress=False).path)


@pytest.mark.parametrize("more", [(), ("device.programming=deterministic", "device.residue_bits=")])
def test_freezing_is_what_the_snapshots_say(tmp_path, more):
    tree = run(tmp_path, "stream.examples=300", "stream.tasks=3", "evaluation.examples=5", "device.lam_max=1", *more)
    freezing = {name: v.values for name, v in tree["freezing"].data_vars.items()}
    for k in range(2):
        s = {name: v.values.astype(np.float64) for name, v in tree[f"layer_{k}"].data_vars.items()}
        assert len(s["lam"]) == 4  # the start, and the end of each task
        for task in range(3):
            before, after = ({name: v[i] for name, v in s.items()} for i in (task, task + 1))
            lam, p = after["lam"], 1 / (1 + np.exp(-2 * after["lam"]))
            asked = after["requested"] - before["requested"]
            pulses = after["pulse_count"] - before["pulse_count"]
            top, bottom = np.rint(after["level"]) == 15, np.rint(after["level"]) == 0  # a stuck one may lie between two
            expected = {
                "plasticity": np.mean(1 - np.tanh(lam) ** 2),
                "entropy": np.mean(-p * np.log2(p) - (1 - p) * np.log2(1 - p)),
                "saturated_fraction": np.mean(abs(lam) > 2.5),
                "sign_flip_rate": np.mean(before["lam"] * lam < 0),
                "dead_zone_fraction": np.mean((abs(asked) >= 2 / 15) & (pulses == 0)),
                "rail_fraction": np.mean(top & (asked > 0) | bottom & (asked < 0)),
                "worn_out_fraction": 0.0,
                "stuck_fraction": np.mean(after["fault"] > 0),
            }
            assert set(expected) == set(freezing)
            for name, value in expected.items():
                assert freezing[name][task, k] == pytest.approx(value, rel=1e-6, abs=1e-12), name
    assert (freezing["rail_fraction"] > 0).any()
    assert (freezing["stuck_fraction"] > 0).all()
    assert (freezing["sign_flip_rate"][0] > 0).all()
    # What is too small for a pulse is lost without a residue, and only then.
    assert (freezing["dead_zone_fraction"] > 0).any() == bool(more)


def test_without_state_only_what_needs_requests_is_missing(tmp_path):
    overrides = ("stream.examples=40", "stream.tasks=2", "evaluation.examples=5")
    full = run(tmp_path / "full", *overrides)["freezing"]
    bare = run(tmp_path / "bare", *overrides, "record.state=false")["freezing"]
    for name in full.data_vars:
        if name in ("dead_zone_fraction", "rail_fraction"):
            assert np.isnan(bare[name].values).all()
        else:
            assert np.array_equal(full[name].values, bare[name].values)


@pytest.mark.parametrize(
    ("snapshots", "tasks", "limit", "examples"),
    [
        ("task", 7, 4, [0, 30, 60, 70]), ("task", 7, 8, [0, 10, 20, 30, 40, 50, 60, 70]), ("task", 7, 2, [0, 70]),
        (10, 7, 4, [0, 30, 60, 70]), (20, 1, 100, [0, 20, 40, 60, 70]), (0, 7, 100, [0, 70]),
    ],
)  # fmt: skip
def test_snapshots_are_thinned_to_their_limit(tmp_path, snapshots, tasks, limit, examples):
    tree = run(
        tmp_path, "stream.examples=70", f"stream.tasks={tasks}", "evaluation.examples=1", "evaluation.newest=1",
        f"record.snapshots={snapshots}", f"record.snapshot_limit={limit}",
    )  # fmt: skip
    assert tree["layer_1"]["example"].values.tolist() == examples


def test_a_long_stream_evaluates_the_newest_five_and_at_the_end_all(tmp_path):
    overrides = ("stream.examples=42", "evaluation.examples=2", "record.state=false")
    accuracy = run(tmp_path / "long", *overrides, "stream.tasks=21")["tasks"]["accuracy"].values
    i, j = np.indices(accuracy.shape)
    assert np.array_equal(~np.isnan(accuracy), (i - j >= 0) & (i - j < 5) | (i == 20))
    summary = json.loads((tmp_path / "long" / "summary.json").read_text())
    assert summary["accuracy_last_20"] == pytest.approx(accuracy[-1, 1:].mean())
    assert summary["accuracy_last_100"] is None
    wanted = 1 / (np.nanmax(accuracy) - accuracy[-1, -1] + 1e-5)
    assert summary["memory_rigidity_resilience"] == pytest.approx(wanted)
    accuracy = run(tmp_path / "short", *overrides, "stream.tasks=7")["tasks"]["accuracy"].values
    assert np.array_equal(~np.isnan(accuracy), np.tri(7, dtype=bool))
    accuracy = run(tmp_path / "given", *overrides, "stream.tasks=7", "evaluation.newest=1")["tasks"]["accuracy"].values
    assert np.array_equal(~np.isnan(accuracy[:-1]), np.eye(7, dtype=bool)[:-1])
