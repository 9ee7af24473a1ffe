"""The junction that remembers: a telegraph process through looks, queries, idle time and the back-action of reading.

False alarms: fewer than 200 comparisons, each with a chance below 2e-9, 4e-7 in all; keys are fixed.
"""

from __future__ import annotations

import numpy as np
import pytest
from building import analog, make_card, make_chip, synapse_spec
from oracles.samplers import sigmoid, telegraph
from scipy import stats

from bimu_hw.crossbar.synapses import Seeds, SynapseArray
from bimu_hw.devices import Site, new_state
from bimu_hw.learning.rules import Bimu
from device_models import smtj

P_VALUE = 2e-9
Z = 6.0
N = 60_000
TAU = 20e-9
RULE = Bimu(lr=30.0, lr_max=0.5, likelihood_multiplier=1.0, kl_multiplier=0.5, memory_window=50.0)


def junction(lam, n=N, read_time=0.0, **changes):
    values = {
        "slope": 1.0, "offset": 0.0, "sigma_slope": 0.0, "sigma_offset": 0.0, "relaxation_time": TAU,
        "read_backaction": 0.0, "tmr_half_voltage": 1e9,
    }  # fmt: skip
    params, site = smtj.Params(**{**values, **changes}), Site(n, 128, read_time=read_time)
    state = new_state(smtj.MODEL, n)
    smtj.fabricate(state, params, site, np.uint64(3))
    set_lam(state, params, site, lam)
    return state, params, site


def set_lam(state, params, site, lam):
    n = state.last.size
    smtj.bias(state, np.full(n, lam, np.float32), np.arange(n, dtype=np.int32), params, site, 0.0)


def looks(device, now, n=1, key=17, interval=1e-9):
    state, params, site = device
    out = np.zeros((n, state.last.size), np.int8)
    smtj.sample(state, params, site, np.uint64(key), 0, interval, now, out)
    return out


def assert_share(hits, n, probability):
    assert stats.binomtest(int(hits), int(n), probability).pvalue > P_VALUE, f"{hits} of {n}, expected {probability}"


def assert_transition(before, after, lam, t):
    """Both conditional probabilities, against the master equation of the two leaving rates."""
    for state, probability in zip((1, -1), telegraph(lam, TAU, t), strict=True):
        chosen = before == state
        assert_share(np.sum(after[chosen] == 1), chosen.sum(), probability)


@pytest.mark.parametrize("lam", [-0.8, 0.0, 1.4])
@pytest.mark.parametrize("gap", [2e-9, 15e-9, 60e-9])
def test_the_first_look_goes_on_from_the_last_query(lam, gap):
    device = junction(lam)
    last = looks(device, 0.0, 3)[-1]  # at 3 ns
    after = looks(device, 2e-9 + gap, key=18)[0]  # an interval of 1 ns after the query's begin
    assert_transition(last, after, lam, gap)


@pytest.mark.parametrize("lam", [0.0, 0.9])
def test_idle_time_in_one_step_and_in_two_is_the_same_process(lam):
    for steps in ((9e-9,), (4e-9, 9e-9), (1e-9, 2e-9, 9e-9)):
        device = junction(lam)
        last, when = looks(device, 0.0)[0].copy(), 1e-9
        since = 0.0
        for i, now in enumerate(steps):
            smtj.advance(*device, np.uint64(90 + i), since, now + when)
            since = now + when
        assert_transition(last, device[0].last.copy(), lam, 9e-9)
        after = looks(device, 10e-9, key=18)[0]  # 1 ns later: the state goes on from where the idle time left it
        assert_transition(last, after, lam, 10e-9)


def test_the_process_relaxes_under_the_bias_it_has():
    """Idle for t at one lam, then t' at another: the transition is the product of the two, not that of either."""
    first, second, t = 0.8, -0.5, 8e-9
    device = junction(first)
    last = looks(device, 0.0)[0].copy()
    smtj.advance(*device, np.uint64(5), 0.0, 1e-9 + t)
    set_lam(*device, second)
    after = looks(device, 1e-9 + t, key=18, interval=4e-9)[0]
    up, down = telegraph(first, TAU, t)
    later_up, later_down = telegraph(second, TAU, 4e-9)
    for state, p in ((1, up), (-1, down)):
        chosen = last == state
        assert_share(np.sum(after[chosen] == 1), chosen.sum(), p * later_up + (1.0 - p) * later_down)


def test_two_looks_are_never_closer_than_their_interval():
    """The backward read of a query names an earlier time than its last forward look; it comes one interval after it."""
    device = junction(0.3)
    last = looks(device, 0.0, 5, interval=4e-9)[-1]
    back = looks(device, 0.0, 2, key=21, interval=4e-9)
    assert_transition(last, back[0], 0.3, 4e-9)
    assert_transition(back[0], back[1], 0.3, 4e-9)
    assert device[0].when[0] == pytest.approx(28e-9)


def test_long_idle_time_forgets_and_no_relaxation_time_is_no_memory():
    device = junction(0.3)
    last = looks(device, 0.0)[0].astype(float)
    later = looks(device, 1.0, key=18)[0]
    assert_share(np.sum(later == 1), N, sigmoid(0.6))
    assert abs(np.corrcoef(last, later)[0, 1]) * np.sqrt(N) < Z
    blank = junction(0.3, relaxation_time=0.0)
    looks(blank, 0.0, 3)
    smtj.advance(*blank, np.uint64(1), 0.0, 1.0)
    assert not blank[0].last.any()
    assert blank[0].when[0] == -np.inf


def test_looks_at_no_stated_distance_leave_no_memory():
    device = junction(0.3)
    looks(device, 0.0, 3, interval=np.inf)
    assert device[0].when[0] == -np.inf
    assert_share(np.sum(looks(device, 0.0, key=3)[0] == 1), N, sigmoid(0.6))


@pytest.mark.parametrize(("lam", "shift"), [(0.0, 0.6), (0.7, -1.1)])
@pytest.mark.parametrize(("reading", "interval"), [(5e-9, 12e-9), (10e-9, 10e-9), (10e-9, 100e-9)])
def test_back_action_is_the_telegraph_process_with_the_current_on_and_off(lam, shift, reading, interval):
    device = junction(lam, read_time=reading, read_backaction=shift)
    w = looks(device, 0.0, 40, interval=interval)
    off = telegraph(lam, TAU, interval - reading)
    on = telegraph(lam + shift, TAU, reading)

    def chain(p):
        p = p * off[0] + (1.0 - p) * off[1]
        return p * on[0] + (1.0 - p) * on[1]

    before, after = w[-2], w[-1]
    for state, p in ((1, 1.0), (-1, 0.0)):
        chosen = before == state
        assert_share(np.sum(after[chosen] == 1), chosen.sum(), chain(p))
    stationary = 0.5
    for _ in range(2000):
        stationary = chain(stationary)
    assert_share(np.sum(after == 1), N, stationary)


def test_back_action_of_no_current_is_none():
    """The two draw their weights by different comparisons, so shares are equal and not bits.

    Five standard deviations of a difference of shares at eleven places: a false alarm in 150,000 runs.
    """
    plain, shifted = junction(0.4, read_time=5e-9), junction(0.4, read_time=5e-9, read_backaction=1e-30)
    a, b = looks(plain, 0.0, 6, interval=8e-9), looks(shifted, 0.0, 6, interval=8e-9)
    limit = 5.0 * np.sqrt(2 * 0.25 / N)
    assert np.max(np.abs(np.mean(a == 1, axis=1) - np.mean(b == 1, axis=1))) < limit
    stays = [np.mean(w[1:] == w[:-1], axis=1) for w in (a, b)]
    assert np.max(np.abs(stays[0] - stays[1])) < limit


def chip(relaxation_time, holds="query", **sampler):
    card = make_card("smtj", relaxation_time=relaxation_time, slope=1.0, **sampler)
    chip = make_chip((12, 9, 4), 3, synapses=synapse_spec(sampler=card, holds=holds))
    for s in chip.layers:
        s.look_interval = 1e-9
    return chip


def test_a_frozen_junction_repeats_itself_through_queries_and_backward_reads():
    """A relaxation time beyond all time: every look of every query and of the backward reads is the same weight."""
    for holds in ("query", "read"):
        frozen = chip(1e9, holds)
        x = analog(np.random.default_rng(0).normal(size=12))
        frozen.infer(x, 0, 1e-6)
        weights = [layer.weights.copy() for layer in frozen._layers]
        assert all(np.all(w == w[0]) for w in weights)
        frozen.learn(x, 1, 1, 2e-6, RULE, "hard")
        for layer, w in zip(frozen._layers, weights, strict=True):
            assert np.all(layer.weights == w[0])
        assert np.all(frozen._layers[1].backward_weights == weights[1][0])
    fast = chip(1e-15)
    fast.infer(analog(np.ones(12)), 0, 1e-6)
    assert not np.all(fast._layers[0].weights == fast._layers[0].weights[0])


def test_an_array_carries_the_state_and_evaluation_leaves_it():
    spec = synapse_spec(sampler=make_card("smtj", relaxation_time=1.0))
    pair = [SynapseArray((200, 300), spec, Seeds(1, 1, 1), 0) for _ in range(2)]
    results = []
    for s in pair:
        s.look_interval = 0.1
        out = np.zeros((2, 200, 300), np.int8)
        seen = []
        for event, now in ((0, 0.0), (1, 0.5)):
            s.read(event, now)
            s.sample(event, now, out)
            seen.append(out.copy())
            if s is pair[0]:
                probe = np.zeros((1, 200, 300), np.int8)
                s.read(77, now + 0.2, probe=True)
                s.sample(77, now + 0.2, probe, probe=True)
        results.append(seen)
    assert all(np.array_equal(a, b) for a, b in zip(*results, strict=True))
    (first, second), m = results[0], np.tanh(pair[0].lam.astype(float))
    last, after = first[1].ravel().astype(float), second[0].ravel().astype(float)
    products = (last - m) * (after - m) / (1.0 - m**2)
    # From the second look, at 0.2 s, to the first of the next query, an interval after 0.5 s.
    rho = np.mean(np.exp(-0.4 * np.cosh(pair[0].lam.astype(float))))
    assert abs(products.mean() - rho) < Z * products.std() / np.sqrt(products.size)


def test_reading_too_fast_makes_the_samples_of_a_query_alike():
    """What it costs: the variance of the mean of S samples is that of correlated draws, by the closed form."""
    n_sample, ratio = 5, 0.5
    device = junction(0.0)
    mean = looks(device, 0.0, n_sample, interval=ratio * TAU).astype(float).mean(axis=0)
    rho = np.exp(-ratio)
    lags = np.arange(1, n_sample)
    expected = (1.0 + 2.0 * np.sum((1.0 - lags / n_sample) * rho**lags)) / n_sample
    spread = np.std(mean**2) / np.sqrt(N)
    assert abs(np.mean(mean**2) - expected) < Z * spread
    assert expected > 2.5 / n_sample
