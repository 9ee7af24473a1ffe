"""Products of planes and sampled binary weights against plain loops in float64.

Most data are small multiples of a power of two, on which float32 makes no error in any order of summation: there the
comparison is exact, ties and clipping of the converters included. On other data the bound is that of summation:
(terms + 4) roundings of the sum of magnitudes.
"""

from __future__ import annotations

import numpy as np
import pytest
from oracles import arrays as twin

from bimu_hw.crossbar.encoding import EXACT_STEP, Converter, InputEncoder
from bimu_hw.kernels.mvm import convert_and_add, driven_lines, driven_weight, tile_sums, transposed_tile_sums

EPS = 2.0**-24
EXACT = Converter.uniform(0, 1.0).as_tuple()
N_IN, N_OUT = 13, 9


def grained(rng, shape, grain, most):
    """Return multiples of `grain` up to `most` in magnitude, zero included."""
    n = round(most / grain)
    return (rng.integers(-n, n + 1, shape) * grain).astype(np.float32)


def added(sums, plane_weight, converter, first=0, *, gain=None, offset=None, noise=0.0, key=3, word=None):
    """Convert and add column sums; everything that is not given is ideal."""
    columns = sums.shape[2:]
    gain = np.ones(columns, np.float32) if gain is None else gain
    offset = np.zeros(columns, np.float32) if offset is None else offset
    word = word or (np.full(1, EXACT_STEP, np.float32), np.float32(-np.inf), np.float32(np.inf))
    out = np.full((len(sums), columns[1]), np.nan, np.float32)
    convert_and_add(
        sums, plane_weight, converter, gain, offset, np.float32(noise), np.uint64(key), first, word, out
    )
    return out


class Case:
    """One product's data: `own` inputs per sample or shared ones, one look per sample or per plane."""

    def __init__(self, n_sample, n_plane, own, per_plane, transposed=False, exact=True, seed=0):
        rng = np.random.default_rng(seed)
        n_line = N_OUT if transposed else N_IN
        rows = n_sample if own or transposed else 1
        weight_shape = (n_sample, n_plane) if transposed else (n_plane,)
        self.n_sample = n_sample
        looks = n_sample * (n_plane if per_plane else 1)
        self.weights = rng.choice(np.array([-1, 1], np.int8), (looks, N_IN, N_OUT))
        if exact:
            self.planes = grained(rng, (rows, n_plane, n_line), 0.25, 1.0)
            self.plane_weight = grained(rng, weight_shape, 0.125, 2.0)
            self.middle = grained(rng, (N_IN, N_OUT), 1 / 16, 0.25)
            self.gain = 1 + grained(rng, (N_IN, N_OUT), 1 / 16, 0.25)
        else:
            self.planes = rng.normal(size=(rows, n_plane, n_line)).astype(np.float32)
            self.plane_weight = rng.normal(size=weight_shape).astype(np.float32)
            self.middle = rng.normal(scale=0.1, size=(N_IN, N_OUT)).astype(np.float32)
            self.gain = rng.normal(1.0, 0.1, (N_IN, N_OUT)).astype(np.float32)

    def nominal(self):
        """Give every cell the same contribution."""
        self.middle, self.gain = np.zeros_like(self.middle), np.ones_like(self.gain)
        return self

    def forward(self, tile=N_IN, converter=EXACT, samples=slice(None)):
        planes = self.planes if len(self.planes) == 1 else self.planes[samples]
        looks = len(self.weights) // self.n_sample
        first, last, _ = samples.indices(self.n_sample)
        sums = np.full((last - first, planes.shape[1], -(-N_IN // tile), N_OUT), np.nan, np.float32)
        tile_sums(
            planes, self.weights[first * looks : last * looks], self.middle[None], self.gain[None], tile, sums
        )
        return added(sums, self.plane_weight[None], converter, first)

    def backward(self, tile=N_OUT, converter=EXACT):
        sums = np.full((self.n_sample, self.planes.shape[1], -(-N_OUT // tile), N_IN), np.nan, np.float32)
        transposed_tile_sums(self.planes, self.weights, self.middle, self.gain, tile, sums)
        return added(sums, self.plane_weight, converter)

    def forward_twin(self, tile=N_IN, converter=twin.EXACT):
        return twin.product(
            self.planes, self.plane_weight, self.weights, self.middle, self.gain, tile, converter, self.n_sample
        )

    def backward_twin(self, tile=N_OUT, converter=twin.EXACT):
        return twin.backward_product(
            self.planes, self.plane_weight, self.weights, self.middle, self.gain, tile, converter
        )

    def magnitude(self, product):
        """Return the twin's product of magnitudes: what rounding errors are relative to."""
        kept = {name: getattr(self, name) for name in ("planes", "plane_weight", "weights", "middle", "gain")}
        for name, array in kept.items():
            setattr(self, name, np.abs(array))
        result = product()
        for name, array in kept.items():
            setattr(self, name, array)
        return result


SHAPES = [(1, 1, False, False), (3, 1, True, False), (3, 1, False, False), (3, 4, False, False), (2, 3, True, True),
          (3, 4, False, True)]  # fmt: skip
TILES = [1, 4, 5, N_IN, 128]


@pytest.mark.parametrize("tile", TILES)
@pytest.mark.parametrize("shape", SHAPES)
def test_forward_product_equals_the_loops(shape, tile):
    case = Case(*shape)
    assert np.array_equal(case.forward(tile), case.forward_twin(tile))


@pytest.mark.parametrize("tile", TILES)
@pytest.mark.parametrize("shape", SHAPES)
def test_transposed_product_equals_the_loops(shape, tile):
    case = Case(*shape, transposed=True)
    assert np.array_equal(case.backward(tile), case.backward_twin(tile))


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("tile", [4, N_IN])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_plane_of_every_tile_is_converted_by_itself(shape, tile, transposed):
    case = Case(*shape, transposed=transposed)
    # Coarse and narrow: most sums are rounded, ties occur, and some are clipped.
    converter, rule = Converter.uniform(3, 1.0).as_tuple(), (0.25, 0.0, -4, 3)
    got, wanted = (
        (case.backward(tile, converter), case.backward_twin(tile, rule)) if transposed
        else (case.forward(tile, converter), case.forward_twin(tile, rule))
    )  # fmt: skip
    assert np.array_equal(got, wanted)
    assert not np.allclose(wanted, case.backward_twin() if transposed else case.forward_twin(), atol=0.25)


@pytest.mark.parametrize("transposed", [False, True])
def test_converters_clip_both_ways(transposed):
    case = Case(1, 1, True, False, transposed).nominal()
    converter = Converter.uniform(2, 0.5).as_tuple()
    case.planes[:] = 1.0
    case.plane_weight[:] = 1.0
    n_tiles = 3 if transposed else 4
    for sign, end in ((1, 0.25), (-1, -0.5)):
        case.weights[:] = sign
        assert np.all((case.backward if transposed else case.forward)(4, converter) == n_tiles * end)


@pytest.mark.parametrize("shape", SHAPES)
def test_products_of_any_floats_stay_within_the_rounding_of_their_sums(shape):
    case = Case(*shape, exact=False)
    error = np.abs(case.forward(5) - case.forward_twin(5))
    assert np.all(error <= (N_IN + 4) * EPS * case.magnitude(case.forward_twin))
    case = Case(*shape, transposed=True, exact=False)
    error = np.abs(case.backward(5) - case.backward_twin(5))
    assert np.all(error <= (N_OUT + 4) * EPS * case.magnitude(case.backward_twin))


def test_spread_enters_as_middle_and_gain():
    case = Case(2, 1, True, False).nominal()
    plain = case.forward()
    case.gain[:] = 1.5
    assert np.array_equal(case.forward(), 1.5 * plain)
    case.middle[:] = 0.25
    driven = case.planes[:, 0].sum(axis=1, keepdims=True) * case.plane_weight
    assert np.array_equal(case.forward(), 1.5 * plain + 0.25 * driven)


@pytest.mark.parametrize("shape", SHAPES)
def test_forward_and_backward_reads_are_transposes(shape):
    """<delta, x W> = <W^T delta, x> for the same weights, spread and any tiling."""
    n_sample, n_plane, own, per_plane = shape
    if per_plane:  # two passes see other planes: the identity is about one weight matrix
        n_plane = 1
    case, back = Case(n_sample, n_plane, own, False), Case(n_sample, 1, True, False, transposed=True)
    back.weights, back.middle, back.gain = case.weights, case.middle, case.gain
    x = twin.reconstructed(case.planes, case.plane_weight)
    delta = twin.reconstructed(back.planes, back.plane_weight)
    forward, backward = case.forward(5).astype(np.float64), back.backward(4).astype(np.float64)
    assert np.array_equal((delta * forward).sum(axis=1), (backward * x).sum(axis=1))
    assert np.abs(delta * forward).max() > 0.1


def test_bit_serial_input_gives_the_product_of_its_values():
    codes = np.random.default_rng(6).integers(0, 32, N_IN).astype(np.uint8)
    case = Case(3, 6, False, False)
    case.planes, case.plane_weight, x = InputEncoder(N_IN, "bit_serial", 5).encode(codes, -1.5, 0.125)
    serial = case.forward(4)
    case.planes, case.plane_weight = x[None], np.ones(1, np.float32)
    assert np.array_equal(serial, case.forward(4))


def test_looks_of_their_own_decorrelate_the_planes():
    """A weight per plane is another random variable than one for all planes; equal looks give the same."""
    case = Case(2, 3, False, True)
    each = case.forward()
    case.weights = np.repeat(case.weights[::3], 3, axis=0)
    same = case.forward()
    assert not np.array_equal(each, same)
    case.weights = case.weights[::3].copy()
    assert np.array_equal(case.forward(), same)


@pytest.mark.parametrize("shape", [(5, 1, True, False), (5, 1, False, False), (5, 3, True, True), (5, 3, False, False)])
def test_parts_of_the_samples_give_the_bits_of_the_whole(shape):
    case = Case(*shape, exact=False)
    for converter in (EXACT, Converter.uniform(4, 3.7).as_tuple()):
        whole = case.forward(4, converter)
        for cut in range(1, 5):
            parts = [case.forward(4, converter, slice(0, cut)), case.forward(4, converter, slice(cut, 5))]
            assert np.array_equal(np.concatenate(parts).view(np.uint32), whole.view(np.uint32))


@pytest.mark.parametrize("rows", [1, 4])
def test_driven_lines_are_counted(rows):
    planes = grained(np.random.default_rng(7), (rows, 3, 11), 0.25, 0.5)
    planes[0, 1] = 0.0
    assert driven_lines(planes) == twin.driven(planes)
    assert driven_lines(np.zeros_like(planes)) == (0, 0.0)


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_driven_weight_equals_brute_force(shape, transposed):
    case = Case(*shape, transposed=transposed)
    if not transposed and not shape[2]:
        assert len(case.planes) == 1
    got = driven_weight(case.planes, case.weights, case.n_sample, transposed, False)
    assert got == twin.driven_weight(case.planes, case.weights, case.n_sample, transposed)
    assert got != 0.0
