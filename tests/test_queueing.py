"""Waiting times against queueing theory, and what holds in every run: Little's law, utilisation, energy.

Means over a run are compared by batch means: the run is cut into 20 batches, much longer than the memory of the queue,
and the mean may differ from theory by 5 standard errors of the batches. For Student's t with 19 degrees of freedom that
is a false alarm in 12,000; seeds are fixed, so it is there or not.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from test_accelerator import assemble
from test_resume import random_options

from bimu_hw.accelerator.arrivals import Arrivals
from bimu_hw.accelerator.machine import OneAtATime
from bimu_hw.accelerator.oracle import LabelTimes, Oracle
from bimu_hw.operations import phase_index

N_BATCHES = 20


def assert_mean(values, theory):
    """Compare the mean of a stationary series with theory."""
    batches = np.array([batch.mean() for batch in np.array_split(np.asarray(values, float), N_BATCHES)])
    error = batches.std(ddof=1) / math.sqrt(N_BATCHES)
    assert error < 0.15 * theory, "too noisy to say anything"
    assert abs(batches.mean() - theory) < 5 * error, (batches.mean(), theory, error)


def erlang_c(load, servers):
    """Return the probability that a customer waits in M/M/c with `load` = arrival rate x mean service."""
    terms = [load**k / math.factorial(k) for k in range(servers)]
    last = load**servers / math.factorial(servers) * servers / (servers - load)
    return last / (sum(terms) + last)


def mean_wait(rate, service, servers):
    """Return the mean waiting time of M/M/c."""
    load = rate * service
    return erlang_c(load, servers) * service / (servers - load)


def test_the_formulas_are_those_of_one_server():
    assert mean_wait(0.5, 1.0, 1) == pytest.approx(0.5 / (1 - 0.5))
    # Two servers at half load: probability of waiting 1/3 (Erlang's table).
    assert erlang_c(1.0, 2) == pytest.approx(1 / 3)


def test_fixed_service_waits_as_m_d_1():
    service = assemble(1)[0].plan.inference_ticks
    load = 0.7
    arrivals = Arrivals("poisson", load * 1e12 / service, seed=11)
    accelerator, watcher = assemble(8_000, arrivals=arrivals, queue=0, policy=("never", {}))
    accelerator.run()
    waits = [row.start_tick - row.arrival_tick for row in watcher.rows]
    assert_mean(waits, load * service / (2 * (1 - load)))


class Exponential(OneAtATime):
    """A chip whose jobs take exponentially distributed times."""

    MEAN = 1_000_000

    def __init__(self):
        super().__init__()
        self._rng = np.random.default_rng(7)

    def submit(self, slot, segments, ticks, priority, now):
        super().submit(slot, segments, round(self._rng.exponential(self.MEAN)), priority, now)


def test_exponential_service_waits_as_m_m_1():
    load = 0.5
    arrivals = Arrivals("poisson", load * 1e12 / Exponential.MEAN, seed=3)
    accelerator, watcher = assemble(
        10_000, arrivals=arrivals, queue=0, policy=("never", {}), machine=Exponential()
    )  # fmt: skip
    accelerator.run()
    waits = [row.start_tick - row.arrival_tick for row in watcher.rows]
    assert_mean(waits, mean_wait(load / Exponential.MEAN, Exponential.MEAN, 1))


@pytest.mark.parametrize("annotators", [1, 3])
def test_requests_wait_for_annotators_as_m_m_c(annotators):
    """Queries come as a Poisson stream, take no time to speak of, and each asks for its label."""
    latency, load = 10**9, 0.6
    times = LabelTimes(latency, "exponential", annotators=annotators, seed=2)
    arrivals = Arrivals("poisson", annotators * load * 1e12 / latency, seed=8)
    accelerator, watcher = assemble(5_000, arrivals=arrivals, queue=0, labels=times)
    accelerator.run()
    assert len(watcher.late) == 5_000
    waits = [row.label_tick - row.finish_tick - times.ticks(row.example) for row in watcher.rows]
    assert min(waits) == 0
    assert_mean(waits, mean_wait(annotators * load / latency, latency, annotators))
    busy, capacity = accelerator.oracle.busy_ticks, annotators * accelerator.duration_ticks
    # Of the share of time that annotators work the standard deviation is below 2 % over so many labels.
    assert busy / capacity == pytest.approx(load, rel=0.1)


@pytest.mark.parametrize("servers", [1, 2, 5])
def test_an_oracle_of_many_labels_waits_as_m_m_c(servers):
    latency, load, n = 10**6, 0.8, 40_000
    times = LabelTimes(latency, "exponential", annotators=servers, seed=4)
    gaps = np.random.default_rng(6).exponential(latency / (servers * load), n)
    oracle, waits = Oracle(times), []
    for i, tick in enumerate(np.cumsum(gaps).astype(np.int64).tolist()):
        waits.append(oracle.request(i, tick).begun - tick)
    assert_mean(waits, mean_wait(servers * load / latency, latency, servers))


def test_label_times_have_their_mean_and_their_spread():
    """60,000 draws: standard errors 0.4 % of the mean (exponential) and 0.3 % (lognormal, sigma 0.7); 6 of them."""
    for distribution, spread in (("exponential", 1.0), ("lognormal", math.sqrt(math.exp(0.49) - 1.0))):
        times = LabelTimes(10**9, distribution, 0.7, seed=9)
        drawn = np.array([times.ticks(i) for i in range(40_000)]) / 1e9
        assert abs(drawn.mean() - 1.0) < 6 * spread / math.sqrt(40_000)
        assert drawn.std() == pytest.approx(spread, rel=0.05)
    assert LabelTimes(5).ticks(0) == 5


def test_requests_that_could_not_be_begun_in_time_are_withdrawn_and_late_labels_stale():
    """One annotator, 10 ticks a label, deadline 12: requests at 0, 1, 2 and 40."""
    oracle = Oracle(LabelTimes(10, annotators=1, deadline=12))
    assert oracle.request(0, 0) == (10, 0, False)
    assert oracle.request(1, 1) == (20, 10, True)
    assert oracle.request(2, 2) == (14, -1, True)
    assert oracle.request(3, 40) == (50, 40, False)
    assert (oracle.labels, oracle.busy_ticks) == (3, 30)


@pytest.mark.parametrize("seed", range(12))
def test_what_holds_in_every_run(seed):
    """Little's law in integers, no resource busier than it can be, and all that was counted belongs to someone."""
    options = random_options(np.random.default_rng([31, seed]))
    accelerator, watcher = assemble(60, **options)
    accelerator.run()
    assert accelerator.in_system_ticks == accelerator.sojourn_ticks
    assert accelerator.sojourn_ticks == sum(row.finish_tick - row.arrival_tick for row in watcher.rows)
    for usage in accelerator.usage.values():
        assert 0 <= usage.busy_ticks <= usage.capacity * accelerator.duration_ticks
    counts = accelerator.ledger.counts
    spent = sum(tally.counts for tallies in watcher.spent.values() for tally in tallies)
    np.testing.assert_array_equal(spent + counts[phase_index("idle")].sum(axis=0), counts.sum(axis=(0, 1)))
    assert len(watcher.rows) + accelerator.dropped == 60
    assert len(watcher.late) + accelerator.stale == accelerator.requested
