"""The learning rules' kernels against the readable reference in float64, over the lam that a network can hold.

Tolerance. The kernels take tanh lam to 1.3e-7 absolutely and sech**2 lam to 5 units in the last place; with a few more
roundings each term of the rules has a relative error below C = 1e-6. A quotient inherits the errors of its terms, not
of their sums: where terms cancel, the error is relative to what they were before.
"""

from __future__ import annotations

import numpy as np
import pytest

from bimu_hw.kernels.rules import bayesbinn_request, bimu_request
from bimu_hw.learning.reference import bayesbinn_delta, bimu_delta
from bimu_hw.learning.rules import BayesBinn, Bimu

F = np.float32
C = 1e-6
PUBLISHED = {
    "1000 tasks": {
        "lr": 4.9, "lr_max": 0.0023, "likelihood_multiplier": 161.3, "kl_multiplier": 3.76, "memory_window": 700.0,
    },
    "1 task": {
        "lr": 81.76, "lr_max": 0.017, "likelihood_multiplier": 12.3, "kl_multiplier": 4.72, "memory_window": 6100.0,
    },
    "no forgetting": {
        "lr": 4.9, "lr_max": 0.5, "likelihood_multiplier": 1.0, "kl_multiplier": 0.0, "memory_window": np.inf,
    },
}  # fmt: skip


def cases():
    """Return lam over [-8, 8] against gradients of either sign from 1e-9 to 10, and none."""
    lam = np.concatenate([np.linspace(-8.0, 8.0, 129), [1e-6, -1e-6, 1e-3]])
    size = np.concatenate([[0.0], np.logspace(-9, 1, 31)])
    gradient = np.concatenate([size, -size])
    return [np.ascontiguousarray(a.ravel(), F) for a in np.broadcast_arrays(lam[:, None], gradient[None, :])]


def sech2(lam):
    e = np.exp(-2.0 * np.abs(lam))
    return 4.0 * e / (1.0 + e) ** 2


def asked(rule, lam, gradient, through_weight):
    out = np.full_like(lam, np.nan)
    rule.request(0, slice(None), lam, gradient, through_weight, out)
    return out.astype(np.float64)


@pytest.mark.parametrize("through_weight", [False, True])
@pytest.mark.parametrize("setting", PUBLISHED)
def test_bimu_request_equals_the_reference(setting, through_weight):
    p = PUBLISHED[setting]
    lam, gradient = cases()
    x = lam.astype(np.float64)
    grad = gradient.astype(np.float64) * (sech2(x) if through_weight else 1.0)
    wanted = bimu_delta(x, grad, **p)
    g, s = p["likelihood_multiplier"] * grad, p["kl_multiplier"] * sech2(x)
    below = s + 2.0 * (g * np.tanh(x) + np.abs(g)) + 1.0 / p["lr_max"]
    error_above = C * (p["lr"] * np.abs(g) + np.abs(x) * s / p["memory_window"])
    error_below = C * below + 2.0 * np.abs(g) * 2.5e-7
    bound = (error_above + np.abs(wanted) * error_below) / below
    assert np.all(np.abs(asked(Bimu(**p), lam, gradient, through_weight) - wanted) <= bound)


def test_a_confident_weight_is_moved_by_the_gradient_through_it():
    """The factor sech**2 lam is as exact at |lam| of 8 (4.5e-7) as at 0."""
    lam = np.linspace(4.0, 8.0, 50).astype(F)
    p = PUBLISHED["1000 tasks"] | {"memory_window": np.inf}
    gradient = np.full_like(lam, -0.01)
    wanted = bimu_delta(lam.astype(np.float64), -0.01 * sech2(lam.astype(np.float64)), **p)
    np.testing.assert_allclose(asked(Bimu(**p), lam, gradient, True), wanted, rtol=3e-6)


def test_bimu_without_gradient_relaxes_towards_zero():
    lam = np.array([-6.0, -0.5, 0.0, 0.5, 6.0], F)
    change = asked(Bimu(**PUBLISHED["1000 tasks"]), lam, np.zeros_like(lam), True)
    assert np.array_equal(np.sign(change), -np.sign(lam))
    assert not asked(Bimu(**PUBLISHED["no forgetting"]), lam, np.zeros_like(lam), True).any()


@pytest.mark.parametrize("through_weight", [False, True])
@pytest.mark.parametrize("prior", [0.0, 2.5])
def test_bayesbinn_request_equals_the_reference(prior, through_weight):
    lam, gradient = cases()
    x = lam.astype(np.float64)
    rule = BayesBinn(lr=0.77, prior_strength=1.25e-2)
    rule.end_task([np.full_like(lam, prior)])
    grad_mean = gradient.astype(np.float64) / (1.0 if through_weight else sech2(x) + 1e-7)
    wanted = bayesbinn_delta(x, grad_mean, lr=0.77, prior_strength=1.25e-2, lam_prior=prior)
    bound = C * 0.77 * (np.abs(grad_mean) + 1.25e-2 * (np.abs(x) + prior))
    assert np.all(np.abs(asked(rule, lam, gradient, through_weight) - wanted) <= bound)


def test_the_prior_is_zero_until_a_task_ends_and_then_stays_what_it_was():
    lam = np.linspace(-2.0, 2.0, 9).astype(F)
    rule, nothing = BayesBinn(lr=1.0, prior_strength=0.5), np.zeros(9, F)
    assert np.array_equal(asked(rule, lam, nothing, True), -0.5 * lam)
    rule.end_task([lam])
    assert not asked(rule, lam, nothing, True).any()
    before = lam.copy()
    lam += F(1.0)
    assert np.array_equal(asked(rule, lam, nothing, True), -0.5 * (lam - before))


@pytest.mark.parametrize("rule", [Bimu(**PUBLISHED["1000 tasks"]), BayesBinn(lr=0.77, prior_strength=1.25e-5)])
@pytest.mark.parametrize("through_weight", [False, True])
def test_parts_ask_for_the_same_bits_as_the_whole(rule, through_weight):
    rng = np.random.default_rng(1)
    lam, gradient = rng.normal(0.0, 3.0, 203).astype(F), rng.normal(size=203).astype(F)
    whole = np.empty_like(lam)
    rule.request(0, slice(0, 203), lam, gradient, through_weight, whole)
    for cut in (1, 2, 15, 16, 17, 64, 101, 187, 202):
        out = np.empty_like(lam)
        for part in (slice(0, cut), slice(cut, 203)):
            rule.request(0, part, lam, gradient, through_weight, out)
        assert np.array_equal(out.view(np.uint32), whole.view(np.uint32)), cut


def test_kernels_write_every_cell_and_nothing_else():
    lam, gradient = np.ones(5, F), np.full(5, 0.1, F)
    for call in (
        lambda out: bimu_request(lam, gradient, F(1), F(4.9), F(400), F(160), F(3.8), F(1e-3), out),
        lambda out: bayesbinn_request(lam, gradient, F(1), F(0.77), F(1e-5), np.zeros(5, F), out),
    ):
        out = np.full(5, np.nan, F)
        call(out)
        assert np.all(out < 0.0)
        assert np.array_equal(lam, np.ones(5))
        assert np.array_equal(gradient, np.full(5, 0.1, F))
