"""Weights drawn and multiplied in one go have the bits of drawing first and multiplying afterwards."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
from building import analog, ideal_arrays, make_card, make_chip, synapse_spec
from test_bits import a_key
from test_fused import RULES

from bimu_hw.crossbar import drawn
from bimu_hw.kernels.draw import fill_draw
from bimu_hw.kernels.drawn_product import drawn_product, split_thresholds, ties_size
from bimu_hw.kernels.plain import sum_columns
from bimu_hw.random import fold

F = np.float32
SHAPES = [(41, 100), (784, 100), (100, 10), (5, 3), (1, 1), (9, 113), (3, 5003), (129, 31)]


@pytest.mark.parametrize(("n_in", "n_out"), SHAPES)
@pytest.mark.parametrize("tile_rows", [128, 7])
def test_weights_and_sums_are_those_of_whole_numbers(n_in, n_out, tile_rows):
    rng, looks, event = np.random.default_rng(n_in), 3, 2**62 + 5
    n, key = n_in * n_out, int(a_key(3))
    numbers = np.empty((looks, n), np.uint32)
    for s in range(looks):
        fill_draw(np.uint64(fold(fold(key, event), s)), numbers[s])
    numbers >>= 9
    # As in test_draw: bytes that tie, whole numbers that tie, and both ends of the range.
    threshold = rng.integers(0, 2**23 + 1, n).astype(np.int32)
    threshold[::4] = numbers[0, ::4] & ~np.uint32(2**15 - 1)
    threshold[::8] = numbers[min(1, looks - 1), ::8]
    threshold[1::16], threshold[2::16] = 0, 2**23
    coarse, fine = np.zeros(n, np.int8), np.zeros(n, np.uint16)
    split_thresholds(rng.permutation(threshold), np.arange(n, dtype=np.int32), coarse, fine)
    for part in np.array_split(rng.permutation(n).astype(np.int32), 3):
        split_thresholds(threshold, np.sort(part), coarse, fine)
    weights, out = np.zeros((looks, n_in, n_out), np.int8), np.zeros((looks, n_out), F)
    # Whole numbers: every order of adding gives the same sum.
    x = rng.integers(-9, 10, (1, n_in)).astype(F)
    work = np.zeros((looks, 4), np.uint32), np.zeros(ties_size(looks, n_out), np.uint64)
    sums = np.full((looks, 2, sum_columns(n_out)), np.nan, F)
    for first, last in ((0, 2), (2, 3)):
        drawn_product(
            x, coarse, fine, np.uint64(key), np.uint64(event), tile_rows, first, last, *work, sums, weights, out
        )  # fmt: skip
    wanted = np.where(numbers >= threshold, 1, -1).reshape(weights.shape)
    np.testing.assert_array_equal(weights, wanted)
    np.testing.assert_array_equal(out, np.einsum("i,sij->sj", x[0], wanted))


def test_all_cells_may_tie():
    n_in, n_out, key = 64, 100, int(a_key(4))
    numbers = np.empty((2, n_in * n_out), np.uint32)
    for s in range(2):
        fill_draw(np.uint64(fold(fold(key, 0), s)), numbers[s])
    coarse, fine = np.zeros(n_in * n_out, np.int8), np.zeros(n_in * n_out, np.uint16)
    threshold = (numbers[0] >> 9).astype(np.int32)
    split_thresholds(threshold, np.arange(threshold.size, dtype=np.int32), coarse, fine)
    weights, sums = np.zeros((2, n_in, n_out), np.int8), np.zeros((2, 2, sum_columns(n_out)), F)
    work = np.zeros((2, 4), np.uint32), np.zeros(ties_size(2, n_out), np.uint64)
    out = np.zeros((2, n_out), F)
    drawn_product(
        np.ones((1, n_in), F), coarse, fine, np.uint64(key), np.uint64(0), 128, 0, 2, *work, sums, weights, out
    )  # fmt: skip
    assert (weights[0] == 1).all()
    assert (out[0] == n_in).all()
    np.testing.assert_array_equal(weights[1].ravel(), np.where(numbers[1] >> 9 >= threshold, 1, -1))


def history(storage, policy, *, in_one, weights="sampled", sizes=(67, 40, 10), **options):
    """Return all that inferences between updates leave behind: sums, activations, logits and weights."""
    synapses = synapse_spec(storage=storage, policy=policy, residue_bits=12, weights=weights)
    chip = make_chip(sizes, synapses=synapses, arrays=ideal_arrays(tile_wordlines=16), **options)
    assert all(layer.drawn is not None for layer in chip._layers)
    if not in_one:
        for layer in chip._layers:
            layer.drawn = None
    rng, seen, rule, kept = np.random.default_rng(5), [], RULES["bimu, large steps"](), None

    def look(event, **how):
        chip.infer(analog(rng.normal(size=sizes[0])), event, 0.0, **how)
        for layer in chip._layers:
            seen.extend(a.copy() for a in (layer.y, layer.normal, layer.inverse_deviation, layer.h, layer.weights))

    for event in range(6):
        look(event)
        look(event + 100, probe=True)
        look(event + 100, fresh=False)
        chip.learn(analog(rng.normal(size=sizes[0])), event % sizes[-1], event, 0.0, rule, "hard")
        if event == 2:
            kept = deepcopy(chip.state())
    chip.restore(kept)
    look(50)
    return seen


@pytest.mark.parametrize(
    "options",
    [
        {}, {"activation": "sign"}, {"normalisation": "batch", "statistics_window": 20.0}, {"n_sample": 1},
        {"weights": "sign"}, {"threads": 2, "n_sample": 5}, {"sizes": (300, 9, 4)},
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("levels", [0, 16])
def test_in_one_go_has_the_bits_of_one_after_the_other(levels, options, monkeypatch):
    monkeypatch.setattr(drawn, "WORTH_SPLITTING", 0)
    storage, policy = make_card("ideal_storage", n_levels=levels), "residue" if levels else "deterministic"
    together = history(storage, policy, in_one=True, **options)
    apart = history(storage, policy, in_one=False, **options)
    for mine, other in zip(together, apart, strict=True):
        np.testing.assert_array_equal(mine, other)


@pytest.mark.parametrize(
    "options",
    [
        {"arrays": ideal_arrays(adc_bits=6)},
        {"synapses": synapse_spec(storage=make_card("soft_bounds_pair", n_levels=16, read_noise=0.1))},
        {"synapses": synapse_spec(sampler=make_card("smtj"))},
    ],
    ids=["converter", "noisy store", "evolving sampler"],
)
def test_anything_between_thresholds_and_sums_keeps_them_apart(options):
    assert all(layer.drawn is None for layer in make_chip(**options)._layers)
