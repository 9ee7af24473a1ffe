"""What querying for labels brings and costs: accuracy against energy per query, by policy, budget and price.

A policy with a threshold on the epistemic uncertainty has no budget of its own. Its threshold is the quantile that a
share of the queries as large as the budget exceeds in the second half of a pilot run, of another seed, that asks for
every label: what a designer would do before the chip is shipped. What share it asks for in the end is measured. The
price of a label changes no run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bimu_hw.errors import ScenarioError, did_you_mean
from bimu_hw.scenario import load_scenario
from bimu_hw.studies.measure import Measured, Say, measure

#: Policies that the study compares; with a budget of 1 each of them asks for every label.
POLICIES = ("budgeted", "random", "epistemic")
#: Shares of the labels that the study goes through.
BUDGETS = (1.0, 0.3, 0.1, 0.03, 0.01)
_PILOT_SEED = 1001


@dataclass(frozen=True)
class LabelPoint:
    """One policy at one budget.

    Attributes
    ----------
    policy : str
        One of `POLICIES`.
    budget : float
        Share of the labels aimed at.
    runs : list of Measured
        One per seed.
    """

    policy: str
    budget: float
    runs: list[Measured]

    def accuracy(self) -> tuple[float, float]:
        """Return the mean test accuracy at the end and its standard deviation over the seeds."""
        return _spread([run.summary["accuracy_newest_task"] for run in self.runs])

    def asked(self) -> tuple[float, float]:
        """Return the share of queries whose label was asked for, mean and standard deviation."""
        return _spread([run.summary["labels_requested_fraction"] for run in self.runs])

    def energy(self, label: float) -> tuple[float, float]:
        """Return the energy per query with label and update in joules, mean and standard deviation.

        Parameters
        ----------
        label : float
            Price of a label in joules.
        """
        return _spread([run.with_label_energy(label).per_query("update").sum() for run in self.runs])


def _spread(values: Sequence[float]) -> tuple[float, float]:
    numbers = np.array(values, np.float64)
    return float(numbers.mean()), float(numbers.std(ddof=1)) if len(numbers) > 1 else 0.0


def compare_labels(
    path: Path, out: Path, *, policies: Sequence[str] = POLICIES, budgets: Sequence[float] = BUDGETS, seeds: int = 3,
    overrides: Sequence[str] = (), say: Say = lambda sentence: None,
) -> list[LabelPoint]:  # fmt: skip
    """Run a scenario with every policy and budget.

    Parameters
    ----------
    path : Path
        A scenario with ``labels.policy = "always"`` and no other key of a policy.
    out : Path
        Keeps what every run measured.
    policies : sequence of str
    budgets : sequence of float
        Shares of the labels, above 0 to 1.
    seeds : int
        Runs with the seeds 1 to this number.
    overrides : sequence of str
        As after ``--set``.
    say : callable
        Is told what begins.

    Raises
    ------
    ScenarioError
        If there is no such policy, a budget is out of range, or the scenario asks by another policy.
    """
    for policy in policies:
        if policy not in POLICIES:
            raise ScenarioError(f"policy {policy!r}: the study does not compare it. {did_you_mean(policy, POLICIES)}")
    for budget in budgets:
        if not 0.0 < budget <= 1.0:
            raise ScenarioError(f"budget: got {budget:g}; allowed are shares of the labels above 0 to 1.")
    base = load_scenario(path, overrides)
    if base.labels.policy != "always":
        raise ScenarioError(
            f"{path}, labels.policy: got {base.labels.policy!r}; the study puts its own policies in place of "
            "\"always\"; write that."
        )
    pilot = np.zeros(0)
    if "epistemic" in policies and any(budget < 1.0 for budget in budgets):
        say("pilot: every label")
        pilot = measure(load_scenario(path, overrides, seed=_PILOT_SEED), out / "pilot").epistemic
    points = []
    for policy in policies:
        for budget in sorted(budgets, reverse=True):
            runs = []
            for seed in range(1, seeds + 1):
                say(f"{policy}, {budget:.0%} of the labels: seed {seed} of {seeds}")
                scenario = load_scenario(path, [*overrides, *_policy(policy, budget, pilot)], seed=seed)
                runs.append(measure(scenario, out / "runs"))
            points.append(LabelPoint(policy, budget, runs))
    return points


def _policy(policy: str, budget: float, pilot: np.ndarray) -> list[str]:
    """Return the overrides that put a policy at a budget in place."""
    if budget == 1.0:
        return []
    if policy == "budgeted":
        return ["labels.policy=budgeted", f"labels.budget={budget:g}", "labels.gamma=0.5"]
    if policy == "random":
        return ["labels.policy=random", f"labels.rate={budget:g}"]
    return ["labels.policy=epistemic", f"labels.threshold={np.quantile(pilot, 1.0 - budget):.6g}"]
