"""The digital unit's kernels against float64: closed forms, finite differences and the readable reference."""

from __future__ import annotations

import math

import numpy as np
import pytest
from oracles import arrays as twin
from oracles import learning as oracle

from bimu_hw.kernels.network import (
    REVERSE_BINARY_GATE,
    SIGN,
    activate,
    activate_backward,
    loss_gradient,
    normalise,
    normalise_backward,
    query_uncertainty,
)
from bimu_hw.learning.uncertainty import uncertainty

EPS = 2.0**-24
ACTIVATIONS = {"reverse_binary_gate": REVERSE_BINARY_GATE, "sign": SIGN}


def normalised(y):
    out, inverse = np.empty_like(y), np.empty(len(y), np.float32)
    normalise(y, out, inverse)
    return out, inverse


def slope(function, at, step):
    """Return central differences of a function of one float64 row."""
    gradient = np.empty(at.size)
    for j in range(at.size):
        ends = []
        for sign in (1.0, -1.0):
            moved = at.copy()
            moved[j] += sign * step
            ends.append(function(moved))
        gradient[j] = (ends[0] - ends[1]) / (2.0 * step)
    return gradient


@pytest.mark.parametrize(("mean", "scale"), [(0.0, 1.0), (0.0, 1e-4), (1000.0, 3.0), (-50.0, 400.0)])
@pytest.mark.parametrize("n", [2, 10, 101])
def test_normalise_equals_its_definition(n, mean, scale):
    y = np.random.default_rng(n).normal(mean, scale, (4, n)).astype(np.float32)
    out, inverse = normalised(y)
    wanted = np.array([oracle.normalise(row) for row in y.astype(np.float64)])
    np.testing.assert_allclose(out, wanted, rtol=2 * EPS, atol=1e-9)
    np.testing.assert_allclose(inverse, 1.0 / np.sqrt(y.astype(np.float64).var(axis=1) + 1e-5), rtol=2 * EPS)


def test_equal_sums_normalise_to_zero():
    out, inverse = normalised(np.full((2, 6), 7.3, np.float32))
    assert not out.any()
    np.testing.assert_allclose(inverse, 1.0 / math.sqrt(1e-5), rtol=EPS)


@pytest.mark.parametrize("scale", [0.01, 1.0, 30.0])
def test_the_derivative_of_normalise_equals_finite_differences(scale):
    rng = np.random.default_rng(2)
    y = rng.normal(0.3, scale, (3, 12)).astype(np.float32)
    delta = rng.normal(size=(3, 12)).astype(np.float32)
    normal, inverse = normalised(y)
    out = np.empty_like(delta)
    normalise_backward(delta, normal, inverse, out)
    for s in range(3):
        d = delta[s].astype(np.float64)
        wanted = slope(lambda row, d=d: float(d @ oracle.normalise(row)), y[s].astype(np.float64), 1e-5 * scale)
        np.testing.assert_allclose(out[s], wanted, rtol=0, atol=1e-6 * np.abs(wanted).max())
    normalise_backward(delta, normal, inverse, delta)  # in place
    assert np.array_equal(delta, out)


def above(x):
    return np.nextafter(np.float32(x), np.float32(9.0))


def below(x):
    return np.nextafter(np.float32(x), np.float32(-9.0))


def activation(y, kind):
    """Return activation and surrogate derivative at the given values."""
    y = np.array([y], np.float32)
    h, slopes = np.empty_like(y), np.full_like(y, 3.0)
    activate(y, ACTIVATIONS[kind], h)
    activate_backward(slopes, y, ACTIVATIONS[kind], slopes)  # in place
    return list(h[0]), list(slopes[0] / 3.0)


def test_the_gate_opens_strictly_outside_one():
    y = [0.0, -0.0, 1.0, -1.0, above(1.0), below(-1.0), below(1.0), above(-1.0), 5.0, -5.0]
    assert activation(y, "reverse_binary_gate")[0] == [0, 0, 0, 0, 1, 1, 0, 0, 1, 1]


def test_the_surrogate_of_the_gate_is_open_at_its_edges():
    y = [0.0, 0.5, above(0.5), 1.0, below(1.5), 1.5, 4.0, -0.5, below(-0.5), -1.0, above(-1.5), -1.5, -4.0]
    assert activation(y, "reverse_binary_gate")[1] == [0, 0, 1, 1, 1, 0, 0, 0, -1, -1, -1, 0, 0]


def test_sign_takes_zero_as_plus_and_its_window_includes_its_edges():
    h, slopes = activation([0.0, -0.0, above(0.0), below(0.0), 1.0, -1.0, above(1.0), below(-1.0), 3.0, -3.0], "sign")
    assert h == [1, 1, 1, -1, 1, -1, 1, -1, 1, -1]
    assert slopes == [1, 1, 1, 1, 1, 1, 0, 0, 0, 0]


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_activations_equal_their_definitions(kind):
    y = np.random.default_rng(3).normal(size=997).astype(np.float32)
    h, slopes = activation(y, kind)
    assert h == [oracle.activate(float(v), kind) for v in y]
    assert slopes == [oracle.activation_slope(float(v), kind) for v in y]


@pytest.mark.parametrize("scale", [0.3, 3.0, 30.0])
def test_loss_and_its_gradient_equal_log_softmax_and_finite_differences(scale):
    logits = np.random.default_rng(4).normal(0.0, scale, (5, 10)).astype(np.float32)
    out = np.empty_like(logits)
    loss = loss_gradient(logits, 7, out)
    assert loss == pytest.approx(-np.mean([twin.log_softmax(row)[7] for row in logits]), rel=1e-6)
    for s in range(5):
        wanted = slope(lambda row: -twin.log_softmax(row)[7], logits[s].astype(np.float64), 1e-5)
        np.testing.assert_allclose(out[s], wanted, rtol=0, atol=4e-7)
        assert abs(float(out[s].astype(np.float64).sum())) < 1e-6


def test_extreme_logits_overflow_nowhere():
    logits = np.array([[1e4, -1e4, 0.0], [-1e4, 1e4, 1e4], [3e30, -3e30, 1e30]], np.float32)
    out = np.empty_like(logits)
    loss = loss_gradient(logits, 0, out)
    assert loss == pytest.approx((0.0 + 2e4 + math.log(2.0) + 0.0) / 3, rel=1e-6)
    np.testing.assert_allclose(out, [[0.0, 0.0, 0.0], [-1.0, 0.5, 0.5], [0.0, 0.0, 0.0]], atol=1e-7)


def assert_same_uncertainty(logits):
    got, wanted = query_uncertainty(logits), uncertainty(logits[None])
    exact = [wanted.aleatoric[0], wanted.epistemic[0], wanted.predictive[0]]
    np.testing.assert_allclose(got[:3], exact, rtol=1e-12, atol=1e-13)
    assert got[3:] == (wanted.disagreement[0], wanted.prediction[0])
    assert got[1] >= 0.0
    return got


@pytest.mark.parametrize("scale", [1e-3, 0.3, 1.0, 10.0, 1e3])
@pytest.mark.parametrize(("n_sample", "n_class"), [(1, 2), (2, 3), (5, 10), (10, 19), (25, 10)])
def test_uncertainty_equals_the_reference(n_sample, n_class, scale):
    rng = np.random.default_rng(n_sample)
    found = [
        assert_same_uncertainty(rng.normal(0.0, scale, (n_sample, n_class)).astype(np.float32)) for _ in range(40)
    ]
    if n_sample > 2 and scale >= 1.0:
        assert len({disagreement for *_, disagreement, _ in found}) > 1


def test_uncertainty_at_the_extremes():
    flat = assert_same_uncertainty(np.zeros((5, 8), np.float32))
    np.testing.assert_allclose(flat[:3], [3.0, 0.0, 3.0], atol=1e-14)
    opposed = np.where(np.eye(4, dtype=bool), 3e4, -3e4).astype(np.float32)
    np.testing.assert_allclose(assert_same_uncertainty(opposed)[:3], [0.0, 2.0, 2.0], atol=1e-14)
    same = np.tile(np.random.default_rng(6).normal(size=(1, 10)), (7, 1)).astype(np.float32)
    assert assert_same_uncertainty(same)[1] < 1e-14
    assert_same_uncertainty(np.float32([[3e38, -3e38, 0.0], [-3e38, 3e38, 0.0], [0.0, 0.0, 1e-30]]))


def test_of_equal_classes_the_lowest_wins():
    rng = np.random.default_rng(7)
    for _ in range(50):
        # Every class three times, in one order for all samples: equal scores, equal votes, equal samples' choices.
        logits = np.tile(rng.normal(size=(6, 4)), (1, 3)).astype(np.float32)
        assert assert_same_uncertainty(logits)[4] < 4
    # Two samples that mirror each other: both classes have the same score and the same vote.
    *_, disagreement, prediction = assert_same_uncertainty(np.float32([[1.0, 0.0], [0.0, 1.0]]))
    assert (disagreement, prediction) == (1, 0)
