"""Devices that change with time and with looks: the toys below are registered for these tests only.

False alarms: four comparisons at 6 standard deviations, 1e-8 in all; keys are fixed.
"""

from __future__ import annotations

import math
from dataclasses import replace
from importlib.metadata import EntryPoint
from typing import NamedTuple

import numpy as np
import pytest
from building import analog, make_card, make_chip, synapse_spec

from bimu_hw import devices
from bimu_hw.crossbar.synapses import Seeds, SynapseArray
from bimu_hw.devices import ParamSpec, SamplerModel, StateVar, get_model
from bimu_hw.errors import DeviceModelError
from bimu_hw.kernels import jit
from bimu_hw.kernels.bits import fill_normal, fill_uniform
from bimu_hw.learning.rules import Bimu
from bimu_hw.testing import SAMPLER_CHECKS, STORAGE_CHECKS
from device_models import ideal_sampler, ideal_storage

Z = 6.0
RULE = Bimu(lr=30.0, lr_max=0.5, likelihood_multiplier=1.0, kl_multiplier=0.5, memory_window=50.0)
DISTURBED: list[tuple[int, float]] = []


# A store that relaxes to level 0 as an Ornstein-Uhlenbeck process, and whose level every look lowers a little.


class Leak(NamedTuple):
    rate: float
    sigma: float
    pull: float
    read_noise: float
    g_min: float
    g_max: float
    lam_window: float


def leak_advance(state, params, grid, key, since, now):
    rho = math.exp(-params.rate * (now - since))
    noise = np.zeros(state.level.size, np.float32)
    fill_normal(key, noise)
    moved = rho * state.level + params.sigma * math.sqrt(1.0 - rho**2) * noise
    np.clip(moved, -grid.level_max, grid.level_max, out=state.level)


def leak_disturb(state, params, grid, key, looks, now):
    DISTURBED.append((looks, now))
    state.level[:] *= np.float32((1.0 - params.pull) ** looks)


def leak_read(state, params, grid, key, now, out):
    fill_normal(key, out)
    out *= np.float32(params.read_noise)
    out += state.level


def _compiled(kernel):
    """Compile a kernel again, outside the cache on disk: that must not learn of parameter types of a test."""
    return jit(kernel.py_func, cache=False)


LEAKY = replace(
    ideal_storage.MODEL, name="leaky", params=Leak, read=leak_read, advance=leak_advance, disturb=leak_disturb,
    **{k: _compiled(getattr(ideal_storage, k)) for k in ("fabricate", "program", "pulse", "peek", "conductance")},
    specs=(
        ParamSpec("rate", "1/s", "rate of relaxation", 0.0, 1e9, 0.0),
        ParamSpec("sigma", "1", "standard deviation in equilibrium, in levels", 0.0, 1e3, 0.0),
        ParamSpec("pull", "1", "share of the level that a look takes", 0.0, 1.0, 0.0),
        ParamSpec("read_noise", "1", "noise of a look", 0.0, 1e3, 0.0),
        *ideal_storage.MODEL.specs,
    ),
)  # fmt: skip


# A sampler that repeats its last weight unless it has relaxed since, whatever query that was for.


class Slow(NamedTuple):
    tau: float


class SlowState(NamedTuple):
    threshold: np.ndarray
    last: np.ndarray
    when: np.ndarray


def slow_fabricate(state, params, site, key):
    ideal_sampler.fabricate(ideal_sampler.State(state.threshold), None, site, key)
    state.when[:] = -np.inf


def slow_bias(state, lam, cells, params, site, now):
    ideal_sampler.bias(ideal_sampler.State(state.threshold), lam, cells, None, site, now)


def slow_sample(state, params, site, key, first, interval, now, out):
    ideal_sampler.sample(ideal_sampler.State(state.threshold), None, site, key, first, interval, now, out)
    if params.tau > 0.0:
        u = np.zeros(state.threshold.size, np.float32)
        for n in range(out.shape[0]):
            time = now + (first + n) * interval if first + n else now
            fill_uniform(np.uint64(int(key) ^ (first + n + 1)), u)
            out[n] = np.where(u < np.exp(-(time - state.when) / params.tau), state.last, out[n])
            state.last[:], state.when[:] = out[n], time


SLOW = SamplerModel(
    name="slow", family="ideal", summary="remembers its last weight", params=Slow, state=SlowState,
    specs=(ParamSpec("tau", "s", "memory", 0.0, 1e9, 0.0),),
    variables=(
        StateVar("threshold", "int32", "1", "threshold"), StateVar("last", "int8", "1", "last weight"),
        StateVar("when", "float64", "s", "time of the last look"),
    ),
    fabricate=slow_fabricate, bias=slow_bias, sample=slow_sample, holds=("query", "read"),
    remembers=("last", "when"),
)  # fmt: skip


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    points = dict(devices._entry_points())
    for name, where in (("leaky", "LEAKY"), ("slow", "SLOW")):
        points[name] = EntryPoint(name, f"{__name__}:{where}", devices.ENTRY_POINT_GROUP)
    monkeypatch.setattr(devices, "_entry_points", lambda: points)
    get_model.cache_clear()
    DISTURBED.clear()
    yield
    get_model.cache_clear()


def leaky(**values):
    return make_card("leaky", **{"g_max": 2.0, **values})


def slow_chip(storage, tau, **spec):
    chip = make_chip((12, 9, 4), 3, synapses=synapse_spec(storage, make_card("slow", tau=tau), **spec))
    for s in chip.layers:
        s.look_interval = 1e-9
    return chip


def array_of(storage=None, sampler=None, shape=(40, 50), **spec):
    s = SynapseArray(shape, synapse_spec(storage, sampler, **spec), Seeds(1, 1, 1), 0)
    s.look_interval = 1e-9
    return s


def bits(synapses):
    return b"".join(a.tobytes() for a in [synapses.lam, *synapses.state, *synapses.sampler_state])


def weights(synapses, event, now, looks=2, **options):
    out = np.zeros((looks, *synapses.shape), np.int8)
    synapses.read(event, now, **options)
    synapses.sample(event, now, out, **options)
    return out


@pytest.mark.parametrize("check", STORAGE_CHECKS, ids=lambda c: c.__name__)
def test_the_leaky_store_conforms(check):
    for values in ({"rate": 30.0}, {"rate": 0.5, "sigma": 0.7, "pull": 1e-3, "read_noise": 0.2}, {}):
        check(LEAKY, leaky(n_levels=9, **values))


@pytest.mark.parametrize("check", SAMPLER_CHECKS, ids=lambda c: c.__name__)
def test_the_slow_sampler_conforms(check):
    check(SLOW, make_card("slow", tau=1e-6))


def _euler(state, params, grid, key, since, now):
    state.level[:] *= np.float32(max(0.0, 1.0 - params.rate * (now - since)))


def _half_noise(state, params, grid, key, since, now):
    leak_advance(state, params._replace(sigma=params.sigma * min(1.0, now - since)), grid, key, since, now)


def _restless(state, params, grid, key, since, now):
    state.level[:] *= np.float32(0.999)


def _off_the_grid(state, params, grid, key, since, now):
    state.level[:] *= np.float32(math.exp(now - since))


TIME, LOOKS = "time_passes_exactly", "disturbance_follows_the_looks"
DEFECTS = [
    ("advance", _euler, TIME), ("advance", _half_noise, TIME), ("advance", _restless, TIME),
    ("advance", _off_the_grid, TIME), ("advance", _off_the_grid, "neutral_is_ideal"),
    ("disturb", lambda state, params, grid, key, looks, now: state.level.__imul__(np.float32(0.9)), LOOKS),
    ("disturb", lambda state, params, grid, key, looks, now: state.level.__iadd__(np.float32(looks)), LOOKS),
]  # fmt: skip


@pytest.mark.parametrize(("kernel", "defect", "name"), DEFECTS)
def test_suite_finds_a_defect_of_time(kernel, defect, name):
    card = leaky(n_levels=9, rate=0.5, sigma=0.7)
    with pytest.raises(AssertionError, match="leaky with card"):
        {c.__name__: c for c in STORAGE_CHECKS}[name](replace(LEAKY, **{kernel: defect}), card)


def test_lam_and_bias_follow_the_clock():
    s = array_of(leaky(n_levels=0, rate=2.0))
    start = s.lam.copy()
    version = s.version
    thresholds = s.sampler_state.threshold.copy()
    s.read(0, 0.0)
    assert s.version == version  # no time has passed
    for event, now in ((1, 0.3), (2, 0.3), (3, 1.1)):
        s.read(event, now)
        np.testing.assert_allclose(s.lam, start * math.exp(-2.0 * now), rtol=1e-5)
        np.testing.assert_allclose(s.mean_weight().ravel(), np.tanh(s.lam), atol=3e-7)
    probability = 1.0 - s.sampler_state.threshold / 2.0**23
    np.testing.assert_allclose(probability, 1.0 / (1.0 + np.exp(-2.0 * s.lam)), atol=1e-6)
    assert not np.array_equal(s.sampler_state.threshold, thresholds)
    s.program_request(np.full(s.lam.size, 0.25, np.float32), 4, 1.5, 128, 128, 32)
    np.testing.assert_allclose(s.lam, start * math.exp(-3.0) + 0.25, rtol=1e-5)


def test_twice_half_the_time_is_the_whole_time():
    levels = []
    for times in ((0.8,), (0.4, 0.8)):
        spec = synapse_spec(leaky(n_levels=0, rate=1.0, sigma=0.5))
        s = SynapseArray((200, 300), spec, Seeds(1, 1, 1), 0, initial_lam="zero")
        for now in times:
            s.read(5, now)  # one event, several intervals: their noise must be independent
        levels.append(s.lam.astype(np.float64))
    variance, n = 0.25 * (1.0 - math.exp(-1.6)), 60_000
    for lam in levels:
        assert abs(lam.mean()) < Z * math.sqrt(variance / n)
        assert abs(lam.var() / variance - 1.0) < Z * math.sqrt(2.0 / n)


def test_recording_and_evaluation_change_nothing():
    storage = leaky(n_levels=0, rate=2.0, sigma=0.1, pull=0.01, read_noise=0.5)
    pairs = [array_of(storage, make_card("slow", tau=1.0)) for _ in range(2)]
    for s in pairs:
        weights(s, 0, 0.5)
        before, version, calls = bits(s), s.version, len(DISTURBED)
        if s is pairs[0]:
            for now in (0.5, 0.7, 3.0):
                s.snapshot(now)
                weights(s, 77, now, probe=True)
            assert bits(s) == before
            assert s.version == version
            assert len(DISTURBED) == calls
    later = [weights(s, 1, 0.9) for s in pairs]
    assert np.array_equal(*later)
    assert bits(pairs[0]) == bits(pairs[1])


def test_a_probe_sees_what_a_query_would_see():
    for storage in (make_card("ideal_storage"), leaky(n_levels=0, read_noise=0.5)):
        s = array_of(storage, make_card("slow", tau=1.0))
        weights(s, 0, 0.5)
        probe = weights(s, 1, 0.6, probe=True)
        assert np.array_equal(weights(s, 1, 0.6), probe)


def test_a_sampler_carries_its_last_look_into_the_next_query():
    lag, tau = 0.5, 1.0
    s = array_of(make_card("ideal_storage"), make_card("slow", tau=tau), (200, 300))
    last = weights(s, 0, 0.0, 1).ravel().astype(np.float64)
    next_one = weights(s, 1, lag, 1).ravel().astype(np.float64)
    rho, m = math.exp(-lag / tau), np.tanh(s.lam.astype(np.float64))
    products = (last - m) * (next_one - m) / (1.0 - m**2)
    assert abs(products.mean() - rho) < Z * products.std() / math.sqrt(products.size)


def test_looks_are_reported_to_the_store():
    s = array_of(leaky(n_levels=0, pull=0.1))
    start = s.lam.copy()
    weights(s, 0, 0.25, looks=3)
    assert DISTURBED == [(3, 0.25)]
    np.testing.assert_allclose(s.lam, start * 0.9**3, rtol=1e-6)
    s.read(1, 0.5)
    assert len(DISTURBED) == 1  # the looks disturb, not the reading of lam


def test_a_chip_disturbs_once_per_pass_and_not_when_probed():
    chip = slow_chip(leaky(n_levels=0, pull=0.01), 1e-9, holds="read")
    x = analog(np.ones(12))
    chip.infer(x, 0, 0.5, probe=True)
    assert DISTURBED == []
    chip.infer(x, 0, 0.5)
    assert DISTURBED == [(3, 0.5)] * 2
    DISTURBED.clear()
    chip.learn(x, 1, 0, 0.75, RULE, "hard")
    assert DISTURBED == [(3, 0.75)] * 3  # forward in both layers, backward in the second


def test_evaluation_between_examples_leaves_a_run_as_it_was():
    storage = leaky(n_levels=0, rate=1.0, sigma=0.1, pull=0.01, read_noise=0.2)
    chips = [slow_chip(storage, 1.0) for _ in range(2)]
    rng = np.random.default_rng(1)
    for event in range(4):
        x = analog(rng.normal(size=12))
        for chip in chips:
            chip.learn(x, event % 4, event, 0.1 * event, RULE, "hard")
        chips[0].infer(analog(rng.normal(size=12)), 1000 + event, 0.1 * event + 0.05, probe=True)
        chips[0].layers[0].snapshot(0.1 * event + 0.06)
    assert [bits(s) for s in chips[0].layers] == [bits(s) for s in chips[1].layers]


@pytest.mark.parametrize(
    ("model", "changes", "words"),
    [
        (SLOW, {"remembers": ("then",)}, "remembers ['then'], which the state lacks"),
        (SLOW, {"store_reads": "query"}, "store_reads is 'query'; allowed are none, sample"),
        (
            LEAKY, {"variables": (*LEAKY.variables, StateVar("task", "int8", "1", "x", recorded=True))},
            "the recorded variable 'task' has a name that the record uses itself",
        ),
    ],
)  # fmt: skip
def test_declarations_that_cannot_be_kept_are_refused(model, changes, words):
    if "variables" in changes:
        fields = [(v.name, np.ndarray) for v in changes["variables"]]
        changes["state"] = NamedTuple("Wider", fields)
    with pytest.raises(DeviceModelError) as error:
        devices.check_model(replace(model, **changes), "here")
    assert words in str(error.value)
