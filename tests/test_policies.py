"""Label policies against counts worked out by hand, and against the published rows' remark."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from bimu_hw.errors import ScenarioError
from bimu_hw.learning import Evidence, policy_from_spec
from bimu_hw.learning.policies import POLICY_PARAMETERS

EVIDENCE = Evidence(epistemic=0.3, aleatoric=1.2, predictive=1.5, disagreement=2, n_samples=10)
VALUES = {"rate": 0.25, "threshold": 0.5, "budget": 0.05, "exponent": 0.5}


def make(name):
    return policy_from_spec(name, **{parameter: VALUES[parameter] for parameter in POLICY_PARAMETERS[name]})


def asks(policy, evidence=EVIDENCE, seen=0, requested=0, uniform=0.5):
    return policy.asks(evidence, examples_seen=seen, labels_requested=requested, uniform=uniform)


def test_always_and_never():
    assert asks(make("always")) is True
    assert asks(make("never")) is False
    assert asks(make("given")) is False


@pytest.mark.parametrize(("uniform", "expected"), [(0.2499, True), (0.25, False), (0.9, False)])
def test_random_asks_below_its_rate(uniform, expected):
    assert asks(policy_from_spec("random", rate=0.25), uniform=uniform) is expected


def test_random_at_the_ends_of_its_range():
    nearly = (np.nextafter(0.0, 1.0), np.nextafter(1.0, 0.0))
    assert not any(asks(policy_from_spec("random", rate=0.0), uniform=u) for u in nearly)
    assert all(asks(policy_from_spec("random", rate=1), uniform=u) for u in nearly)


@pytest.mark.parametrize("quantity", ["epistemic", "aleatoric", "predictive"])
def test_an_entropy_threshold_looks_at_its_own_quantity_and_includes_equality(quantity):
    value = getattr(EVIDENCE, quantity)
    assert asks(policy_from_spec(quantity, threshold=value))
    assert not asks(policy_from_spec(quantity, threshold=np.nextafter(value, 9.0)))
    lower = EVIDENCE._replace(**{quantity: value - 0.01})
    assert not asks(policy_from_spec(quantity, threshold=value), lower)


@pytest.mark.parametrize("n_samples", [1, 2, 5, 10, 25, 100])
def test_a_variation_ratio_of_k_over_s_asks_at_exactly_k_samples(n_samples):
    for k in range(n_samples + 1):
        policy = policy_from_spec("variation_ratio", threshold=k / n_samples)
        assert policy.disagreement_threshold(n_samples) == k
        assert asks(policy, EVIDENCE._replace(disagreement=k, n_samples=n_samples))
        assert not asks(policy, EVIDENCE._replace(disagreement=k - 1, n_samples=n_samples))


def test_a_threshold_between_two_counts_asks_at_the_higher_one():
    assert policy_from_spec("variation_ratio", threshold=0.21).disagreement_threshold(10) == 3
    assert policy_from_spec("variation_ratio", threshold=0.5).disagreement_threshold(5) == 3
    assert policy_from_spec("variation_ratio", threshold=0.07).disagreement_threshold(100) == 7


def test_integer_counts_tell_apart_what_float32_ratios_confuse():
    # The published rows for thresholds 0.2 and 0.3 at S = 10 are identical: in float32 both ask from three on.
    one, s = np.float32(1), np.float32(10)
    ratios = [one - np.float32(10 - k) / s for k in range(11)]
    by_ratio = [next(k for k, r in enumerate(ratios) if r >= np.float32(t)) for t in (0.2, 0.3)]
    assert by_ratio == [3, 3]
    by_count = [policy_from_spec("variation_ratio", threshold=t).disagreement_threshold(10) for t in (0.2, 0.3)]
    assert by_count == [2, 3]


@pytest.mark.parametrize(
    ("budget", "exponent", "n_samples", "seen", "requested", "expected"),
    [
        # Nothing requested yet: e = -0.05, 10 (0.05 - 0.2236) = -1.74, clipped to 0: every label is asked for.
        (0.05, 0.5, 10, 0, 0, 0),
        # Q = 10/100, e = 0.05: 10 (0.05 + 0.2236) = 2.74.
        (0.05, 0.5, 10, 99, 10, 3),
        # Q = 2/4, e = 0.25: 10 (0.25 + 0.5) = 7.5, half to even.
        (0.25, 0.5, 10, 3, 2, 8),
        # The same with S = 6: 4.5, half to even.
        (0.25, 0.5, 6, 3, 2, 4),
        # e = 0 has no sign: 10 * 0.25 = 2.5, half to even.
        (0.25, 0.5, 10, 3, 1, 2),
        (0.25, 0.01, 10, 3, 1, 2),
        # Linear: Q = 3/4, e = 0.5, 8 (0.25 + 0.5) = 6.
        (0.25, 1.0, 8, 3, 3, 6),
        # Everything requested, e = 0.95: 10 (0.05 + 0.975) = 10.2, clipped to S.
        (0.05, 0.5, 10, 0, 1, 10),
        # Bang-bang: a hair above the budget the threshold is S, a hair below it is 0.
        (0.05, 0.01, 10, 9999, 501, 10),
        (0.05, 0.01, 10, 9999, 499, 0),
        # examples_seen counts those before this one: the first example divides by 1, not by 0.
        (0.5, 1.0, 10, 1, 1, 5),
    ],
)
def test_the_budgeted_threshold_worked_by_hand(budget, exponent, n_samples, seen, requested, expected):
    policy = policy_from_spec("budgeted", budget=budget, exponent=exponent)
    found = policy.disagreement_threshold(n_samples, examples_seen=seen, labels_requested=requested)
    assert found == expected
    assert type(found) is int
    at = EVIDENCE._replace(disagreement=expected, n_samples=n_samples)
    assert asks(policy, at, seen, requested)
    below = at._replace(disagreement=expected - 1)
    assert not asks(policy, below, seen, requested)


@pytest.mark.parametrize("budget", [0.01, 0.05, 0.3])
def test_the_bang_bang_policy_holds_its_budget_to_one_label(budget):
    policy = policy_from_spec("budgeted", budget=budget, exponent=0.01)
    counts = np.random.default_rng(61).integers(0, 7, 3000)
    requested = 0
    for seen, disagreement in enumerate(counts):
        evidence = EVIDENCE._replace(disagreement=int(disagreement))
        requested += asks(policy, evidence, seen, requested)
        assert abs(requested - budget * (seen + 1)) <= 1.0 + 1e-9


def test_a_softer_exponent_asks_more_where_samples_disagree_more():
    policy = policy_from_spec("budgeted", budget=0.05, exponent=0.5)
    requested, by_count = 0, np.zeros(7, dtype=int)
    counts = np.random.default_rng(62).integers(0, 7, 3000)
    for seen, disagreement in enumerate(counts):
        asked = asks(policy, EVIDENCE._replace(disagreement=int(disagreement)), seen, requested)
        requested += asked
        by_count[disagreement] += asked
    assert by_count[6] > 10 * max(by_count[0], 1)


@pytest.mark.parametrize("name", POLICY_PARAMETERS)
def test_a_policy_is_a_pure_frozen_decision(name):
    policy = make(name)
    assert [asks(policy, seen=7, requested=1) for _ in range(3)] == [asks(make(name), seen=7, requested=1)] * 3
    assert policy == make(name)
    field = "anything" if not dataclasses.fields(policy) else dataclasses.fields(policy)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(policy, field, 1.0)


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("epistemc", {}, r"^label policy: got 'epistemc'\. Did you mean 'epistemic'\?$"),
        ("random", {"rat": 0.1}, r"unknown parameter 'rat'\. Did you mean 'rate'\?"),
        ("always", {"rate": 0.1}, r"unknown parameter 'rate'; this policy has no parameters"),
        ("budgeted", {"budget": 0.1}, r"'budgeted': parameter 'exponent' is missing"),
        ("random", {"rate": 1.5}, r"rate: got 1\.5; expected a number from 0 to 1"),
        ("random", {"rate": True}, r"rate: got True"),
        ("random", {"rate": "half"}, r"rate: got 'half'"),
        ("random", {"rate": float("nan")}, r"rate: got nan"),
        ("variation_ratio", {"threshold": -0.1}, r"'variation_ratio', threshold: got -0\.1"),
        ("epistemic", {"threshold": -1.0}, r"'epistemic', threshold: got -1\.0; expected a number of at least 0"),
        ("budgeted", {"budget": 2.0, "exponent": 0.5}, r"budget: got 2\.0"),
        ("budgeted", {"budget": 0.1, "exponent": 0}, r"exponent: got 0; expected a number above 0"),
    ],
)
def test_bad_specifications_get_one_sentence(name, params, message):
    with pytest.raises(ScenarioError, match=message):
        policy_from_spec(name, **params)
