"""STE and synaptic metaplasticity: closed forms, the NumPy twin, the chip against the reference, and devices."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from building import analog, make_card, make_chip, synapse_spec

from bimu_hw.cards import shipped_cards
from bimu_hw.checkpoint import read_checkpoint, write_checkpoint
from bimu_hw.crossbar.rails import RAIL, Rails
from bimu_hw.devices import get_model
from bimu_hw.errors import ScenarioError
from bimu_hw.kernels.batch_norm import normalise_units, normalise_units_backward, update_statistics
from bimu_hw.learning import loss_and_grad
from bimu_hw.learning.latent import adam_delta, metaplasticity_delta, no_moments, ste_delta
from bimu_hw.learning.rules import Bimu, Metaplasticity, Ste
from bimu_hw.operations import operation_index, phase_index
from bimu_hw.run import Run
from bimu_hw.scenario import load_scenario

FOLDER = Path(__file__).parents[1] / "scenarios"
F = np.float32
BIMU = ["learning.metaplasticity=", "learning.weight_decay=", "learning.preset=bimu_mnist_1_task"]
STE = {"lr": 1e-2, "weight_decay": 1e-3}
META = {"lr": 1e-2, "weight_decay": 1e-3, "metaplasticity": 1.35}
RULES = {
    "ste": (lambda: Ste(**STE), ste_delta, STE),
    "metaplasticity": (lambda: Metaplasticity(**META), metaplasticity_delta, META),
}


def asked(rule, lam, gradient):
    """Return what a rule asks of one layer in one update."""
    out = np.full_like(lam, np.nan)
    rule.begin_update([lam.size])
    rule.request(0, slice(None), lam, gradient, True, out)
    return out.astype(np.float64)


def test_the_first_step_of_adam_is_lr_against_the_gradient_whatever_its_size():
    delta, moments = adam_delta(np.zeros(4), [1e-3, -5.0, 0.0, 1e3], no_moments((4,)), lr=0.1)
    np.testing.assert_allclose(delta, [-0.1, 0.1, 0.0, -0.1], rtol=1e-4)
    assert moments.updates == 1


def test_a_constant_gradient_moves_by_lr_each_time():
    lam, moments = np.array([0.3]), no_moments((1,))
    for _ in range(50):
        delta, moments = adam_delta(lam, [-2.0], moments, lr=0.01)
        lam = lam + delta
    assert lam[0] == pytest.approx(0.8, abs=1e-6)


def test_weight_decay_alone_pulls_towards_zero():
    delta, _ = adam_delta(np.array([0.5, -0.5]), [0.0, 0.0], no_moments((2,)), lr=0.01, weight_decay=0.1)
    np.testing.assert_allclose(delta, [-0.01, 0.01], rtol=1e-5)


def test_ste_stops_at_one_and_metaplasticity_goes_on():
    lam, g = np.array([0.995, -0.995]), [-1.0, 1.0]
    assert ste_delta(lam, g, no_moments((2,)), lr=0.01)[0] == pytest.approx([0.005, -0.005], rel=1e-6)
    free, _ = metaplasticity_delta(lam, g, no_moments((2,)), lr=0.01, metaplasticity=7.2)
    assert free == pytest.approx([0.01, -0.01])


def test_only_steps_towards_zero_are_braked_by_the_published_factor():
    lam = np.array([0.4, 0.4, -0.4, -0.4, 0.0])
    grad = np.array([1.0, -1.0, -1.0, 1.0, 1.0])
    delta, _ = metaplasticity_delta(lam, grad, no_moments((5,)), lr=0.01, metaplasticity=2.0)
    brake = 1.0 / math.cosh(0.8) ** 2
    np.testing.assert_allclose(delta, [-0.01 * brake, 0.01, 0.01 * brake, -0.01, -0.01], rtol=1e-6)
    assert metaplasticity_delta(lam, grad, no_moments((5,)), lr=0.01, metaplasticity=0.0)[0] == pytest.approx(
        adam_delta(lam, grad, no_moments((5,)), lr=0.01)[0]
    )


@pytest.mark.parametrize("name", RULES)
def test_the_kernels_follow_the_reference_over_many_updates(name):
    """Both walk on their own lam. Errors of float32 add up, relative to the step: 300 of 1e-2 stay within 1e-4."""
    make, reference, values = RULES[name]
    rng = np.random.default_rng(4)
    n = 203
    lam = (0.5 * rng.normal(size=n)).clip(-1, 1).astype(F)
    x = lam.astype(np.float64)
    rule, moments = make(), no_moments((n,))
    slope = rng.normal(size=n)
    for _ in range(300):
        gradient = (slope + rng.normal(size=n)).astype(F)
        lam = (lam + asked(rule, lam, gradient)).astype(F)
        delta, moments = reference(x, gradient.astype(np.float64), moments, **values)
        x = x + delta
    assert np.abs(lam - x).max() < 1e-4
    assert np.abs(x).max() > 0.9


@pytest.mark.parametrize("name", RULES)
def test_parts_ask_for_the_bits_of_the_whole_and_a_checkpoint_goes_on(name):
    rng = np.random.default_rng(1)
    lam = (0.5 * rng.normal(size=203)).astype(F)
    gradients = rng.normal(size=(4, 203)).astype(F)
    whole = RULES[name][0]()
    wanted = [asked(whole, lam, g) for g in gradients]
    parts = RULES[name][0]()
    for n, gradient in enumerate(gradients):
        out = np.empty_like(lam)
        parts.begin_update([203])
        for part in (slice(0, 17), slice(17, 64), slice(64, 203)):
            parts.request(0, part, lam, gradient, True, out)
        np.testing.assert_array_equal(out, wanted[n].astype(F))
        fresh = RULES[name][0]()
        fresh.restore(parts.state())
        parts = fresh


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("sizes", [(12, 4), (12, 9, 4)])
def test_the_chip_learns_as_the_reference(name, sizes):
    make, reference, values = RULES[name]
    chip, rule = make_chip(sizes, 1, synapses=synapse_spec(weights="sign"), activation="sign"), make()
    lams = [s.lam.reshape(s.shape).astype(np.float64) for s in chip.layers]
    moments = [no_moments(lam.shape) for lam in lams]
    rng = np.random.default_rng(3)
    for event in range(5):
        x, label = rng.normal(size=sizes[0]).astype(F), event % sizes[-1]
        uniforms = [np.full((1, *lam.shape), 0.5) for lam in lams]
        loss, grads = loss_and_grad(lams, x, label, uniforms, gradient="straight_through", activation="sign")
        result = chip.learn(analog(x), label, event, 0.0, rule, "hard")
        assert result.loss == pytest.approx(loss, rel=1e-5)
        for k, grad in enumerate(grads):
            delta, moments[k] = reference(lams[k], grad, moments[k], **values)
            lams[k] = lams[k] + delta
            assert np.abs(chip.layers[k].lam.reshape(lams[k].shape) - lams[k]).max() < 2e-6


def test_signs_are_the_same_for_every_event_and_zero_is_positive():
    chip = make_chip((40, 30), 2, synapses=synapse_spec(weights="sign"))
    layer = chip.layers[0]
    request = np.zeros(layer.lam.size, F)
    request[:3] = -layer.lam[:3]
    layer.program_request(request, 0, 0.0, 128, 128, 32)
    assert not layer.lam[:3].any()
    out = np.zeros((2, 40, 30), np.int8)
    for event in range(50):
        layer.read(event, 0.0)
        layer.sample(event, 0.0, out)
        np.testing.assert_array_equal(out, np.broadcast_to(np.where(layer.lam >= 0, 1, -1).reshape(40, 30), out.shape))


def test_only_cells_whose_sign_has_changed_are_driven_anew():
    rails, everything = Rails(4), np.arange(4, dtype=np.int32)
    lam = np.array([-1e-30, 0.0, 2.0, -3.0], F)

    def follow(cells=everything, **how):
        drive, changed = rails.follow(lam, cells, **how)
        assert drive is rails.drive
        return changed.tolist()

    assert follow() == [0, 1, 2, 3]
    assert rails.drive.tolist() == [-RAIL, RAIL, RAIL, -RAIL]
    lam[:] = [1.0, 1.0, -1.0, -1.0]
    assert follow(np.array([1, 2], np.int32)) == [2]
    assert follow() == [0]
    assert rails.drive.tolist() == [RAIL, RAIL, -RAIL, -RAIL]
    assert follow(anew=True) == [0, 1, 2, 3]


SAMPLERS = sorted(name for name, card in shipped_cards().items() if get_model(card.model).role == "sampler")


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampling_element_can_be_driven_to_its_rails(name):
    """What remains is the device's own: a reset that fails, biased bits. No false alarms: the noise is keyed."""
    card = shipped_cards()[name]
    holds = get_model(card.model).holds
    spec = synapse_spec(sampler=card, weights="sign", holds="query" if "query" in holds else holds[0])
    layer = make_chip((64, 32), 1, synapses=spec).layers[0]
    out = np.zeros((1, 64, 32), np.int8)
    wrong = 0
    for event in range(20):
        layer.read(event, event * 1e-3)
        layer.sample(event, event * 1e-3, out)
        wrong += int((out[0].ravel() != np.where(layer.lam >= 0, 1, -1)).sum())
    assert wrong <= 20 * out.size * 0.01, wrong


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("policy", ["deterministic", "stochastic", "residue"])
def test_finite_levels_and_every_policy_learn(name, policy):
    """A fixed example is learned at 16 levels where the policy keeps small requests, or they are large enough."""
    storage = make_card("ideal_storage", n_levels=16)
    spec = synapse_spec(storage=storage, weights="sign", policy=policy, residue_bits=12, lam_max=1.0)
    chip, rule = make_chip((30, 12, 4), 1, synapses=spec, activation="sign"), RULES[name][0]()
    rule.lr = 0.2 if policy == "deterministic" else 0.02
    x = np.random.default_rng(0).normal(size=30)
    losses = [chip.learn(analog(x), 2, event, 0.0, rule, "hard").loss for event in range(60)]
    assert min(losses[-10:]) < 0.5 * losses[0]
    level = chip.layers[0].lam / chip.layers[0].grid.step
    np.testing.assert_allclose(level, np.round(level * 2) / 2, atol=1e-4)


def test_running_statistics_follow_their_closed_form():
    rng = np.random.default_rng(2)
    y = (3.0 + 2.0 * rng.normal(size=(400, 3))).astype(F)
    mean, variance = np.zeros(3, F), np.full(3, 9.0, F)
    for row in y:
        update_statistics(row[None], F(0.02), mean, variance)
    weight = 0.02 * 0.98 ** np.arange(399, -1, -1)
    rest = 0.98**400
    wanted = weight @ y.astype(np.float64)
    square = weight @ y.astype(np.float64) ** 2 + rest * 9.0
    np.testing.assert_allclose(mean, wanted, rtol=1e-4)
    np.testing.assert_allclose(variance, square - wanted**2, rtol=1e-3)
    out, delta = np.empty((1, 3), F), np.ones((1, 3), F)
    normalise_units(y[:1], mean, variance, out)
    normalise_units_backward(delta, variance)
    np.testing.assert_allclose(out[0], (y[0] - mean) / np.sqrt(variance + 1e-5), rtol=1e-5)
    np.testing.assert_allclose(delta[0], 1.0 / np.sqrt(variance + 1e-5), rtol=1e-5)


def test_each_task_is_evaluated_with_its_own_statistics():
    chip = make_chip((12, 9, 4), 1, synapses=synapse_spec(weights="sign"), activation="sign", normalisation="batch",
                     statistics_window=5.0)  # fmt: skip
    rule, rng = Ste(**STE), np.random.default_rng(0)
    probe = analog(rng.normal(size=12))
    for event in range(10):
        chip.learn(analog(rng.normal(size=12)), event % 4, event, 0.0, rule, "hard")
    after_first = chip.infer(probe, 99, 0.0, probe=True).copy()
    chip.end_task(rule)
    kept = chip.state()
    frozen = [layer.lam.copy() for layer in chip.layers]
    for event in range(10, 20):
        chip.learn(analog(5.0 + rng.normal(size=12)), event % 4, event, 0.0, Ste(lr=0.0, weight_decay=0.0), "hard")
    assert all(np.array_equal(a, layer.lam) for a, layer in zip(frozen, chip.layers, strict=True))
    now = chip.infer(probe, 99, 0.0, probe=True).copy()
    assert np.abs(now - after_first).max() > 1e-3
    chip.use_task(0)
    np.testing.assert_array_equal(chip.infer(probe, 99, 0.0, probe=True), after_first)
    chip.use_task(1)  # has not ended: as now
    np.testing.assert_array_equal(chip.infer(probe, 99, 0.0, probe=True), now)
    chip.use_task(None)
    assert set(kept["0"]) == {"synapses", "normalisation"}


def test_bad_arguments_get_one_sentence():
    with pytest.raises(ScenarioError, match="lr: got -1"):
        adam_delta(np.zeros(2), np.zeros(2), no_moments((2,)), lr=-1.0)
    with pytest.raises(ScenarioError, match=r"grad: got shape \(3,\)"):
        adam_delta(np.zeros(2), np.zeros(3), no_moments((2,)), lr=1.0)
    with pytest.raises(ScenarioError, match="metaplasticity: got -1"):
        metaplasticity_delta(np.zeros(2), np.zeros(2), no_moments((2,)), lr=1.0, metaplasticity=-1.0)
    with pytest.raises(ScenarioError, match="allowed are layer, batch"):
        make_chip(normalisation="group")
    with pytest.raises(ScenarioError, match="sign weights have none"):
        loss_and_grad(
            [np.zeros((2, 2))], [0.0, 1.0], 0, [np.full((1, 2, 2), 0.5)], gradient="straight_through", temperature=2.0
        )


def scenario(*overrides):
    return load_scenario(FOLDER / "quickstart.toml", [
        "labels.policy=given", "labels.budget=", "labels.gamma=", "labels.latency=", "learning.rule=metaplasticity",
        "learning.lr=0.003", "record.state=false",
        "learning.weight_decay=0.0", "learning.metaplasticity=1.35", "network.samples=1", "network.hidden=[12]",
        "network.activation=sign", "network.normalisation=batch", "network.statistics_window=50.0",
        "stream.tasks=2", "stream.epochs=1", "stream.examples=160", "evaluation.examples=40", "device.lam_max=1.0",
        *(f"learning.{key}=" for key in ("lr_max", "likelihood_multiplier", "kl_multiplier", "memory_window")),
        *overrides,
    ])  # fmt: skip


class Cut(Exception):
    pass


def test_a_run_on_devices_goes_on_from_a_checkpoint_to_the_same_bits(tmp_path, monkeypatch):
    """On the quickstart's own store and sampling elements; the moments and the statistics of each task are kept."""
    whole = Run(scenario())
    whole.accelerator.run()
    whole.finish()
    calls, between = [0], Run.between_jobs

    def cut(self):
        calls[0] += 1
        if calls[0] == 100:
            write_checkpoint(tmp_path / "c.npz", self.state(), {})
            raise Cut
        between(self)

    with monkeypatch.context() as patch:
        patch.setattr(Run, "between_jobs", cut)
        with pytest.raises(Cut):
            Run(scenario()).accelerator.run()
    state, _ = read_checkpoint(tmp_path / "c.npz")
    rest = Run(scenario())
    rest.restore(state)
    rest.accelerator.run()
    rest.finish()
    np.testing.assert_array_equal(rest.accuracy, whole.accuracy)
    for mine, other in zip(rest.chip.layers, whole.chip.layers, strict=True):
        np.testing.assert_array_equal(mine.lam, other.lam)
        np.testing.assert_array_equal(mine.residue, other.residue)
    for mine, other in zip(rest.rule.moments, whole.rule.moments, strict=True):
        np.testing.assert_array_equal(mine, other)
    assert rest.rule.updates == whole.rule.updates > 100
    assert len(rest.chip.state()["0"]["normalisation"]["of_tasks"]) == 1


def test_the_moments_are_charged_where_they_are_read_and_written():
    ours, other = (Run(scenario(f"learning.rule={rule}", *more)).plan._plan_update()[0] for rule, more in (
        ("ste", ["learning.metaplasticity="]), ("bimu", BIMU)))  # fmt: skip
    cells = 64 * 12 + 12 * 10
    more = (ours - other)[phase_index("rule")].sum(axis=0)
    assert more[operation_index("buffer", "read")] == 64 * cells
    assert more[operation_index("buffer", "write")] == 64 * cells
    assert more[operation_index("digital", "mac")] == (Ste.operations[0] - Bimu.operations[0]) * cells


@pytest.mark.parametrize("name", RULES)
def test_a_neutral_device_learns_the_ideal_bits(name):
    def learned(storage):
        chip, rule = make_chip((20, 9, 4), 1, synapses=synapse_spec(storage=storage, weights="sign")), RULES[name][0]()
        rng = np.random.default_rng(7)
        for event in range(6):
            chip.learn(analog(rng.normal(size=20)), event % 4, event, 0.0, rule, "hard")
        return [layer.lam.copy() for layer in chip.layers]

    ideal = learned(make_card("ideal_storage", n_levels=0))
    neutral = learned(make_card("soft_bounds_pair", n_levels=0))
    for mine, other in zip(ideal, neutral, strict=True):
        np.testing.assert_array_equal(mine, other)
    assert np.abs(ideal[0]).max() > 0.23  # beyond the 1/sqrt(20) that it started within
