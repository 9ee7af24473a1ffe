"""Continual-learning and freezing metrics against hand-made matrices, loops and exact limits."""

from __future__ import annotations

import math

import numpy as np
import pytest
from oracles import learning as oracle

from bimu_hw.errors import ScenarioError
from bimu_hw.learning import (
    backward_transfer,
    expected_calibration_error,
    last_k_average,
    mean_accuracy,
    memory_rigidity_resilience,
    newest_task_accuracy,
    plasticity,
    posterior_entropy,
    relearning_gain,
    roc_auc,
    saturated_fraction,
    sign_flip_rate,
    time_to_freeze,
)
from bimu_hw.learning.metrics import dead_zone_fraction, rail_fraction

NAN = math.nan
# Rows: after training task i. Columns: accuracy on task j.
R = np.array(
    [
        [0.90, NAN, NAN, NAN],
        [0.80, 0.92, NAN, NAN],
        [0.60, 0.85, 0.94, NAN],
        [0.50, 0.70, 0.88, 0.93],
    ]
)


def test_accuracy_matrix_metrics_by_hand():
    assert newest_task_accuracy(R) == pytest.approx(0.93)
    assert last_k_average(R, 1) == pytest.approx(0.93)
    assert last_k_average(R, 2) == pytest.approx((0.88 + 0.93) / 2)
    assert last_k_average(R, 4) == mean_accuracy(R) == pytest.approx((0.50 + 0.70 + 0.88 + 0.93) / 4)
    assert backward_transfer(R) == pytest.approx(((0.50 - 0.90) + (0.70 - 0.92) + (0.88 - 0.94)) / 3)
    assert memory_rigidity_resilience(R) == pytest.approx(1.0 / (0.94 - 0.93 + 1e-5))


def test_the_dead_zone_is_what_was_asked_for_and_never_sent():
    #        below a level, one level, three levels down, one level that got a pulse
    asked = np.array([0.4, 0.5, -1.5, 0.5])
    pulses = np.array([0, 0, 0, 1])
    assert dead_zone_fraction(asked, pulses, 0.5) == 0.5
    assert dead_zone_fraction(asked, pulses, np.inf) == 0.0
    assert dead_zone_fraction(asked, pulses * 0, 0.5) == 0.75
    with pytest.raises(ScenarioError, match="equal shapes"):
        dead_zone_fraction(asked, pulses[:2], 0.5)


def test_the_rail_is_where_further_out_was_asked():
    #        top and up, top and down, bottom and down, bottom and nothing, almost the top, inside
    level = np.array([7.5, 7.5, -7.5, -7.5, 7.1, 6.9])
    asked = np.array([0.1, -0.1, -2.0, 0.0, 1.0, 1.0])
    assert rail_fraction(level, 7.5, asked) == pytest.approx(3 / 6)
    assert rail_fraction(level, np.inf, asked) == 0.0
    with pytest.raises(ScenarioError, match="equal shapes"):
        rail_fraction(level, 7.5, asked[:2])


def test_resilience_is_largest_when_the_newest_task_is_the_best():
    assert memory_rigidity_resilience([[0.8, NAN], [0.7, 0.9]]) == pytest.approx(1e5)


def test_a_task_that_was_not_evaluated_is_skipped_by_the_mean_alone():
    r = R.copy()
    r[3, 1] = NAN
    assert mean_accuracy(r) == pytest.approx((0.50 + 0.88 + 0.93) / 3)
    assert last_k_average(r, 2) == pytest.approx((0.88 + 0.93) / 2)
    with pytest.raises(ScenarioError, match="1 needed entries of the last row are NaN"):
        last_k_average(r, 3)
    with pytest.raises(ScenarioError, match="of the last row are NaN"):
        backward_transfer(r)
    r = R.copy()
    r[1, 1] = NAN
    with pytest.raises(ScenarioError, match="of the diagonal are NaN"):
        backward_transfer(r)
    with pytest.raises(ScenarioError, match="last row: got no value"):
        mean_accuracy([[NAN]])


def test_a_single_task_has_no_backward_transfer():
    assert math.isnan(backward_transfer([[0.9]]))
    assert last_k_average([[0.9]], 1) == 0.9


@pytest.mark.parametrize("k", [0, 5, -1, 2.0, True])
def test_last_k_must_fit_the_tasks(k):
    with pytest.raises(ScenarioError, match=f"k: got {k}; allowed are integers from 1 to the 4 tasks"):
        last_k_average(R, k)


@pytest.mark.parametrize("bad", [np.zeros((2, 3)), np.zeros(4), np.zeros((0, 0)), [[90.0]], [[-0.1]]])
def test_what_is_no_accuracy_matrix_is_refused(bad):
    for metric in (mean_accuracy, newest_task_accuracy, backward_transfer, memory_rigidity_resilience):
        with pytest.raises(ScenarioError, match="accuracy matrix"):
            metric(bad)


def test_plasticity_is_the_variance_of_the_binary_weight():
    for lam in (-3.0, -0.2, 0.0, 0.7, 5.0):
        up = oracle.sigmoid(2.0 * lam)
        assert plasticity(lam) == pytest.approx(4.0 * up * (1.0 - up), rel=1e-10)
        assert plasticity(lam) == pytest.approx(1.0 / math.cosh(lam) ** 2, rel=1e-12)
    assert plasticity(0.0) == 1.0


def test_plasticity_and_entropy_keep_their_digits_far_out():
    # sech^2 -> 4 e^(-2|lam|); entropy -> (1 + 2|lam|) e^(-2|lam|) / ln 2.
    lam = np.array([-300.0, -40.0, 40.0, 300.0])
    tail = np.exp(-2.0 * np.abs(lam))
    np.testing.assert_allclose(plasticity(lam), 4.0 * tail, rtol=1e-12)
    np.testing.assert_allclose(posterior_entropy(lam), (1.0 + 2.0 * np.abs(lam)) * tail / math.log(2), rtol=1e-12)
    np.testing.assert_array_equal(plasticity([-1e6, 1e6]), 0.0)
    np.testing.assert_array_equal(posterior_entropy([-1e6, 1e6]), 0.0)


def test_posterior_entropy_is_the_binary_entropy_in_bits():
    assert posterior_entropy(0.0) == 1.0
    for lam in (-4.0, -0.3, 0.1, 2.5):
        up = oracle.sigmoid(2.0 * lam)
        assert posterior_entropy(lam) == pytest.approx(oracle.entropy_bits([up, 1.0 - up]), rel=1e-10)


@pytest.mark.parametrize("metric", [plasticity, posterior_entropy])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_element_wise_metrics_keep_shape_and_dtype(metric, dtype):
    lam = np.linspace(-30.0, 30.0, 6).reshape(2, 3).astype(dtype)
    assert metric(lam).shape == (2, 3)
    assert metric(lam).dtype == dtype
    np.testing.assert_allclose(metric(lam), metric(lam.astype(np.float64)), rtol=1e-5)


def test_saturated_fraction_counts_beyond_the_threshold():
    lam = [[-2.6, -2.5, 0.0], [2.5, 2.51, 7.0]]
    assert saturated_fraction(lam) == pytest.approx(3 / 6)
    assert saturated_fraction(lam, threshold=5.0) == pytest.approx(1 / 6)
    assert oracle.sigmoid(5.0) > 0.993
    with pytest.raises(ScenarioError, match="got no value"):
        saturated_fraction([])


def test_sign_flips_are_changes_of_side():
    before = [1.0, -1.0, 1e-200, 0.0, 2.0, 0.0]
    after = [-1.0, -3.0, -1e-200, 1.0, 0.0, 0.0]
    assert sign_flip_rate(before, after) == pytest.approx(2 / 6)
    with pytest.raises(ScenarioError, match=r"got shapes \(2,\) and \(3,\)"):
        sign_flip_rate([1.0, 2.0], [1.0, 2.0, 3.0])


@pytest.mark.parametrize("n_values", [3, 20, 10_000])
def test_roc_auc_equals_all_pairs_with_ties(n_values):
    rng = np.random.default_rng(71)
    for n_in, n_out in ((1, 1), (7, 3), (40, 60)):
        a, b = rng.integers(0, n_values, n_in), rng.integers(0, n_values, n_out) + n_values // 10
        assert roc_auc(a, b) == pytest.approx(oracle.roc_auc(a.tolist(), b.tolist()), abs=1e-12)


def test_roc_auc_at_its_ends_and_under_a_monotone_map():
    assert roc_auc([0.0, 1.0], [2.0, np.inf]) == 1.0
    assert roc_auc([2.0, 3.0], [0.0, 1.0]) == 0.0
    assert roc_auc([1.0, 1.0], [1.0]) == 0.5
    rng = np.random.default_rng(72)
    a, b = rng.normal(0.0, 1.0, 50), rng.normal(0.5, 1.0, 70)
    assert roc_auc(np.exp(a), np.exp(b)) == roc_auc(a, b) == pytest.approx(1.0 - roc_auc(b, a), abs=1e-12)


@pytest.mark.parametrize("bad", [[], [NAN, 1.0], [[1.0]]])
def test_roc_auc_refuses_empty_nan_and_tables(bad):
    with pytest.raises(ScenarioError, match="roc_auc, scores_out"):
        roc_auc([1.0], bad)


@pytest.mark.parametrize("n_bins", [1, 4, 15])
def test_calibration_error_equals_the_loops(n_bins):
    rng = np.random.default_rng(73)
    p = rng.dirichlet(np.full(6, 0.4), 300)
    labels = rng.integers(0, 6, 300)
    expected = oracle.expected_calibration_error(p.tolist(), labels.tolist(), n_bins)
    assert expected_calibration_error(p, labels, n_bins) == pytest.approx(expected, rel=1e-10)


def test_a_confidence_on_the_edge_of_two_bins_belongs_to_the_lower_one():
    # Confidences 0.5 (right) and 0.75 (wrong) in the bins (0, 0.5] and (0.5, 1]: gaps 0.5 and 0.75, no cancelling.
    assert expected_calibration_error([[0.5, 0.5], [0.75, 0.25]], [0, 1], n_bins=2) == pytest.approx(0.625)


def test_calibration_error_of_the_two_extremes():
    p = np.tile([1.0, 0.0], (4, 1))
    assert expected_calibration_error(p, [0, 0, 0, 0]) == 0.0
    assert expected_calibration_error(p, [1, 1, 1, 1]) == 1.0
    # Confidence 0.75 and three of four right: perfectly calibrated.
    assert expected_calibration_error(np.tile([0.75, 0.25], (4, 1)), [0, 0, 0, 1]) == pytest.approx(0.0, abs=1e-15)


@pytest.mark.parametrize(
    ("probabilities", "labels", "n_bins", "message"),
    [
        ([[0.5, 0.6]], [0], 15, "rows that sum to 1"),
        ([[1.2, -0.2]], [0], 15, "no negative value"),
        ([[0.5, 0.5]], [2], 15, "labels: expected integers from 0 to 1"),
        ([[0.5, 0.5]], [0.0], 15, "labels: expected integers"),
        ([[0.5, 0.5]], [0, 1], 15, r"got probabilities \(1, 2\) and labels \(2,\)"),
        ([[0.5, 0.5]], [0], 0, "n_bins: got 0"),
        ([[0.5, 0.5]], [0], 1.5, "n_bins: got 1.5"),
    ],
)
def test_calibration_error_refuses_bad_arguments(probabilities, labels, n_bins, message):
    with pytest.raises(ScenarioError, match=message):
        expected_calibration_error(probabilities, labels, n_bins)


# When it freezes, and what comes back


def test_time_to_freeze_is_interpolated_between_looks():
    at, plastic = [0.0, 1.0, 2.0, 4.0], [1.0, 0.8, 0.6, 0.2]
    assert time_to_freeze(at, plastic, 0.5) == pytest.approx(2.5)
    assert time_to_freeze(at, plastic, 0.6) == pytest.approx(2.0)
    assert time_to_freeze(at, 1.0 - np.array(plastic), 0.5, rising=True) == pytest.approx(2.5)
    # The first time counts, whatever comes later.
    assert time_to_freeze([0, 1, 2, 3], [1.0, 0.4, 0.9, 0.1], 0.5) == pytest.approx(1.0 - 0.1 / 0.6)


def test_a_run_that_never_freezes_and_one_that_starts_frozen():
    assert np.isnan(time_to_freeze([0, 1, 2], [1.0, 0.9, 0.6], 0.5))
    assert time_to_freeze([3, 4], [0.5, 0.9], 0.5) == 3.0
    # What was not measured before the threshold leaves the time unknown; what was not after it does not matter.
    assert np.isnan(time_to_freeze([0, 1, 2], [1.0, NAN, 0.2], 0.5))
    assert time_to_freeze([0, 1, 2], [1.0, 0.0, NAN], 0.5) == pytest.approx(0.5)


@pytest.mark.parametrize(("at", "values"), [([0, 1], [1.0]), ([], []), ([1, 1], [1.0, 0.2]), ([[0]], [[1.0]])])
def test_time_to_freeze_refuses_what_is_no_series(at, values):
    with pytest.raises(ScenarioError, match="time_to_freeze"):
        time_to_freeze(at, values, 0.5)


def test_relearning_gain_compares_with_the_first_turn():
    assert relearning_gain([0.5, 0.6, 0.9, 0.7], [0, 1, 0, 0]) == pytest.approx((0.4 + 0.2) / 2)
    assert np.isnan(relearning_gain([0.5, 0.6], [1, 0]))
    with pytest.raises(ScenarioError, match="relearning_gain"):
        relearning_gain([0.5, 0.6], [1, 0, 1])
