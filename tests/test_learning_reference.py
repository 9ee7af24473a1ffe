"""The forward pass, the gradients and the learning rules against loops, finite differences and closed forms."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import learning as oracle

from bimu_hw.errors import ScenarioError
from bimu_hw.learning import bayesbinn_delta, bimu_delta, forward, loss_and_grad, plasticity

ACTIVATIONS = ("reverse_binary_gate", "sign")
GRADIENTS = ("relaxed", "hard", "bayesbinn")
BIMU_1000_TASKS = {
    "lr": 4.9,
    "lr_max": 0.0023,
    "likelihood_multiplier": 161.3,
    "kl_multiplier": 3.76,
    "memory_window": 700.0,
}


def a_network(seed, sizes=(6, 7, 4), n_samples=3, spread=1.0):
    rng = np.random.default_rng(seed)
    shapes = list(pairwise(sizes))
    lams = [rng.normal(0.0, spread, shape) for shape in shapes]
    uniforms = [rng.uniform(0.02, 0.98, (n_samples, *shape)) for shape in shapes]
    return lams, rng.normal(0.0, 1.0, sizes[0]), int(rng.integers(sizes[-1])), uniforms


def central_differences(function, at, step=1e-6):
    slopes = np.empty(at.shape)
    for index in np.ndindex(*at.shape):
        kept = at[index]
        at[index] = kept + step
        above = function()
        at[index] = kept - step
        slopes[index] = (above - function()) / (2.0 * step)
        at[index] = kept
    return slopes


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("gradient", GRADIENTS)
@pytest.mark.parametrize("sizes", [(6, 7, 4), (5, 3), (4, 6, 5, 3)])
def test_loss_and_gradients_equal_the_loops(sizes, gradient, activation):
    temperature = 1.0 if gradient == "hard" else 0.7
    lams, x, label, uniforms = a_network(11, sizes)
    loss, grads = loss_and_grad(
        lams, x, label, uniforms, gradient=gradient, temperature=temperature, activation=activation
    )
    twin_loss, twin_grads = oracle.loss_and_grad(lams, x, label, uniforms, gradient, temperature, activation)
    assert loss == pytest.approx(twin_loss, rel=1e-12)
    for grad, twin in zip(grads, twin_grads, strict=True):
        assert np.abs(twin).max() > 1e-4
        np.testing.assert_allclose(grad, twin, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("weights", ["relaxed", "hard"])
def test_forward_gives_the_logits_of_the_loss(weights):
    lams, x, label, uniforms = a_network(12)
    logits = forward(lams, x, uniforms, weights=weights)
    assert logits.shape == (3, 4)
    for s, row in enumerate(logits):
        drawn = oracle.draw(lams, uniforms, s, weights, 1.0)
        np.testing.assert_allclose(row, oracle.network(drawn, x, "reverse_binary_gate")[-1][2], rtol=1e-12)
    loss, _ = loss_and_grad(lams, x, label, uniforms, gradient=weights)
    assert loss == pytest.approx(np.mean([-math.log(oracle.softmax(row)[label]) for row in logits]), rel=1e-12)


def test_logits_are_normalised_so_no_probability_exceeds_0_757():
    lams, x, _, uniforms = a_network(13, (20, 30, 10), n_samples=8)
    logits = forward(lams, x, uniforms)
    np.testing.assert_allclose(logits.mean(axis=1), 0.0, atol=1e-12)
    np.testing.assert_allclose(logits.var(axis=1), 1.0, atol=1e-4)
    # One logit at 3, nine at -1/3, is the most peaked vector of mean 0 and variance 1.
    assert max(max(oracle.softmax(row)) for row in logits) < math.exp(3) / (math.exp(3) + 9 * math.exp(-1 / 3))
    assert math.exp(3) / (math.exp(3) + 9 * math.exp(-1 / 3)) == pytest.approx(0.757, abs=5e-4)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.3])
def test_relaxed_gradient_of_a_single_layer_is_the_slope_of_the_loss(temperature):
    lams, x, label, uniforms = a_network(21, (5, 4))
    _, grads = loss_and_grad(lams, x, label, uniforms, temperature=temperature)
    slopes = central_differences(lambda: loss_and_grad(lams, x, label, uniforms, temperature=temperature)[0], lams[0])
    np.testing.assert_allclose(grads[0], slopes, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.3])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_relaxed_gradient_of_the_last_of_two_layers_is_the_slope_of_the_loss(activation, temperature):
    lams, x, label, uniforms = a_network(22)
    how = {"temperature": temperature, "activation": activation}
    _, grads = loss_and_grad(lams, x, label, uniforms, **how)
    slopes = central_differences(lambda: loss_and_grad(lams, x, label, uniforms, **how)[0], lams[1])
    np.testing.assert_allclose(grads[1], slopes, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.3])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_relaxed_gradient_of_the_hidden_layer_is_the_slope_the_surrogate_gives(activation, temperature):
    lams, x, label, uniforms = a_network(23)
    n_samples = len(uniforms[0])
    anchors = [
        [z for *_, z in oracle.network(oracle.draw(lams, uniforms, s, "relaxed", temperature), x, activation)]
        for s in range(n_samples)
    ]

    def surrogate_loss():
        drawn = [oracle.draw(lams, uniforms, s, "relaxed", temperature) for s in range(n_samples)]
        losses = [oracle.sample_loss(w, x, label, activation, a) for w, a in zip(drawn, anchors, strict=True)]
        return sum(losses) / n_samples

    loss, grads = loss_and_grad(lams, x, label, uniforms, temperature=temperature, activation=activation)
    assert surrogate_loss() == pytest.approx(loss, rel=1e-12)
    for k in (0, 1):
        slopes = central_differences(surrogate_loss, lams[k])
        assert np.abs(slopes).max() > 1e-3
        np.testing.assert_allclose(grads[k], slopes, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_hard_gradient_is_the_mean_slope_in_the_real_valued_weight_times_sech2(activation):
    lams, x, label, uniforms = a_network(24)
    _, grads = loss_and_grad(lams, x, label, uniforms, gradient="hard", activation=activation)
    slopes = []
    for s in range(len(uniforms[0])):
        drawn = oracle.draw(lams, uniforms, s, "hard", 1.0)
        assert set(np.unique(drawn[1])) == {-1.0, 1.0}
        slopes.append(central_differences(lambda w=drawn: oracle.sample_loss(w, x, label, activation), drawn[1]))
    np.testing.assert_allclose(grads[1], np.mean(slopes, axis=0) / np.cosh(lams[1]) ** 2, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_bayesbinn_gradient_is_the_relaxed_one_divided_by_d_mu_d_lam(temperature):
    lams, x, label, uniforms = a_network(25)
    relaxed = loss_and_grad(lams, x, label, uniforms, temperature=temperature)[1]
    by_mean = loss_and_grad(lams, x, label, uniforms, temperature=temperature, gradient="bayesbinn")[1]
    for lam, a, b in zip(lams, relaxed, by_mean, strict=True):
        np.testing.assert_allclose(b / np.cosh(lam) ** 2, a, rtol=1e-4, atol=1e-6)  # up to the 1e-7 of the rule
        assert np.abs(b - a).max() > 1e-3


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_relaxed_and_hard_weights_of_the_same_noise_have_the_same_sign(temperature):
    # One input of 1, so the sums are the weights; the last weight is exactly 0 when relaxed (lam = 0, u = 1/2).
    rng = np.random.default_rng(31)
    lam, u = rng.normal(0.0, 2.0, (1, 2000)), rng.uniform(1e-6, 1.0 - 1e-6, (1, 1, 2000))
    lam[0, -1], u[0, 0, -1] = 0.0, 0.5
    relaxed = forward([lam], [1.0], [u], temperature=temperature)[0]
    hard = forward([lam], [1.0], [u], weights="hard")[0]
    np.testing.assert_array_equal(relaxed[:-1] > relaxed[-1], hard[:-1] > hard.mean())


def test_hard_weights_switch_at_one_minus_sigma_of_two_lam():
    # One input of 1, two classes: the first logit is the higher one exactly when its weight alone is +1.
    for lam in (-3.0, -0.4, 0.0, 0.7, 2.0):
        edge = 1.0 - oracle.sigmoid(2.0 * lam)
        for u, expected in ((edge - 1e-9, -1), (edge + 1e-9, 1)):
            uniforms = [np.array([[[u, 0.5]]])]
            logits = forward([[[lam, -9.0 * expected]]], [1.0], uniforms, weights="hard")
            assert np.sign(logits[0, 0] - logits[0, 1]) == expected


def test_relaxed_weights_at_unit_temperature_have_the_rational_form():
    rng = np.random.default_rng(32)
    lam, u = rng.normal(0.0, 2.0, (1, 200)), rng.uniform(0.001, 0.999, (1, 1, 200))
    v, m = 2.0 * u[0, 0] - 1.0, np.tanh(lam[0])
    expected = oracle.normalise(list((v + m) / (1.0 + v * m)))
    np.testing.assert_allclose(forward([lam], [1.0], [u])[0], expected, rtol=1e-9, atol=1e-12)


def test_sign_of_zero_is_plus_one_and_the_gate_is_shut_there():
    # Both hidden sums are equal, hence normalised to exactly 0.
    lams, uniforms = [np.zeros((1, 2)), np.zeros((2, 2))], [np.full((1, 1, 2), 0.5), np.array([[[0.9, 0.1]] * 2])]
    signed = forward(lams, [1.0], uniforms, weights="hard", activation="sign")
    np.testing.assert_allclose(signed, [[1.0, -1.0]], atol=1e-5)  # sums +2 and -2
    gated = forward(lams, [1.0], uniforms, weights="hard")
    np.testing.assert_array_equal(gated, [[0.0, 0.0]])


def test_everything_is_finite_at_extreme_natural_parameters():
    lams, x, label, uniforms = a_network(33, spread=400.0)
    for gradient in GRADIENTS:
        loss, grads = loss_and_grad(lams, x, label, uniforms, gradient=gradient)
        assert math.isfinite(loss)
        assert all(np.isfinite(grad).all() for grad in grads)


def test_float32_arguments_are_computed_in_float64_and_left_alone():
    lams, x, label, uniforms = a_network(34)
    narrow = [lam.astype(np.float32) for lam in lams], x.astype(np.float32), label
    kept = [lam.copy() for lam in narrow[0]]
    loss, grads = loss_and_grad(*narrow, uniforms)
    wide = loss_and_grad([lam.astype(np.float64) for lam in kept], narrow[1].astype(np.float64), label, uniforms)
    assert loss == wide[0]
    for grad, expected, before, after in zip(grads, wide[1], kept, narrow[0], strict=True):
        assert grad.dtype == np.float64
        np.testing.assert_array_equal(grad, expected)
        np.testing.assert_array_equal(before, after)


# The learning rules.

finite = {"allow_nan": False, "allow_infinity": False}
any_lam = st.floats(-30.0, 30.0, **finite)
any_grad = st.floats(-1e3, 1e3, **finite)
parameters = st.fixed_dictionaries(
    {
        "lr": st.floats(0.01, 100.0),
        "lr_max": st.floats(1e-4, 1.0),
        "likelihood_multiplier": st.floats(1.0, 300.0),
        "kl_multiplier": st.floats(0.1, 10.0),
        "memory_window": st.floats(10.0, 1e5),
    }
)
steady = settings(deadline=None, derandomize=True, database=None)


@steady
@given(lam=any_lam, grad=any_grad, rule=parameters)
def test_bimu_delta_equals_the_formula(lam, grad, rule):
    delta = bimu_delta(lam, grad, **rule)
    # 1 - tanh^2 in the twin loses digits at large |lam|, never more than about an ulp of 1 in absolute terms.
    slack = 1e-15 * rule["kl_multiplier"] * (1.0 + abs(lam)) * rule["lr_max"] * (1 + abs(delta))
    assert delta == pytest.approx(oracle.bimu_delta(lam, grad, **rule), rel=1e-9, abs=slack)


@steady
@given(lam=any_lam, grad=any_grad, rule=parameters)
def test_the_step_size_lies_between_zero_and_lr_max(lam, grad, rule):
    endless = rule | {"memory_window": math.inf}
    step = abs(bimu_delta(lam, grad, **endless))
    asked = rule["lr"] * rule["likelihood_multiplier"] * abs(grad)
    assert step <= rule["lr_max"] * asked * (1.0 + 1e-12)
    assert (step > 0.0) == (asked > 0.0)


@steady
@given(lam=st.floats(-40.0, 40.0, width=32), exponent=st.integers(0, 12), sign=st.sampled_from([-1.0, 1.0]))
def test_the_denominator_stays_positive_in_float32_at_any_gradient(lam, exponent, sign):
    grad = np.float32(sign * 10.0**exponent)
    delta = bimu_delta(np.float32(lam), grad, **(BIMU_1000_TASKS | {"memory_window": math.inf}))
    assert delta.dtype == np.float32
    assert np.sign(delta) == -sign


@steady
@given(grad=any_grad, rule=parameters)
def test_at_zero_the_denominator_is_k_plus_twice_the_gradient_plus_the_floor(grad, rule):
    g = rule["likelihood_multiplier"] * grad
    expected = -rule["lr"] * g / (rule["kl_multiplier"] + 2.0 * abs(g) + 1.0 / rule["lr_max"])
    assert bimu_delta(0.0, grad, **rule) == pytest.approx(expected, rel=1e-12)
    assert abs(bimu_delta(0.0, grad, **rule)) <= rule["lr"] / 2.0


@steady
@given(lam=any_lam, grad=any_grad, rule=parameters)
def test_the_rule_has_no_preferred_sign(lam, grad, rule):
    assert bimu_delta(-lam, -grad, **rule) == -bimu_delta(lam, grad, **rule)


@steady
@given(lam=st.floats(0.05, 6.0), size=st.floats(1e-4, 1e3), rule=parameters)
def test_contradicting_a_confident_weight_moves_it_less_than_confirming_it(lam, size, rule):
    endless = rule | {"memory_window": math.inf}
    confirm, contradict = bimu_delta(lam, -size, **endless), bimu_delta(lam, size, **endless)
    assert confirm > 0.0 > contradict
    # The two step sizes differ by 4 |g| tanh(lam) in the denominator, exactly.
    lr_g = rule["lr"] * rule["likelihood_multiplier"] * size
    gap = lr_g / -contradict - lr_g / confirm
    assert gap == pytest.approx(4.0 * rule["likelihood_multiplier"] * size * math.tanh(lam), rel=1e-6)


def test_far_out_confirmation_steps_at_lr_max_and_contradiction_is_braked_by_four_g():
    rule = BIMU_1000_TASKS
    g = rule["likelihood_multiplier"] * 2.0
    assert bimu_delta(20.0, -2.0, **rule) == pytest.approx(rule["lr_max"] * rule["lr"] * g, rel=1e-9)
    braked = -rule["lr"] * g / (4.0 * g + 1.0 / rule["lr_max"])
    assert bimu_delta(20.0, 2.0, **rule) == pytest.approx(braked, rel=1e-9)


def test_without_gradient_the_parameter_relaxes_with_the_stated_e_folding():
    k, floor, n = 3.76, 1.0 / 0.0023, 700.0
    e_folding = n * (k + floor) / k
    assert e_folding == pytest.approx(82_000, rel=0.01)
    rate = -bimu_delta(1e-4, 0.0, **BIMU_1000_TASKS) / 1e-4
    assert 1.0 / rate == pytest.approx(e_folding, rel=1e-6)
    lam = 1e-3
    for _ in range(2000):
        lam += bimu_delta(lam, 0.0, **BIMU_1000_TASKS)
    assert lam == pytest.approx(1e-3 * math.exp(-2000 / e_folding), rel=1e-5)
    # At large |lam| it is slower still, by sech^2 (and the smaller s of the denominator).
    slow = -bimu_delta(3.0, 0.0, **BIMU_1000_TASKS) / 3.0
    assert slow / rate == pytest.approx((k + floor) * plasticity(3.0) / (k * plasticity(3.0) + floor), rel=1e-6)


def test_an_infinite_memory_window_forgets_nothing():
    lam = np.linspace(-4.0, 4.0, 9)
    np.testing.assert_array_equal(bimu_delta(lam, 0.0, **(BIMU_1000_TASKS | {"memory_window": math.inf})), 0.0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_rules_keep_the_dtype_and_shape_of_lam(dtype):
    lam = np.linspace(-3.0, 3.0, 12).reshape(3, 4).astype(dtype)
    grad = np.linspace(-1e-3, 2e-3, 12).reshape(3, 4)
    rule = {name: np.float64(value) for name, value in BIMU_1000_TASKS.items()}
    for delta in (
        bimu_delta(lam, grad, **rule),
        bayesbinn_delta(lam, grad, lr=np.float64(0.77), prior_strength=np.float64(1e-5), lam_prior=grad),
    ):
        assert delta.dtype == dtype
        assert delta.shape == (3, 4)
    each = [oracle.bimu_delta(a, b, **BIMU_1000_TASKS) for a, b in zip(lam.flat, grad.flat, strict=True)]
    np.testing.assert_allclose(bimu_delta(lam, grad, **rule).ravel(), each, rtol=3e-6 if dtype == np.float32 else 1e-12)


def test_bayesbinn_delta_by_hand():
    # -0.5 (0.2 + 0.1 (1.5 - 1.0)) = -0.125 and -0.5 (-0.4 + 0.1 (-2.0 - 1.0)) = 0.35
    delta = bayesbinn_delta([1.5, -2.0], [0.2, -0.4], lr=0.5, prior_strength=0.1, lam_prior=[1.0, 1.0])
    np.testing.assert_allclose(delta, [-0.125, 0.35], rtol=1e-12)


def test_bayesbinn_without_gradient_decays_to_its_prior_at_lr_times_strength():
    lam, prior = 2.0, 0.5
    for _ in range(100):
        lam += bayesbinn_delta(lam, 0.0, lr=0.77, prior_strength=1.25e-2, lam_prior=prior)
    assert lam == pytest.approx(prior + 1.5 * (1.0 - 0.77 * 1.25e-2) ** 100, rel=1e-12)


# What is refused, and in which words.


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"gradient": "relax"}, r"gradient: got 'relax'\. Did you mean 'relaxed'\?"),
        ({"activation": "signn"}, r"activation: got 'signn'\. Did you mean 'sign'\?"),
        ({"label": 4}, r"label: got 4; expected an integer from 0 to 3"),
        ({"label": -1}, r"label: got -1"),
        ({"label": 1.0}, r"label: got 1\.0"),
        ({"temperature": 0.0}, r"temperature: got 0\.0; expected a number above 0"),
        ({"temperature": "hot"}, r"temperature: got 'hot'"),
        ({"temperature": 0.5, "gradient": "hard"}, r"temperature: got 0\.5; hard weights have none"),
        ({"x": np.zeros(5)}, r"lams\[0\]: got shape \(6, 7\); expected \(5, n_out\)"),
        ({"x": np.zeros((6, 1))}, r"x: got shape \(6, 1\); expected one input"),
        ({"x": np.full(6, np.nan)}, r"x: got a value that is not finite"),
        ({"lams": []}, r"got 0 layers in lams and 2 in uniforms"),
    ],
)
def test_bad_arguments_get_one_sentence(change, message):
    lams, x, label, uniforms = a_network(41)
    arguments = {"lams": lams, "x": x, "label": label, "uniforms": uniforms} | change
    with pytest.raises(ScenarioError, match=message):
        loss_and_grad(**arguments)


@pytest.mark.parametrize(
    ("layer", "spoil", "message"),
    [
        (0, lambda u: u[:, :5], r"uniforms\[0\]: got shape \(3, 5, 7\); expected \(sample, 6, 7\)"),
        (1, lambda u: u[:2], r"uniforms\[1\]: got shape \(2, 7, 4\); .* equally many samples"),
        (0, lambda u: u[:0], r"uniforms\[0\]: got shape \(0, 6, 7\)"),
        (1, lambda u: 0.0 * u, r"uniforms\[1\]: got values from 0\.0 to 0\.0; expected .* strictly"),
        (1, lambda u: 0.0 * u + 1.0, r"uniforms\[1\]: got values from 1\.0 to 1\.0"),
        (0, lambda u: np.nan * u, r"uniforms\[0\]: got a value that is not finite"),
    ],
)
def test_bad_noise_gets_one_sentence(layer, spoil, message):
    lams, x, label, uniforms = a_network(42)
    uniforms[layer] = spoil(uniforms[layer])
    with pytest.raises(ScenarioError, match=message):
        loss_and_grad(lams, x, label, uniforms)
    with pytest.raises(ScenarioError, match=message):
        forward(lams, x, uniforms)


def test_forward_refuses_an_unknown_kind_of_weights():
    lams, x, _, uniforms = a_network(43)
    with pytest.raises(ScenarioError, match=r"weights: got 'hrad'\. Did you mean 'hard'"):
        forward(lams, x, uniforms, weights="hrad")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lr_max": 0.0}, "lr_max: got 0.0; expected a number above 0"),
        ({"lr": -1.0}, "lr: got -1.0; expected a number of at least 0"),
        ({"memory_window": 0}, "memory_window: got 0"),
        ({"lr_max": math.inf}, "lr_max: got inf"),
        ({"kl_multiplier": math.nan}, "kl_multiplier: got nan"),
        ({"likelihood_multiplier": None}, "likelihood_multiplier: got None"),
        ({"grad": np.zeros(3)}, r"grad: got shape \(3,\); expected \(2,\)"),
        ({"grad": [0.0, math.inf]}, "grad: got a value that is not finite"),
    ],
)
def test_bad_bimu_arguments_get_one_sentence(change, message):
    with pytest.raises(ScenarioError, match=message):
        bimu_delta(**({"lam": np.zeros(2), "grad": np.zeros(2)} | BIMU_1000_TASKS | change))


def test_bad_bayesbinn_arguments_get_one_sentence():
    with pytest.raises(ScenarioError, match=r"lam_prior: got shape \(3,\)"):
        bayesbinn_delta(np.zeros(2), 0.0, lr=1.0, prior_strength=0.1, lam_prior=np.zeros(3))
    with pytest.raises(ScenarioError, match=r"prior_strength: got -0\.1"):
        bayesbinn_delta(np.zeros(2), 0.0, lr=1.0, prior_strength=-0.1, lam_prior=0.0)
