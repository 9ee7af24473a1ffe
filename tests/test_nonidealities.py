"""Nonidealities that any store can have, against closed forms, plain loops and the ideal run.

False alarms: about fifty comparisons at 6 standard deviations, 1e-7 in all; keys are fixed.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from building import analog, make_card, make_chip, synapse_spec

from bimu_hw.cards import Fact, load_card, parse_card
from bimu_hw.crossbar.nonidealities import LayerNonidealities
from bimu_hw.crossbar.synapses import Seeds, SynapseArray
from bimu_hw.devices import FAULTS
from bimu_hw.errors import CardError, ScenarioError
from bimu_hw.freezing import FreezingLog
from bimu_hw.kernels import nonidealities as kernels
from bimu_hw.learning.rules import Bimu
from bimu_hw.nonidealities import SPECS, Nonidealities, check_nonidealities

Z = 6.0
N = 40_000
KEY = np.uint64(0x9216D5D98979FB1B)
OTHER = np.uint64(0xD1310BA698DFB5AC)
RULE = Bimu(lr=30.0, lr_max=0.5, likelihood_multiplier=1.0, kl_multiplier=0.5, memory_window=50.0)

TRAPS = {"rtn_fraction": 1.0, "rtn_amplitude": 2.0, "rtn_capture_time": 3e-3, "rtn_emission_time": 1e-3}


def near(value: float, expected: float, deviation: float) -> None:
    assert abs(value - expected) < Z * deviation, (value, expected, deviation)


def layer(n: int = N, **values: float) -> LayerNonidealities:
    return LayerNonidealities(Nonidealities(**values), n, KEY, OTHER)


def seen(cells: LayerNonidealities, n: int = N) -> np.ndarray:
    out = np.zeros(n, np.float32)
    cells.see(out)
    return out.astype(np.float64)


def test_traps_are_shared_out_as_told():
    cells = layer(rtn_fraction=0.3, rtn_amplitude=2.0, rtn_sigma=0.5, rtn_capture_time=3e-3, rtn_emission_time=1e-3)
    has = cells.shift != 0
    near(has.mean(), 0.3, math.sqrt(0.3 * 0.7 / N))
    log = np.log(np.abs(cells.shift[has]).astype(np.float64))
    near(log.mean(), math.log(2.0), 0.5 / math.sqrt(has.sum()))
    near(log.std(), 0.5, 0.5 / math.sqrt(2 * has.sum()))
    near((cells.shift[has] > 0).mean(), 0.5, 0.5 / math.sqrt(has.sum()))
    # An occupied trap lasts a third as long as an empty one: a quarter of them are occupied.
    near(cells.trap.mean(), 0.25, math.sqrt(0.25 * 0.75 / N))


@pytest.mark.parametrize("steps", [1, 2, 5])
def test_telegraph_noise_forgets_exponentially_however_the_time_is_cut(steps):
    cells = layer(**TRAPS)
    before = cells.trap.astype(np.float64)
    interval = 0.6e-3
    for k in range(steps):
        cells.advance(np.uint64(1000 + k), k * interval / steps, (k + 1) * interval / steps)
    after = cells.trap.astype(np.float64)
    memory = math.exp(-interval * (1 / 3e-3 + 1 / 1e-3))
    near(after.mean(), 0.25, math.sqrt(0.25 * 0.75 / N))
    for start in (0.0, 1.0):
        chosen = after[before == start]
        p = 0.25 + (start - 0.25) * memory
        near(chosen.mean(), p, math.sqrt(p * (1 - p) / chosen.size))


def test_dwell_times_of_a_trap_are_exponential():
    cells = layer(2000, **TRAPS)
    step, lengths, run = 1e-4, [], np.zeros(2000, np.int64)
    before = cells.trap.copy()
    for k in range(600):
        cells.advance(np.uint64(k), k * step, (k + 1) * step)
        run += 1
        left = (before == 1) & (cells.trap == 0)
        if k > 100:
            lengths.append(run[left])
        run[before != cells.trap] = 0
        before = cells.trap.copy()
    dwell = np.concatenate(lengths)
    # Looked at every `step`, an occupied spell lasts a geometric number of steps: P(leave) from the exact transition.
    leave = 0.75 * (1.0 - math.exp(-step * (1 / 3e-3 + 1 / 1e-3)))
    near(dwell.mean(), 1 / leave, math.sqrt(1 - leave) / leave / math.sqrt(dwell.size))
    share = (dwell > 2 * round(1 / leave)).mean()
    expected = (1 - leave) ** (2 * round(1 / leave))
    near(share, expected, math.sqrt(expected * (1 - expected) / dwell.size))


def test_flicker_noise_has_the_variance_and_the_memory_of_its_components():
    cells = layer(flicker_noise=0.3, flicker_fastest=1e-4, flicker_decades=4)
    first = seen(cells)
    variance = 4 * 0.3**2
    near(first.var(), variance, variance * math.sqrt(2 / N))
    now = 0.0
    for k, step in enumerate((1e-4, 9e-4, 9e-3)):
        cells.advance(np.uint64(k), now, now + step)
        now += step
        later = seen(cells)
        covariance = sum(0.3**2 * math.exp(-now / (1e-4 * 10**d)) for d in range(4))
        near((first * later).mean(), covariance, variance * math.sqrt(2 / N))
        near(later.var(), variance, variance * math.sqrt(2 / N))


def test_flicker_noise_is_one_over_f():
    """Power spectrum of a long record: the slope of its logarithm over the three decades is -1 within 0.1."""
    cells = layer(64, flicker_noise=1.0, flicker_fastest=1.0, flicker_decades=4)
    n = 2**14
    trace = np.empty((n, 64))
    for k in range(n):
        cells.advance(np.uint64(k), float(k), float(k + 1))
        trace[k] = seen(cells, 64)
    power = (np.abs(np.fft.rfft(trace - trace.mean(0), axis=0)) ** 2).mean(1)
    f = np.fft.rfftfreq(n)
    inside = (f > 1 / (2 * math.pi * 1000)) & (f < 1 / (2 * math.pi * 3))
    slope = np.polyfit(np.log(f[inside]), np.log(power[inside]), 1)[0]
    assert abs(slope + 1) < 0.1, slope


@pytest.mark.parametrize("p", [1e-3, 0.2, 1.0])
def test_hits_are_binomial(p):
    trials = (np.arange(N) % 7).astype(np.int32)
    cells, counts = np.empty(N, np.int32), np.empty(N, np.float32)
    n = kernels.draw_hits(KEY, p, trials, np.float32(-1), cells, counts)
    hits = np.zeros(N)
    hits[cells[:n]] = -counts[:n]
    assert np.all(np.diff(cells[:n]) > 0)
    assert np.all(hits <= trials)
    for m in range(7):
        chosen = hits[trials == m]
        deviation = math.sqrt(max(m * p * (1 - p), 1e-12) / chosen.size)
        near(chosen.mean(), m * p, deviation)
        if 0 < p < 1 and m > 0:
            variance, fourth = m * p * (1 - p), m * p * (1 - p) * (1 + 3 * (m - 2) * p * (1 - p))
            near(chosen.var(), variance, math.sqrt((fourth - variance**2 + 1e-12) / chosen.size))


def test_half_selected_cells_against_a_plain_count():
    rng = np.random.default_rng(5)
    rows, columns, tile_rows, tile_columns, group = 11, 14, 4, 6, 4
    counts = rng.integers(-3, 4, (rows, columns)) * (rng.random((rows, columns)) < 0.3)
    cells = np.flatnonzero(counts).astype(np.int32)
    for direction in (1, -1):
        trials = np.empty(rows * columns, np.int32)
        kernels.half_selected(
            cells, counts.reshape(-1)[cells].astype(np.float32), True, columns, tile_rows, tile_columns, group,
            np.float32(direction), trials,
        )  # fmt: skip
        sent = np.maximum(counts * direction, 0)
        expected = np.zeros((rows, columns), int)
        for i in range(rows):
            for j in range(columns):
                tile, own = j // tile_columns, j % tile_columns // group
                for g in range(-(-tile_columns // group)):
                    first = tile * tile_columns + g * group
                    last = min(first + group, (tile + 1) * tile_columns, columns)
                    if first < columns and not (g == own and counts[i, j] != 0):
                        expected[i, j] += sent[i, first:last].max(initial=0)
                top = i // tile_rows * tile_rows
                expected[i, j] += sent[top : top + tile_rows, j].sum() - sent[i, j]
        np.testing.assert_array_equal(trials.reshape(rows, columns), expected)


def test_a_window_narrows_with_wear_and_then_the_cell_stays_where_it_is():
    n = 9
    level = np.array([0, 2, 3, -3, 3, 0, 1, 5, 0], np.float32)
    used = np.array([0, 50, 50, 50, 50, 100, 99, 50, 10], np.int32)
    counts = np.array([9, 2, 1, -2, -1, 1, 1, 1, 0], np.float32)
    cells, out_cells, out_counts = np.arange(n, dtype=np.int32), np.empty(n, np.int32), np.empty(n, np.float32)
    limit = np.full(n, 100.0, np.float32)
    found = kernels.answerable(
        cells, counts, level, used, limit, np.float32(0.5), np.float32(4.0), True, out_cells, out_counts
    )
    # Half worn, the window of +-4 is +-3: up from 2 by one of two pulses, nothing up from 3 or 5, nothing down from -3.
    assert dict(zip(out_cells[:found].tolist(), out_counts[:found].tolist(), strict=True)) == {0: 4, 1: 1, 4: -1, 6: 1}
    # What nobody answers was sent: it is counted here, the rest by the device.
    assert used.tolist() == [5, 51, 51, 52, 50, 101, 99, 51, 10]


def card(storage: str = "soft_bounds_pair", n_levels: float = 16, **values: float) -> Any:
    base = make_card(storage, n_levels=n_levels, lam_window=4.0, g_min=1e-6, g_max=1e-4)
    return replace(base, nonidealities={k: Fact(v, SPECS[k].unit, "assumed", why="test") for k, v in values.items()})


def array(**values: float) -> SynapseArray:
    spec = synapse_spec(card(**values), policy="stochastic")
    return SynapseArray((50, 40), spec, Seeds(3, 4, 5), 0, tile_wordlines=25)


def push(cells: SynapseArray, event: int, by: float) -> None:
    request = np.full(cells.lam.size, by * cells.grid.step, np.float32)
    cells.program_request(request, event, float(event), 25, 20, 10)


def test_cells_wear_out_one_after_the_other_as_their_limits_say():
    cells = array(endurance=20.0, endurance_sigma=0.3)
    moved = np.zeros(cells.lam.size, int)
    for event in range(60):
        before = cells.lam.copy()
        push(cells, event, 1.0 if event % 2 else -1.0)
        moved += cells.lam != before
    limit = cells.nonidealities.limit.astype(np.float64)
    near(np.log(limit).mean(), math.log(20.0), 0.3 / math.sqrt(limit.size))
    np.testing.assert_array_equal(moved, np.minimum(np.ceil(limit), 60))
    fault = cells.snapshot(60.0)["fault"]
    np.testing.assert_array_equal((fault == FAULTS["worn_out"]).any(axis=-1).reshape(-1), limit <= 60)


@pytest.mark.parametrize("storage", ["soft_bounds_pair", "domain_wall_mtj", "ecram"])
def test_an_end_of_life_that_is_far_away_changes_nothing(storage):
    """Pulses against a rail included, and levels between two of the grid."""

    def pushed(**values: float) -> SynapseArray:
        given = make_card(storage, n_levels=16)
        ends = {k: Fact(v, SPECS[k].unit, "assumed", why="test") for k, v in values.items()}
        spec = synapse_spec(replace(given, nonidealities=ends), policy="residue")
        cells = SynapseArray((50, 40), spec, Seeds(3, 4, 5), 0, tile_wordlines=25)
        for event in range(40):
            push(cells, event, 1.7 if event % 9 else -0.6)
        return cells

    without, far = pushed(), pushed(endurance=2.0**31)
    np.testing.assert_array_equal(without.lam, far.lam)
    np.testing.assert_array_equal(without.state.pulse_count, far.state.pulse_count)
    assert without.state.pulse_count.max() > 2 * 15  # more than from end to end: many were sent against a rail


def test_worn_out_cells_are_counted_as_such_and_not_as_a_dead_zone():
    cells = array(endurance=20.0, endurance_sigma=0.3)
    cells.keep_requests = True
    log = FreezingLog([cells], 2)
    for task, pulses in enumerate((18, 40)):
        for event in range(pulses):
            push(cells, 100 * task + event, 1.0 if event % 2 else -0.8)
        log.end_task(task)
    limit, count = cells.nonidealities.limit, cells.state.pulse_count
    assert log.values["worn_out_fraction"][1, 0] == np.mean(count >= limit) > 0.9
    assert 0.0 < log.values["worn_out_fraction"][0, 0] < 0.9
    fault = cells.snapshot(1e3)["fault"]
    assert log.values["worn_out_fraction"][1, 0] == np.mean(fault == FAULTS["worn_out"])
    assert log.values["dead_zone_fraction"][1, 0] == 0.0


def test_looks_disturb_and_writing_disturbs_the_neighbours():
    looked = array(read_disturb=0.05, read_disturb_direction=1.0)
    out = np.empty((4, 50, 40), np.int8)
    before = looked.lam.copy()
    looked.read(0, 0.0)
    looked.sample(0, 0.0, out)
    steps = (looked.lam - before) / looked.grid.step
    free = before < 3.0
    near(steps[free].mean(), 4 * 0.05, math.sqrt(4 * 0.05 * 0.95 / free.sum()))
    again = looked.lam.copy()
    looked.read(1, 1.0, probe=True)
    looked.sample(1, 1.0, out, probe=True)
    np.testing.assert_array_equal(looked.lam, again)

    written = array(half_select_disturb=0.1)
    before = written.lam.copy()
    request = np.zeros(written.lam.size, np.float32)
    request[:40] = written.grid.step  # the whole first word line, in groups of 10 of two tiles of 20 columns
    written.program_request(request, 0, 0.0, 25, 20, 10)
    steps = ((written.lam - before) / written.grid.step).reshape(50, 40)
    # On the word line: one pulse for the other group of its tile. In its tile below: one pulse on each bit line.
    near(steps[0].mean(), 1.1, math.sqrt(0.09 / 40))
    near(steps[1:25].mean(), 0.1, math.sqrt(0.09 / 960))
    assert np.all(steps[25:] == 0)


def test_the_controller_reads_with_an_error_and_the_device_keeps_its_level():
    cells = array(controller_noise=0.5)
    before = cells.lam.copy()
    error = (cells.controller_lam(7) - cells.lam) / cells.grid.step
    near(error.mean(), 0.0, 0.5 / math.sqrt(error.size))
    near(error.std(), 0.5, 0.5 / math.sqrt(2 * error.size))
    np.testing.assert_array_equal(cells.lam, before)
    assert np.any(cells.controller_lam(8) - cells.lam != error * cells.grid.step)
    quiet = array()
    assert quiet.controller_lam(7) is quiet.lam


def run(chip: Any, n: int = 6) -> list[np.ndarray]:
    rng = np.random.default_rng(11)
    for event in range(n):
        chip.learn(analog(rng.normal(size=12)), event % 4, event, 1e-3 * event, RULE, "hard")
    return [synapses.lam.copy() for synapses in chip.layers]


ALONE: dict[str, dict[str, float]] = {
    "rtn": {"rtn_fraction": 0.5, "rtn_amplitude": 8.0, "rtn_capture_time": 1e-3, "rtn_emission_time": 1e-3},
    "flicker": {"flicker_noise": 4.0, "flicker_fastest": 1e-4, "flicker_decades": 3},
    "read_disturb": {"read_disturb": 0.1, "read_disturb_direction": -1.0},
    "half_select": {"half_select_disturb": 0.3},
    "endurance": {"endurance": 1.0},
    "narrowing": {"endurance": 20.0, "endurance_narrowing": 1.0},
    "controller": {"controller_noise": 1.0},
}


def test_every_nonideality_is_tried_alone():
    assert {name for values in ALONE.values() for name in values} | {"rtn_sigma", "endurance_sigma"} == set(SPECS)


@pytest.mark.parametrize("name", ALONE)
def test_each_alone_changes_the_result_and_at_zero_does_not(name):
    def learned(**values: float) -> list[np.ndarray]:
        return run(make_chip(synapses=synapse_spec(card(n_levels=32, **values), policy="stochastic")))

    plain = learned()
    for a, b in zip(plain, learned(**dict.fromkeys(ALONE[name], 0.0)), strict=True):
        np.testing.assert_array_equal(a, b)
    assert any(np.any(a != b) for a, b in zip(plain, learned(**ALONE[name]), strict=True))


def test_a_pause_ages_the_devices_and_not_the_clock():
    cells = array(**TRAPS)
    trap = cells.nonidealities.trap.copy()
    cells.age(0, 0.0, 1e3, 300.0)
    changed = (cells.nonidealities.trap != trap).mean()
    near(changed, 2 * 0.25 * 0.75, math.sqrt(0.375 * 0.625 / trap.size))
    later = cells.nonidealities.trap.copy()
    cells.advance(1, 0.0)
    np.testing.assert_array_equal(cells.nonidealities.trap, later)
    cells.advance(1, 1e3)
    assert np.any(cells.nonidealities.trap != later)


@pytest.mark.parametrize(
    ("values", "n_levels", "says"),
    [
        ({"rtn_amplitude": 1.0, "rtn_fraction": 1.0}, 16, "both times above 0"),
        ({"flicker_noise": 1.0}, 16, "a decade or more"),
        ({"read_disturb": 0.1}, 16, "set read_disturb_direction"),
        ({"half_select_disturb": 0.1}, 0, "continuous element"),
        ({"endurance_narrowing": 0.1}, 16, "set endurance"),
    ],
)
def test_what_does_not_go_together_is_refused(values, n_levels, says):
    with pytest.raises(ScenarioError, match=says):
        check_nonidealities(Nonidealities(**values), n_levels, "device.storage_params")


def test_a_card_states_them_with_their_source():
    original = load_card("dw_notched")
    assert original.nonidealities == {}
    text = (
        'value = "1e6"\nkind = "measured"\nsource = "x"\nwhere = "Fig. 1"\n[references]\nx = "y"\n'
    )
    with pytest.raises(CardError, match="Did you mean 'endurance'"):
        parse_card(_text(original).replace("[references]", "[nonidealities.endurence]\n" + text, 1), "test")
    with_it = parse_card(_text(original).replace("[references]", "[nonidealities.endurance]\n" + text, 1), "test")
    assert with_it.nonidealities["endurance"].value == 1e6
    assert with_it.digest != original.digest
    changed = original.with_values({"endurance": 5.0}, SPECS, "device.storage_params")
    assert changed.nonidealities["endurance"].kind == "assumed"


def _text(card: Any) -> str:
    from importlib.resources import files

    folder, name = card.origin.rsplit("/", 1)
    text = files(folder.replace("/", ".")).joinpath(name).read_text(encoding="utf-8")
    return text.replace("[references]\n", "[references]\n", 1)
