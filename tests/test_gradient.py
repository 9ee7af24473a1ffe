"""The gradient of a layer, block by block, against sums in float64, and the relaxed weights it reads."""

from __future__ import annotations

import numpy as np
import pytest

from bimu_hw.kernels.bits import fill_look, fold
from bimu_hw.kernels.blocks import block_range, block_rows, count_chunks, count_pairs
from bimu_hw.kernels.gradient import gradient, gradient_is_zero
from bimu_hw.kernels.relaxed import fill_v, relaxed_product, relaxed_transposed

F = np.float32
EPS = 2.0**-23
SHAPES = [(17, 7), (100, 10), (35, 100), (1, 1), (3, 801)]


def inputs(n_in, n_out, n_sample, shared):
    rng = np.random.default_rng(5)
    x = rng.normal(size=(1 if shared else n_sample, n_in)).astype(F)
    x[0, 3:6] = 0.0
    return x, rng.normal(size=(n_sample, n_out)).astype(F)


def blocked(w, rows):
    """Return weights[sample, wordline, bitline] in the layout of the blocks; what is padding is not a number."""
    n_sample, n_in, n_out = w.shape
    out = np.full((2 * count_pairs(n_in, rows), n_sample, rows * n_out), np.nan, F)
    for b in range(out.shape[0]):
        i, end = block_range(b, rows, n_in)
        out[b, :, : max(end - i, 0) * n_out] = w[:, i : max(end, i)].reshape(n_sample, -1)
    return out


def work_space(n_sample, cells):
    return np.full((5 + n_sample, cells), np.nan, F)


@pytest.mark.parametrize("relaxed", [False, True])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("n_sample", [1, 2, 3, 4, 5, 7])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_gradient_is_the_mean_over_samples(shape, n_sample, shared, relaxed):
    n_in, n_out = shape
    x, delta = inputs(n_in, n_out, n_sample, shared)
    rows = block_rows(n_out)
    w = np.random.default_rng(6).uniform(-1.0, 1.0, (n_sample, n_in, n_out)).astype(F)
    epsilon = F(0.01 if relaxed else 0.0)
    out = np.full(n_in * n_out, np.nan, F)
    layout, work = blocked(w, rows), work_space(n_sample, rows * n_out)
    last = layout.shape[0]
    for cut in (0, 1, last):
        out[:] = np.nan
        found = [gradient(x, delta, layout, relaxed, epsilon, rows, *r, work, out) for r in ((0, cut), (cut, last))]
        assert any(found)
    assert not gradient_is_zero(x, delta, layout, relaxed, epsilon, rows, last, work)
    every = np.broadcast_to(x.astype(np.float64), (n_sample, n_in))
    slope = 1.0 - w.astype(np.float64) ** 2 + float(epsilon) if relaxed else np.ones(w.shape)
    each = every[:, :, None] * delta.astype(np.float64)[:, None, :] * slope / n_sample
    # Each term has some five roundings, 1 - w**2 one of size EPS; the sum has one per sample.
    bound = (n_sample + 6) * EPS * (np.abs(each) + EPS).sum(axis=0) + 4 * EPS * np.abs(
        every[:, :, None] * delta[:, None, :]
    ).mean(axis=0)
    assert np.all(np.abs(out.reshape(shape) - each.sum(axis=0)) <= bound)


@pytest.mark.parametrize("relaxed", [False, True])
def test_a_gradient_of_zeros_is_seen_and_nothing_else_is_taken_for_one(relaxed):
    n_in, n_out, n_sample = 100, 10, 5
    rows = block_rows(n_out)
    w = blocked(np.full((n_sample, n_in, n_out), 0.5, F), rows)
    work, out = work_space(n_sample, rows * n_out), np.zeros(n_in * n_out, F)
    last = w.shape[0]
    x, delta = np.zeros((1, n_in), F), np.ones((n_sample, n_out), F)
    assert gradient_is_zero(x, delta, w, relaxed, F(0), rows, last, work)
    assert not gradient(x, delta, w, relaxed, F(0), rows, 0, last, work, out)
    for line in (0, 49, 50, 99):
        x[:] = 0.0
        x[0, line] = 1e-30
        assert not gradient_is_zero(x, delta, w, relaxed, F(0), rows, last, work)
        assert gradient(x, delta, w, relaxed, F(0), rows, 0, last, work, out)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_relaxed_products_are_those_of_the_rational_weights(shape, shared):
    n_in, n_out = shape
    n_sample, key = 3, np.uint64(0xABCDEF0123456789)
    x, delta = inputs(n_in, n_out, n_sample, shared)
    rows = block_rows(n_out)
    mean = np.tanh(np.random.default_rng(7).normal(0.0, 2.0, n_in * n_out)).astype(F)
    n_chunks, cells = count_chunks(n_in, rows), rows * n_out
    weights = np.zeros((2 * count_pairs(n_in, rows), n_sample, cells), F)
    partial = np.full((n_chunks, n_sample, n_out), np.nan, F)
    space = np.zeros((n_sample, 2), np.uint32), work_space(n_sample, cells), np.zeros((2, cells), np.uint32)
    for r in ((0, n_chunks // 2), (n_chunks // 2, n_chunks)):
        relaxed_product(x, mean, key, rows, *r, *space, weights, partial)
    back = np.empty((n_sample, n_in), F)
    relaxed_transposed(delta, weights, rows, n_in, back)
    for s in range(n_sample):
        words, v = np.empty(mean.size, np.uint32), np.empty(mean.size, F)
        fill_look(np.uint64(fold(key, np.uint64(s))), (n_in + 1) // 2 * n_out, words)
        fill_v(words, v)
        v64, m64 = v.astype(np.float64), mean.astype(np.float64)
        w = ((v64 + m64) / (1.0 + v64 * m64)).reshape(shape)
        row = x[0 if shared else s].astype(np.float64)
        np.testing.assert_allclose(partial[:, s].sum(axis=0), row @ w, rtol=0, atol=1e-5 * np.abs(row).sum())
        np.testing.assert_allclose(back[s], w @ delta[s].astype(np.float64), rtol=0, atol=1e-5 * np.abs(delta[s]).sum())


def test_v_lies_inside_its_interval():
    words = np.array([0, 2**31, 2**31 - 1, 2**32 - 1, 1], np.uint32)
    v = np.empty(5, F)
    fill_v(words, v)
    assert np.all(np.abs(v.astype(np.float64)) < 1.0)
    assert v[1] == -v[2] == -(1.0 - 2.0**-24)
