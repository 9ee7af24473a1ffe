"""Stages accounted in one go against stages one by one, and schedules that can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from oracles.stages import PlainStages

from bimu_hw.accelerator.machine import InFlight, OneAtATime, Segment, span


def segment(chains, *stages):
    units, ticks = zip(*stages, strict=True)
    return Segment(chains, np.array(units, np.int64), np.array(ticks, np.int64))


def test_samples_follow_each_other_through_the_layers():
    """Three samples, arrays 10 and 4 ticks, one digital unit 3 ticks: the first array is the bottleneck."""
    job = segment(3, (0, 10), (2, 3), (1, 4), (2, 3))
    ticks, stages = span([job], (1, 1, 1))
    assert ticks == 3 * 10 + 3 + 4 + 3
    first = [s for s in stages if s.stage == 0]
    assert [(s.start, s.ticks) for s in first] == [(0, 10), (10, 10), (20, 10)]
    # Without the pipeline a sample takes 20.
    assert span([segment(1, (0, 10), (2, 3), (1, 4), (2, 3))], (1, 1, 1))[0] == 20


def test_digital_units_work_side_by_side():
    """Three chains of one digital stage each: one after the other, or as many at a time as there are units."""
    for units, ticks in ((1, 30), (2, 20), (3, 10), (5, 10)):
        assert span([segment(3, (0, 10))], (units,))[0] == ticks


@pytest.mark.parametrize(
    ("priority", "ends"), [((0, 0), [(5, 0), (10, 1), (15, 2)]), ((1, 0), [(5, 0), (10, 2), (15, 1)])]
)
def test_the_lower_priority_number_is_served_first(priority, ends):
    """One unit of 5 ticks; two jobs wait for it, the one that came second with its priority."""
    machine = InFlight((1,), 3, 1, 1)
    machine.submit(0, [segment(1, (0, 5))], 5, 0, 0)
    machine.submit(1, [segment(1, (0, 5))], 5, priority[0], 1)
    machine.submit(2, [segment(1, (0, 5))], 5, priority[1], 2)
    found = []
    while (due := machine.due()) is not None:
        found += [(due, slot) for slot in machine.done(due)]
    assert found == ends


def test_the_second_segment_begins_when_all_chains_of_the_first_are_through():
    machine = InFlight((2, 1), 1, 2, 2)
    machine.submit(0, [segment(2, (0, 7)), segment(1, (1, 2), (0, 1))], 10, 0, 100)
    assert machine.due() == 110
    assert machine.done(109) == []
    assert machine.done(110) == [0]
    assert machine.due() is None


def test_one_at_a_time_takes_what_it_is_told():
    machine = OneAtATime()
    machine.submit(4, [], 12, 0, 30)
    assert machine.due() == 42
    assert machine.done(41) == []
    assert machine.done(42) == [4]
    assert machine.due() is None


@pytest.mark.parametrize("seed", range(40))
def test_in_one_go_equals_stage_by_stage(seed):
    """Random jobs on random units, with many ends at one tick; ends and their order are equal."""
    rng = np.random.default_rng([5, seed])
    capacities = rng.integers(1, 4, rng.integers(1, 5)).tolist()
    n_slot = int(rng.integers(1, 6))
    fast, plain = InFlight(capacities, n_slot, 4, 6), PlainStages(capacities)

    def job():
        return [
            segment(
                int(rng.integers(1, 5)),
                *((int(rng.integers(len(capacities))), int(rng.integers(0, 6))) for _ in range(rng.integers(1, 7))),
            )
            for _ in range(rng.integers(1, 3))
        ]  # fmt: skip

    now, busy, jobs, ends = 0, set(), 60, []
    while jobs or busy:
        for slot in range(n_slot):
            if slot not in busy and jobs and rng.random() < 0.6:
                segments, priority = job(), int(rng.integers(-1, 2))
                # A job that is through at once is known at the next look.
                fast.submit(slot, segments, 0, priority, now)
                plain.submit(slot, segments, 0, priority, now)
                busy.add(slot)
                jobs -= 1
                if rng.random() < 0.5:
                    break
        step = int(rng.integers(0, 8))
        due = fast.due()
        if due is not None and rng.random() < 0.5:
            step = max(0, due - now)
        for tick in range(now, now + step + 1):
            expected = []
            while plain.due() is not None and plain.due() <= tick:
                expected += plain.done(plain.due())
            if tick == now + step:
                expected = ends + expected
                ends = []
                assert fast.done(tick) == expected
                busy -= set(expected)
            else:
                ends += expected
        now += step


def test_looking_ahead_changes_nothing():
    machine = InFlight((1, 1), 2, 3, 2)
    machine.submit(0, [segment(3, (0, 4), (1, 5))], 0, 0, 0)
    before = machine.state()["live"].copy()
    assert machine.due() == machine.due() == 4 + 3 * 5
    np.testing.assert_array_equal(machine.state()["live"], before)


def test_a_restored_machine_goes_on_as_it_would_have():
    def new():
        return InFlight((1, 2), 3, 3, 3, 100)

    rng = np.random.default_rng(3)
    jobs = [
        [segment(2, *((int(rng.integers(2)), int(rng.integers(1, 9))) for _ in range(3)))] for _ in range(3)
    ]  # fmt: skip
    whole = new()
    for slot, work in enumerate(jobs):
        whole.submit(slot, work, 0, slot, 3 * slot)
    whole.done(8)
    other = new()
    other.restore({name: value.copy() for name, value in whole.state().items()})
    while (due := whole.due()) is not None:
        assert other.due() == due
        assert other.done(due) == whole.done(due)
    assert other.due() is None
