"""The vectorised float32 functions against NumPy in float64, over the whole of their ranges."""

from __future__ import annotations

import numpy as np
import pytest

from bimu_hw.kernels import elementary


def applied(fill, x):
    out = np.empty_like(x)
    fill(x, out)
    return out


def ulps(got, exact):
    """Return the error in units in the last place of the exact value, rounded to float32."""
    return np.abs(got.astype(float) - exact) / np.spacing(np.abs(exact).astype(np.float32)).astype(float)


def grid(low, high, n=2_000_003):
    return np.linspace(low, high, n).astype(np.float32)


def any_normal_floats(n, low=0x00800000, high=0x7F800000):
    """Return float32 numbers whose bit patterns are uniform, so that every exponent is met."""
    return np.random.default_rng(3).integers(low, high, n).astype(np.uint32).view(np.float32)


def test_exponential_over_its_range():
    small = any_normal_floats(200_000, high=0x42AE0000)  # up to 87, down to the smallest normal number
    x = np.concatenate([grid(-87.0, 88.0), small, -small])
    assert ulps(applied(elementary.fill_exp, x), np.exp(x.astype(float))).max() < 1.1


def test_exponential_clips_instead_of_overflowing():
    x = np.array([-np.inf, -200.0, -87.5, 88.5, 200.0, np.inf], np.float32)
    clipped = np.clip(x.astype(float), -87.0, 88.0)
    assert ulps(applied(elementary.fill_exp, x), np.exp(clipped)).max() < 1.1


def test_logarithm_over_all_normal_numbers():
    x = np.concatenate([any_normal_floats(2_000_000), grid(0.5, 2.0)])
    x = x[x != 1.0]
    assert ulps(applied(elementary.fill_log, x), np.log(x.astype(float))).max() < 1.1


def test_logarithm_and_exponential_are_exact_where_they_must_be():
    assert applied(elementary.fill_log, np.ones(1, np.float32))[0] == 0.0
    assert applied(elementary.fill_exp, np.zeros(1, np.float32))[0] == 1.0
    largest = np.float32(1.0) - np.float32(2.0**-24)
    assert applied(elementary.fill_log, np.array([largest], np.float32))[0] < 0.0


def test_cosine_over_one_turn():
    x = grid(0.0, 1.0)
    assert np.abs(applied(elementary.fill_cos_turn, x) - np.cos(2.0 * np.pi * x.astype(float))).max() < 2.4e-7


def test_cosine_at_quarter_turns():
    got = applied(elementary.fill_cos_turn, np.array([0.0, 0.25, 0.5, 0.75, 1.0], np.float32))
    np.testing.assert_allclose(got, [1.0, 0.0, -1.0, 0.0, 1.0], rtol=0.0, atol=2.4e-7)


def test_tanh_and_sech2():
    small = any_normal_floats(200_000, high=0x3F800000)
    x = np.concatenate([grid(-43.0, 43.0), grid(-0.01, 0.01, 100_001), small, -small])
    tanh, sech2 = np.empty_like(x), np.empty_like(x)
    elementary.fill_tanh_sech2(x, tanh, sech2)
    exact = x.astype(float)
    assert np.abs(tanh - np.tanh(exact)).max() < 1.8e-7
    assert np.abs(tanh).max() <= 1.0
    assert ulps(sech2, 1.0 / np.cosh(exact) ** 2).max() < 5.0


def test_tanh_is_odd_and_sech2_even():
    x = grid(0.0, 10.0, 20_001)
    results = [np.empty_like(x) for _ in range(4)]
    elementary.fill_tanh_sech2(x, results[0], results[1])
    elementary.fill_tanh_sech2(-x, results[2], results[3])
    assert np.array_equal(results[0], -results[2])
    assert np.array_equal(results[1], results[3])


@pytest.mark.parametrize("fill", [elementary.fill_exp, elementary.fill_log, elementary.fill_cos_turn])
def test_the_place_in_the_array_does_not_matter(fill):
    """A vector loop and its scalar remainder must give the same bits."""
    x = grid(0.01, 0.99, 1037)
    whole = applied(fill, x)
    for start, stop in ((1, 2), (3, 20), (1030, 1037), (500, 1036)):
        assert np.array_equal(applied(fill, x[start:stop].copy()), whole[start:stop])
