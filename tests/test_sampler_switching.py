"""Switched junctions, sense amplifiers and true-random sources against their closed forms.

False alarms: fewer than 100 comparisons, each with a chance below 2e-9, 2e-7 in all; keys are fixed.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from building import make_card
from oracles.samplers import biased_word_share, normal_cdf, sigmoid, switching_probability, voltage_for
from scipy import optimize, stats

from bimu_hw.cards import read_conductances, shipped_cards
from bimu_hw.devices import TMR_HALF_VOLTAGE, Site, new_state
from device_models import cmos_trng, ideal_sampler, pcsa_memristor, sot_mtj, stt_mtj
from device_models import switching as physics

P_VALUE = 2e-9
Z = 6.0
N = 60_000
JUNCTION = physics.Params(
    delta=40.0, critical_voltage=0.5, attempt_time=1e-9, barrier_exponent=1.0, overdrive_gain=10.0, pulse_width=10e-9,
    transfer_time=0.0, sigma_delta=0.0, sigma_critical=0.0, dac_bits=0.0, dac_lam_max=5.0, reset_error=0.0,
    tmr_half_voltage=1e9,
)  # fmt: skip
PAIR = pcsa_memristor.Params(1.0, 1.0, 0.0, 0.0, 0.0, 0.0)


def device(module, params, lam, n=N, site=None):
    site = site or Site(n, 128)
    state = new_state(module.MODEL, n)
    module.MODEL.fabricate(state, params, site, np.uint64(3))
    lams = np.ascontiguousarray(np.broadcast_to(np.asarray(lam, np.float32), n))
    module.MODEL.bias(state, lams, np.arange(n, dtype=np.int32), params, site, 0.0)
    return state


def drawn(module, params, state, looks=1, key=17):
    out = np.zeros((looks, state.threshold.size), np.int8)
    module.MODEL.sample(state, params, Site(out.shape[1], 128), np.uint64(key), 0, 1e-6, 0.0, out)
    return out


def probability(state):
    return 1.0 - state.threshold / 2.0**23


def assert_share(hits, n, p):
    assert stats.binomtest(int(hits), int(n), p).pvalue > P_VALUE, f"{hits} of {n}, expected {p}"


def law(params):
    return {
        "t_over_tau": params.pulse_width / params.attempt_time, "delta": params.delta,
        "critical": params.critical_voltage * (1.0 + params.transfer_time / params.pulse_width),
        "exponent": params.barrier_exponent, "gain": params.overdrive_gain,
    }  # fmt: skip


# Stochastically switched junctions

LAWS = [
    {}, {"barrier_exponent": 2.0}, {"barrier_exponent": 1.5, "delta": 25.0}, {"pulse_width": 1e-9},
    {"attempt_time": 1e-10, "transfer_time": 3e-9},
]  # fmt: skip


@pytest.mark.parametrize("changes", LAWS)
def test_the_written_voltage_gives_the_wanted_probability(changes):
    params = JUNCTION._replace(**changes)
    for lam in (-4.0, -1.0, 0.0, 0.5, 2.0, 5.5):
        volts = float(physics.drive(params, np.array([lam]))[0])
        assert volts == pytest.approx(voltage_for(sigmoid(2.0 * lam), **law(params)), rel=1e-6)


@pytest.mark.parametrize("changes", LAWS)
@pytest.mark.parametrize("critical", [0.97, 1.0, 1.04])
def test_a_device_switches_with_the_probability_of_its_own_law(changes, critical):
    """The shift of lam that the kernel computes, against probability of voltage, voltage of lam by bisection."""
    params = JUNCTION._replace(**changes)
    lams = np.array([-3.0, -0.7, 0.0, 0.7, 2.5, 5.0], np.float32)
    state = device(stt_mtj, params, lams, lams.size)
    state.critical[:], state.barrier[:] = critical, 1.02
    stt_mtj.MODEL.bias(state, lams, np.arange(lams.size, dtype=np.int32), params, Site(6, 128), 0.0)
    for lam, p in zip(lams, probability(state), strict=True):
        volts = voltage_for(sigmoid(2.0 * float(lam)), **law(params))
        own = law(params)
        own["critical"] *= float(np.float32(critical))
        own["delta"] *= float(np.float32(1.02))
        assert p == pytest.approx(switching_probability(volts, **own), abs=1e-5)  # float32 of a barrier of 40


def test_a_nominal_junction_has_the_thresholds_of_an_ideal_element():
    """Bit for bit, out to where no weight is ever drawn, whatever the law."""
    lam = np.random.default_rng(1).normal(0.0, 4.0, 100_000).astype(np.float32)
    ideal = new_state(ideal_sampler.MODEL, lam.size)
    cells = np.arange(lam.size, dtype=np.int32)
    ideal_sampler.bias(ideal, lam, cells, ideal_sampler.Params(), Site(lam.size, 128), 0.0)
    for changes in LAWS:
        state = device(stt_mtj, JUNCTION._replace(**changes), lam, lam.size)
        assert np.array_equal(state.threshold, ideal.threshold)


@pytest.mark.parametrize("module", [stt_mtj, sot_mtj])
@pytest.mark.parametrize("lam", [-1.2, 0.0, 0.8])
def test_nominal_junctions_draw_sigma_of_two_lam(module, lam):
    w = drawn(module, JUNCTION, device(module, JUNCTION, lam), looks=3)
    assert_share(np.sum(w == 1), w.size, sigmoid(2.0 * lam))
    for a, b in ((0, 1), (1, 2), (0, 2)):
        assert abs(np.corrcoef(w[a], w[b])[0, 1]) * np.sqrt(N) < Z


def law_of(params):
    return physics.Law(*(np.float32(v) for v in physics.law_of(params)))


def test_both_regimes_join_at_the_critical_voltage():
    f, law = np.float32, law_of(JUNCTION._replace(overdrive_gain=7.0))
    below, above = (float(physics.log_hazard(f(x), f(40.0), law)) for x in (1.0 - 1e-7, 1.0 + 1e-7))
    assert below == pytest.approx(above, abs=1e-5)
    # Above it the rate is linear in the overdrive.
    rates = [math.exp(physics.log_hazard(f(x), f(40.0), law)) for x in (1.0, 1.5, 2.0)]
    assert np.allclose(rates, [10.0, 45.0, 80.0], rtol=1e-6)


def test_one_per_cent_of_critical_voltage_shifts_lam_by_a_quarter():
    """d lam / d ln V_c = -(ln 2) Delta (V / V_c) at lam = 0, by differentiating P: 0.28 a per cent for V near V_c."""
    for pulse, hazard in ((1e-9, math.log(2.0)), (10e-9, math.log(2.0) / 10.0)):
        params = JUNCTION._replace(pulse_width=pulse)
        f, law = np.float32, law_of(params)
        high, low = (float(physics.effective_lam(f(0.0), f(v), f(1.0), law)) for v in (1.001, 0.999))
        slope = -math.log(2.0) * 40.0 * (1.0 + math.log(hazard) / 40.0)
        assert (high - low) / 0.002 == pytest.approx(slope, rel=1e-3)
    assert math.log(2.0) * 40.0 * 0.01 == pytest.approx(0.28, abs=0.003)
    p = probability(device(sot_mtj, JUNCTION._replace(sigma_critical=0.01), 0.0))
    lam = 0.5 * np.log(p / (1.0 - p))
    # The square of the shift adds a per cent, on top of six standard errors.
    assert lam.std() == pytest.approx(abs(slope) * 0.01, rel=0.02 + Z / np.sqrt(2.0 * N))


def test_spread_of_barrier_and_critical_voltage():
    params = JUNCTION._replace(sigma_critical=0.05, sigma_delta=0.1)
    state = device(stt_mtj, params, 0.0)
    for values, sigma in ((state.critical, 0.05), (state.barrier, 0.1)):
        logs, variance = np.log(values.astype(float)), math.log1p(sigma**2)
        assert abs(logs.mean() + variance / 2.0) < Z * math.sqrt(variance / N)
        assert abs(logs.var() / variance - 1.0) < Z * math.sqrt(2.0 / N)
    assert abs(np.corrcoef(state.critical, state.barrier)[0, 1]) * math.sqrt(N) < Z


@pytest.mark.parametrize("bits", [1, 4, 8])
def test_the_converter_rounds_the_voltage(bits):
    params = JUNCTION._replace(dac_bits=float(bits), dac_lam_max=3.0)
    lam = np.linspace(-6.0, 6.0, 801)
    volts = physics.drive(params, lam)
    low, high = (voltage_for(sigmoid(s * 6.0), **law(params)) for s in (-1.0, 1.0))
    levels = np.linspace(low, high, 2**bits)
    assert np.allclose(np.unique(volts), levels, rtol=1e-6) or bits == 8
    exact = np.clip([voltage_for(sigmoid(2.0 * x), **law(params)) for x in lam], low, high)
    assert np.abs(volts - exact).max() <= (levels[1] - levels[0]) / 2.0 * (1.0 + 1e-6)
    p = probability(device(stt_mtj, params, lam, lam.size))
    expected = [switching_probability(v, **law(params)) for v in volts]
    edge = np.abs((exact - low) / (levels[1] - levels[0]) % 1.0 - 0.5) < 1e-4  # float32 lam may round the other way
    assert np.allclose(p[~edge], np.array(expected)[~edge], atol=1e-5)


def test_a_failed_reset_keeps_a_plus_one():
    params = JUNCTION._replace(reset_error=0.3)
    state = device(stt_mtj, params, -0.2)
    first = drawn(stt_mtj, params, state)[0]
    p = sigmoid(-0.4)
    assert_share(np.sum(first == 1), N, p)  # nothing to keep from before
    second = drawn(stt_mtj, params, state, key=18)[0]
    assert_share(np.sum(second[first == 1] == 1), np.sum(first == 1), 0.3 + 0.7 * p)
    assert_share(np.sum(second[first == -1] == 1), np.sum(first == -1), p)


# Bias dependence of the magnetoresistance


@pytest.mark.parametrize("model", ["smtj", "stt_mtj", "sot_mtj"])
def test_the_off_conductance_follows_the_read_voltage(model):
    card = make_card(model, g_on=100e-6, g_off=40e-6, read_voltage=0.25, tmr_half_voltage=0.5)
    on, off = read_conductances(card)
    assert on == 100e-6
    assert on / off - 1.0 == pytest.approx(1.5 / (1.0 + 0.25))
    half = card.with_values({"read_voltage": 0.5}, {s.name: s for s in stt_mtj.MODEL.costs}, "test")
    assert on / read_conductances(half)[1] - 1.0 == pytest.approx(0.75)
    neutral = card.with_values({"tmr_half_voltage": 1e9}, {"tmr_half_voltage": TMR_HALF_VOLTAGE}, "test")
    assert read_conductances(neutral) == (100e-6, 40e-6)


def test_other_elements_have_the_conductances_of_their_card():
    costs = shipped_cards()["cmos_lfsr"].costs
    assert read_conductances(shipped_cards()["cmos_lfsr"]) == (costs["g_on"].value, costs["g_off"].value)


# Sense amplifiers


def test_the_scale_of_the_probit_is_the_best_one():
    x = np.linspace(0.0, 12.0, 4001)
    logistic = np.array([sigmoid(v) for v in x])

    def worst(scale):
        return np.abs(stats.norm.cdf(x / scale) - logistic).max()

    best = optimize.minimize_scalar(worst, bounds=(1.5, 1.9), method="bounded")
    assert best.x == pytest.approx(pcsa_memristor.PROBIT_SCALE, abs=1e-3)
    assert worst(pcsa_memristor.PROBIT_SCALE) == pytest.approx(0.0095, abs=5e-5)


def test_a_sense_amplifier_answers_as_a_probit():
    lam = np.linspace(-6.0, 6.0, 1201)
    for noise in (0.5, 1.0, 2.0):
        p = probability(device(pcsa_memristor, PAIR._replace(read_noise=noise), lam, lam.size))
        exact = np.array([normal_cdf(2.0 * x / 1.702 / noise) for x in lam])
        assert np.allclose(p, exact, atol=2e-6)
    residual = probability(device(pcsa_memristor, PAIR, lam, lam.size)) - [sigmoid(2.0 * x) for x in lam]
    assert np.abs(residual).max() == pytest.approx(0.0095, abs=5e-5)


def test_a_comparison_with_gaussian_noise_is_what_the_amplifier_does():
    """An independent twin: draw the noise itself, add the offset, take the sign."""
    lam, noise, offset = 0.4, 1.3, -0.15
    w = drawn(pcsa_memristor, PAIR, device(pcsa_memristor, PAIR._replace(read_noise=noise, offset=offset), lam))
    simulated = lam + offset + noise * 0.851 * np.random.default_rng(5).normal(size=N) > 0.0
    exact = normal_cdf((lam + offset) / (0.851 * noise))
    assert_share(np.sum(w == 1), N, exact)
    assert_share(simulated.sum(), N, exact)


def test_amplifiers_are_shared_by_the_cells_of_their_line_and_pairs_are_not():
    site = Site(200, 50)
    params = PAIR._replace(sigma_offset_amplifier=0.3)
    offset = device(pcsa_memristor, params, 0.0, 20_000, site).offset.reshape(2, 50, 200)
    assert np.all(offset == offset[:, :1])  # one amplifier per tile and bit line
    amplifiers = offset[:, 0].ravel()
    assert np.unique(amplifiers).size == 400
    variance = amplifiers.astype(float).var()
    assert abs(variance / 0.09 - 1.0) < Z * math.sqrt(2.0 / 400)
    params = PAIR._replace(sigma_offset_pair=0.2, sigma_read_noise=0.1)
    state = device(pcsa_memristor, params, 0.0)
    assert abs(state.offset.astype(float).var() / 0.04 - 1.0) < Z * math.sqrt(2.0 / N)
    logs = np.log(state.noise.astype(float))
    assert abs(logs.var() / math.log1p(0.01) - 1.0) < Z * math.sqrt(2.0 / N)
    assert abs(np.corrcoef(state.offset, logs)[0, 1]) * math.sqrt(N) < Z


# True-random sources


@pytest.mark.parametrize(("bits", "bias"), [(1, 0.1), (4, -0.2), (8, 0.03), (10, 0.0)])
def test_a_threshold_is_passed_as_often_as_words_of_biased_bits_pass_it(bits, bias):
    params = cmos_trng.Params(float(bits), bias, 0.0)
    for lam in (-1.5, 0.0, 0.6):
        state = device(cmos_trng, params, lam)
        code = round(2**bits * sigmoid(-2.0 * lam))
        exact = biased_word_share(code, bits, 0.5 + float(np.float32(bias)))
        assert probability(state)[0] == pytest.approx(exact, abs=1.5e-7)
        assert cmos_trng.MODEL.drive(params, np.array([lam]))[0] == code
        assert_share(np.sum(drawn(cmos_trng, params, state) == 1), N, exact)


def test_biased_words_drawn_bit_by_bit_agree():
    params, n = cmos_trng.Params(6.0, 0.08, 0.0), 200_000
    raw = np.random.default_rng(8).random((n, 6)) < 0.58
    words = raw @ (1 << np.arange(5, -1, -1))
    p = probability(device(cmos_trng, params, 0.25, 10))[0]
    assert_share(np.sum(words >= round(64 * sigmoid(-0.5))), n, p)


def test_generators_differ_by_line_and_tile():
    site = Site(300, 20)
    bias = device(cmos_trng, cmos_trng.Params(8.0, 0.01, 0.02), 0.0, 18_000, site).bit_bias.reshape(3, 20, 300)
    assert np.all(bias == bias[:, :1])
    values = bias[:, 0].ravel().astype(float)
    assert abs(values.mean() - 0.01) < Z * 0.02 / math.sqrt(900)
    assert abs(values.var() / 0.02**2 - 1.0) < Z * math.sqrt(2.0 / 900)
