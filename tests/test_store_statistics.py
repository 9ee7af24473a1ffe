"""Phase-change, ECRAM and SRAM stores, retention and thermal hops against closed forms and twins.

False alarms: every statistical comparison fails a correct model with a probability of 2e-9 (6 standard deviations, or
a p-value of that size); some 40 of them here make 8e-8 in all. Keys are fixed: a pass stays one.
"""

from __future__ import annotations

import numpy as np
import pytest
from building import make_card, synapse_spec
from oracles import storage as twin
from scipy import stats
from test_device_statistics import (
    CONTINUOUS,
    P_VALUE,
    PAIR,
    WALL,
    N,
    assert_mean,
    assert_normal,
    assert_share,
    assert_uncorrelated,
    fabricated,
    levels,
    peek,
    send,
)

from bimu_hw.cards import shipped_cards
from bimu_hw.crossbar.synapses import Seeds, SynapseArray
from bimu_hw.devices import get_model, time_matters
from bimu_hw.testing import STORAGE_CHECKS
from device_models import domain_wall_mtj, ecram, pcm, soft_bounds_pair, sram

KEYS = (2**63 + 12345, 77, 2**40 + 3)
DAY = 86400.0


def params(module, **values):
    """Return parameters of a model: nonidealities neutral, the others of its first card, but for the values given."""
    card = next(c for c in shipped_cards().values() if c.model == module.MODEL.name)
    base = {s.name: card.params[s.name].value for s in module.MODEL.specs}
    return module.Params(**{**base, **neutral_values_of(module), **values})


def neutral_values_of(module):
    return {s.name: s.neutral for s in module.MODEL.specs if s.neutral is not None}


def card_params(name):
    card = shipped_cards()[name]
    module = {"pcm": pcm, "ecram": ecram}[card.model]
    return module.Params(*(card.params[s.name].value for s in module.MODEL.specs))


def look(module, state, p, grid, now, cells=None):
    """Return the noise-free levels at `now`."""
    out = np.zeros(state.pulse_count.size, np.float32)
    cells = np.arange(out.size, dtype=np.int32) if cells is None else cells
    module.peek(state, cells, p, grid, now, out)
    return out.astype(np.float64)


def programmed(module, p, grid, level, n=N):
    state = fabricated(module, p, grid, n)
    module.program(state, np.full(n, level, np.float32), p, grid, 0.0)
    return state


# Phase-change pair: pulses


PULSES = {"step_floor": 0.3, "step_excess": 4.0, "step_decay": 5.0, "sigma_c2c": 0.2, "c2c_floor": 0.01,
          "c2c_slope": 0.05, "write_floor": 0.01, "write_slope": 0.05, "write_curve": -0.03}  # fmt: skip


@pytest.mark.parametrize("n_levels", [0, 41])
def test_pcm_agrees_with_its_twin_device_by_device(n_levels):
    # A window so wide that no continuous pair is refreshed.
    p = params(pcm, **PULSES, sigma_d2d=0.3, sigma_range=0.1, stuck_on=0.1, stuck_random=0.05, refresh_above=1.0,
               lam_window=40.0)  # fmt: skip
    grid = CONTINUOUS if n_levels == 0 else levels(n_levels)
    window = 40.0 if n_levels == 0 else 20.0
    state = fabricated(pcm, p, grid, n=60)
    rng = np.random.default_rng(1)
    for key in KEYS:
        counts = (rng.normal(0, 1, 60) if n_levels == 0 else rng.choice([-3, -1, 1, 2], 60)).astype(np.float32)
        expected = state.height.astype(np.float64)
        for c in range(60):
            d = 0 if counts[c] > 0 else 1
            n = 1 if n_levels == 0 else int(abs(counts[c]))
            for pulse in range(n):
                if state.fault[c, d] == 0:
                    expected[c, d] = twin.pcm_pulse(
                        expected[c, d], state.step[c, d], state.top[c, d], abs(counts[c]) / n, PULSES, window, key, c,
                        pulse, pulse == 0,
                    )  # fmt: skip
        send(pcm, state, p, grid, counts, key)
        assert not state.refresh_count.any()
        np.testing.assert_allclose(state.height, expected, rtol=3e-5, atol=3e-5)
        np.testing.assert_allclose(state.level, state.height[:, 0] - state.height[:, 1], atol=1e-4)


def test_pcm_moves_one_device_and_only_up():
    p, grid = params(pcm), levels(41)
    state = programmed(pcm, p, grid, 3.0, n=1)
    for count, heights in ((2, [[5.0, 0.0]]), (-4, [[5.0, 4.0]]), (1, [[6.0, 4.0]])):
        send(pcm, state, p, grid, count)
        assert state.height.tolist() == heights
    assert state.level.tolist() == [2.0]


def test_pcm_climbs_along_the_closed_form_of_its_fit():
    """The continuum limit dx/dn = a (1 + A exp(-g x)) has n(x) = ln((e^(g x) + A) / (1 + A)) / (a g)."""
    p = card_params("pcm_nandakumar2020")
    p = params(pcm, step_floor=p.step_floor, step_excess=p.step_excess, step_decay=p.step_decay)
    # Steps a hundred times finer: the recursion is then its own continuum limit.
    grid = levels(41)
    fine = p._replace(step_floor=p.step_floor / 100, step_excess=p.step_excess / 100)
    state = programmed(pcm, fine, grid, 0.0, n=1)
    for n in (500, 1500, 3000):
        send(pcm, state, fine, grid, 500 if n == 500 else n - (500 if n == 1500 else 1500))
        x = float(state.height[0, 0]) / 20.0
        pulses = np.log((np.exp(5.0 * x) + 27.235) / 28.235) / (0.005 * 5.0)
        assert pulses == pytest.approx(n / 100, rel=2e-3)


def test_pcm_refresh_keeps_the_difference_and_is_counted():
    p = params(pcm, refresh_above=0.75, refresh_common=0.25)
    grid = levels(41)
    state = programmed(pcm, p, grid, 8.0, n=1)
    send(pcm, state, p, grid, -7)  # heights 8 and 7
    send(pcm, state, p, grid, 8)  # the minus device stands above a quarter: refreshed before the pulse past 15
    assert state.refresh_count.tolist() == [0]
    assert state.height.tolist() == [[16.0, 7.0]]
    send(pcm, state, p, grid, 1)
    assert state.refresh_count.tolist() == [1]
    assert state.height.tolist() == [[10.0, 0.0]]
    assert state.level.tolist() == [10.0]
    assert state.pulse_count.tolist() == [16]


def test_pcm_refresh_has_the_noise_it_states():
    write = {"write_floor": 0.02, "write_slope": 0.04, "write_curve": -0.01}
    p = params(pcm, refresh_noise=0.01, refresh_above=0.5, refresh_common=0.3)
    grid = levels(41)
    state = programmed(pcm, p, grid, 12.0)
    send(pcm, state, p, grid, -7)
    send(pcm, state, p._replace(**write), grid, -1, key=6)  # no refresh: the minus device stands at 7
    assert not state.refresh_count.any()
    state = programmed(pcm, p, grid, 12.0)
    send(pcm, state, p, grid, -7)
    p = p._replace(**write, step_floor=0.0)  # what follows is a refresh and a pulse of no step
    before = state.height.copy()
    send(pcm, state, p, grid, 1.0, key=6)
    assert (state.refresh_count == 1).all()
    assert before[0].tolist() == [12.0, 7.0]
    x = 5.0 / 20.0
    after_write = 20.0 * (0.02 + 0.04 * x - 0.01 * x**2)
    refreshed = np.hypot(after_write, 0.2)
    # The event's own write noise follows at the refreshed height: its curvature is below a thousandth here.
    assert_mean(state.height[:, 0].astype(np.float64), 5.0, np.hypot(refreshed, after_write))
    ratio = state.height[:, 0].std() / np.hypot(refreshed, after_write)
    assert ratio == pytest.approx(1.0, abs=0.03)
    # The device that is only RESET keeps the positive half of its noise.
    assert_share(np.sum(state.height[:, 1] == 0.0), N, 0.5)
    rest = state.height[:, 1][state.height[:, 1] > 0].astype(np.float64) / 0.2
    assert stats.kstest(rest, "halfnorm").pvalue > P_VALUE


@pytest.mark.parametrize("at", [0.0, 8.0, 16.0])
def test_pcm_programming_noise_depends_on_the_conductance(at):
    card = card_params("pcm_nandakumar2019")
    names = ("write_floor", "write_slope", "write_curve")
    p = params(pcm, **{n: getattr(card, n) for n in names})
    grid = levels(41)
    state = programmed(pcm, p, grid, at)
    send(pcm, state, p, grid, 1.0)
    x = (at + 1.0) / 20.0
    sigma_us = 0.26348 + 1.9650 * x - 1.1731 * x**2
    assert_normal(state.height[:, 0].astype(np.float64) / 20.0 * 25.0, x * 25.0, sigma_us)


def test_pcm_spread_of_step_and_range():
    p = params(pcm, sigma_d2d=0.2, sigma_range=0.1)
    state = fabricated(pcm, p, levels(41))
    for array, sigma in ((state.step, 0.2), (state.top, 0.1)):
        variance = np.log1p(sigma**2)
        logs = np.log(array.astype(np.float64) / (1.0 if sigma == 0.2 else 20.0))
        if sigma == 0.2:
            assert_normal(logs[:, 0], -variance / 2, np.sqrt(variance))
        else:
            below = stats.norm.cdf(0.0, -variance / 2, np.sqrt(variance))
            assert_share(np.sum(logs[:, 1] < -1e-6), N, below)
        assert_uncorrelated(logs[:, 0], logs[:, 1])
    assert_uncorrelated(state.step[:, 0], state.top[:, 0])


# Phase-change pair: time


def test_pcm_drifts_with_the_exponent_of_its_conductance():
    p, grid = card_params("pcm_nandakumar2019"), levels(41)
    p = params(pcm, **{n: getattr(p, n) for n in p._fields if n.startswith("drift")})
    for x in (0.05, 0.3, 0.9):
        state = programmed(pcm, p, grid, 20.0 * x, n=2000)
        deviates = state.drift_deviate[:, 0] / 4096.0
        for age in (0.0, 19.0, 100.0, DAY, 3e7):
            expected = [20.0 * twin.drifted(x, z, age, p) for z in deviates]
            np.testing.assert_allclose(look(pcm, state, p, grid, age), expected, rtol=3e-5)
    assert_normal(fabricated(pcm, p, grid).drift_deviate[:, 0] / 4096.0, 0.0, 1.0)


def test_pcm_drift_shows_as_forgetting_and_a_pulse_restarts_it():
    p, grid = params(pcm, drift=1.0), levels(41)
    state = programmed(pcm, p, grid, 10.0, n=500)
    send(pcm, state, p, grid, -6.0)
    later = look(pcm, state, p, grid, DAY)
    assert (np.abs(later) < 4.0).mean() > 0.6  # both devices fade; where the larger one does not, the level may grow
    pairs = state.drift_deviate / 4096.0
    expected = [20 * (twin.drifted(0.5, a, DAY, p) - twin.drifted(0.3, b, DAY, p)) for a, b in pairs]
    np.testing.assert_allclose(later, expected, atol=1e-4)
    cells = np.arange(0, 500, 2, dtype=np.int32)
    pcm.pulse(state, cells, np.full(250, 1.0, np.float32), p, grid, np.uint64(4), DAY)
    after = look(pcm, state, p, grid, DAY)
    np.testing.assert_array_equal(after[1::2], later[1::2])
    minus = np.array([20 * twin.drifted(0.3, b, DAY, p) for b in state.drift_deviate[::2, 1] / 4096.0])
    np.testing.assert_allclose(after[::2], 11.0 - minus, atol=1e-4)


@pytest.mark.parametrize("age", [1e-6, 1.0, DAY])
def test_pcm_read_noise_grows_as_one_over_f(age):
    p, grid = params(pcm, flicker=0.0088, read_noise=0.05), levels(41)
    state = programmed(pcm, p, grid, 10.0)
    send(pcm, state, p, grid, -6.0)
    seen = np.zeros(N, np.float32)
    pcm.read(state, p, grid, np.uint64(9), age, seen)
    parts = [20.0 * twin.one_over_f(0.5, age, p), 20.0 * twin.one_over_f(0.3, age, p), 0.05]
    assert_normal(seen.astype(np.float64), 4.0, np.sqrt(np.sum(np.square(parts))))


def test_pcm_conductance_is_what_the_level_is_made_of():
    p, grid = params(pcm, drift=1.0, g_min=1e-7, g_max=2.5e-5), levels(41)
    state = programmed(pcm, p, grid, 10.0, n=50)
    send(pcm, state, p, grid, -6.0)
    out = np.zeros((50, 2), np.float32)
    for now in (0.0, DAY):
        pcm.conductance(state, p, grid, now, out)
        span = (out[:, 0].astype(np.float64) - out[:, 1]) / (2.5e-5 - 1e-7)
        np.testing.assert_allclose(20.0 * span, look(pcm, state, p, grid, now), atol=1e-4)


# ECRAM


ECRAM = {"gamma_up": 0.3, "gamma_down": 0.7, "asymmetry": 0.1, "sigma_c2c": 0.4, "write_noise": 0.2}


def test_ecram_agrees_with_its_twin_cell_by_cell():
    p = params(ecram, **ECRAM, sigma_d2d=0.2, sigma_asymmetry=0.1, sigma_range=0.2, stuck_off=0.1)
    grid = levels(41)
    state = fabricated(ecram, p, grid, n=60)
    rng = np.random.default_rng(2)
    for key in KEYS:
        counts = rng.choice([-3, -1, 1, 2, 30], 60).astype(np.float32)
        expected = state.level.astype(np.float64)
        for c in np.flatnonzero(state.fault == 0).tolist():
            steps, ends = (state.step_up[c], state.step_down[c]), (state.top[c], state.bottom[c])
            for pulse in range(int(abs(counts[c]))):
                expected[c] = twin.ecram_pulse(
                    expected[c], np.sign(counts[c]), steps, ends, ECRAM, 20.0, key, c, pulse, pulse == 0
                )
        send(ecram, state, p, grid, counts, key)
        np.testing.assert_allclose(state.level, expected, atol=2e-4)


@pytest.mark.parametrize("name", ["ecram_tang2018", "ecram_kim2019"])
def test_ecram_climbs_along_the_closed_form_of_the_linear_step(name):
    """With l_0 = L / gamma, a step of 1 - l / l_0 gives l_0 - (l_0 - l) (1 - 1 / l_0)^n."""
    card = card_params(name)
    grid = levels(int(shipped_cards()[name].params["n_levels"].value))
    p = params(ecram, gamma_up=card.gamma_up, gamma_down=card.gamma_down)
    top = grid.level_max
    for count, gamma in ((500.0, card.gamma_up), (-500.0, card.gamma_down)):
        state = programmed(ecram, p, grid, 0.0, n=1)
        send(ecram, state, p, grid, count)
        fixed = top / gamma
        expected = min(fixed * (1.0 - (1.0 - 1.0 / fixed) ** 500), top)
        assert abs(float(state.level[0])) == pytest.approx(expected, rel=1e-4)


def test_ecram_spread():
    p = params(ecram, sigma_d2d=0.3, sigma_asymmetry=0.05, sigma_range=0.1)
    state = fabricated(ecram, p, levels(41))
    up, down = state.step_up.astype(np.float64), state.step_down.astype(np.float64)
    assert_normal((up - down) / (up + down), 0.0, 0.05)
    variance = np.log1p(0.09)
    assert_normal(np.log((up + down) / 2), -variance / 2, np.sqrt(variance))
    below = stats.norm.cdf(np.sqrt(np.log1p(0.01)) / 2)
    assert_share(np.sum(state.top < 20.0), N, below)
    assert_share(np.sum(state.bottom > -20.0), N, below)
    assert_uncorrelated(state.top, state.bottom)


@pytest.mark.parametrize("module", [pcm, ecram, sram])
def test_stuck_fractions_of_the_stores(module):
    p = params(module, stuck_on=0.03, stuck_off=0.05, stuck_random=0.1)
    state = fabricated(module, p, levels(16))
    fault = state.fault.ravel()
    for code, share in ((1, 0.03), (2, 0.05), (3, 0.1)):
        assert_share(np.sum(fault == code), fault.size, share)
    if module is not pcm:
        assert set(state.level[fault == 1]) == {7.5}
        assert set(state.level[fault == 2]) == {-7.5}
    else:
        assert set(state.height.ravel()[fault == 1]) == {7.5}
        assert set(state.height.ravel()[fault == 2]) == {0.0}


def test_a_stuck_partner_is_balanced_when_a_pair_is_programmed():
    p, grid = params(pcm, stuck_random=0.3), levels(16)
    state = fabricated(pcm, p, grid, n=2000)
    pcm.program(state, np.full(2000, 0.5, np.float32), p, grid, 0.0)
    one = (state.fault != 0).sum(axis=1) == 1
    plus, minus = state.fault.T != 0
    reachable = plus & (state.height[:, 0] >= 0.5) | minus & (state.height[:, 1] <= 7.0)
    np.testing.assert_allclose(state.level[one & reachable], 0.5, atol=1e-6)
    assert (one & reachable).sum() > 500


def test_sram_adds_and_saturates():
    p, grid = params(sram), levels(256)
    state = programmed(sram, p, grid, 120.5, n=3)
    send(sram, state, p, grid, np.array([3, 30, -300], np.float32))
    assert state.level.tolist() == [123.5, 127.5, -127.5]
    assert state.pulse_count.tolist() == [3, 30, 300]


# Retention


RETENTION = {"retention_rate": 1e-5, "activation_energy": 0.6, "rest_level": -0.5}


def rested(module):
    return (PAIR if module is soft_bounds_pair else params(ecram))._replace(**RETENTION)


@pytest.mark.parametrize("temperature", [300.0, 358.0])
@pytest.mark.parametrize("module", [soft_bounds_pair, ecram])
def test_a_level_relaxes_exponentially_at_the_rate_of_its_temperature(module, temperature):
    p, grid = rested(module), levels(16)._replace(temperature=temperature)
    rate = twin.retention_rate(1e-5, 0.6, temperature)
    assert rate == pytest.approx(1e-5 if temperature == 300.0 else 4.295e-4, rel=1e-3)
    state = programmed(module, p, grid, 6.5, n=4)
    for now in (0.0, 1e-3, 1e3, 1e5, 1e7):
        # Both devices of a pair relax to the same level: their half difference goes to 0.
        rest = 0.0 if module is soft_bounds_pair else -3.75
        expected = rest + (6.5 - rest) * np.exp(-rate * now)
        np.testing.assert_allclose(look(module, state, p, grid, now), expected, atol=2e-6)


@pytest.mark.parametrize("module", [soft_bounds_pair, ecram])
def test_a_million_short_waits_are_one_long_one(module):
    """The clock ticks every half millisecond, the device relaxes over days: nothing may be rounded away."""
    p, grid = rested(module), levels(16)
    state, quiet = programmed(module, p, grid, 6.5, n=4), programmed(module, p, grid, 6.5, n=4)
    for step in range(1000):
        module.advance(state, p, grid, np.uint64(step), 5e-4 * step, 5e-4 * (step + 1))
    assert look(module, state, p, grid, 5e4).tolist() == look(module, quiet, p, grid, 5e4).tolist()
    # A pulse takes the relaxation over; the noiseless step is one level.
    send_at = np.arange(4, dtype=np.int32)
    before = look(module, state, p, grid, 5e4)
    module.pulse(state, send_at, np.full(4, -1.0, np.float32), p, grid, np.uint64(1), 5e4)
    np.testing.assert_allclose(look(module, state, p, grid, 5e4), before - 1.0, atol=1e-5)
    half = np.exp(-1e-5 * 5e4)
    rest = 0.0 if module is soft_bounds_pair else -3.75
    np.testing.assert_allclose(look(module, state, p, grid, 1e5), rest + (before - 1.0 - rest) * half, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("hfox_2t2r", RETENTION | {"retention_rate": 0.02}), ("ecram_tang2018", RETENTION | {"retention_rate": 0.02}),
        ("dw_notched", {"depin_rate": 0.02}), ("dw_leonard2021", {"depin_rate": 30.0}),
        ("pcm_nandakumar2019", {"drift_start": 1e-3}),
    ],
)  # fmt: skip
def test_devices_that_forget_conform(name, changes):
    card = shipped_cards()[name]
    model = get_model(card.model)
    aged = card.with_values(changes, {s.name: s for s in model.specs}, "test")
    for check in STORAGE_CHECKS:
        check(model, aged)


# Thermal hops of a domain wall


@pytest.mark.parametrize("temperature", [300.0, 340.0])
@pytest.mark.parametrize(("n", "start", "time"), [(16, 3, 0.5), (16, 15, 40.0), (5, 0, 7.0), (5, 2, 1e6)])
def test_walls_hop_as_a_walk_between_reflecting_ends(n, start, time, temperature):
    p, grid = WALL._replace(depin_rate=0.8, activation_energy=0.3), levels(n)._replace(temperature=temperature)
    state = programmed(domain_wall_mtj, p, grid, start - (n - 1) / 2)
    domain_wall_mtj.advance(state, p, grid, np.uint64(3), 1.0, 1.0 + time)
    hops = 0.5 * twin.retention_rate(0.8, 0.3, temperature) * time
    expected = np.array(twin.reflected_walk(start, n, hops)) * N
    counts = np.bincount((state.level + (n - 1) / 2).astype(int), minlength=n)
    likely = expected > 5
    assert counts[~likely].sum() <= 60
    pooled = np.append(counts[likely], counts[~likely].sum()), np.append(expected[likely], expected[~likely].sum())
    keep = pooled[1] > 5
    observed, wanted = pooled[0][keep], pooled[1][keep]
    assert stats.chisquare(observed, wanted * observed.sum() / wanted.sum()).pvalue > P_VALUE


def test_rare_hops_are_as_rare_as_they_should_be():
    """A probability of 1e-12 per step of time is below the resolution of 32 bits, and must not be rounded to more."""
    p, grid = WALL._replace(depin_rate=2e-3), levels(16)
    state = programmed(domain_wall_mtj, p, grid, 0.5)
    for step in range(200):
        domain_wall_mtj.advance(state, p, grid, np.uint64(step), 0.0, 5e-10)
    assert (state.level == 0.5).all()  # 1e-12 x 2 x 1e5 x 200 = 4e-5 hops expected
    for step in range(200):
        domain_wall_mtj.advance(state, p, grid, np.uint64(step), 0.0, 5e-3)
    assert_share(np.sum(state.level != 0.5), N, -np.expm1(-2e-3 * 5e-3 * 200))


def test_a_track_without_notches_creeps():
    p = WALL._replace(depin_rate=0.5)
    state = fabricated(domain_wall_mtj, p, CONTINUOUS)
    domain_wall_mtj.advance(state, p, CONTINUOUS, np.uint64(3), 0.0, 0.08)
    assert_normal(peek(domain_wall_mtj, state, p, CONTINUOUS), 0.0, np.sqrt(0.5 * 0.08))


def test_time_costs_nothing_where_it_changes_nothing():
    for name, card in shipped_cards().items():
        module = {"pcm": pcm, "ecram": ecram, "sram": sram}.get(card.model)
        if module is not None:
            p = module.Params(*(card.params[s.name].value for s in module.MODEL.specs))
            assert time_matters(module.MODEL, p) == (card.model == "pcm"), name
    for rate, moved in ((0.0, False), (0.5, True)):
        card = make_card("ecram", n_levels=9, g_max=2.0, retention_rate=rate)
        array = SynapseArray((10, 12), synapse_spec(card), Seeds(1, 1, 1), 0)
        version, lam = array.version, array.lam.copy()
        array.advance(1, 2.0)
        assert (array.version != version) == moved
        assert np.array_equal(array.lam, lam) != moved
