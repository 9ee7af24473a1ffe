"""The magneto-ionic pair and the pulsed array against their twins, closed forms and published curves.

False alarms: some 60 comparisons, each failing a correct model with a probability of 2e-9 (6 standard deviations, or
a p-value of that size): 1.2e-7 in all, and below 1e-7 each. Keys are fixed: a pass stays one.
"""

from __future__ import annotations

import numpy as np
import pytest
from oracles import pulsed as twin
from scipy import stats

from bimu_hw.cards import load_card
from bimu_hw.devices import Grid, get_model, new_state
from bimu_hw.testing.promises import params_of
from device_models import magneto_ionic, pulsed_array

Z = 6.0
P_VALUE = 2e-9
N = 100_000
CONTINUOUS = Grid(float("inf"), 1.0, 2.0**-90)
CURVES = {"linear": twin.LINEAR, "exponential": twin.EXPONENTIAL}
PAIR = {
    shape: magneto_ionic.Params(
        n_pulses=27.0, curvature=curvature, w_range=CURVES[shape].w_range, sigma_d2d=0.0, smallest_pulse=0.0,
        read_noise=0.0, stuck_on=0.0, stuck_off=0.0, stuck_random=0.0, g_min=4e-5, g_max=1e-4, lam_window=4.0,
    )
    for shape, curvature in (("linear", 0.0), ("exponential", 27.0 / 9.741))
}  # fmt: skip
ARRAY = pulsed_array.Params(
    step_size=1.0, nonlinearity=0.0, asymmetry=0.0, sigma_step=0.0, sigma_asymmetry=0.0, sigma_bound_up=0.0,
    sigma_bound_down=0.0, sigma_reference=0.0, sigma_c2c=0.0, write_noise=0.0, read_noise=0.0, stuck_corrupt=0.0,
    corrupt_range=0.01, g_min=1e-6, g_max=4e-5, lam_window=4.0,
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


def program(module, state, params, grid, level):
    target = np.ascontiguousarray(np.broadcast_to(np.float32(level), state.pulse_count.size))
    module.program(state, target, params, grid, 0.0)


def look(module, state, params, grid, key=3):
    out = np.zeros(state.pulse_count.size, np.float32)
    module.read(state, params, grid, np.uint64(key), 0.0, out)
    return out.astype(np.float64)


def assert_normal(values, mean, std):
    z = (np.mean(values) - mean) / (std / np.sqrt(np.size(values)))
    assert abs(z) < Z, f"mean {np.mean(values)}, expected {mean}, z = {z:.1f}"
    z = (np.var(values) / std**2 - 1.0) / np.sqrt(2.0 / np.size(values))
    assert abs(z) < Z, f"std {np.std(values)}, expected {std}, z = {z:.1f}"
    assert stats.kstest((values - mean) / std, "norm").pvalue > P_VALUE


def assert_uncorrelated(a, b):
    assert abs(np.corrcoef(a, b)[0, 1]) * np.sqrt(np.size(a)) < Z


# Magneto-ionic pair


@pytest.mark.parametrize("shape", CURVES)
def test_single_pulses_draw_the_published_curve(shape):
    """From fresh, x pulses up leave the pair at f(0) - f(x), and down at its opposite: 27 pulses, 55 levels."""
    curve, p, grid = CURVES[shape], PAIR[shape], levels(55)
    for sign in (1.0, -1.0):
        state = fabricated(magneto_ionic, p, grid, n=3)
        for x in range(1, 28):
            send(magneto_ionic, state, p, grid, sign)
            weight = state.level.astype(np.float64) * curve.w_range / 27.0
            np.testing.assert_allclose(weight, sign * (curve.f(0.0) - curve.f(x)), rtol=2e-6)
        assert not state.refresh_pulses.any()


@pytest.mark.parametrize("shape", CURVES)
@pytest.mark.parametrize("n_levels", [55, 16])
def test_pair_agrees_with_its_twin_in_pulse_numbers(shape, n_levels):
    """Random walks of 120 events with spread efficacies, through re-centring and both ends of the range."""
    p, grid, n = PAIR[shape]._replace(sigma_d2d=0.2), levels(n_levels), 60
    state = fabricated(magneto_ionic, p, grid, n=n)
    pairs = [twin.Pair(CURVES[shape], state.efficacy[c].astype(float).tolist(), grid.level_max) for c in range(n)]
    rng = np.random.default_rng(8)
    n_refreshed = 0
    for event in range(120):
        drift = 1.0 if event // 30 % 2 else -1.0
        counts = rng.choice([-2.0, -1.0, 1.0, 2.0, drift, drift], n).astype(np.float32)
        send(magneto_ionic, state, p, grid, counts)
        for pair, count in zip(pairs, counts, strict=True):
            pair.pulse(float(count))
        expected = np.array([pair.level for pair in pairs])
        np.testing.assert_allclose(state.level, expected, atol=2e-3)
        # Rounding differs by a little, and would in time tell the two apart where a device just reaches its end.
        for c, pair in enumerate(pairs):
            first, second = (state.level[c] + state.spent[c], state.spent[c])
            f0, span = pair.curve.f(0.0), pair.curve.w_range
            pair.x = [pair.curve.inverse(f0 - span * max(float(q), 0.0) / grid.level_max) for q in (first, second)]
        n_refreshed = sum(pair.refresh_pulses > 0 for pair in pairs)
    assert n_refreshed == n
    differ = np.abs(state.refresh_pulses - np.array([pair.refresh_pulses for pair in pairs]))
    assert (differ <= 0.02 * state.refresh_pulses).all()


@pytest.mark.parametrize("shape", CURVES)
def test_recentring_keeps_the_weight_and_counts_its_pulses(shape):
    """Device 1 at its end, device 2 at 20 pulses: one more pulse up first puts both back."""
    p, grid = PAIR[shape], levels(55)
    state = fabricated(magneto_ionic, p, grid, n=2)
    for _ in range(20):
        send(magneto_ionic, state, p, grid, -1.0)
    for _ in range(27):
        send(magneto_ionic, state, p, grid, 1.0)
    assert not state.refresh_pulses.any()
    held = float(state.level[0])
    curve = CURVES[shape]
    assert held * curve.w_range / 27 == pytest.approx(curve.f(20) - curve.f(27), rel=1e-4)
    x = curve.inverse(curve.f(0.0) - held * curve.w_range / 27)
    send(magneto_ionic, state, p, grid, 1.0)
    assert state.refresh_pulses.tolist() == [2 + int(np.ceil(x - 1e-3))] * 2
    after = curve.f(0.0) - curve.f(x + 1)
    assert state.level[0] * curve.w_range / 27 == pytest.approx(after, rel=1e-4)
    conductance = np.zeros((2, 2), np.float32)
    magneto_ionic.conductance(state, p, grid, 0.0, conductance)
    np.testing.assert_allclose(conductance[:, 1], 1e-4, rtol=1e-6)


def test_efficacy_is_a_folded_normal_per_device():
    for sigma in (0.2, 0.8):
        p = PAIR["linear"]._replace(sigma_d2d=sigma)
        state = fabricated(magneto_ionic, p, levels(55))
        efficacy = state.efficacy.astype(np.float64)
        folded = stats.foldnorm(1.0 / sigma, scale=sigma)
        for d in range(2):
            assert stats.kstest(efficacy[:, d], folded.cdf).pvalue > P_VALUE
        assert_uncorrelated(efficacy[:, 0], efficacy[:, 1])
        send(magneto_ionic, state, p, levels(55), 1.0)
        np.testing.assert_allclose(state.level, efficacy[:, 0], rtol=1e-6)


def test_small_events_are_dropped_and_still_counted():
    p = PAIR["linear"]._replace(smallest_pulse=0.1)
    state = fabricated(magneto_ionic, p, CONTINUOUS, n=4)
    unit = 4.0 / 27.0
    send(magneto_ionic, state, p, CONTINUOUS, np.array([0.09, 0.11, -0.09, -0.11], np.float32) * np.float32(unit))
    np.testing.assert_allclose(state.level, [0.0, 0.11 * unit, 0.0, -0.11 * unit], rtol=1e-6)
    assert state.pulse_count.tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("shape", CURVES)
def test_read_noise_is_that_of_two_devices(shape):
    p, grid = PAIR[shape]._replace(read_noise=0.015), levels(55)
    state = fabricated(magneto_ionic, p, grid)
    program(magneto_ionic, state, p, grid, 4.0)
    first, second = (look(magneto_ionic, state, p, grid, key) - 4.0 for key in (3, 4))
    assert_normal(first * CURVES[shape].w_range / 27.0, 0.0, 0.015 * np.sqrt(2.0))
    assert_uncorrelated(first, second)


def test_a_pair_longer_than_its_curve_still_ends_inside_the_grid():
    p, grid = PAIR["exponential"]._replace(sigma_d2d=0.5), levels(9)
    state = fabricated(magneto_ionic, p, grid, n=2000)
    rng = np.random.default_rng(3)
    for _ in range(50):
        send(magneto_ionic, state, p, grid, rng.integers(-30, 31, 2000).astype(np.float32))
        first = state.level + state.spent
        assert (np.abs(state.level) <= 4.0).all()
        for position in (first, state.spent):
            assert (position > -1e-4).all()
            assert (position < 4.0 + 2e-4).all()


# Pulsed array


def test_steps_are_log_normal_around_the_median():
    p = ARRAY._replace(sigma_step=0.7829, step_size=0.9)
    state = fabricated(pulsed_array, p, levels(22))
    assert_normal(np.log(state.step_up.astype(np.float64) / 0.9), 0.0, 0.7829)
    np.testing.assert_array_equal(state.step_up, state.step_down)
    send(pulsed_array, state, p, levels(22), 1.0)
    np.testing.assert_allclose(state.level, np.minimum(state.step_up, 10.5), rtol=1e-6)


def test_up_and_down_differ_by_their_spread_and_by_the_asymmetry():
    p = ARRAY._replace(sigma_asymmetry=0.01, asymmetry=0.2)
    state = fabricated(pulsed_array, p, levels(22))
    up, down = state.step_up.astype(np.float64), state.step_down.astype(np.float64)
    assert_normal((up - down) / 2.0, 0.2, 0.01)
    np.testing.assert_allclose(up + down, 2.0, rtol=1e-5)


def test_bounds_are_folded_normals_of_each_side():
    p, grid = ARRAY._replace(sigma_bound_up=0.35, sigma_bound_down=0.57), levels(22)
    state = fabricated(pulsed_array, p, grid)
    for bound, sigma in ((state.bound_up, 0.35), (state.bound_down, 0.57)):
        relative = bound.astype(np.float64) / grid.level_max
        away = relative > 2e-3  # nearer to 0 they are all put at one place
        law = stats.foldnorm(1.0 / sigma, scale=sigma)
        assert stats.binomtest(int((~away).sum()), N, law.cdf(2e-3)).pvalue > P_VALUE
        u = (law.cdf(relative[away]) - law.cdf(2e-3)) / (1.0 - law.cdf(2e-3))
        assert stats.kstest(u, "uniform").pvalue > P_VALUE
    assert_uncorrelated(state.bound_up, state.bound_down)


def test_a_reference_that_is_off_moves_the_curve_and_not_the_device():
    """Against a shifted reference the device does what it does unshifted, plus the shift: bounds and steps say so."""
    p, grid = ARRAY._replace(sigma_reference=0.05, sigma_bound_up=0.3, sigma_step=0.4, nonlinearity=1.0), levels(22)
    exact = fabricated(pulsed_array, p._replace(sigma_reference=0.0), grid)
    state = fabricated(pulsed_array, p, grid)
    shift = (exact.bound_up - state.bound_up).astype(np.float64)
    clear = (state.bound_up > 0.5) & (exact.bound_up > 0.5)
    np.testing.assert_allclose((state.bound_down - exact.bound_down)[clear], shift[clear], atol=1e-4)
    assert_normal((state.bound_down - exact.bound_down) / (0.05 * grid.level_max), 0.0, 1.0)
    program(pulsed_array, state, p, grid, 0.0)
    send(pulsed_array, state, p, grid, 1.0)
    level = shift  # of the same device, measured from its own middle
    expected = exact.step_up * (1.0 - level / exact.bound_up)
    reachable = clear & (expected < state.bound_up) & (expected < grid.level_max)
    np.testing.assert_allclose(state.level[reachable], expected[reachable], rtol=2e-3, atol=1e-4)


@pytest.mark.parametrize("n_levels", [0, 22])
def test_c2c_belongs_to_the_step_of_the_device(n_levels):
    grid = CONTINUOUS if n_levels == 0 else levels(2201)
    p = ARRAY._replace(sigma_c2c=0.4158, sigma_step=0.5)
    state = fabricated(pulsed_array, p, grid)
    send(pulsed_array, state, p, grid, 1.0)
    assert_normal(state.level / state.step_up.astype(np.float64) - 1.0, 0.0, 0.4158)
    if n_levels:
        again = fabricated(pulsed_array, p, grid)
        send(pulsed_array, again, p, grid, -4.0, key=9)
        assert_normal(again.level / again.step_down.astype(np.float64) + 4.0, 0.0, 0.4158 * 2.0)


@pytest.mark.parametrize("nonlinearity", [0.4, 1.0])
def test_noiseless_pulses_follow_the_closed_form_up_to_each_bound(nonlinearity):
    p = ARRAY._replace(nonlinearity=nonlinearity, sigma_bound_up=0.3, sigma_step=0.3)
    grid = levels(101)
    state = fabricated(pulsed_array, p, grid, n=300)
    start = -10.0
    program(pulsed_array, state, p, grid, start)
    sent = 0
    for count in (1, 4, 20):
        send(pulsed_array, state, p, grid, count)
        sent += count
        bound = state.bound_up.astype(np.float64)
        expected = twin.sequence_of_soft_bounds(start, sent, state.step_up.astype(np.float64), bound, nonlinearity)
        expected = np.minimum(expected, np.minimum(bound, grid.level_max))
        monotone = nonlinearity * state.step_up < bound  # a larger step overshoots and is cut at the bound
        np.testing.assert_allclose(state.level[monotone], expected[monotone], rtol=2e-5, atol=2e-4)


def test_write_error_is_seen_and_does_not_accumulate():
    """Pulses up and down: hidden level exactly 0 or 1, looks spread by the same amount after any number of events."""
    p, grid = ARRAY._replace(write_noise=0.6), levels(22)
    state = fabricated(pulsed_array, p, grid)
    program(pulsed_array, state, p, grid, 0.5)
    np.testing.assert_array_equal(look(pulsed_array, state, p, grid), 0.5)
    seen = []
    for event in range(6):
        send(pulsed_array, state, p, grid, 3.0 if event % 2 == 0 else -3.0, key=100 + event)
        hidden = 3.5 if event % 2 == 0 else 0.5
        np.testing.assert_array_equal(state.level, np.float32(hidden))
        seen.append(look(pulsed_array, state, p, grid) - hidden)
        np.testing.assert_array_equal(seen[-1], look(pulsed_array, state, p, grid, key=77) - hidden)
    for error in (seen[0], seen[-1]):
        assert_normal(error, 0.0, 0.6)
    assert_uncorrelated(seen[0], seen[1])
    assert_uncorrelated(seen[0], seen[-1])


def test_corrupt_devices_stand_near_the_middle():
    p, grid = ARRAY._replace(stuck_corrupt=0.1348, corrupt_range=0.2), levels(22)
    state = fabricated(pulsed_array, p, grid)
    corrupt = state.fault != 0
    assert stats.binomtest(int(corrupt.sum()), N, 0.1348).pvalue > P_VALUE
    u = (state.level[corrupt].astype(np.float64) / (0.2 * grid.level_max) + 1.0) / 2.0
    assert stats.kstest(u, "uniform").pvalue > P_VALUE
    before = state.level.copy()
    send(pulsed_array, state, p, grid, 2.0)
    np.testing.assert_array_equal(state.level[corrupt], before[corrupt])
    np.testing.assert_array_equal(state.level[~corrupt], np.float32(2.0))


@pytest.mark.parametrize("n_levels", [0, 22])
def test_array_agrees_with_its_twin_cell_by_cell(n_levels):
    grid, n = CONTINUOUS if n_levels == 0 else levels(n_levels), 60
    law = {"nonlinearity": 0.8, "sigma_c2c": 0.3, "write_noise": 0.2}
    p = ARRAY._replace(
        **law, sigma_step=0.5, sigma_asymmetry=0.05, sigma_bound_up=0.35, sigma_bound_down=0.57, sigma_reference=0.05,
        stuck_corrupt=0.1,
    )  # fmt: skip
    state = fabricated(pulsed_array, p, grid, n=n)
    rng = np.random.default_rng(1)
    if n_levels:
        # Some start beyond their own bounds.
        target = rng.integers(0, n_levels, n).astype(np.float32) - np.float32(grid.level_max)
        pulsed_array.program(state, target, p, grid, 0.0)
    for key in (2**63 + 12345, 77, 2**40 + 3, 5):
        counts = (rng.normal(0, 1, n) if n_levels == 0 else rng.choice([-3, -1, 1, 2], n)).astype(np.float32)
        cells = [
            {name: float(getattr(state, name)[c]) for name in state._fields if name not in ("fault", "pulse_count")}
            | {"index": c, "error": float(state.write_error[c])}
            for c in range(n)
        ]  # fmt: skip
        expected = [
            (cell["level"], cell["error"]) if state.fault[c] else twin.array_pulse(cell, law, float(count),
                                                                                  grid.level_max, key)
            for c, (cell, count) in enumerate(zip(cells, counts, strict=True))
        ]  # fmt: skip
        send(pulsed_array, state, p, grid, counts, key)
        np.testing.assert_allclose(np.stack([state.level, state.write_error], axis=1), expected, rtol=3e-5, atol=3e-5)


# Cards


def test_magneto_ionic_cards_carry_the_published_curves():
    for shape, curve in CURVES.items():
        card = load_card(f"magneto_ionic_{shape}")
        value = {name: fact.value for name, fact in card.params.items()}
        assert value["w_range"] == pytest.approx(curve.w_range, rel=1e-5)
        assert value["n_levels"] == 2 * curve.n_pulses + 1
        ends = curve.f(curve.n_pulses) / curve.f(0.0)
        assert value["g_min"] / value["g_max"] == pytest.approx(ends, rel=0.005)
        assert not {f.kind for f in card.params.values()} & {"measured", "fitted"}
        params, grid = params_of(get_model("magneto_ionic"), card), levels(55)
        state = fabricated(magneto_ionic, params._replace(sigma_d2d=0.0), grid, n=1)
        for x in range(1, 28):
            send(magneto_ionic, state, params, grid, 1.0)
            weight = float(state.level[0]) * value["w_range"] / 27.0
            assert weight == pytest.approx(curve.f(0.0) - curve.f(x), rel=1e-5)


@pytest.mark.parametrize(("name", "dw_min", "write"), [("om", 0.0949, 1.4113), ("hfo2", 0.4622, 0.5841)])
def test_array_cards_put_a_step_on_a_level(name, dw_min, write):
    params = load_card(f"reram_array_{name}").params
    steps = params["n_levels"].value - 1
    assert steps == np.floor(2.0 / dw_min)
    assert params["step_size"].value * 2.0 / steps == pytest.approx(dw_min, rel=1e-3)
    assert params["write_noise"].value == pytest.approx(write * params["step_size"].value, rel=1e-3)


@pytest.mark.parametrize("module", [magneto_ionic, pulsed_array])
def test_a_cell_takes_less_than_half_of_64_bytes(module):
    state = new_state(module.MODEL, 1000)
    assert sum(array.nbytes for array in state) <= 32 * 1000
