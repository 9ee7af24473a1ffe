"""Every stochastic effect of the sampling elements against its closed form or its twin.

False alarms: see test_device_statistics; the limits are the same.
"""

from __future__ import annotations

import numpy as np
import pytest
from oracles import devices as twin
from scipy import stats

from bimu_hw.devices import Site, new_state
from bimu_hw.kernels import jit
from bimu_hw.kernels.bits import centred_uniform, fold
from bimu_hw.kernels.draw import fill_draw
from bimu_hw.random import fold as host_fold
from device_models import cmos_lfsr, ideal_sampler, smtj

Z = 6.0
P_VALUE = 2e-9
N = 100_000
LAMS = (-6.0, -3.0, -1.2, -0.3, 0.0, 0.2, 0.9, 2.5, 6.0)


def biased(module, params, lam, n=N):
    state, site = new_state(module.MODEL, n), Site(n, 128)
    module.fabricate(state, params, site, np.uint64(3))
    values = np.ascontiguousarray(np.broadcast_to(np.asarray(lam, np.float32), n))
    module.bias(state, values, np.arange(n, dtype=np.int32), params, site, 0.0)
    return state


def drawn(module, state, params, looks=1, key=17, interval=1e-9, first=0, n_bitlines=None, tile_wordlines=128):
    arrays = getattr(state, state._fields[0])
    out = np.zeros((looks, arrays.size), np.int8)
    site = Site(n_bitlines or arrays.size, tile_wordlines)
    module.sample(state, params, site, np.uint64(key), first, interval, 0.0, out)
    return out


def assert_share(hits, n, probability):
    assert stats.binomtest(int(hits), int(n), probability).pvalue > P_VALUE, f"{hits} of {n}, expected {probability}"


def assert_uncorrelated(a, b):
    assert abs(np.corrcoef(a, b)[0, 1]) * np.sqrt(np.size(a)) < Z


@jit
def _uniforms(key, look, out):
    words = np.empty(out.size, np.uint32)
    fill_draw(fold(key, np.uint64(look)), words)
    for c in range(out.size):
        out[c] = centred_uniform(words[c])


# Ideal


@pytest.mark.parametrize("lam", LAMS)
def test_ideal_mean_is_the_logistic_function(lam):
    p = ideal_sampler.Params()
    w = drawn(ideal_sampler, biased(ideal_sampler, p, lam), p, looks=4)
    assert_share(np.sum(w == 1), w.size, twin.sigmoid(2.0 * lam))


def test_ideal_weight_is_the_comparison_of_the_algorithm():
    lam = np.random.default_rng(0).normal(0.0, 2.0, N).astype(np.float32)
    p = ideal_sampler.Params()
    state = biased(ideal_sampler, p, lam)
    w = drawn(ideal_sampler, state, p, looks=3, key=2**63 + 5)
    q = np.array([twin.sigmoid(-2.0 * float(x)) for x in lam])
    for look in range(3):
        u = np.zeros(N, np.float32)
        _uniforms(np.uint64(2**63 + 5), look, u)
        differ = (u > q) != (w[look] == 1)
        # The probability is rounded to float32, so a tie may go the other way; nothing else may.
        assert np.all(np.abs(u[differ] - q[differ]) < 2.0**-23)
    assert differ.sum() < 3


def test_bits_at_the_threshold_give_plus_one():
    p = ideal_sampler.Params()
    state = biased(ideal_sampler, p, 0.0, 1000)
    u = np.zeros(1000, np.float32)
    _uniforms(np.uint64(17), 0, u)
    k = np.floor(u.astype(float) * 2**23).astype(np.int32)
    for shift, weight in ((0, 1), (1, -1)):
        state.threshold[:] = k + shift
        assert np.all(drawn(ideal_sampler, state, p) == weight)


def test_thresholds_are_exact_on_both_tails_and_mirror_each_other():
    p = ideal_sampler.Params()
    lam = np.linspace(0.0, 9.0, 2001, dtype=np.float32)
    up = biased(ideal_sampler, p, lam, lam.size).threshold.astype(np.int64)
    down = biased(ideal_sampler, p, -lam, lam.size).threshold.astype(np.int64)
    assert np.all(up + down == 2**23)
    exact = 2.0**23 * np.array([twin.sigmoid(-2.0 * float(x)) for x in lam])
    assert np.all(np.abs(up - exact) <= 0.5 + 5e-7 * exact)


def test_looks_cells_and_keys_are_independent():
    p = ideal_sampler.Params()
    state = biased(ideal_sampler, p, 0.3)
    w = drawn(ideal_sampler, state, p, looks=3).astype(float)
    other = drawn(ideal_sampler, state, p, key=18).astype(float)
    for a, b in ((w[0], w[1]), (w[0], w[2]), (w[1], w[2]), (w[0], other[0]), (w[1], other[0])):
        assert_uncorrelated(a, b)
    for lag in (1, 10, 100, 784):
        assert_uncorrelated(w[0, lag:], w[0, :-lag])


# Superparamagnetic junction

SMTJ = smtj.Params(
    slope=1.0, offset=0.0, sigma_slope=0.0, sigma_offset=0.0, relaxation_time=0.0, read_backaction=0.0,
    tmr_half_voltage=1e9,
)  # fmt: skip


@pytest.mark.parametrize("lam", [-1.0, 0.0, 0.7])
def test_smtj_mean_follows_slope_and_offset(lam):
    p = SMTJ._replace(slope=0.8, offset=0.3, relaxation_time=1e-8)
    w = drawn(smtj, biased(smtj, p, lam), p, looks=3, interval=5e-9)
    # Every look on its own is at equilibrium: the process is stationary.
    for look in w:
        assert_share(np.sum(look == 1), N, twin.sigmoid(2.0 * (0.8 * lam + 0.3)))


@pytest.mark.parametrize("lam", [-0.9, 0.0, 1.8])
@pytest.mark.parametrize("ratio", [0.05, 0.4, 1.5])
def test_smtj_is_a_telegraph_process(lam, ratio):
    p = SMTJ._replace(relaxation_time=20e-9)
    w = drawn(smtj, biased(smtj, p, lam), p, looks=3, interval=ratio * 20e-9)
    up = twin.sigmoid(2.0 * lam)
    for lag, (first, later) in ((1, (w[0], w[1])), (1, (w[1], w[2])), (2, (w[0], w[2]))):
        rho = np.exp(-lag * ratio * np.cosh(lam))
        # Both conditional probabilities, which fix mean, autocorrelation and the two leaving rates.
        assert_share(np.sum((first == 1) & (later == 1)), np.sum(first == 1), up + (1.0 - up) * rho)
        assert_share(np.sum((first == -1) & (later == 1)), np.sum(first == -1), up * (1.0 - rho))
        m = np.tanh(lam)
        measured = np.mean((first - m) * (later - m)) / (1.0 - m**2)
        error = np.std((first - m) * (later - m)) / (1.0 - m**2) / np.sqrt(N)
        assert abs(measured - rho) < Z * error


def test_smtj_forgets_its_past_given_the_present():
    p = SMTJ._replace(relaxation_time=20e-9)
    w = drawn(smtj, biased(smtj, p, 0.4), p, looks=3, interval=8e-9)
    now_up = w[1] == 1
    rho, up = np.exp(-0.4 * np.cosh(0.4)), twin.sigmoid(0.8)
    for past in (1, -1):
        chosen = now_up & (w[0] == past)
        assert_share(np.sum(w[2][chosen] == 1), chosen.sum(), up + (1.0 - up) * rho)


def test_smtj_extremes_of_the_interval():
    p = SMTJ._replace(relaxation_time=1e-8)
    state = biased(smtj, p, 0.5)
    w = drawn(smtj, state, p, looks=3, interval=0.0)
    assert np.array_equal(w[0], w[1])
    assert np.array_equal(w[0], w[2])
    ideal = drawn(ideal_sampler, biased(ideal_sampler, ideal_sampler.Params(), 0.5), ideal_sampler.Params(), looks=3)
    assert np.array_equal(drawn(smtj, state, p, looks=3, interval=1.0), ideal)


def test_smtj_spread_of_slope_and_offset():
    p = SMTJ._replace(slope=0.9, offset=0.2, sigma_slope=0.1, sigma_offset=0.4)
    state = biased(smtj, p, 0.0)
    variance = np.log1p(0.1**2)
    for values, mean, std in (
        (np.log(state.slope.astype(float) / 0.9), -variance / 2, np.sqrt(variance)),
        (state.offset.astype(float), 0.2, 0.4),
    ):
        assert abs(values.mean() - mean) < Z * std / np.sqrt(N)
        assert abs(values.var() / std**2 - 1.0) < Z * np.sqrt(2.0 / N)
    assert_uncorrelated(state.slope, state.offset)
    w = drawn(smtj, biased(smtj, p, 0.5), p, looks=1)
    # Devices are independent, so the population mean is that of the mixture.
    expected = np.mean([twin.sigmoid(2.0 * x) for x in state.slope.astype(float) * 0.5 + state.offset])
    assert abs(np.mean(w == 1) - expected) < Z * 0.5 / np.sqrt(N)


# Shift registers

LFSR = cmos_lfsr.Params(n_bits=8.0, lfsr_length=16.0, n_generators=8.0, stride=1.0)


_step = cmos_lfsr.lfsr_step


@jit
def _period(mask):
    register, n = _step(np.uint32(1), mask), 1
    while register != np.uint32(1):
        register = _step(register, mask)
        n += 1
    return n


def test_registers_up_to_22_bits_run_through_all_their_states():
    for length in range(1, 23):
        assert _period(cmos_lfsr.MASKS[length - 1]) == 2**length - 1


@pytest.mark.parametrize("length", range(23, 33))
def test_longer_registers_are_maximal_too(length):
    mask = int(cmos_lfsr.MASKS[length - 1])
    assert mask.bit_length() == length
    assert twin.lfsr_is_maximal(length, mask)


def test_maximality_test_rejects_a_short_register():
    assert not twin.lfsr_is_maximal(8, 0x80)
    assert not twin.lfsr_is_maximal(8, 0x81)


@pytest.mark.parametrize(("length", "bits"), [(8, 8), (8, 4), (16, 8), (12, 0)])
def test_a_whole_period_holds_the_exact_share_of_passes(length, bits):
    p = LFSR._replace(lfsr_length=float(length), n_bits=float(bits), n_generators=1.0)
    period = 2**length - 1
    for lam in (-1.3, 0.0, 0.4):
        w = drawn(cmos_lfsr, biased(cmos_lfsr, p, lam, period), p)
        if bits:
            passed = round(twin.sigmoid(2 * lam) * 2**bits) * 2 ** (length - bits)
        else:
            threshold = round(twin.sigmoid(-2 * lam) * 2**23)
            passed = sum(s << (23 - length) >= threshold for s in range(1, period + 1))
        assert np.sum(w == 1) == passed


@pytest.mark.parametrize("bits", [1, 3, 8])
def test_probability_is_rounded_to_n_bits(bits):
    p = LFSR._replace(n_bits=float(bits), lfsr_length=0.0)
    for lam in (-1.0, 0.1, 0.55):
        rounded = round(twin.sigmoid(2 * lam) * 2**bits) / 2**bits
        w = drawn(cmos_lfsr, biased(cmos_lfsr, p, lam), p)
        assert_share(np.sum(w == 1), N, rounded)


@pytest.mark.parametrize(
    ("length", "generators", "stride", "bitlines"),
    [(8, 3, 1, 50), (8, 3, 1, 10), (16, 7, 8, 25), (32, 5, 3, 13), (11, 200, 2, 10), (1, 2, 1, 5), (2, 2, 3, 4)],
)
def test_draws_are_those_of_the_register_clocked_by_hand(length, generators, stride, bitlines):
    p = cmos_lfsr.Params(0.0, float(length), float(generators), float(stride))
    lam = np.random.default_rng(4).normal(0.0, 1.0, 50).astype(np.float32)
    state = biased(cmos_lfsr, p, lam, 50)
    key = 2**62 + 99
    w = drawn(cmos_lfsr, state, p, looks=3, key=key, n_bitlines=bitlines)
    mask = int(cmos_lfsr.MASKS[length - 1])
    seed = host_fold(key, 0x7068617365)
    registers = [1 + host_fold(seed, g) % (2**length - 1) for g in range(generators)]
    for look in range(3):
        for line in range(0, 50, bitlines):
            for turn in range(0, bitlines, generators):
                for b in range(turn, min(turn + generators, bitlines)):
                    if line + b < 50:
                        word = registers[b % generators] << 23 >> length
                        assert (w[look, line + b] == 1) == (word >= state.threshold[line + b])
                for _ in range(stride):
                    registers = [twin.lfsr_next(r, mask) for r in registers]


def test_tiles_along_the_word_lines_have_banks_of_their_own():
    p = cmos_lfsr.Params(0.0, 16.0, 4.0, 8.0)
    lam = np.random.default_rng(6).normal(0.0, 1.0, 130).astype(np.float32)
    state = biased(cmos_lfsr, p, lam, 130)
    w = drawn(cmos_lfsr, state, p, looks=2, n_bitlines=10, tile_wordlines=5)  # tiles of 5, 5 and 3 word lines
    mask, seed = int(cmos_lfsr.MASKS[15]), host_fold(17, 0x7068617365)
    for tile in range(3):
        registers = [1 + host_fold(seed, 4 * tile + g) % (2**16 - 1) for g in range(4)]
        for look in range(2):
            for line in range(5 * tile, min(5 * tile + 5, 13)):
                for turn in range(0, 10, 4):
                    for b in range(turn, min(turn + 4, 10)):
                        word = registers[b % 4] << 23 >> 16
                        assert (w[look, 10 * line + b] == 1) == (word >= state.threshold[10 * line + b])
                    for _ in range(8):
                        registers = [twin.lfsr_next(r, mask) for r in registers]
    piece = drawn(cmos_lfsr, state, p, looks=1, first=1, n_bitlines=10, tile_wordlines=5)
    assert np.array_equal(piece[0], w[1])


def test_weights_of_a_register_repeat_with_its_period():
    """A register of 8 bits comes back after 255 draws: far cells are copies, which no independent source would give."""
    p = LFSR._replace(lfsr_length=8.0, n_bits=0.0, n_generators=1.0)
    state = biased(cmos_lfsr, p, 0.2, 255 * 6)
    w = drawn(cmos_lfsr, state, p, n_bitlines=1, tile_wordlines=255 * 6)[0].reshape(6, 255)
    assert np.all(w == w[0])
    # Within a period the autocovariance of a balanced m-sequence is that of -1 / (2**L - 1) at every lag.
    top = biased(cmos_lfsr, p, 0.0, 255)
    m = drawn(cmos_lfsr, top, p, n_bitlines=1, tile_wordlines=255)[0].astype(int)
    assert [int(np.sum(m * np.roll(m, lag))) for lag in range(1, 255)] == [-1] * 254


@pytest.mark.parametrize(("length", "generators", "bitlines"), [(8, 3, 10), (16, 128, 100), (32, 16, 33), (1, 1, 7)])
def test_a_query_in_pieces_runs_on_in_the_sequence(length, generators, bitlines):
    p = cmos_lfsr.Params(8.0, float(length), float(generators), 8.0)
    state = biased(cmos_lfsr, p, np.random.default_rng(5).normal(0.0, 1.0, 700), 700)
    whole = drawn(cmos_lfsr, state, p, looks=40, n_bitlines=bitlines)
    for first, looks in ((0, 3), (3, 1), (17, 5), (39, 1)):
        piece = drawn(cmos_lfsr, state, p, looks=looks, first=first, n_bitlines=bitlines)
        assert np.array_equal(piece, whole[first : first + looks])


def test_a_register_serves_the_bit_lines_of_its_number():
    # On a register of 1 bit every draw is the same; thresholds tell the registers apart only by their bit lines.
    p = cmos_lfsr.Params(0.0, 16.0, 4.0, 1.0)
    state = biased(cmos_lfsr, p, 0.0, 60)
    first = drawn(cmos_lfsr, state, p, n_bitlines=6)[0]
    # Bit lines 0 and 4 share a register, 4 a step later: with stride 1 its next word, whose top bit is known.
    drawn(cmos_lfsr, state, p, n_bitlines=6)
    mask, seed = int(cmos_lfsr.MASKS[15]), host_fold(17, 0x7068617365)
    register = 1 + host_fold(seed, 0) % (2**16 - 1)
    for line in range(10):
        assert (first[6 * line] == 1) == (register >> 15 == 1)
        register = twin.lfsr_next(register, mask)
        assert (first[6 * line + 4] == 1) == (register >> 15 == 1)
        register = twin.lfsr_next(register, mask)


@pytest.mark.parametrize("model", [ideal_sampler, smtj])
def test_first_counts_looks_from_the_beginning_of_the_query(model):
    p = model.Params() if model is ideal_sampler else SMTJ
    state = biased(model, p, 0.4, 500)
    assert np.array_equal(drawn(model, state, p, looks=3, first=4), drawn(model, state, p, looks=7)[4:])


def test_registers_start_anywhere_in_their_period():
    p = LFSR._replace(lfsr_length=4.0, n_generators=float(N), n_bits=0.0)
    state = biased(cmos_lfsr, p, 0.0)
    drawn(cmos_lfsr, state, p)
    # The work space holds the states after one clock, which permutes them.
    assert stats.chisquare(np.bincount(state.register, minlength=16)[1:]).pvalue > P_VALUE
    assert not np.any(state.register == 0)


def test_successive_words_of_a_register_overlap_and_a_stride_separates_them():
    lagged = {}
    for stride in (1, 8):
        p = LFSR._replace(n_generators=1.0, stride=float(stride))
        w = drawn(cmos_lfsr, biased(cmos_lfsr, p, 0.55, 60_000), p)[0].astype(float)
        lagged[stride] = abs(np.corrcoef(w[1:], w[:-1])[0, 1]) * np.sqrt(60_000)
    # The top bit alone is the m-sequence, whose neighbours look independent; the bits below it are those that move
    # up next, and with lam off zero the comparison sees them.
    assert lagged[8] < Z
    assert lagged[1] > 10 * Z
