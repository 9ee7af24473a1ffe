"""What `devices characterise` measures, against closed forms.

False alarms: comparisons of a mean allow 6 standard errors (2e-9 each, below 200 of them); overlaps allow the distance
of Dvoretzky, Kiefer, Wolfowitz and Massart at 1e-9. Keys are fixed.
"""

from __future__ import annotations

from dataclasses import replace
from math import erf, log, sqrt

import numpy as np
import pytest
from building import make_card

from bimu_hw.cards import Fact, shipped_cards
from bimu_hw.cli import run_commands
from bimu_hw.errors import CardError
from bimu_hw.report import characterise_sampler as samplers
from bimu_hw.report import characterise_storage as stores
from bimu_hw.report.characterise_bench import Bench

Z = 6.0


def with_nonidealities(card, **values):
    return replace(card, nonidealities={name: Fact(float(v), "1", "assumed", why="test") for name, v in values.items()})


def phi(x):
    return 0.5 * (1.0 + erf(x / sqrt(2.0)))


def test_soft_bounds_rise_and_fall_as_a_geometric_series():
    card = make_card("soft_bounds_pair", n_levels=33, nonlinearity=1.0, read_noise=0.5, g_min=1e-6, g_max=3e-6)
    response = stores.pulse_response(card, 2000, 3)
    n_up, top, n = response.attrs["n_up"], 16.0, np.arange(49)
    assert n_up == 48
    up = top * (1.0 - 2.0 * (1.0 - 1.0 / top) ** n)
    expected = np.concatenate([up, -top + (up[-1] + top) * (1.0 - 1.0 / top) ** n[1:]])
    mean = response["seen"].mean("cell").values
    assert np.all(np.abs(mean - expected) < Z * 0.5 / sqrt(2000))
    assert np.std(response["seen"].values - expected[:, None]) == pytest.approx(0.5, rel=0.02)
    conductance = response["conductance"].values
    assert np.allclose(conductance[:, 0, 0], (2.0 + expected / top) * 1e-6, rtol=1e-5)
    assert np.allclose(conductance.sum(axis=2), 4e-6, rtol=1e-5)
    assert response["conductance"].attrs["units"] == "S"
    assert stores.fresh_response(card, 100, 3) is None


def test_a_long_train_of_pulses_keeps_its_ends_and_a_few_hundred_points():
    card = make_card("ecram", n_levels=1001)
    response = stores.pulse_response(card, 10, 1)
    pulse = response["pulse"].values
    assert len(pulse) <= 300
    assert {0, 1500, 3000} <= set(pulse.tolist())
    assert response["seen"].sel(pulse=1500).values == pytest.approx(500.0)
    assert response["seen"].sel(pulse=3000).values == pytest.approx(-500.0)


def test_of_a_pair_that_goes_one_way_the_pulsed_device_is_shown_from_fresh():
    card = make_card("magneto_ionic", n_levels=21, n_pulses=10, g_min=1e-6, g_max=2e-6)
    fresh = stores.fresh_response(card, 50, 1)
    assert fresh["conductance"].values == pytest.approx(np.linspace(2e-6, 1e-6, 11)[:, None] * np.ones(50), rel=1e-5)


def test_overlap_of_two_normals():
    rng, n = np.random.default_rng(4), 4000
    reach = 2.0 * sqrt(log(4e9) / (2 * n))
    for distance in (0.0, 0.5, 2.0, 4.0):
        a, b = rng.normal(0.0, 1.0, n), rng.normal(distance, 1.0, n)
        assert abs(stores.overlap(a, b) - 2.0 * phi(-distance / 2.0)) < reach
    assert stores.overlap([1.0, 2.0], [3.0, 4.0]) == 0.0
    assert stores.overlap([1.0, 2.0], [1.0, 2.0]) == 1.0


def test_levels_overlap_by_read_noise_when_programmed_and_by_failures_when_pulsed():
    n, sigma, fail = 4000, 0.4, 0.25
    levels = stores.level_distributions(make_card("domain_wall_mtj", n_levels=5, read_noise=sigma), n, 2)
    reach = 2.0 * sqrt(log(4e9) / (2 * n))
    assert levels["overlap"].shape == (2, 4)
    assert np.all(np.abs(levels["overlap"].values - 2.0 * phi(-0.5 / sigma)) < reach)
    levels = stores.level_distributions(make_card("domain_wall_mtj", n_levels=3, p_fail_up=fail), n, 2)
    assert np.all(levels["overlap"].sel(how="programmed") == 0.0)
    # After one pulse a quarter is left below; after two, a binomial: the best threshold is below the top level.
    one, two = fail, 1.0 - (1.0 - fail) ** 2
    assert np.abs(levels["overlap"].sel(how="pulsed").values - [one, two]).max() < reach


def test_levels_told_apart():
    spread = np.linspace(-1.0, 1.0, 100_001)
    level = np.arange(0, 101, 10)
    assert stores.levels_told_apart(level, [k + 0.1 * spread for k in level], 100) == 101
    # 99 % of a uniform distribution of half width 2 are 3.96 wide: every fourth level.
    assert stores.levels_told_apart(level, [k + 2.0 * spread for k in level], 100) == 26
    assert stores.levels_told_apart(level, [np.zeros(10)] * len(level), 100) == 1


def test_walls_stay_with_the_power_of_the_failures():
    card = make_card("domain_wall_mtj", n_levels=16, p_fail_up=0.3, p_fail_down=0.6)
    moved = stores.switching_probability(card, 5000, 1)["moved"]
    for direction, fail in (("up", 0.3), ("down", 0.6)):
        p = fail ** moved["pulse"].values
        error = np.sqrt(p * (1.0 - p) / 5000) + 1e-9
        # Where less than 20 cells are expected the normal law is none.
        counted = p * 5000 > 20
        assert np.all(np.abs(1.0 - moved.sel(direction=direction).values - p)[counted] < Z * error[counted])
    assert stores.switching_probability(make_card("ecram", n_levels=9), 100, 1) is None
    assert stores.switching_probability(make_card("soft_bounds_pair", n_levels=9, sigma_c2c=0.5), 100, 1) is None


def test_retention_is_exponential_in_time_and_in_one_over_temperature():
    values = {"n_levels": 21, "retention_rate": 1e-4, "activation_energy": 0.6, "rest_level": 0.0}
    data = stores.retention(make_card("ecram", **values), 5, 1)
    temperature, time = data["temperature"].values, data["time"].values
    assert temperature == pytest.approx([300.0, 358.15, 398.15])
    rate = 1e-4 * np.exp(0.6 / 8.617333e-5 * (1.0 / 300.0 - 1.0 / temperature))
    expected = data["start"].values[None, :, None] * np.exp(-rate[:, None, None] * time)
    assert np.allclose(data["level"].mean("cell").values, expected, atol=1e-4)
    share = np.exp(-rate[:, None] * time)
    assert share.min() < 0.01 < 0.99 < share.max(axis=1).min()  # the times show the whole of it at every temperature
    assert stores.retention(make_card("ecram", n_levels=21), 5, 1) is None


def test_drift_follows_its_power_of_time():
    values = {"n_levels": 21, "drift": 1.0, "drift_start": 20.0, "drift_mean_low": 0.05, "drift_mean_high": 0.05,
              "drift_spread_low": 0.0, "drift_spread_high": 0.0, "g_min": 0.0, "g_max": 1e-5}  # fmt: skip
    data = stores.retention(make_card("pcm", **values), 5, 1)
    assert data.sizes["temperature"] == 1
    expected = 1e-5 * np.maximum(data["time"].values / 20.0, 1.0) ** -0.05
    assert np.allclose(data["conductance"].values[0, 0], expected[:, None], rtol=1e-5)


def test_cells_wear_out_with_the_log_normal_and_their_window_narrows():
    plain = make_card("ecram", n_levels=41)
    data = stores.endurance(with_nonidealities(plain, endurance=1e5, endurance_sigma=0.6), 4000, 1)
    p = np.array([phi(log(c / 1e5) / 0.6) for c in data["count"].values])
    assert np.all(np.abs(data["worn_out"].values - p) < Z * np.sqrt(p * (1 - p) / 4000) + 1e-3)
    data = stores.endurance(with_nonidealities(plain, endurance=1e5, endurance_narrowing=0.5), 50, 1)
    wear = data["count"].values / 1e5
    expected = np.where(wear < 1.0, 40.0 * (1.0 - 0.5 * wear), 0.0)
    # The last pulse towards an end that lies between two levels stops there or before.
    assert np.all(np.abs(data["window"].values - expected[:, None]) <= 2.0)
    assert stores.endurance(plain, 50, 1) is None
    assert stores.endurance(with_nonidealities(plain, endurance=1e12), 50, 1) is None


@pytest.mark.parametrize(
    "noise",
    [
        {"rtn_fraction": 1.0, "rtn_amplitude": 1.0, "rtn_capture_time": 1e-3, "rtn_emission_time": 2e-3},
        {"flicker_noise": 0.2, "flicker_fastest": 1e-4, "flicker_decades": 2},
    ],
)
def test_the_spectrum_of_read_noise_is_the_expected_one(noise):
    """Parts of the spectrum of 4000 looks at 200 cells; a part has hundreds of values of 200 cells each.

    Neighbours share power through the taper, and a telegraph signal is no normal noise: allowed is twice the error of
    independent exponentials, times 6.
    """
    card = with_nonidealities(make_card("ecram", n_levels=41, read_noise=0.05), **noise)
    data = stores.read_noise(card, 200, 5, 4000)
    ratio = data["spectrum"].values / data["expected"].values
    for part in np.array_split(ratio, 4):
        assert abs(part.mean() - 1.0) < Z * 2.0 / sqrt(part.size * 200)
    assert stores.read_noise(make_card("ecram", n_levels=41, read_noise=0.05), 10, 1) is None


def test_telegraph_noise_has_the_correlation_and_the_dwell_times_of_a_markov_chain():
    data = samplers.telegraph(make_card("smtj", relaxation_time=5e-8, slope=0.9, offset=0.1), 256, 1)
    for i, lam in enumerate(data["lam"].values):
        felt = 0.9 * lam + 0.1
        tau = 5e-8 / np.cosh(felt)
        assert float(data["expected_relaxation_time"][i]) == pytest.approx(tau)
        lag = data["lag"].values
        rho = np.exp(-lag * float(data["interval"][i]) / tau)
        for k in (1, 5, 20, 60):
            error = float(data["autocorrelation_error"][i, k])
            assert abs(float(data["autocorrelation"][i, k]) - rho[k]) < Z * error
        for sign in (1, -1):
            p_other = 1.0 / (1.0 + np.exp(2.0 * sign * felt))
            stays = 1.0 - (1.0 - rho[1]) * p_other
            bits = data["state"].values[i]
            begun = np.sum((bits[1:] == sign) & (bits[:-1] != sign)) / 2.5  # of the first half, and not too many
            expected = stays ** np.arange(100)
            error = np.sqrt(expected * (1.0 - expected) / begun)
            survival = data["survival"].sel(sign=sign).values[i, :100]
            assert np.all(np.abs(survival - expected) <= Z * error)
            assert float(data["expected_dwell"].sel(sign=sign)[i]) == pytest.approx(1e-7 * np.exp(sign * felt))
    assert samplers.telegraph(make_card("cmos_trng", n_bits=8), 128, 1) is None
    assert samplers.telegraph(make_card("smtj"), 128, 1) is None


def test_a_switched_junction_needs_the_voltage_of_neel_and_brown():
    values = {"delta": 40.0, "critical_voltage": 0.5, "attempt_time": 1e-9, "pulse_width": 1e-8, "transfer_time": 1e-9,
              "overdrive_gain": 10.0, "dac_lam_max": 5.0, "tmr_half_voltage": 1e9}  # fmt: skip
    data = samplers.switching(make_card("stt_mtj", **values), 128, 1)
    lam = data["lam"].values
    for i, width in enumerate(data["width"].values):
        hazard = np.log1p(np.exp(2.0 * lam))
        share = 1.0 - np.log(width / 1e-9 / hazard) / 40.0
        expected = 0.5 * (1.0 + 1e-9 / width) * share
        below = share < 1.0
        assert below.sum() > 80
        assert np.allclose(data["amplitude"].values[i][below], expected[below], rtol=1e-5)
    p = 1.0 / (1.0 + np.exp(-2.0 * data["setting"].values))
    n = 128 * data.attrs["n_looks"]
    assert np.all(np.abs(data["measured"].values - p) < Z * np.sqrt(p * (1.0 - p) / n) + 1e-6)
    assert samplers.switching(make_card("smtj"), 128, 1) is None


def test_successive_looks_of_a_telegraph_process_are_correlated_and_of_coins_are_not():
    card = make_card("smtj", relaxation_time=1e-7, sample_time=4e-8, read_time=1e-8)
    correlation, error, interval = samplers.look_correlation(card, 1000, 1)
    assert interval == pytest.approx(5e-8)
    assert abs(correlation - np.exp(-0.5)) < Z * error + 0.005  # the mean of 200 looks is taken off
    correlation, error, _ = samplers.look_correlation(make_card("ideal_sampler"), 1000, 7)
    assert abs(correlation) < Z * error


def test_the_bench_counts_time_and_leaves_out_stuck_cells():
    bench = Bench(make_card("ecram", n_levels=9, stuck_on=0.5), 1000, 1)
    assert 350 < bench.sound.sum() < 650
    bench.program(0.0)
    bench.pulse(2)
    assert np.all(bench.level()[bench.sound] == 2.0)
    bench.wait(0.5)
    bench.wait(0.25)
    assert bench.now == 0.75
    continuous = Bench(make_card("ideal_storage", lam_window=4.0), 10, 1)
    assert (continuous.n_steps, continuous.take, continuous.top, continuous.step) == (20, pytest.approx(0.4), 4.0, 1.0)


def test_cards_of_the_other_role_are_refused():
    with pytest.raises(CardError, match="smtj_50ns: the card of a sampling element; name that of a storage element"):
        Bench(shipped_cards()["smtj_50ns"], 10, 1)
    with pytest.raises(CardError, match="dw_notched: the card of a storage element; name that of a sampling element"):
        samplers.telegraph(shipped_cards()["dw_notched"], 10, 1)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["dw_notch"], "device card 'dw_notch': not known. Did you mean 'dw_notched'?"),
        (["cmos_28nm"], "device card 'cmos_28nm': not known."),
        (["missing.toml"], "card 'missing.toml': cannot be read"),
        (["dw_notched", "--set", "sigma"], "--set: got 'sigma'; write PARAM=VALUE"),
        (["dw_notched", "--set", "p_fail=0.1"], "--set.p_fail: unknown parameter of 'domain_wall_mtj'. Did you mean"),
        (["dw_notched", "--set", "p_fail_up=2"], "--set.p_fail_up: got '2'; allowed is 0 to 1"),
        (["dw_notched", "--set", "endurance_narrowing=0.5"], "dw_notched: endurance_narrowing is above 0"),
        (["dw_notched", "--set", "n_levels=1"], "device, n_levels: got 1"),
        (["dw_notched", "--seed", "-1"], "seed: got -1; allowed are integers from 0"),
        (["smtj_50ns", "--set", "rtn_fraction=0.5"], "--set.rtn_fraction: unknown parameter of 'smtj'"),
    ],
)
def test_bad_input_is_answered_with_one_sentence(arguments, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run_commands(["devices", "characterise", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(sentence)
    assert printed.err.count("\n") == 1
    assert not list(tmp_path.iterdir())
