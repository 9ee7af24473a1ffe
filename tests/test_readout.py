"""Mappings, encodings and converters with errors, against plain loops and against their stated statistics.

Statistical bounds are at five standard deviations or more of the estimate: a false alarm in fewer than one of a
million runs of a test.
"""

from __future__ import annotations

import numpy as np
import pytest
from building import ideal_arrays, make_card, make_chip, synapse_spec
from oracles import arrays as twin
from test_mvm import added, grained

from bimu_hw.crossbar.calibration import PERCENTILE, calibrate
from bimu_hw.crossbar.chip import Encoded
from bimu_hw.crossbar.encoding import Converter, InputEncoder, driver_bow, gradient_planes
from bimu_hw.crossbar.ir_drop import solve_ir_drop
from bimu_hw.crossbar.layout import TileLayout
from bimu_hw.crossbar.readout import Readout, Wires
from bimu_hw.crossbar.synapses import Seeds
from bimu_hw.crossbar.workers import Workers
from bimu_hw.learning.rules import Bimu

RULE = Bimu(lr=4.9, lr_max=0.0023, likelihood_multiplier=161.3, kl_multiplier=3.76, memory_window=700.0)
ENCODINGS = ("bit_serial", "pulse_width", "signed_bits")
SIZES = (12, 9, 4)


def encoded(mode, codes, offset=-1.5, scale=0.125, bits=5, **options):
    encoder = InputEncoder(len(codes), mode, bits, **options)
    slots = encoder.slots(offset, scale) if mode == "pulse_width" else None
    return Encoded(*encoder.encode(codes, offset, scale), slots)


def example(seed=0, n=12, mode="bit_serial"):
    return encoded(mode, np.random.default_rng(seed).integers(0, 32, n).astype(np.uint8))


def readout_of(arrays, shape=(12, 9), n_sample=2, transposed=False, g_spread=0.0, seed=1):
    sampler = make_card("ideal_sampler", g_on=2.0, g_off=1.0, g_spread=g_spread)
    spec = synapse_spec(sampler=sampler, columns=arrays.columns)
    synapses = make_chip(shape, n_sample, arrays=arrays, synapses=spec, seed=seed).layers[0]
    return Readout(synapses, arrays, Seeds(seed, seed, seed), n_sample, Workers(), None, transposed), synapses


# Mappings


@pytest.mark.parametrize("tile", [5, 128])
def test_complementary_word_lines_are_two_cells_with_errors_of_their_own(tile):
    arrays = ideal_arrays(columns="xnor", tile_wordlines=tile)
    readout, synapses = readout_of(arrays, g_spread=0.1)
    rng = np.random.default_rng(1)
    planes, weights = grained(rng, (2, 3, 12), 0.25, 1.0), rng.choice(np.array([-1, 1], np.int8), (6, 12, 9))
    readout.read(planes, np.ones(3, np.float32), weights, 0, np.empty((2, 9), np.float32))
    on, off = synapses.cells_read.conductances()
    for s, p in np.ndindex(2, 3):
        for t, first in enumerate(range(0, 12, tile)):
            sums, _ = twin.complementary_lines(planes[s, p], weights[3 * s + p], on, off, first, min(first + tile, 12))
            assert np.abs(readout.sums[s, p, t] - sums).max() < 1e-5


def test_the_backward_read_of_complementary_word_lines_senses_both_and_subtracts():
    readout, synapses = readout_of(ideal_arrays(columns="xnor"), transposed=True, g_spread=0.1)
    rng = np.random.default_rng(2)
    planes, weights = grained(rng, (2, 1, 9), 0.25, 1.0), rng.choice(np.array([-1, 1], np.int8), (2, 12, 9))
    out = np.empty((2, 12), np.float32)
    readout.read(planes, np.ones((2, 1), np.float32), weights, 0, out)
    on, off = synapses.cells_read.conductances()
    for s in range(2):
        up = weights[s] > 0
        p, n = np.where(up, on[..., 0], off[..., 0]), np.where(up, off[..., 1], on[..., 1])
        assert np.abs(out[s] - (p - n) @ planes[s, 0].astype(float)).max() < 1e-5  # one unit is g_on - g_off = 1


def test_energy_of_complementary_word_lines_is_that_of_the_driven_cells():
    readout, synapses = readout_of(ideal_arrays(columns="xnor"))
    rng = np.random.default_rng(3)
    planes, weights = grained(rng, (2, 2, 12), 0.25, 1.0), rng.choice(np.array([-1, 1], np.int8), (2, 12, 9))
    on, off = synapses.cells_read.conductances()
    wanted = sum(
        twin.complementary_lines(planes[s, p], weights[s], on, off, 0, 12)[1] for s in range(2) for p in range(2)
    )
    lines, conductance = readout.driven(planes, weights)
    assert conductance == pytest.approx(wanted, rel=1e-12)
    assert lines == np.count_nonzero(planes)


@pytest.mark.parametrize("mode", ["analog", *ENCODINGS])
def test_without_spread_all_mappings_give_the_same_bits(mode):
    x = example(mode=mode)
    results = []
    for columns in ("differential", "reference", "xnor"):
        arrays = ideal_arrays(columns=columns, inputs=mode, gradient_bits=0 if mode == "analog" else 8)
        chip = make_chip(SIZES, arrays=arrays, synapses=synapse_spec(columns=columns), activation="sign")
        chip.infer(x, 3, 0.0)
        chip.learn(x, 1, 3, 0.0, RULE, "hard", held=True)
        results.append([layer.lam for layer in chip.layers])
    for other in results[1:]:
        # One look for a signed activation or two that add up to it: the sums are whole numbers.
        assert all(np.array_equal(a, b) for a, b in zip(results[0], other, strict=True))


# Encodings


@pytest.mark.parametrize("offset", [0.0, -0.375, -3.875 / 2])
@pytest.mark.parametrize("n_bits", [1, 5])
def test_signed_bits_stand_for_the_input(n_bits, offset):
    codes = np.arange(2**n_bits, dtype=np.uint8)
    encoder = InputEncoder(codes.size, "signed_bits", n_bits)
    planes, weight, x = encoder.encode(codes, offset, 0.125)
    middle = offset + 0.125 * (2**n_bits - 1) / 2
    assert planes.shape[1] == len(encoder.slots(offset, 0.125)) == n_bits + (middle != 0.0)
    assert set(np.unique(planes)) <= {-1.0, 1.0}
    assert np.array_equal(twin.reconstructed(planes, weight)[0], offset + 0.125 * codes.astype(np.float64))
    assert np.array_equal(x[0], offset + 0.125 * codes.astype(np.float64))


@pytest.mark.parametrize("offset", [0.0, -0.375])
def test_a_pulse_lasts_its_code(offset):
    codes = np.arange(32, dtype=np.uint8)
    encoder = InputEncoder(32, "pulse_width", 5)
    planes, weight, x = encoder.encode(codes, offset, 0.125)
    assert encoder.slots(offset, 0.125) == ((1, 31) if offset else (31,))
    np.testing.assert_allclose(planes[0, -1] * 31, codes, rtol=1e-6)
    np.testing.assert_allclose(twin.reconstructed(planes, weight)[0], offset + 0.125 * codes, rtol=0, atol=1e-6)
    assert np.array_equal(x[0], offset + 0.125 * codes.astype(np.float64))


@pytest.mark.parametrize("mode", ["signed_bits", "pulse_width"])
@pytest.mark.parametrize("bits", [2, 8])
def test_gradients_have_the_same_values_in_every_encoding(mode, bits):
    delta = np.random.default_rng(4).normal(size=(5, 23)).astype(np.float32)
    planes, weight = gradient_planes(delta, bits, mode)
    assert planes.shape[1] == len(ideal_arrays(inputs=mode, gradient_bits=bits).gradient_slots)
    wanted = twin.reconstructed(*gradient_planes(delta, bits))
    np.testing.assert_allclose(twin.reconstructed(planes, weight), wanted, rtol=0, atol=4e-6)


def test_energy_of_a_pulse_is_linear_in_its_width():
    x = example(mode="pulse_width")
    chip = make_chip(SIZES, arrays=ideal_arrays(inputs="pulse_width", gradient_bits=8))
    chip.infer(x, 0, 0.0)
    codes = np.rint(x.planes[0, 1].astype(float) * 31)
    # Three samples; a pair of cells carries 2 + 1. The plane of ones lasts for one slot.
    wanted = 3 * 9 * 3.0 * (12 + codes.sum())
    assert chip.forward_reads().conductance[0] == pytest.approx(wanted, rel=1e-6)
    assert chip.forward_reads().drives[0] == 3 * (12 + np.count_nonzero(codes))


@pytest.mark.parametrize("mode", ENCODINGS)
def test_every_look_of_a_free_running_sample_is_another_weight(mode):
    arrays = ideal_arrays(inputs=mode, columns="reference", gradient_bits=6)
    sampler = make_card("smtj", read_time=1e-9)
    spec = synapse_spec(sampler=sampler, holds="read", columns="reference")
    chip, x = make_chip(SIZES, arrays=arrays, synapses=spec), example(mode=mode)
    chip.infer(x, 2, 0.0)
    weights = chip._layers[0].weights.reshape(3, x.planes.shape[1], 12, 9)
    assert not np.array_equal(weights[:, 0], weights[:, 1])
    wanted = twin.product(
        x.planes, x.plane_weight, weights.reshape(-1, 12, 9), np.zeros((12, 9)), np.ones((12, 9)), 12, twin.EXACT, 3
    )
    assert np.abs(chip._layers[0].y - wanted).max() < 1e-4
    assert chip.learn(x, 1, 2, 0.0, RULE, "hard", held=True).changed


# Converters of the outputs


def test_offset_and_gain_of_each_column_act_as_in_the_loops():
    rng = np.random.default_rng(5)
    sums, weight = grained(rng, (2, 3, 2, 7), 1 / 16, 8.0), grained(rng, (1, 3), 0.25, 2.0)
    gain, offset = 1 + grained(rng, (2, 7), 1 / 8, 0.5), grained(rng, (2, 7), 1 / 8, 2.0)
    converter = Converter.uniform(4, 4.0).as_tuple()
    got = added(sums, weight, converter, gain=gain, offset=offset)
    rule = (0.5, 0.0, -8, 7)
    assert np.array_equal(got, twin.converted_and_added(sums, weight, rule, gain, offset))
    assert not np.array_equal(got, added(sums, weight, converter))


def test_an_offset_moves_the_threshold_of_a_sense_amplifier():
    """Full scale 8: an offset of 0.25 of it decides +1 from -2 up."""
    sums = np.array([-2.5, -1.5, 1.5, 2.5], np.float32).reshape(1, 1, 1, 4)
    offset = np.full((1, 4), 0.25, np.float32)
    got = added(sums, np.ones((1, 1), np.float32), Converter.uniform(1, 8.0).as_tuple(), offset=offset)
    assert np.array_equal(got, [[-4.0, 4.0, 4.0, 4.0]])


@pytest.mark.parametrize("transposed", [False, True])
def test_errors_of_columns_have_the_spread_of_the_card(transposed):
    """Mean of n normals within 5 sd / sqrt(n), variance within 5 sqrt(2 / n) of its value."""
    n, ends = 4000, (4000, 6) if transposed else (6, 4000)
    arrays = ideal_arrays(adc_bits=6, adc_offset=0.5, adc_gain_error=0.02, tile_wordlines=3, tile_bitlines=3)
    readout, _ = readout_of(arrays, ends, 1, transposed)
    assert readout._offset.shape == (2, n)
    for values, deviation in ((readout._offset, 0.5), (readout._gain - 1.0, 0.02)):
        scaled = values.ravel() / deviation
        assert abs(scaled.mean()) < 5 / np.sqrt(2 * n)
        assert abs(scaled.var() - 1.0) < 5 * np.sqrt(2 / (2 * n))
    assert abs(np.corrcoef(readout._offset.ravel(), readout._gain.ravel())[0, 1]) < 5 / np.sqrt(2 * n)
    assert abs(np.corrcoef(*readout._offset)[0, 1]) < 5 / np.sqrt(n)
    other, _ = readout_of(arrays, ends, 1, transposed, seed=2)
    assert not np.array_equal(other._offset, readout._offset)


def test_noise_of_conversions_has_its_spread_and_is_independent():
    """20,000 conversions of 0 in fine steps: bounds at five standard deviations of the estimates."""
    sums, weight = np.zeros((5, 4, 1, 1000), np.float32), np.zeros((1, 4), np.float32)
    converter = Converter.uniform(16, 32768.0).as_tuple()
    planes = []
    for p in range(4):
        weight[:] = 0.0
        weight[0, p] = 1.0
        planes.append(added(sums, weight, converter, noise=40.0))
    values = np.array(planes) / np.sqrt(40.0**2 + 1 / 12)  # rounding adds its own variance
    n = values.size
    assert abs(values.mean()) < 5 / np.sqrt(n)
    assert abs(values.var() - 1.0) < 5 * np.sqrt(2 / n)
    assert abs(np.mean(values**4) - 3.0) < 5 * np.sqrt(96 / n)
    flat = values.reshape(20, 1000)
    between = np.corrcoef(flat)[np.triu_indices(20, 1)]
    assert np.abs(between).max() < 5.5 / np.sqrt(1000)


def test_noise_is_keyed_by_event_and_sample_and_not_by_the_cut():
    sums = grained(np.random.default_rng(6), (4, 2, 2, 5), 1 / 16, 8.0)
    weight, converter = np.ones((1, 2), np.float32), Converter.uniform(8, 8.0).as_tuple()
    whole = added(sums, weight, converter, noise=3.0)
    parts = [added(sums[a:b], weight, converter, a, noise=3.0) for a, b in ((0, 1), (1, 4))]
    assert np.array_equal(np.concatenate(parts), whole)
    assert not np.array_equal(added(sums, weight, converter, noise=3.0, key=4), whole)
    arrays = ideal_arrays(adc_bits=6, adc_noise=0.7)
    chip = make_chip(SIZES, arrays=arrays)
    first = chip.infer(example(), 3, 0.0).copy()
    again = chip.infer(example(), 4, 0.0, fresh=False).copy()
    assert not np.array_equal(first, again)  # the same weights, noise of another event
    assert np.array_equal(chip.infer(example(), 3, 0.0), first)
    assert np.array_equal(make_chip(SIZES, arrays=arrays, threads=3).infer(example(), 3, 0.0), first)


@pytest.mark.parametrize("bits", [3, 6, 12])
def test_partial_sums_are_rounded_to_their_words_and_saturate(bits):
    rng = np.random.default_rng(7)
    sums, weight = grained(rng, (3, 2, 3, 7), 0.25, 32.0), grained(rng, (3, 2), 0.25, 2.0)
    unit, half = 0.5, 2.0 ** (bits - 1)
    word = (np.full(3, unit, np.float32), np.float32(-half), np.float32(half - 1))
    got = added(sums, weight, Converter.uniform(0, 1.0).as_tuple(), word=word)
    ones, zeros = np.ones((3, 7)), np.zeros((3, 7))
    assert np.array_equal(got, twin.converted_and_added(sums, weight, twin.EXACT, ones, zeros, unit, bits))
    assert (np.abs(got).max() >= (half - 1) * unit) == (bits < 12)


@pytest.mark.parametrize("transposed", [False, True])
def test_the_largest_total_of_a_read_fits_its_words(transposed):
    """All lines on and all weights alike: the sum itself, but for the half of the codes that ends one below."""
    arrays = ideal_arrays(partial_sum_bits=8, tile_wordlines=4, tile_bitlines=4)
    readout, _ = readout_of(arrays, (16, 16), 2, transposed)
    planes, weight = np.ones((2, 2, 16), np.float32), np.array([[0.5, 1.5], [1.0, 1.0]], np.float32)
    for sign, wanted in ((-1, -32.0), (1, 32.0 * 127 / 128)):
        weights = np.full((2, 16, 16), sign, np.int8)
        out = np.empty((2, 16), np.float32)
        readout.read(planes, weight if transposed else weight[1], weights, 0, out)
        assert np.all(out == wanted)


def test_wide_words_and_errors_of_zero_leave_the_bits_alone():
    x = example()
    plain = make_chip(SIZES, arrays=ideal_arrays(adc_bits=5, adc_range=0.5)).infer(x, 3, 0.0).copy()
    neutral = ideal_arrays(adc_bits=5, adc_range=0.5, adc_offset=0.0, adc_gain_error=0.0, adc_noise=0.0)
    assert np.array_equal(make_chip(SIZES, arrays=neutral).infer(x, 3, 0.0), plain)
    for change in ({"adc_offset": 0.5}, {"adc_gain_error": 0.1}, {"adc_noise": 0.5}, {"partial_sum_bits": 4}):
        arrays = ideal_arrays(adc_bits=5, adc_range=0.5, **change)
        assert not np.array_equal(make_chip(SIZES, arrays=arrays).infer(x, 3, 0.0), plain)


# Converters of the inputs


def test_an_input_converter_sends_the_nearest_of_its_values():
    codes = np.arange(32, dtype=np.uint8)
    sent = encoded("analog", codes, dac_bits=3)
    ends = [-1.5 + 0.125 * 31 * k / 7 for k in range(8)]
    wanted = [ends[twin.nearest(-1.5 + 0.125 * c, ends)] for c in range(32)]
    np.testing.assert_allclose(sent.x[0], wanted, rtol=0, atol=1e-6)
    assert np.array_equal(sent.planes[0], sent.x)


def test_as_many_bits_as_the_data_have_and_no_error_are_exact():
    codes = np.arange(32, dtype=np.uint8)
    exact, same = encoded("analog", codes), encoded("analog", codes, dac_bits=5, bow=np.zeros(32, np.float32))
    assert np.array_equal(exact.planes, same.planes)
    assert np.array_equal(exact.x, same.x)


def test_nonlinearity_of_an_input_converter_is_a_bow_that_spares_both_ends():
    bow = np.full(32, 0.5, np.float32)
    sent = encoded("analog", np.arange(32, dtype=np.uint8), dac_bits=5, bow=bow)
    error = (sent.planes[0, 0].astype(float) - sent.x[0]) / 0.125  # in steps
    part = np.arange(32) / 31
    np.testing.assert_allclose(error, 0.5 * (1 - (2 * part - 1) ** 2), rtol=0, atol=1e-5)


def test_nonlinearity_of_the_drivers_has_its_rms():
    bow = driver_bow(20_000, 0.3, 1) / 0.3
    assert abs(bow.mean()) < 5 / np.sqrt(bow.size)
    assert abs(bow.var() - 1.0) < 5 * np.sqrt(2 / bow.size)
    np.testing.assert_allclose(driver_bow(50, 0.6, 1), bow[:50] * 0.6, rtol=1e-6)  # a driver keeps its own
    assert not driver_bow(50, 0.0, 1).any()


# Calibration


def test_a_calibrated_range_is_the_stated_percentile_of_the_first_layers_sums():
    arrays = ideal_arrays(adc_bits=6, inputs="bit_serial", gradient_bits=8)
    chip, seen = make_chip(SIZES, arrays=arrays), []
    inputs = [example(seed) for seed in range(6)]
    for i, x in enumerate(inputs):
        chip.infer(x, (1 << 62) + i, 0.0, probe=True)
        sums = np.einsum("pi,sij->spj", x.planes[0].astype(float), chip._layers[0].weights.astype(float))
        seen.append(np.percentile(np.abs(sums), PERCENTILE))
    before = chip._layers[0].forward._converter
    calibrate(chip, iter(inputs), False)
    assert chip._layers[0].forward._converter == before
    calibrate(chip, iter(inputs), True)
    step = chip._layers[0].forward._converter[0]
    assert step * 32 == pytest.approx(np.mean(seen), rel=1e-6)
    assert chip._layers[1].forward._converter[0] != Converter.uniform(6, 9.0).step
    assert chip._layers[1].backward._converter[0] == Converter.uniform(6, 4.0).step
    other = make_chip(SIZES, arrays=arrays)
    calibrate(other, inputs, True)
    assert [layer.forward._converter for layer in other._layers] == [layer.forward._converter for layer in chip._layers]
    fresh = make_chip(SIZES, arrays=arrays)
    assert all(np.array_equal(a.lam, b.lam) for a, b in zip(chip.layers, fresh.layers, strict=True))


# Wires

WIRES = Wires(2.0, 3.0, 20.0, 10.0)


def wired_chip(columns="differential", wires=WIRES, g_spread=0.05, **changes):
    sampler = make_card("ideal_sampler", g_on=2e-4, g_off=1e-4, g_spread=g_spread)
    synapses = synapse_spec(sampler=sampler, columns=columns)
    arrays = ideal_arrays(
        tile_wordlines=8, tile_bitlines=5, columns=columns, inputs="bit_serial", gradient_bits=6, wires=wires, **changes
    )
    return make_chip(SIZES, 2, arrays=arrays, synapses=synapses)


@pytest.mark.parametrize("columns", ["differential", "reference", "xnor"])
def test_wires_act_in_inference_and_in_its_energy(columns):
    """Every tile, plane and sample of the first layer against the general solver, one array at a time."""
    chip, x = wired_chip(columns), example()
    chip.infer(x, 3, 0.0)
    layer, layout = chip._layers[0], TileLayout(columns, 2e-4, 1e-4)
    on, off = layer.synapses.cells_read.conductances()
    power = 0.0
    for s, p in np.ndindex(2, x.planes.shape[1]):
        for t, j in np.ndindex(2, 2):
            part = slice(8 * t, min(8 * t + 8, 12)), slice(5 * j, min(5 * j + 5, 9))
            cells = layout.conductance(layer.weights[s][part], on[part], off[part])
            volts = layout.voltages(x.planes[0, p, part[0]])
            solution = solve_ir_drop(cells, volts, **WIRES._asdict())
            sums = layout.sums(solution.bitline_currents, x.planes[0, p, part[0]])
            assert np.abs(layer.forward.sums[s, p, t, part[1]] - sums).max() < 1e-5 * 8
            power += float(volts @ source_currents(cells, volts))
    assert chip.forward_reads().conductance[0] == pytest.approx(power, rel=1e-5)


def source_currents(cells, volts):
    """Return what each driver delivers, from the reads of one driver at a time backwards: the network is reciprocal."""
    delivered = np.empty(len(volts))
    solution = solve_ir_drop(cells, volts, **WIRES._asdict())
    delivered[:] = np.asarray(solution.cell_currents).sum(axis=1)
    return delivered


def test_wires_act_in_the_backward_read():
    with_wires, without = wired_chip(), wired_chip(wires=None)
    for chip in (with_wires, without):
        chip.learn(example(), 1, 3, 0.0, RULE, "hard")
    lost = 1 - with_wires.backward_reads().conductance[1] / without.backward_reads().conductance[1]
    assert 0.0 < lost < 0.2
    assert with_wires.backward_reads().conductance[0] == 0.0
    assert not np.array_equal(with_wires._layers[1].back, without._layers[1].back)


def test_wires_without_resistance_are_ideal_bit_for_bit():
    neutral, plain = wired_chip(wires=Wires(0.0, 0.0, 0.0, 0.0)), wired_chip(wires=None)
    for chip in (neutral, plain):
        chip.learn(example(), 1, 3, 0.0, RULE, "hard")
    assert all(np.array_equal(a.lam, b.lam) for a, b in zip(neutral.layers, plain.layers, strict=True))
    assert np.array_equal(neutral.forward_reads().conductance, plain.forward_reads().conductance)


@pytest.mark.parametrize("columns", ["differential", "reference", "xnor"])
def test_column_gain_makes_up_for_most_of_the_loss(columns):
    """Equal devices: with spread the trim would also take out a column's mean error, which is no loss of the wires."""

    def sums(**changes):
        chip = wired_chip(columns, g_spread=0.0, **changes)
        chip.infer(example(), 3, 0.0)
        return chip._layers[0].forward.sums.astype(float)

    ideal, lossy, trimmed = sums(wires=None), sums(), sums(compensation="column_gain")
    assert np.abs(trimmed - ideal).mean() < 0.4 * np.abs(lossy - ideal).mean()


def test_weights_that_stay_are_read_through_matrices_that_say_the_same():
    chip, solved = wired_chip(), []
    for seed in range(12):
        chip.infer(example(seed), 3, 0.0)
        solved.append((chip._layers[0].forward.sums.copy(), chip.forward_reads().conductance))
    chip.infer(example(99), 3, 0.0)
    for seed, (sums, conductance) in enumerate(solved):
        chip.infer(example(seed), 3, 0.0, fresh=False)
        assert np.abs(chip._layers[0].forward.sums - sums).max() < 1e-4
        assert chip.forward_reads().conductance[0] == pytest.approx(conductance[0], rel=1e-4)
    assert chip._layers[0].forward._held._built.all()
    chip.infer(example(0), 5, 0.0)
    assert chip._layers[0].forward._held is None


def test_threads_do_not_change_what_wires_do():
    sampler = make_card("ideal_sampler", g_on=2e-4, g_off=1e-4)
    results = []
    for threads in (1, 3):
        arrays = ideal_arrays(wires=WIRES, tile_wordlines=8, tile_bitlines=5)
        chip = make_chip(SIZES, 7, arrays=arrays, synapses=synapse_spec(sampler=sampler), threads=threads)
        results.append((chip.infer(example(mode="analog"), 3, 0.0).copy(), chip.forward_reads().conductance))
    assert all(np.array_equal(a, b) for a, b in zip(*results, strict=True))
