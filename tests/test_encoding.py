"""Level grid, converters and input planes against their definitions.

Comparisons are exact wherever all numbers involved are multiples of a power of two that float32 holds.
"""

from __future__ import annotations

import numpy as np
import pytest
from oracles import arrays as twin

from bimu_hw.crossbar.encoding import (
    EXACT_STEP,
    Converter,
    InputEncoder,
    gradient_planes,
    hidden_planes,
    level_grid,
)
from bimu_hw.errors import ScenarioError
from bimu_hw.kernels import jit
from bimu_hw.kernels.mvm import convert

EPS = 2.0**-24  # relative error of one rounding to float32
MNIST = (-0.13066 / 0.30811, 1.0 / (255.0 * 0.30811))


@jit
def _convert_all(values, step, shift, code_min, code_max, out):
    for i in range(values.size):
        out[i] = convert(values[i], step, shift, np.float32(0.0), code_min, code_max)


def through(converter, values):
    values = np.asarray(values, np.float32)
    out = np.full_like(values, np.nan)
    _convert_all(values, *converter.as_tuple(), out)
    return out


@pytest.mark.parametrize(("n", "lam_max"), [(2, 1.0), (3, 4.0), (5, 2.5), (16, 4.0), (1000, 6.2)])
def test_levels_are_spread_evenly_from_end_to_end(n, lam_max):
    grid = level_grid(n, lam_max)
    got = [(k - grid.level_max) * grid.step for k in range(n)]
    np.testing.assert_allclose(got, twin.levels(n, lam_max), rtol=0, atol=4e-15)
    assert grid.quantum == 1.0


def test_a_continuous_element_has_no_ends_and_levels_are_lam():
    assert level_grid(0, 4.0)[:3] == (float("inf"), 1.0, EXACT_STEP)
    assert level_grid(0, 4.0, 9, 350.0)[3:] == level_grid(5, 4.0, 9, 350.0)[3:] == (9, 350.0)


def test_one_level_is_refused():
    with pytest.raises(ScenarioError, match="at least 2 levels"):
        level_grid(1, 4.0)


@pytest.mark.parametrize(("bits", "full_scale"), [(2, 1.0), (4, 128.0), (6, 100.0), (8, 51.2), (12, 0.75)])
def test_uniform_converter_has_its_codes_and_clips(bits, full_scale):
    converter = Converter.uniform(bits, full_scale)
    step = full_scale / 2 ** (bits - 1)
    values = np.linspace(-1.5 * full_scale, 1.5 * full_scale, 12 * 2**bits + 1).astype(np.float32)
    got = through(converter, values).astype(np.float64)
    codes = np.rint(got / step)
    np.testing.assert_allclose(got, codes * step, rtol=2 * EPS)
    assert set(codes) == set(range(-(2 ** (bits - 1)), 2 ** (bits - 1)))
    inside = np.abs(values) <= full_scale - step
    assert np.abs(got - values)[inside].max() <= step / 2 * (1 + 2**bits * 4 * EPS)
    np.testing.assert_allclose(got[values < -full_scale], -full_scale, rtol=2 * EPS)
    np.testing.assert_allclose(got[values > full_scale], full_scale - step, rtol=2 * EPS)
    assert np.all(np.diff(got) >= 0.0)


def test_converter_equals_its_twin_and_takes_ties_to_the_even_code():
    converter = Converter.uniform(5, 8.0)
    values = np.arange(-12.0, 12.0, 1 / 16)
    assert np.array_equal(through(converter, values), [twin.converted(v, 0.5, 0.0, -16, 15) for v in values])
    assert np.array_equal(through(converter, [-0.75, -0.25, 0.25, 0.75, 1.25]), [-1.0, 0.0, 0.0, 1.0, 1.0])


def test_one_bit_is_a_sense_amplifier_that_decides_the_sign():
    got = through(Converter.uniform(1, 8.0), [-5.0, -1.0, 1.0, 5.0])
    assert np.array_equal(np.sign(got), [-1.0, -1.0, 1.0, 1.0])


def test_exact_converter_is_the_identity_on_the_bits_of_float32():
    rng = np.random.default_rng(1)
    exponent = np.repeat(np.arange(-67, 38), 200)
    values = ((1.0 + rng.integers(0, 2**23, exponent.size) / 2**23) * 2.0**exponent).astype(np.float32)
    values *= rng.choice([-1.0, 1.0], values.size).astype(np.float32)
    values = np.concatenate([values, np.float32([0.0, 1.0, -1.0, 3.0, 1e-20, -1e-20])])
    assert np.array_equal(through(Converter.uniform(0, 1.0), values).view(np.uint32), values.view(np.uint32))


def test_exact_converter_loses_nothing_that_matters_below_its_identity():
    values = (2.0 ** np.arange(-140.0, -67.0) * 1.37).astype(np.float32)
    got = through(Converter.uniform(0, 1.0), values).astype(np.float64)
    assert np.abs(got - values).max() <= EXACT_STEP / 2


@pytest.mark.parametrize("offset", [0.0, -0.375])
@pytest.mark.parametrize("n_bits", [1, 5, 8])
def test_bit_planes_add_up_to_the_input_exactly(n_bits, offset):
    codes = np.arange(2**n_bits, dtype=np.uint8)
    encoder = InputEncoder(codes.size, "bit_serial", n_bits)
    planes, weight, x = encoder.encode(codes, offset, 0.03125)
    assert planes.shape == (1, n_bits + (offset != 0.0), codes.size)
    assert len(encoder.slots(offset, 0.03125)) == planes.shape[1] == weight.size
    assert planes.dtype == weight.dtype == x.dtype == np.float32
    assert set(np.unique(planes)) <= {0.0, 1.0}
    wanted = offset + 0.03125 * codes.astype(np.float64)
    assert np.array_equal(twin.reconstructed(planes, weight)[0], wanted)
    assert np.array_equal(x[0], wanted)


def test_bit_planes_of_a_standardised_input_are_off_by_their_rounding_to_float32_alone():
    codes = np.arange(256, dtype=np.uint8)
    planes, weight, x = InputEncoder(256, "bit_serial", 8).encode(codes, *MNIST)
    wanted = MNIST[0] + MNIST[1] * codes.astype(np.float64)
    # Each plane's weight is rounded once: the errors are relative to the terms, not to their sum.
    bound = EPS * (abs(MNIST[0]) + MNIST[1] * codes) + 1e-15
    assert np.all(np.abs(twin.reconstructed(planes, weight)[0] - wanted) <= bound)
    assert np.array_equal(x[0], wanted.astype(np.float32))


@pytest.mark.parametrize(("n_bits", "input_bits"), [(8, 1), (8, 3), (8, 7), (5, 2)])
@pytest.mark.parametrize("offset", [0.0, -0.375])
def test_fewer_bits_send_the_nearest_of_evenly_spaced_codes(n_bits, input_bits, offset):
    codes = np.arange(2**n_bits, dtype=np.uint8)
    encoder = InputEncoder(codes.size, "bit_serial", n_bits, input_bits)
    planes, weight, x = encoder.encode(codes, offset, 0.25)
    assert planes.shape[1] == len(encoder.slots(offset, 0.25)) == input_bits + (offset != 0.0)
    ends = [offset + 0.25 * (2**n_bits - 1) * k / (2**input_bits - 1) for k in range(2**input_bits)]
    wanted = [ends[twin.nearest(offset + 0.25 * float(c), ends)] for c in codes]
    np.testing.assert_allclose(twin.reconstructed(planes, weight)[0], wanted, rtol=0, atol=4 * EPS * 64)
    np.testing.assert_allclose(x[0], wanted, rtol=EPS, atol=1e-15)
    assert (x[0, 0], x[0, -1]) == (offset, np.float32(offset + 0.25 * (2**n_bits - 1)))


def test_more_bits_than_the_data_have_send_the_same_input():
    codes = np.arange(32, dtype=np.uint8)
    planes, weight, _ = InputEncoder(32, "bit_serial", 5, 8).encode(codes, -1.0, 0.125)
    assert planes.shape[1] == 9
    assert np.array_equal(twin.reconstructed(planes, weight)[0], -1.0 + 0.125 * codes)


@pytest.mark.parametrize("feature_range", [(0.0, 1.0), (-2.0, 1.5), (1.0, 3.0)])
@pytest.mark.parametrize(("offset", "scale"), [(0.0, 1.0), (-0.4, 3.2), (2.0, 1.0)])
def test_float_features_are_sent_to_half_a_step_and_clipped(feature_range, offset, scale):
    low, high = feature_range
    features = np.random.default_rng(2).uniform(low - 0.3, high + 0.3, 500).astype(np.float32)
    encoder = InputEncoder(500, "bit_serial", None, 6, feature_range)
    planes, weight, x = encoder.encode(features, offset, scale)
    assert planes.shape[1] == weight.size == len(encoder.slots(offset, scale))
    clipped = offset + scale * np.clip(features.astype(np.float64), low, high)
    value = twin.reconstructed(planes, weight)[0]
    size = abs(offset) + scale * max(abs(low), abs(high)) * 2
    assert np.abs(value - clipped).max() <= scale * (high - low) / 63 / 2 + 4 * EPS * size
    assert np.abs(x[0] - value).max() <= 4 * EPS * size


def test_unsigned_features_need_no_plane_of_ones():
    planes, _, _ = InputEncoder(3, "bit_serial", None, 4).encode(np.float32([0.0, 0.5, 1.0]), 0.0, 1.0)
    assert planes.shape == (1, 4, 3)


def test_float_features_bit_by_bit_need_a_number_of_bits():
    with pytest.raises(ScenarioError, match=r"crossbar.input_bits: missing"):
        InputEncoder(3, "bit_serial", None)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_an_analog_input_is_one_plane(dtype):
    codes = np.array([0, 1, 7, 200]).astype(dtype)
    codes.flags.writeable = False
    encoder = InputEncoder(4, "analog", 8 if dtype is np.uint8 else None)
    planes, weight, x = encoder.encode(codes, *MNIST)
    wanted = (MNIST[0] + MNIST[1] * codes.astype(np.float64)).astype(np.float32)
    assert encoder.slots(*MNIST) == (1,)
    assert np.array_equal(planes, wanted[None, None])
    assert np.array_equal(x, wanted[None])
    assert np.array_equal(weight, [1.0])


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("drive", ["analog", "bit_serial"])
def test_hidden_planes_stand_for_the_activations(signed, drive):
    bits = np.random.default_rng(3).integers(0, 2, (4, 11))
    h = (2 * bits - 1 if signed else bits).astype(np.float32)
    planes, weight = hidden_planes(h, signed, drive == "analog")
    assert planes.shape == (4, 2 if signed and drive == "bit_serial" else 1, 11)
    assert np.array_equal(twin.reconstructed(planes, weight), h)
    if drive == "bit_serial":
        assert set(np.unique(planes)) <= {0.0, 1.0}  # one polarity


@pytest.mark.parametrize("bits", [2, 4, 8, 16])
def test_gradient_planes_carry_the_nearest_code_between_plus_and_minus_the_largest(bits):
    delta = np.random.default_rng(4).normal(size=(5, 23)).astype(np.float32)
    delta *= np.float32([[1.0], [1e-6], [300.0], [1.0], [2.0**-30]])
    planes, weight = gradient_planes(delta, bits)
    assert planes.shape == (5, bits + 1, 23)
    assert weight.shape == (5, bits + 1)
    assert set(np.unique(planes)) == {0.0, 1.0}
    value = twin.reconstructed(planes, weight)
    for s in range(5):
        largest = float(np.abs(delta[s]).max())
        half = 2 ** (bits - 1) - 1
        grid = [largest * k / half for k in range(-half, half + 1)] if bits < 10 else None
        rounding = 4 * EPS * largest
        assert np.abs(value[s] - delta[s]).max() <= largest / half / 2 + rounding
        if grid:
            wanted = [grid[twin.nearest(float(d), grid)] for d in delta[s]]
            np.testing.assert_allclose(value[s], wanted, rtol=0, atol=rounding)
        top = np.abs(delta[s]).argmax()
        assert value[s, top] == pytest.approx(float(delta[s, top]), abs=rounding)


@pytest.mark.parametrize("bits", [0, 2, 8])
def test_zero_gradients_stay_zero(bits):
    delta = np.zeros((3, 7), np.float32)
    delta[1, 2] = 0.5
    # Up to the rounding of the planes' weights to float32: no code stands for a small offset.
    np.testing.assert_allclose(twin.reconstructed(*gradient_planes(delta, bits)), delta, rtol=0, atol=8 * EPS)


def test_unquantised_gradients_are_sent_as_they_are():
    delta = np.random.default_rng(5).normal(size=(3, 7)).astype(np.float32)
    planes, weight = gradient_planes(delta, 0)
    assert planes.shape == (3, 1, 7)
    assert weight.shape == (3, 1)
    assert np.array_equal(twin.reconstructed(planes, weight), delta)
