"""The noise of two steps, two layers, two cells or two purposes has nothing to do with each other.

`test_bits` looks at the generators; here the keys are those of a run, and the words those that devices and samples use.
Every check ends in a p-value corrected for all comparisons it made, and fails below 5e-9; there are 12 of them, so
independent noise fails this file with a probability below 1e-7.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from building import make_card, synapse_spec
from scipy import stats

from bimu_hw.crossbar.synapses import Seeds, SynapseArray, event_key
from bimu_hw.kernels import jit
from bimu_hw.kernels.bits import cell_bits, fold, key_halves
from bimu_hw.random import Purpose, stream_key
from device_models.nonidealities import pulse_words

ALPHA = 5e-9
N = 2**17


@jit
def _hashed(key, look, out):
    low, high = key_halves(fold(key, np.uint64(look)))
    for c in range(out.size):
        out[c] = cell_bits(low, high, np.uint32(c))


@jit
def _philox(key, pulse, out):
    for c in range(out.shape[0]):
        out[c, 0], out[c, 1], out[c, 2], out[c, 3] = pulse_words(key, c, pulse)


def hashed(purpose=Purpose.WEIGHT_SAMPLE, layer=0, event=0, look=0, n=N):
    out = np.empty(n, np.uint32)
    _hashed(event_key(stream_key(1, purpose, layer), event), look, out)
    return out


def pulsed(purpose=Purpose.PULSE, layer=0, event=0, pulse=0, n=N):
    out = np.empty((n, 4), np.uint32)
    _philox(event_key(stream_key(1, purpose, layer), event), pulse, out)
    return out


def z_scores(streams):
    """Return the z-score of the correlation of every pair of streams, and of every pair one cell apart."""
    u = np.stack([s.astype(float) for s in streams]) / 2.0**32 - 0.5
    n = u.shape[1]
    same = 12.0 * (u @ u.T) / np.sqrt(n)
    shifted = 12.0 * (u[:, 1:] @ u[:, :-1].T) / np.sqrt(n - 1)
    return np.concatenate([same[np.triu_indices(len(u), 1)], shifted[~np.eye(len(u), dtype=bool)]])


def assert_independent(streams):
    z = z_scores(streams)
    assert min(1.0, z.size * 2.0 * stats.norm.sf(np.abs(z).max())) > ALPHA


@pytest.mark.parametrize("draw", [hashed, pulsed])
def test_steps_are_independent(draw):
    near, far = range(12), (10**6, 2**32, 2**32 + 1)
    assert_independent([draw(event=e).reshape(N, -1)[:, 0] for e in (*near, *far)])


@pytest.mark.parametrize("draw", [hashed, pulsed])
def test_layers_are_independent(draw):
    assert_independent([draw(layer=k, event=e).reshape(N, -1)[:, 0] for k in range(4) for e in range(4)])


@pytest.mark.parametrize("draw", [hashed, pulsed])
def test_purposes_are_independent(draw):
    assert_independent([draw(purpose=p).reshape(N, -1)[:, 0] for p in Purpose])


def test_looks_and_pulses_of_one_step_are_independent():
    assert_independent([hashed(look=k) for k in range(16)])
    words = [pulsed(pulse=k) for k in range(4)]
    assert_independent([w[:, i] for w in words for i in range(4)])


def test_the_two_generators_are_independent_of_each_other():
    assert_independent([hashed(), hashed(event=1), *pulsed().T, *pulsed(event=1).T])


@pytest.mark.parametrize("draw", [hashed, pulsed])
def test_cells_are_independent_over_the_steps(draw):
    """The other way round: one stream per cell, one word per step."""
    cells = [0, 1, 2, 99, 100, 101, 783, 784, 1024, 4095]
    steps = np.stack([draw(event=e, n=4096).reshape(4096, -1)[cells, 0] for e in range(2**13)], axis=1)
    assert_independent(list(steps))


def test_weights_of_arrays_are_independent():
    """What arrives: the weights of two layers, two queries, two samples, forward and backward, and two cells."""
    drawn = []
    for layer in range(2):
        array = SynapseArray((400, 500), synapse_spec(make_card("ideal_storage")), Seeds(1, 1, 1), layer, "zero")
        for event, stream in itertools.product(range(3), range(2)):
            out = np.zeros((2, 400, 500), np.int8)
            array.read(event, 0.0)
            array.sample(event, 0.0, out, stream=stream)
            drawn += [out[0].ravel(), out[1].ravel()]
    w = np.stack(drawn).astype(float)
    n = w.shape[1]
    z = [(w @ w.T / np.sqrt(n))[np.triu_indices(len(w), 1)]]
    z += [(w[:, lag:] * w[:, :-lag]).sum(axis=1) / np.sqrt(n - lag) for lag in (1, 2, 10, 128, 500, 64_000)]
    z = np.concatenate(z)
    assert min(1.0, z.size * 2.0 * stats.norm.sf(np.abs(z).max())) > ALPHA


def test_the_check_sees_streams_that_share_noise():
    shared = hashed()
    with pytest.raises(AssertionError):
        assert_independent([hashed(event=1), shared, np.roll(shared, 1)])
    leaning = np.where(np.arange(N) % 20 == 0, shared, hashed(event=2))
    with pytest.raises(AssertionError):
        assert_independent([shared, leaning])
