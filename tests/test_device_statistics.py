"""Every stochastic effect of the storage elements against its closed form or its twin.

False alarms: some 230 comparisons in this file and in test_sampler_statistics, each failing a correct model with a
probability of 2e-9 (6 standard deviations, or a p-value of that size): 5e-7 in all. Keys are fixed: a pass stays one.
"""

from __future__ import annotations

import numpy as np
import pytest
from oracles import devices as twin
from scipy import integrate, stats

from bimu_hw.devices import Grid, new_state
from device_models import domain_wall_mtj, ideal_storage, soft_bounds_pair

Z = 6.0
P_VALUE = 2e-9
N = 100_000
CONTINUOUS = Grid(float("inf"), 1.0, 2.0**-90)
NOTHING_STUCK = {"stuck_on": 0.0, "stuck_off": 0.0, "stuck_random": 0.0}
PAIR = soft_bounds_pair.Params(
    nonlinearity=0.0, asymmetry=0.0, sigma_d2d=0.0, sigma_c2c=0.0, write_noise=0.0, read_noise=0.0, **NOTHING_STUCK,
    g_min=1e-6, g_max=4e-5, lam_window=4.0, retention_rate=0.0, activation_energy=1.0, rest_level=-1.0,
)  # fmt: skip
WALL = domain_wall_mtj.Params(
    p_fail_up=0.0, p_fail_down=0.0, p_overshoot=0.0, sigma_d2d=0.0, read_noise=0.0, **NOTHING_STUCK,
    g_antiparallel=2e-4, g_parallel=6e-4, lam_window=4.0, depin_rate=0.0, activation_energy=1.0,
)  # fmt: skip


def levels(n):
    return Grid((n - 1) / 2, 8.0 / (n - 1), 1.0)


def fabricated(module, params, grid, n=N, key=11):
    state = new_state(module.MODEL, n)
    module.fabricate(state, params, grid, np.uint64(key))
    return state


def send(module, state, params, grid, count, key=5):
    n = state.pulse_count.size
    counts = np.ascontiguousarray(np.broadcast_to(np.float32(count), n))
    module.pulse(state, np.arange(n, dtype=np.int32), counts, params, grid, np.uint64(key), 0.0)


def peek(module, state, params, grid):
    out = np.zeros(state.pulse_count.size, np.float32)
    module.peek(state, np.arange(out.size, dtype=np.int32), params, grid, 0.0, out)
    return out.astype(np.float64)


def assert_mean(values, expected, std):
    """Assert that the mean of independent values of a known standard deviation is the expected one."""
    z = (np.mean(values) - expected) / (std / np.sqrt(np.size(values)))
    assert abs(z) < Z, f"mean {np.mean(values)}, expected {expected}, z = {z:.1f}"


def assert_normal(values, mean, std):
    """Assert mean, variance and shape of normal values."""
    assert_mean(values, mean, std)
    z = (np.var(values) / std**2 - 1.0) / np.sqrt(2.0 / np.size(values))
    assert abs(z) < Z, f"std {np.std(values)}, expected {std}, z = {z:.1f}"
    assert stats.kstest((values - mean) / std, "norm").pvalue > P_VALUE


def assert_uncorrelated(a, b):
    assert abs(np.corrcoef(a, b)[0, 1]) * np.sqrt(np.size(a)) < Z


def assert_share(hits, n, probability):
    assert stats.binomtest(int(hits), int(n), probability).pvalue > P_VALUE, f"{hits} of {n}, expected {probability}"


# Memristor pair


@pytest.mark.parametrize("count", [0.04, 1.0, -2.25])
def test_c2c_of_a_continuous_pair_grows_with_the_root_of_the_count(count):
    p = PAIR._replace(sigma_c2c=0.3)
    state = fabricated(soft_bounds_pair, p, CONTINUOUS)
    send(soft_bounds_pair, state, p, CONTINUOUS, count)
    one = 0.3 * np.sqrt(abs(count))
    plus, minus = state.level[:, 0].astype(np.float64), state.level[:, 1].astype(np.float64)
    assert_normal(plus, count, one)
    assert_normal(minus, -count, one)
    assert_uncorrelated(plus, minus)
    assert_uncorrelated(plus[1:], plus[:-1])
    assert_normal(peek(soft_bounds_pair, state, p, CONTINUOUS), count, one / np.sqrt(2.0))


def test_c2c_of_several_pulses_adds_up_and_pulses_and_events_are_independent():
    p, grid = PAIR._replace(sigma_c2c=0.2), levels(1001)
    runs = []
    for count, keys in ((4.0, (5,)), (1.0, (5, 6, 7, 8))):
        state = fabricated(soft_bounds_pair, p, grid)
        for key in keys:
            before = peek(soft_bounds_pair, state, p, grid)
            send(soft_bounds_pair, state, p, grid, count, key)
            runs.append(peek(soft_bounds_pair, state, p, grid) - before)
        assert_normal(peek(soft_bounds_pair, state, p, grid), 4.0, 0.2 * np.sqrt(4.0 / 2.0))
    for later in runs[2:]:
        assert_uncorrelated(runs[1], later)


def test_write_noise_comes_once_per_event():
    p, grid = PAIR._replace(write_noise=0.5), levels(1001)
    for count in (1.0, 5.0):
        state = fabricated(soft_bounds_pair, p, grid)
        send(soft_bounds_pair, state, p, grid, count)
        assert_normal(peek(soft_bounds_pair, state, p, grid), count, 0.5 / np.sqrt(2.0))


def test_d2d_of_the_step_is_log_normal_with_mean_one():
    p = PAIR._replace(sigma_d2d=0.4)
    state = fabricated(soft_bounds_pair, p, CONTINUOUS)
    steps = state.step.astype(np.float64)
    variance = np.log1p(0.4**2)
    assert_normal(np.log(steps[:, 0]), -variance / 2, np.sqrt(variance))
    assert_mean(steps, 1.0, 0.4)
    assert_uncorrelated(steps[:, 0], steps[:, 1])
    send(soft_bounds_pair, state, p, CONTINUOUS, 0.5)
    np.testing.assert_allclose(peek(soft_bounds_pair, state, p, CONTINUOUS), 0.5 * steps.mean(axis=1), rtol=1e-6)
    assert_uncorrelated(steps[:, 0], fabricated(soft_bounds_pair, p, CONTINUOUS, key=12).step[:, 0])


@pytest.mark.parametrize("nonlinearity", [0.2, 0.7, 1.0])
def test_soft_bounds_follow_the_closed_form(nonlinearity):
    p, grid = PAIR._replace(nonlinearity=nonlinearity), levels(16)
    state = fabricated(soft_bounds_pair, p, grid, n=4)
    soft_bounds_pair.program(state, np.full(4, -7.5, np.float32), p, grid, 0.0)
    sent = 0
    for count in (1, 3, 1, 10, 25):
        send(soft_bounds_pair, state, p, grid, count)
        sent += count
        expected = min(7.5, twin.soft_bounds_staircase(-7.5, sent, nonlinearity, 7.5))
        np.testing.assert_allclose(state.level[:, 0], expected, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(state.level[:, 1], -expected, rtol=1e-5, atol=1e-5)


def test_asymmetry_is_the_ratio_of_the_steps_of_a_device_and_cancels_in_the_pair():
    p, grid = PAIR._replace(asymmetry=0.25), levels(101)
    state = fabricated(soft_bounds_pair, p, grid, n=1)
    send(soft_bounds_pair, state, p, grid, 4.0)
    assert state.level.tolist() == [[5.0, -3.0]]
    send(soft_bounds_pair, state, p, grid, -4.0)
    assert state.level.tolist() == [[2.0, 2.0]]
    assert peek(soft_bounds_pair, state, p, grid).tolist() == [0.0]


@pytest.mark.parametrize("n_levels", [0, 16])
def test_pair_agrees_with_its_twin_cell_by_cell(n_levels):
    law = {"nonlinearity": 0.8, "asymmetry": 0.1, "sigma_c2c": 0.3, "write_noise": 0.2}
    p = PAIR._replace(**law, sigma_d2d=0.5, stuck_on=0.1, stuck_random=0.1)
    grid = CONTINUOUS if n_levels == 0 else levels(n_levels)
    state = fabricated(soft_bounds_pair, p, grid, n=40)
    rng = np.random.default_rng(1)
    for key in (2**63 + 12345, 77, 2**40 + 3):
        counts = rng.normal(0, 1, 40) if n_levels == 0 else rng.choice([-3, -1, 1, 2], 40)
        counts = counts.astype(np.float32)
        expected = [
            twin.soft_bounds_pulse(
                state.level[c].tolist(), state.step[c].tolist(), (state.fault[c] == 0).tolist(), float(counts[c]),
                law, grid.level_max, key, c,
            )
            for c in range(40)
        ]  # fmt: skip
        send(soft_bounds_pair, state, p, grid, counts, key)
        np.testing.assert_allclose(state.level, expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("module", [soft_bounds_pair, domain_wall_mtj])
@pytest.mark.parametrize("n_levels", [0, 16])
def test_stuck_fractions(module, n_levels):
    p = (PAIR if module is soft_bounds_pair else WALL)._replace(stuck_on=0.03, stuck_off=0.05, stuck_random=0.1)
    grid = CONTINUOUS if n_levels == 0 else levels(n_levels)
    window = 4.0 if n_levels == 0 else grid.level_max
    state = fabricated(module, p, grid)
    fault, level = state.fault.ravel(), state.level.ravel().astype(np.float64)
    for code, share in ((1, 0.03), (2, 0.05), (3, 0.1)):
        assert_share(np.sum(fault == code), fault.size, share)
    assert set(level[fault == 1]) == {window}
    assert set(level[fault == 2]) == {-window}
    assert set(level[fault == 0]) == {0.0}
    u = (level[fault == 3] / window + 1.0) / 2.0
    assert stats.kstest(u, "uniform").pvalue > P_VALUE
    if module is soft_bounds_pair:
        assert_uncorrelated((state.fault[:, 0] > 0).astype(float), (state.fault[:, 1] > 0).astype(float))


@pytest.mark.parametrize("module", [soft_bounds_pair, domain_wall_mtj])
def test_read_noise_is_white(module):
    p, grid = (PAIR if module is soft_bounds_pair else WALL)._replace(read_noise=0.3), levels(16)
    state = fabricated(module, p, grid)
    module.program(state, np.full(N, 2.5, np.float32), p, grid, 0.0)
    looks = np.zeros((2, N), np.float32)
    for key in (0, 1):
        module.read(state, p, grid, np.uint64(key), 0.0, looks[key])
    noise = looks.astype(np.float64) - 2.5
    assert_normal(noise[0], 0.0, 0.3)
    assert_uncorrelated(noise[0], noise[1])
    for lag in (1, 64, 100):
        assert_uncorrelated(noise[0, lag:], noise[0, :-lag])


# Domain wall


def test_depinning_is_binomial_and_differs_between_directions():
    p, grid = WALL._replace(p_fail_up=0.1, p_fail_down=0.35), levels(101)
    for count, p_fail in ((1, 0.1), (-1, 0.35), (6, 0.1), (-6, 0.35)):
        state = fabricated(domain_wall_mtj, p, grid)
        send(domain_wall_mtj, state, p, grid, count)
        moved = np.abs(peek(domain_wall_mtj, state, p, grid)).astype(int)
        expected = stats.binom(abs(count), 1.0 - p_fail).pmf(np.arange(abs(count) + 1)) * N
        assert stats.chisquare(np.bincount(moved, minlength=abs(count) + 1), expected).pvalue > P_VALUE


def test_overshoot_follows_the_law_of_single_pulses():
    p, grid = WALL._replace(p_fail_up=0.2, p_overshoot=0.15), levels(101)
    state = fabricated(domain_wall_mtj, p, grid)
    send(domain_wall_mtj, state, p, grid, 3)
    moved = peek(domain_wall_mtj, state, p, grid).astype(int)
    expected = np.array(twin.wall_law(3, 0.2, 0.15)) * N
    assert stats.chisquare(np.bincount(moved, minlength=7), expected).pvalue > P_VALUE
    first = moved.astype(float)
    send(domain_wall_mtj, state, p, grid, 3, key=6)
    second = peek(domain_wall_mtj, state, p, grid) - first
    assert_uncorrelated(first, second)
    assert_uncorrelated(first[1:], first[:-1])


def test_a_continuous_wall_takes_an_event_as_a_whole():
    p = WALL._replace(p_fail_up=0.2, p_overshoot=0.1)
    state = fabricated(domain_wall_mtj, p, CONTINUOUS)
    send(domain_wall_mtj, state, p, CONTINUOUS, 0.75)
    values, counts = np.unique(peek(domain_wall_mtj, state, p, CONTINUOUS), return_counts=True)
    assert values.tolist() == [0.0, 0.75, 1.5]
    assert stats.chisquare(counts, N * np.array([0.2, 0.8 * 0.9, 0.8 * 0.1])).pvalue > P_VALUE


def test_spread_of_depinning():
    sigma, p_fail = 0.5, 0.1
    p, grid = WALL._replace(p_fail_up=p_fail, p_fail_down=0.02, sigma_d2d=sigma), levels(101)
    state = fabricated(domain_wall_mtj, p, grid)
    variance = np.log1p(sigma**2)
    exponents = np.log(state.fail_up.astype(np.float64)) / np.log(p_fail)
    assert_normal(np.log(exponents), -variance / 2, np.sqrt(variance))
    np.testing.assert_allclose(
        np.log(state.fail_down.astype(np.float64)) / np.log(0.02), exponents, rtol=1e-5
    )  # one barrier per cell, both directions
    mean, _ = integrate.quad(
        lambda z: p_fail ** np.exp(np.sqrt(variance) * z - variance / 2) * stats.norm.pdf(z), -10, 10
    )
    send(domain_wall_mtj, state, p, grid, 1)
    assert_share(np.sum(peek(domain_wall_mtj, state, p, grid) == 0.0), N, mean)


def test_a_spread_of_nothing_is_nothing():
    p, grid = WALL._replace(sigma_d2d=2.0), levels(16)
    state = fabricated(domain_wall_mtj, p, grid)
    assert not state.fail_up.any()
    assert not state.fail_down.any()


def test_wall_agrees_with_its_twin_cell_by_cell():
    p, grid = WALL._replace(p_fail_up=0.3, p_fail_down=0.15, p_overshoot=0.2, sigma_d2d=0.4), levels(9)
    state = fabricated(domain_wall_mtj, p, grid, n=60)
    rng = np.random.default_rng(2)
    for key in (2**63 + 1, 9, 2**35):
        counts = rng.choice([-4, -2, -1, 1, 3], 60)
        expected = [
            twin.wall_pulses(
                float(state.level[c]), int(counts[c]), float(state.fail_up[c]), float(state.fail_down[c]),
                np.float32(0.2), 4.0, key, c,
            )
            for c in range(60)
        ]  # fmt: skip
        send(domain_wall_mtj, state, p, grid, counts, key)
        assert state.level.tolist() == expected


# Conductance


@pytest.mark.parametrize("n_levels", [0, 16])
def test_conductance_is_linear_in_the_level_and_clipped(n_levels):
    grid = CONTINUOUS if n_levels == 0 else levels(n_levels)
    window = 4.0 if n_levels == 0 else 7.5
    at = np.array([-1.0, -0.5, 0.0, 0.25, 1.0]) * window
    for module, p, low, high in (
        (soft_bounds_pair, PAIR, 1e-6, 4e-5),
        (domain_wall_mtj, WALL, 2e-4, 6e-4),
        (ideal_storage, ideal_storage.Params(1e-6, 1e-5, 4.0), 1e-6, 1e-5),
    ):
        state = fabricated(module, p, grid, n=6)
        module.program(state, np.append(at, 3 * window).astype(np.float32), p, grid, 0.0)
        out = np.zeros((6, module.MODEL.n_devices), np.float32)
        module.conductance(state, p, grid, 0.0, out)
        expected = low + (high - low) * (np.append(at, window) / window + 1.0) / 2.0
        np.testing.assert_allclose(out[:, 0], expected, rtol=1e-6)
        if module is soft_bounds_pair:
            np.testing.assert_allclose(out[:, 1], low + high - expected, rtol=1e-5)
