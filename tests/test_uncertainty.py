"""Uncertainties against loops, and against cases that can be worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from oracles import learning as oracle

from bimu_hw.errors import ScenarioError
from bimu_hw.learning import uncertainty


@pytest.mark.parametrize("spread", [0.1, 1.0, 6.0])
@pytest.mark.parametrize(("n_samples", "n_class"), [(1, 10), (5, 10), (10, 19), (7, 2)])
def test_every_field_equals_the_loops(n_samples, n_class, spread):
    logits = np.random.default_rng(51).normal(0.0, spread, (40, n_samples, n_class))
    found = uncertainty(logits)
    for q, rows in enumerate(logits.tolist()):
        aleatoric, epistemic, predictive, disagreement, prediction = oracle.uncertainty(rows)
        assert found.aleatoric[q] == pytest.approx(aleatoric, rel=1e-10, abs=1e-12)
        assert found.epistemic[q] == pytest.approx(epistemic, rel=1e-10, abs=1e-12)
        assert found.predictive[q] == pytest.approx(predictive, rel=1e-10, abs=1e-12)
        assert found.disagreement[q] == disagreement
        assert found.variation_ratio[q] == disagreement / n_samples
        assert found.prediction[q] == prediction
    assert {field.shape for field in found} == {(40,)}
    assert found.disagreement.dtype == found.prediction.dtype == np.int64
    assert found.aleatoric.dtype == np.float64


def test_entropies_are_in_bits():
    flat = uncertainty(np.zeros((1, 3, 8)))
    assert flat.aleatoric[0] == pytest.approx(3.0, rel=1e-14)
    assert flat.predictive[0] == pytest.approx(3.0, rel=1e-14)
    assert flat.epistemic[0] == pytest.approx(0.0, abs=1e-14)


def test_samples_sure_of_opposite_classes_are_purely_epistemic():
    opposed = uncertainty([[[500.0, -500.0], [-500.0, 500.0]]])
    assert opposed.aleatoric[0] == pytest.approx(0.0, abs=1e-12)
    assert opposed.epistemic[0] == pytest.approx(1.0, rel=1e-12)
    assert opposed.disagreement[0] == 1  # a tied vote goes to class 0
    assert opposed.variation_ratio[0] == 0.5


def test_samples_that_agree_have_no_epistemic_uncertainty_and_never_a_negative_one():
    rows = np.random.default_rng(52).normal(0.0, 2.0, (300, 1, 10))
    agreed = uncertainty(np.repeat(rows, 7, axis=1))
    assert agreed.epistemic.min() >= 0.0
    np.testing.assert_allclose(agreed.epistemic, 0.0, atol=1e-13)
    np.testing.assert_array_equal(agreed.disagreement, 0)


def test_the_vote_is_soft_and_not_the_mode():
    # Two samples lean to class 0 by a hair, one is sure of class 1: the soft vote is 1, the mode would be 0.
    logits = [[[0.02, 0.0], [0.02, 0.0], [0.0, 9.0]]]
    assert uncertainty(logits).disagreement[0] == 2


def test_the_vote_takes_softmax_twice():
    # One sample sure of class 0, two torn between 1 and 2. The mean probability favours class 1, from which one
    # sample differs; a second softmax counts the split votes for less: class 0, from which two differ.
    logits = [[[0.0, -4.0, -4.0], [-4.0, 2.1, 2.0], [-3.0, 2.1, 2.0]]]
    p = np.array([oracle.softmax(row) for row in logits[0]])
    assert p.mean(axis=0).argmax() == 1
    assert uncertainty(logits).disagreement[0] == 2


def test_the_prediction_is_the_class_of_the_mean_log_probability():
    # Two samples favour class 0, one all but rules it out: class 0 by the mean probability, 1 by its logarithm.
    logits = [[[1.2, 0.0], [1.2, 0.0], [-4.0, 0.0]]]
    assert np.mean([oracle.softmax(row)[0] for row in logits[0]]) > 0.5
    assert uncertainty(logits).prediction[0] == 1


def test_no_query_gives_empty_fields():
    assert {field.shape for field in uncertainty(np.empty((0, 5, 10)))} == {(0,)}


@pytest.mark.parametrize("shape", [(5, 10), (2, 0, 10), (2, 5, 0), (1, 2, 3, 4)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ScenarioError, match=r"logits: got shape .*; expected \[query, sample, class\]"):
        uncertainty(np.zeros(shape))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_logits_that_are_not_finite_are_refused(value):
    logits = np.zeros((1, 2, 3))
    logits[0, 1, 2] = value
    with pytest.raises(ScenarioError, match="not finite"):
        uncertainty(logits)
