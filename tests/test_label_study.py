"""Labels against joules: policies and budgets as runs, and the price of a label as nothing but a price."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from bimu_hw.cli import run_commands
from bimu_hw.errors import ScenarioError
from bimu_hw.record import lam_from_record
from bimu_hw.run import Run
from bimu_hw.scenario import load_scenario
from bimu_hw.studies.labels import compare_labels
from bimu_hw.studies.measure import measure

SCENARIO = Path(__file__).parents[1] / "scenarios" / "active_learning.toml"
FEW = ("stream.examples=120", "stream.tasks=2", "network.samples=5", "evaluation.examples=20")
NAMES = ("random", "budgeted, γ = 0.5", "epistemic")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    out = tmp_path_factory.mktemp("labels")
    return out, compare_labels(
        SCENARIO, out, budgets=(1.0, 0.25), gammas=(0.5,), training=60, seeds=1, overrides=FEW
    )  # fmt: skip


def test_every_policy_asks_for_about_its_budget(study):
    out, found = study
    assert [(p.name, p.budget) for p in found.points] == [
        ("every label", 1.0), *((name, 0.25) for name in NAMES), ("no label", 0.0)
    ]  # fmt: skip
    shares = {p.name: p.mean("labels_requested_fraction")[0] for p in found.points}
    assert (shares["every label"], shares["no label"]) == (1.0, 0.0)
    # 120 queries asked at random with 0.25: within five standard deviations of 0.04.
    assert abs(shares["random"] - 0.25) < 0.2
    assert 0.0 < shares["budgeted, γ = 0.5"] < 0.8
    # Its threshold is another chip's, and chips that have seen 60 labels are unlike: it may ask for nothing.
    assert shares["epistemic"] < 1.0
    # The pilot is apart.
    assert len(list((out / "runs").glob("*.json"))) == 5


def test_what_is_trained_before_is_where_every_policy_begins(study):
    out, found = study
    assert found.training == 60
    assert len(list((out / "trained").iterdir())) == 2, "a chip, and that of the pilot"
    trained = load_scenario(
        SCENARIO, [*FEW, "stream.tasks=1", "stream.epochs=60", "stream.examples=60", "stream.imbalance=1",
                   "stream.switch_window=0", "record.state=true", "seeds.noise=2001"], seed=1,
    )  # fmt: skip
    folder = out / "trained" / trained.run_name
    summary = json.loads((folder / "summary.json").read_text())
    assert found.trained[0] == summary["accuracy_newest_task"]
    assert found.training_joules == summary["energy_per_query_J"]["all"] * 60
    # A chip that asks for nothing ends as it was shipped: the trained levels, from the first query on.
    shipped = Run(load_scenario(SCENARIO, [*FEW, "labels.policy=never", f"network.initial_lam={folder}"], seed=1))
    before = [synapses.lam.copy() for synapses in shipped.chip.layers]
    shipped.accelerator.run()
    for was, synapses, lam in zip(before, shipped.chip.layers, lam_from_record(folder), strict=True):
        np.testing.assert_array_equal(was, synapses.lam)
        np.testing.assert_array_equal(was, lam.ravel())


def test_a_price_of_labels_adds_what_was_asked_for_and_runs_nothing(study):
    out, found = study
    for point in found.points:
        free, dear = point.energy(0.0)[0], point.energy(1e-6)[0]
        assert dear - free == pytest.approx(1e-6 * point.mean("labels_requested_fraction")[0], rel=1e-9)
    # And it is what a run with that price comes to.
    (start,) = (out / "trained").glob("*-s1.2001.1")
    scenario = load_scenario(SCENARIO, [*FEW, "labels.energy=1 uJ", f"network.initial_lam={start}"], seed=1)
    run = Run(scenario)
    run.accelerator.run()
    tree = run.finish()
    energy = tree["ledger"].to_dataset()["energy"].sel(phase=["inference", "label", "backward", "read_lambda", "rule",
                                                              "programming"])  # fmt: skip
    always = next(p for p in found.points if p.budget == 1.0)
    assert float(energy.sum()) / 120 == pytest.approx(always.energy(1e-6)[0], rel=1e-9)


def test_what_is_kept_of_a_run_is_read_back_as_it_was(tmp_path):
    scenario = load_scenario(SCENARIO, ["stream.examples=12", "evaluation.examples=3", "network.samples=2"])
    first, again = measure(scenario, tmp_path), measure(scenario, tmp_path)
    assert again.counts.dtype == np.int64
    np.testing.assert_array_equal(first.counts, again.counts)
    np.testing.assert_array_equal(first.per_query("all"), again.per_query("all"))
    assert first.per_query("all").sum() == pytest.approx(first.summary["energy_per_query_J"]["all"])


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"policies": ["epistemics"]}, "Did you mean 'epistemic'?"),
        ({"budgets": [0.0]}, "allowed are shares of the labels above 0 to 1"),
        ({"overrides": ["labels.policy=random", "labels.rate=0.5"]}, "in place of \"always\""),
    ],
)
def test_what_the_study_cannot_do_is_refused(options, sentence, tmp_path):
    with pytest.raises(ScenarioError, match=sentence.replace("?", r"\?")):
        compare_labels(SCENARIO, tmp_path, **options)
    assert not list(tmp_path.iterdir())


def test_the_command_shows_table_and_figure(study, capsys):
    out, _ = study
    arguments = ["labels", str(SCENARIO), "--out", str(out), "--seeds", "1", "--quiet", "--training", "60"]
    arguments += ["--budget", "1", "--budget", "0.25", "--gamma", "0.5"]
    arguments += [word for override in FEW for word in ("--set", override)]
    assert run_commands([*arguments, "--cost", "0 J", "--cost", "1 mJ"]) == 0
    said = capsys.readouterr().out
    for word in (*NAMES, "25%", "label 1 mJ", "training with 60 labels"):
        assert word in said
    assert (out / "labels.png").stat().st_size > 10_000
    assert run_commands([*arguments, "--cost", "-1 J"]) == 2
    assert "allowed are energies from 0 J" in capsys.readouterr().err
