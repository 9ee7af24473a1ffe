"""The production kernels, through the chip, against the reference functions fed with the same uniforms."""

from __future__ import annotations

import numpy as np
import pytest
from building import analog, ideal_arrays, make_card, make_chip, synapse_spec

from bimu_hw.crossbar.synapses import event_key
from bimu_hw.kernels.bits import fill_look
from bimu_hw.kernels.draw import fill_draw
from bimu_hw.kernels.relaxed import fill_v
from bimu_hw.learning.reference import bayesbinn_delta, bimu_delta, loss_and_grad
from bimu_hw.learning.rules import BayesBinn, Bimu
from bimu_hw.random import Purpose, stream_key

RULE = Bimu(lr=4.9, lr_max=0.0023, likelihood_multiplier=161.3, kl_multiplier=3.76, memory_window=700.0)


def uniforms_of(chip, event, seed, purpose):
    """Return the uniforms [sample, n_in, n_out] that the chip's kernels draw for one event."""
    out = []
    for k, synapses in enumerate(chip.layers):
        key = event_key(stream_key(seed, purpose, k), event)
        n_in, n_out = synapses.shape
        relaxed = purpose == Purpose.RELAXED_SAMPLE
        layer = np.empty((chip.n_sample, n_in * n_out))
        for s in range(chip.n_sample):
            words = np.empty(n_in * n_out, np.uint32)
            if relaxed:
                # Cells of the second half of the word lines share the words of the first.
                fill_look(_fold(key, s), (n_in + 1) // 2 * n_out, words)
                v = np.empty(words.size, np.float32)
                fill_v(words, v)
                layer[s] = 0.5 + 0.5 * v.astype(np.float64)
            else:
                fill_draw(_fold(key, s), words)
                layer[s] = ((words >> 9) + 0.5) * 2.0**-23
        out.append(layer.reshape(chip.n_sample, n_in, n_out))
    return out


def _fold(key, word):
    return event_key(key, word)


def lams_of(chip):
    return [s.lam.reshape(s.shape).astype(np.float64) for s in chip.layers]


def spread(chip, scale=1.0):
    """Give the chip's synapses varied lam, by way of the devices."""
    for k, s in enumerate(chip.layers):
        request = (np.random.default_rng(k).normal(size=s.lam.size) * scale).astype(np.float32)
        s.program_request(request, 10**6, 0.0, 128, 128, 32)


@pytest.mark.parametrize("gradient", ["relaxed", "hard"])
@pytest.mark.parametrize("activation", ["reverse_binary_gate", "sign"])
@pytest.mark.parametrize("sizes", [(12, 4), (12, 9, 4), (20, 9, 7, 4)])
def test_gradient_agrees_with_the_reference(gradient, activation, sizes):
    chip = make_chip(sizes, activation=activation)
    spread(chip)
    before = lams_of(chip)
    x = np.random.default_rng(3).normal(size=sizes[0]).astype(np.float32)
    event, label = 5, 2
    purpose = Purpose.RELAXED_SAMPLE if gradient == "relaxed" else Purpose.WEIGHT_SAMPLE
    loss, grads = loss_and_grad(
        before, x.astype(np.float64), label, uniforms_of(chip, event, 1, purpose), gradient=gradient,
        activation=activation,
    )  # fmt: skip
    result = chip.learn(analog(x), label, event, 0.0, RULE, gradient)
    assert result.changed
    assert result.loss == pytest.approx(loss, rel=1e-5)
    for synapses, lam, grad in zip(chip.layers, before, grads, strict=True):
        wanted = bimu_delta(
            lam, grad, lr=4.9, lr_max=0.0023, likelihood_multiplier=161.3, kl_multiplier=3.76, memory_window=700.0
        )
        got = synapses.lam.reshape(synapses.shape) - lam
        assert np.abs(got - wanted).max() < 2e-5 * max(1e-3, np.abs(wanted).max()) + 5e-7


@pytest.mark.parametrize("gradient", ["relaxed", "hard"])
def test_bayesbinn_agrees_with_the_reference(gradient):
    chip = make_chip((12, 9, 4))
    spread(chip)
    before = lams_of(chip)
    x = np.random.default_rng(3).normal(size=12).astype(np.float32)
    purpose = Purpose.RELAXED_SAMPLE if gradient == "relaxed" else Purpose.WEIGHT_SAMPLE
    uniforms = uniforms_of(chip, 5, 1, purpose)
    reference = "bayesbinn" if gradient == "relaxed" else "hard"
    _, grads = loss_and_grad(before, x.astype(np.float64), 1, uniforms, gradient=reference)
    chip.learn(analog(x), 1, 5, 0.0, BayesBinn(lr=0.77, prior_strength=1.25e-5), gradient)
    for synapses, lam, grad in zip(chip.layers, before, grads, strict=True):
        if gradient == "hard":  # the reference's hard gradient is with respect to lam
            grad = grad * np.cosh(lam) ** 2
        wanted = bayesbinn_delta(lam, grad, lr=0.77, prior_strength=1.25e-5, lam_prior=0.0)
        got = synapses.lam.reshape(synapses.shape) - lam
        assert np.abs(got - wanted).max() < 1e-4 * max(1e-2, np.abs(wanted).max()) + 1e-6


def test_learning_again_gives_the_same_bits():
    a, b = make_chip(), make_chip()
    x = np.random.default_rng(0).normal(size=12)
    for chip in (a, b):
        chip.learn(analog(x), 1, 7, 0.0, RULE, "hard")
    assert all(np.array_equal(s.lam, t.lam) for s, t in zip(a.layers, b.layers, strict=True))


def test_inference_changes_nothing_and_depends_on_the_event_alone():
    chip = make_chip()
    x = np.random.default_rng(0).normal(size=12)
    first = chip.infer(analog(x), 3, 0.0).copy()
    chip.infer(analog(x), 4, 0.0)
    assert np.array_equal(chip.infer(analog(x), 3, 0.0), first)
    assert np.array_equal(chip.layers[0].lam, make_chip().layers[0].lam)


def test_an_example_without_gradient_changes_nothing():
    class Silent(Bimu):
        def request(self, *args):
            raise AssertionError("no request may be made")

    chip = make_chip((6, 4))
    # One-hot logits cannot be reached; a zero input with analog drive gives equal sums, logits 0, and a zero gradient.
    result = chip.learn(analog(np.zeros(6)), 1, 0, 0.0, Silent(1, 1, 1, 1, 1), "hard")
    assert not result.changed
    assert result.programming == ()


@pytest.mark.parametrize("tile", [3, 5, 128])
def test_exact_tiles_add_up_to_the_whole_product(tile):
    x = np.random.default_rng(0).normal(size=12)
    whole = make_chip().infer(analog(x), 3, 0.0).copy()
    tiled = make_chip(arrays=ideal_arrays(tile_wordlines=tile, tile_bitlines=tile)).infer(analog(x), 3, 0.0)
    assert np.allclose(whole, tiled, atol=1e-5)


def test_cell_spread_matters_more_at_a_small_on_off_ratio():
    x = np.random.default_rng(0).normal(size=64)
    ideal = make_chip((64, 32)).infer(analog(x), 3, 0.0).copy()

    def error(g_off):
        sampler = make_card("ideal_sampler", g_on=2.0, g_off=g_off, g_spread=0.05)
        return np.abs(
            make_chip((64, 32), synapses=synapse_spec(sampler=sampler)).infer(analog(x), 3, 0.0) - ideal
        ).max()

    assert error(0.0) < error(1.6)


def test_read_energy_counts_every_driven_cell():
    chip = make_chip((5, 3), 2, arrays=ideal_arrays(columns="reference"), synapses=synapse_spec(columns="reference"))
    x = np.array([1.0, 0.0, -2.0, 0.5, 0.0], np.float32)
    chip.infer(analog(x), 0, 0.0)
    reads = chip.forward_reads()
    weights = chip._layers[0].weights
    wanted = 0.0
    for s in range(2):
        for i in range(5):
            for j in range(3):
                wanted += x[i] ** 2 * (2.0 if weights[s, i, j] > 0 else 1.0)
            wanted += x[i] ** 2 * 1.5  # the reference column
    assert reads.conductance[0] == pytest.approx(wanted, rel=1e-12)
    assert reads.drives[0] == 2 * 3
