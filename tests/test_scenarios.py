"""Every shipped scenario loads; one with ``[[expect]]`` rows is a claim, and running it is its test."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bimu_hw.errors import ScenarioError
from bimu_hw.run import run_scenario
from bimu_hw.scenario import expectation_outcomes, load_scenario

#: A sweep is many scenarios; tests/test_sweep_axes.py looks at those.
FOLDER = Path(__file__).parents[1] / "scenarios"
SCENARIOS = sorted(path for path in FOLDER.glob("*.toml") if not path.stem.startswith("sweep_"))
#: Minutes of MNIST: run with ``pytest -m validation``, results recorded in docs/validation.
LONG = {"mnist_ideal", "mnist_ir_drop", "permuted_mnist_ideal", "permuted_mnist_oxram"}
#: They start from what another one learned: with a relative path, and a sentence that says how to make it.
STARTS = {"mnist_ir_drop": "mnist_ideal"}
START_ANEW = {name: ("network.initial_lam=uniform",) for name in STARTS}


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_a_shipped_scenario_is_valid(path):
    assert load_scenario(path, START_ANEW.get(path.stem, ())).title


@pytest.mark.parametrize(("name", "needed"), STARTS.items())
def test_a_scenario_that_starts_from_a_run_says_how_to_make_it(name, needed, tmp_path):
    for stem in (name, needed):
        shutil.copy(SCENARIOS[0].parent / f"{stem}.toml", tmp_path)
    with pytest.raises(ScenarioError, match=f"no finished run; make it first: bimu-hw run {needed} --out .*{needed}$"):
        load_scenario(tmp_path / f"{name}.toml")


def _marked(path: Path):
    marks = [pytest.mark.validation] if path.stem in LONG else []
    return pytest.param(path, marks=marks, id=path.stem)


@pytest.mark.parametrize("path", [_marked(path) for path in SCENARIOS])
def test_a_scenario_hits_the_numbers_it_states(path, tmp_path, request):
    if path.stem in LONG:
        request.getfixturevalue("mnist_dir")
    overrides = []
    if path.stem in STARTS:
        first = run_scenario(load_scenario(path.with_stem(STARTS[path.stem])), tmp_path / "first", progress=False)
        overrides = [f"network.initial_lam={first.path}"]
    scenario = load_scenario(path, overrides)
    assert scenario.expect, "a shipped scenario states at least one number"
    result = run_scenario(scenario, tmp_path / "run", progress=False)
    assert [row for row in expectation_outcomes(result.summary, scenario) if not row.met] == []
