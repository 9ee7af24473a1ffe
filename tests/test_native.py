"""A device as its own learning rule: what it is asked for, what that costs, and how it compares with BiMU."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from building import analog, make_card, make_chip, synapse_spec
from test_chip import lams_of, spread, uniforms_of
from test_synapses import array_of, learned

from bimu_hw.cards import shipped_cards
from bimu_hw.cli import run_commands
from bimu_hw.errors import CardError
from bimu_hw.learning.reference import bimu_delta, loss_and_grad
from bimu_hw.learning.rules import Native
from bimu_hw.operations import operation_index, phase_index
from bimu_hw.presets import PRESETS
from bimu_hw.random import Purpose
from bimu_hw.report.native import bimu_alpha, native_response
from bimu_hw.run import Run
from bimu_hw.scenario import load_scenario

QUICKSTART = Path(__file__).parents[1] / "scenarios" / "quickstart.toml"
PRESET = "bimu_permuted_mnist_1000_tasks"
NATIVE = (
    "learning.rule=native", "device.programming=native", "learning.lr=3.0", "learning.lr_max=",
    "learning.likelihood_multiplier=", "learning.kl_multiplier=", "learning.memory_window=", "device.residue_bits=",
)  # fmt: skip


def test_it_asks_for_minus_lr_times_the_gradient_by_the_sampled_weight():
    chip = make_chip((12, 9, 4), synapses=synapse_spec(policy="native"))
    spread(chip)
    before = lams_of(chip)
    x = np.random.default_rng(3).normal(size=12).astype(np.float32)
    uniforms = uniforms_of(chip, 5, 1, Purpose.WEIGHT_SAMPLE)
    _, grads = loss_and_grad(before, x.astype(np.float64), 1, uniforms, gradient="hard")
    assert chip.learn(analog(x), 1, 5, 0.0, Native(lr=0.7), "hard").changed
    for synapses, lam, grad in zip(chip.layers, before, grads, strict=True):
        wanted = -0.7 * grad * np.cosh(lam) ** 2  # the reference's gradient is with respect to lam
        got = synapses.lam.reshape(synapses.shape) - lam
        np.testing.assert_allclose(got, wanted, rtol=2e-5, atol=1e-6)


def test_one_pass_and_several_give_the_same_bits():
    class Slowly(Native):
        coefficients = None

    def run(rule):
        store = make_card("soft_bounds_pair", n_levels=32, nonlinearity=0.7, sigma_c2c=0.1)
        return learned(make_chip(synapses=synapse_spec(store, policy="native")), rule=rule)

    (a, pulses), (b, _) = run(Native(3.0)), run(Slowly(3.0))
    assert pulses > 100
    assert a == b


def test_pulses_are_right_on_average_and_those_of_stochastic_rounding():
    request = np.linspace(-1.7, 1.7, 108).astype(np.float32)
    for event in range(5):
        native, stochastic = (array_of(n_levels=17, policy=policy) for policy in ("native", "stochastic"))
        for cells in (native, stochastic):
            cells.program_request(request.copy(), event, 0.0, 128, 128, 32)
        assert np.array_equal(native.lam, stochastic.lam)
        assert native.residue.size == 0
    cells = array_of((40, 50), n_levels=401, lam_max=100.0, policy="native", initial_lam="zero")
    ask = np.full(2000, 0.2, np.float32)  # 0.4 of a level
    for event in range(50):
        cells.program_request(ask.copy(), event, 0.0, 128, 128, 32)
    error = cells.lam.mean() - 50 * 0.2
    # 6 standard deviations of a mean of 100,000 roundings, each of 0.5 sqrt(0.4 0.6): a false alarm in 5e8.
    assert abs(error) < 6 * 50 * 0.5 * math.sqrt(0.24 / 100_000)


def test_the_account_has_no_reading_of_lam_and_no_memory():
    run = Run(load_scenario(QUICKSTART, (*NATIVE, "stream.examples=30", "network.hidden=[16]", "record.state=false")))
    run.accelerator.run()
    learned, counts = run.accelerator.learned, run.accelerator.ledger.counts
    assert learned > 5
    assert not counts[phase_index("read_lambda")].any()
    cells = sum(s.lam.size for s in run.chip.layers)
    rule = counts[phase_index("rule")].sum(axis=0)
    for name in ("mac", "add"):  # the product with lr, and the rounding
        at = operation_index("digital", name)
        assert rule[at] == cells * learned
        rule[at] = 0
    assert not rule.any()


# Against BiMU


def test_alpha_is_the_step_of_the_reference():
    lam = np.linspace(-3, 3, 41)
    for g in (-7.0, 1e-6, 40.0):
        values = dict(PRESETS[PRESET].values, memory_window=1e30)
        wanted = bimu_delta(lam, g / values["likelihood_multiplier"], **values)
        got = -values["lr"] * g * bimu_alpha(lam, g, values["kl_multiplier"], values["lr_max"])
        np.testing.assert_allclose(got, wanted, rtol=1e-9)


def test_a_pair_with_soft_bounds_has_its_closed_forms():
    """Steps 1 -+ b lam / lam_max; a random pulse takes b / L of the mean; relaxation exponential."""
    b, n_levels, rate = 1.0, 33, 1e-3
    card = make_card(
        "soft_bounds_pair", n_levels=n_levels, nonlinearity=b, retention_rate=rate, activation_energy=0.5,
        rest_level=0.0, lam_window=4.0, g_max=2.0,
    )  # fmt: skip
    response = native_response(card, PRESET, cells=10)
    np.testing.assert_allclose(response.up, 1 - b * response.lam / 4.0, atol=1e-5)
    np.testing.assert_allclose(response.down, 1 + b * response.lam / 4.0, atol=1e-5)
    assert response.spread.max() < 1e-5
    assert response.relaxation == pytest.approx(1 / rate, rel=1e-3)
    hot = native_response(card, PRESET, temperature=350.0, cells=10)
    arrhenius = math.exp(0.5 / 8.617333262e-5 * (1 / 300 - 1 / 350))
    assert response.relaxation / hot.relaxation == pytest.approx(arrhenius, rel=1e-3)
    # 20,000 walkers about each of two means, one level each: the error of ln of the ratio is below 2 %.
    assert response.pulses == pytest.approx(-1 / math.log(1 - b / 16), rel=0.05)
    assert response.window == pytest.approx(700 * (3.76 + 1 / 0.0023) / 3.76)
    assert response.window == pytest.approx(82_000, rel=0.01)
    flat = response.deviations()["alpha"]
    v = 3.76 / np.cosh(response.lam) ** 2
    alpha = (3.76 + 1 / 0.0023) / (v + 1 / 0.0023)
    both = np.concatenate([1 - response.lam / 4 - alpha, 1 + response.lam / 4 - alpha])
    assert flat == pytest.approx(math.sqrt(np.mean(both**2)), rel=1e-4)


def test_an_ideal_store_steps_as_alpha_does_and_forgets_nothing():
    response = native_response(make_card("ideal_storage", n_levels=0), PRESET, cells=5)
    assert response.deviations()["alpha"] < 0.01  # alpha itself varies by K eta_max, 0.9 %
    assert math.isinf(response.relaxation)


def test_the_command_prints_and_draws(tmp_path, capsys):
    assert run_commands(["devices", "native", "dw_notched", "--out", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "alpha sech2 lam" in said
    assert "learned examples" in said
    assert (tmp_path / "native_dw_notched.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["smtj_50ns"], "is a sampling element; name a storage element."),
        (["dw_notched", "--preset", "bimu"], "--preset: got 'bimu'; allowed are bimu_16_levels_residue_stream, "),
        (["dw_notched", "--rate", "0 Hz"], "--rate: got '0 Hz'; allowed are rates above 0 Hz."),
        (["dw_notched", "--temperature", "1 K"], "--temperature: got '1 K'; allowed are temperatures from 4 K to"),
    ],
)
def test_what_the_command_refuses(options, says, capsys):
    assert run_commands(["devices", "native", *options]) == 2
    assert says in capsys.readouterr().err


def test_another_rules_preset_is_refused():
    with pytest.raises(CardError, match="allowed are bimu_16_levels_residue_stream"):
        native_response(shipped_cards()["dw_notched"], "bayesbinn_permuted_mnist_1000_tasks")
