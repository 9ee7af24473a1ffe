"""Every shipped scenario loads; one with ``[[expect]]`` rows is a claim, and running it is its test."""

from __future__ import annotations

from pathlib import Path

import pytest

from bimu_hw.run import run_scenario
from bimu_hw.scenario import check_expectations, load_scenario

SCENARIOS = sorted((Path(__file__).parents[1] / "scenarios").glob("*.toml"))
#: Minutes of MNIST: run with ``pytest -m validation``, results recorded in docs/validation.
LONG = {"mnist_ideal", "permuted_mnist_ideal", "permuted_mnist_oxram"}


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_a_shipped_scenario_is_valid(path):
    assert load_scenario(path).title


def _marked(path: Path):
    marks = [pytest.mark.validation] if path.stem in LONG else []
    return pytest.param(path, marks=marks, id=path.stem)


@pytest.mark.parametrize("path", [_marked(path) for path in SCENARIOS])
def test_a_scenario_hits_the_numbers_it_states(path, tmp_path, request):
    if path.stem in LONG:
        request.getfixturevalue("mnist_dir")
    scenario = load_scenario(path)
    assert scenario.expect, "a shipped scenario states at least one number"
    result = run_scenario(scenario, tmp_path / "run", progress=False)
    assert check_expectations(result.summary, scenario) == []
