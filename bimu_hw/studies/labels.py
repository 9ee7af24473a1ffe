"""What querying for labels brings and costs: accuracy against energy per query, by policy, budget and price.

The network is trained before it is shipped, by a run of its own: the first task of the stream, without imbalance, with
every label. Each policy then begins with the natural parameters of that run and meets the stream of the scenario. What
training has cost is said apart.

A policy with a threshold on the epistemic uncertainty has no budget of its own. Its threshold is the quantile that a
share of the queries as large as the budget exceeds in the second half of a pilot run, of another seed, that asks for
every label: what a designer would do before the chip is shipped. What share it asks for in the end is measured. The
price of a label changes no run.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bimu_hw.errors import ScenarioError, did_you_mean
from bimu_hw.run import run_scenario
from bimu_hw.scenario import load_scenario
from bimu_hw.studies.measure import Measured, Say, measure, measure_seeds, spread

#: Policies that the study compares; with a budget of 1 each of them asks for every label.
POLICIES = ("random", "budgeted", "epistemic")
#: Shares of the labels that the study goes through.
BUDGETS = (1.0, 0.3, 0.1, 0.03, 0.01)
#: Adaptation exponents of the budgeted policy: a published one, and one with which it keeps closer to the budget.
GAMMAS = (0.5, 0.1)
#: Examples that the network is trained with before it is shipped.
TRAINING = 3000
_PILOT_SEED = 1001
#: Noise of the training runs: apart from that of the seeds 1, 2, ... which are reported, on the same chips.
_TRAINING_SEED = 2000


@dataclass(frozen=True)
class LabelPoint:
    """One policy at one budget.

    Attributes
    ----------
    name : str
        One of `POLICIES`, with the exponent where it has one; "every label" and "no label" for the two ends.
    budget : float
        Share of the labels aimed at.
    runs : list of Measured
        One per seed.
    """

    name: str
    budget: float
    runs: list[Measured]

    def mean(self, key: str) -> tuple[float, float]:
        """Return mean and standard deviation over the seeds of a number of the summary."""
        return spread([run.summary[key] for run in self.runs])

    def energy(self, label: float) -> tuple[float, float]:
        """Return the energy per query with label and update in joules, mean and standard deviation.

        Parameters
        ----------
        label : float
            Price of a label in joules.
        """
        return spread([run.with_label_energy(label).per_query("update").sum() for run in self.runs])


@dataclass(frozen=True)
class LabelStudy:
    """Policies and budgets on one stream.

    Attributes
    ----------
    points : list of LabelPoint
        Every label first, then by policy from the largest budget down, and no label last.
    training : int
        Examples, and labels, of the training before; 0: there was none.
    trained : tuple of float
        Test accuracy on the first task after training, mean and standard deviation over the seeds.
    training_joules : float
        Energy of one chip's training, idle included, mean over the seeds.
    """

    points: list[LabelPoint]
    training: int
    trained: tuple[float, float]
    training_joules: float


def compare_labels(
    path: Path, out: Path, *, policies: Sequence[str] = POLICIES, budgets: Sequence[float] = BUDGETS,
    gammas: Sequence[float] = GAMMAS, training: int = TRAINING, seeds: int = 3, overrides: Sequence[str] = (),
    say: Say = lambda sentence: None,
) -> LabelStudy:  # fmt: skip
    """Run a scenario with every policy and budget.

    Parameters
    ----------
    path : Path
        A scenario with ``labels.policy = "always"`` and no other key of a policy.
    out : Path
        Keeps what every run measured, and the training runs.
    policies : sequence of str
    budgets : sequence of float
        Shares of the labels, above 0 to 1.
    gammas : sequence of float
        Exponents of the budgeted policy, above 0.
    training : int
        Examples of the training before; 0: the network starts as the scenario says.
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
            '"always"; write that.'
        )
    shipped = {seed: _Shipped.of(path, overrides, training, seed, out, say) for seed in range(1, seeds + 1)}

    def point(name: str, budget: float, policy: Sequence[str]) -> LabelPoint:
        given = {seed: (*overrides, *chip.start, *policy) for seed, chip in shipped.items()}
        what = f"{name}, {budget:.0%} of the labels"
        return LabelPoint(name, budget, measure_seeds(path, given, out / "runs", what, say))

    points = [point("every label", 1.0, ())] if 1.0 in budgets else []
    for budget in (smaller := sorted({budget for budget in budgets if budget < 1.0}, reverse=True)):
        if "random" in policies:
            points.append(point("random", budget, ("labels.policy=random", f"labels.rate={budget:g}")))
        for gamma in gammas if "budgeted" in policies else ():
            keys = "labels.policy=budgeted", f"labels.budget={budget:g}", f"labels.gamma={gamma:g}"
            points.append(point(f"budgeted, γ = {gamma:g}", budget, keys))
    if "epistemic" in policies and smaller:
        chip = _Shipped.of(path, overrides, training, _PILOT_SEED, out, say)
        say("pilot: every label")
        pilot = measure(load_scenario(path, [*overrides, *chip.start], seed=_PILOT_SEED), out / "pilot").epistemic
        for budget in smaller:
            threshold = f"labels.threshold={np.quantile(pilot, 1.0 - budget):.6g}"
            points.append(point("epistemic", budget, ("labels.policy=epistemic", threshold)))
    order = {name: n for n, name in enumerate(dict.fromkeys(p.name for p in points))}
    points.sort(key=lambda p: (order[p.name], -p.budget))
    points.append(point("no label", 0.0, ("labels.policy=never",)))
    chips = list(shipped.values())
    return LabelStudy(
        points, training, spread([chip.accuracy for chip in chips]), float(np.mean([chip.joules for chip in chips]))
    )


@dataclass(frozen=True)
class _Shipped:
    """A chip as it was shipped: the overrides that make a run start from it, and what its training came to."""

    start: tuple[str, ...]
    accuracy: float
    joules: float

    @classmethod
    def of(cls, path: Path, overrides: Sequence[str], training: int, seed: int, out: Path, say: Say) -> _Shipped:
        """Train a chip, or take what an earlier call left."""
        if not training:
            return cls((), np.nan, 0.0)
        stream = load_scenario(path, overrides).stream
        first = [] if stream.task_order is None else [f"stream.task_order=[{stream.task_order[0]}]"]
        scenario = load_scenario(
            path,
            [
                *overrides, "stream.tasks=1", f"stream.epochs={training}", f"stream.examples={training}",
                "stream.imbalance=1", "stream.switch_window=0", *first, "record.state=true",
                f"seeds.noise={_TRAINING_SEED + seed}",
            ],
            seed=seed,
        )  # fmt: skip
        folder = (out / "trained" / scenario.run_name).resolve()
        say(f"training with {training:,} labels: seed {seed}")
        if not (folder / "summary.json").is_file():
            # Also over what an interruption left: a training takes seconds.
            run_scenario(scenario, folder, overwrite=True, progress=False)
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        joules = summary["energy_per_query_J"]["all"] * summary["queries"]
        return cls((f"network.initial_lam={folder}",), summary["accuracy_newest_task"], joules)
