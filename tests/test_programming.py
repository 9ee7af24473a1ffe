"""Programming policies, pulse lists and write operations against plain twins.

False alarms: 12 comparisons at 6 standard deviations (2e-9 each, 3e-8 in all). Keys are fixed: a pass stays one.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from oracles import arrays as twin

from bimu_hw.kernels.bits import fill_uniform
from bimu_hw.kernels.programming import (
    accumulate_residue,
    round_deterministic,
    round_stochastic,
    scale_levels,
    write_operations,
)

F = np.float32
Z = 6.0
UNLIMITED = 2.0**-90
POLICIES = ("deterministic", "stochastic", "residue")
KEY = np.uint64(0x123456789ABCDEF)


def listed(policy, request, step=1.0, quantum=1.0, key=KEY, register=UNLIMITED, residue=None):
    """Return the list (cells, counts) that a policy makes of the asked change of lam."""
    request = np.array(request, F)
    cells, counts = np.full(request.size, -7, np.int32), np.full(request.size, np.nan, F)
    scale = F(1.0 / step), F(quantum)
    if policy == "deterministic":
        n = round_deterministic(request, *scale, cells, counts)
    elif policy == "stochastic":
        n = round_stochastic(request, *scale, key, cells, counts)
    else:
        residue = np.zeros(request.size, F) if residue is None else residue
        n = accumulate_residue(request, *scale, F(register), residue, cells, counts)
    if n == request.size:  # no cell is left out: the request itself has become the counts
        return np.arange(n, dtype=np.int32), request
    return cells[:n], counts[:n]


def sent(policy, request, *args, **kwargs):
    """Return the counts of all cells, zeros included."""
    out = np.zeros(np.size(request), F)
    cells, counts = listed(policy, request, *args, **kwargs)
    out[cells] = counts
    return out


PATTERNS = {
    "none": lambda n, rng: np.zeros(n),
    "all": lambda n, rng: np.ones(n),
    "first": lambda n, rng: np.arange(n) == 0,
    "last": lambda n, rng: np.arange(n) == n - 1,
    "all but one": lambda n, rng: np.arange(n) != n // 2,
    "few": lambda n, rng: rng.random(n) < 0.004,
    "half": lambda n, rng: rng.random(n) < 0.5,
}


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("n", [1, 2, 63, 511, 512, 513, 1024, 1031, 2563])
def test_lists_are_ascending_unique_and_complete(n, pattern, policy):
    rng = np.random.default_rng(n)
    wanted = PATTERNS[pattern](n, rng) * rng.choice([-3.0, -1.0, 1.0, 2.0], n)
    cells, counts = listed(policy, wanted * 0.25, step=0.25)
    assert cells.dtype == np.int32
    assert counts.dtype == F
    assert np.array_equal(cells, np.flatnonzero(wanted))
    assert np.array_equal(counts, wanted[wanted != 0])


def test_deterministic_rounding_takes_ties_to_even():
    levels = np.arange(-6.0, 6.0, 0.125)
    assert np.array_equal(sent("deterministic", levels * 0.5, step=0.5), [round(x) for x in levels])


@pytest.mark.parametrize("step", [8.0 / 15, 0.031, 3.7])
def test_deterministic_rounding_is_to_the_nearest_level(step):
    request = np.random.default_rng(1).normal(0.0, 2.0 * step, 5000).astype(F)
    counts = sent("deterministic", request, step).astype(np.float64)
    off = counts - request.astype(np.float64) / step
    assert np.array_equal(counts, np.rint(counts))
    assert np.abs(off).max() <= 0.5 + 2e-6


@pytest.mark.parametrize("levels", [1e-3, 0.1, 0.5, 0.75, 1.0 - 1e-3, 1.3, 6.5, -1e-3, -0.4, -2.25])
def test_stochastic_rounding_is_right_on_average(levels):
    n, step = 200_000, 8.0 / 15
    request = np.full(n, levels * step, F)
    counts = sent("stochastic", request, step)
    low = math.floor(levels)
    assert set(np.unique(counts)) == {low, low + 1.0}
    up = levels - low
    z = (counts.mean(dtype=np.float64) - levels) / math.sqrt(up * (1.0 - up) / n)
    assert abs(z) < Z


def test_stochastic_rounding_of_whole_levels_has_nothing_to_draw():
    levels = np.repeat(np.arange(-8.0, 9.0), 500)
    assert np.array_equal(sent("stochastic", levels * 0.25, step=0.25), levels)


def test_stochastic_rounding_compares_with_the_uniform_of_key_and_cell():
    n, step = 20_000, 0.37
    request = np.random.default_rng(2).normal(0.0, step, n).astype(F)
    uniforms = np.empty(n, F)
    fill_uniform(KEY, uniforms)
    exact = request.astype(np.float64) / step + uniforms
    clear = np.abs(exact - np.rint(exact)) > 1e-5
    counts = sent("stochastic", request, step)
    assert clear.mean() > 0.99
    assert np.array_equal(counts[clear], np.floor(exact)[clear])
    assert np.array_equal(sent("stochastic", request, step), counts)
    assert np.array_equal(sent("stochastic", request[:777], step), counts[:777])


def test_keys_and_neighbouring_cells_round_independently():
    n = 200_000
    runs = [sent("stochastic", np.full(n, 0.3), key=np.uint64(key)).astype(np.float64) for key in (1, 2)]
    for a, b in ((runs[0], runs[1]), (runs[0][1:], runs[0][:-1])):
        assert abs(np.corrcoef(a, b)[0, 1]) * math.sqrt(a.size) < Z


@pytest.mark.parametrize("bits", [1, 6, 12])
def test_a_residue_register_equals_its_twin_bit_for_bit(bits):
    """Sent and kept together are what was asked, rounded to the register's last bit; half a level at most is kept."""
    rng, lsb, n = np.random.default_rng(bits), 2.0**-bits, 300
    residue, kept = np.zeros(n, F), [0.0] * n
    asked_in_all, sent_in_all = np.zeros(n), np.zeros(n)
    for event in range(40):
        # Eighths of the last bit: ties included, every number exact in float32.
        asked = rng.integers(-8 * 2**bits, 8 * 2**bits + 1, n) * lsb / 8 * rng.integers(0, 2, n)
        if event == 7:
            asked[:] = 0.5
        got = sent("residue", asked * 0.25, step=0.25, register=lsb, residue=residue)
        pairs = [twin.accumulate(k, a, lsb) for k, a in zip(kept, asked, strict=True)]
        kept = [k for _, k in pairs]
        assert np.array_equal(got, [s for s, _ in pairs])
        assert np.array_equal(residue, kept)
        assert np.abs(residue).max() <= 0.5
        asked_in_all += np.rint(asked / lsb) * lsb
        sent_in_all += got
    assert np.array_equal(sent_in_all + residue, asked_in_all)
    assert np.abs(sent_in_all).max() > 2


def test_a_register_forgets_what_is_below_its_last_bit():
    """Requests of a quarter and of half of the last bit vanish, three quarters count as one."""
    residue, lsb = np.zeros(4, F), 2.0**-6
    request = np.array([0.25, 0.5, 0.75, -0.75]) * lsb
    totals = sum(sent("residue", request, register=lsb, residue=residue) for _ in range(256))
    assert np.array_equal(totals, [0.0, 0.0, 4.0, -4.0])
    assert not residue.any()


def test_an_unlimited_register_loses_its_rounding_to_float32_alone():
    rng, step, n, events = np.random.default_rng(4), 8.0 / 15, 400, 500
    residue, asked_in_all, sent_in_all = np.zeros(n, F), np.zeros(n), np.zeros(n)
    for _ in range(events):
        request = rng.normal(1e-3, 2e-2, n).astype(F)
        sent_in_all += sent("residue", request, step, residue=residue)
        asked_in_all += request.astype(np.float64) / step
        assert np.abs(residue).max() <= 0.5
    # Per event half a unit in the last place of a number below 1, and of the request.
    assert np.abs(sent_in_all + residue - asked_in_all).max() < events * (2.0**-25 + 2.0**-24 * 0.2)
    assert np.abs(sent_in_all).max() >= 2


def test_small_requests_add_up_in_a_register_and_are_lost_without():
    residue = np.zeros(1, F)
    counts = [sent("residue", [2.0**-13], register=2.0**-13, residue=residue)[0] for _ in range(3 * 2**13)]
    assert sum(counts) == 3.0
    assert sum(sent("deterministic", [2.0**-13])[0] for _ in range(100)) == 0.0


def any_floats(low, high, seed):
    rng = np.random.default_rng(seed)
    exponent = np.repeat(np.arange(low, high), 50)
    values = (1.0 + rng.integers(0, 2**23, exponent.size) / 2**23) * 2.0**exponent * rng.choice([-1, 1], exponent.size)
    return rng.permutation(values).astype(F)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_continuous_element_is_sent_the_request_bit_for_bit(policy):
    request = any_floats(-66, 37, 5)
    residue = np.zeros(request.size, F)
    for _ in range(2):
        _, counts = listed(policy, request, 1.0, UNLIMITED, residue=residue)
        assert np.array_equal(counts.view(np.uint32), request.view(np.uint32))
        assert not residue.any()
    request[::3] = 0.0
    cells, counts = listed(policy, request, 1.0, UNLIMITED)
    assert np.array_equal(cells, np.flatnonzero(request))
    assert np.array_equal(counts.view(np.uint32), request[cells].view(np.uint32))


@pytest.mark.parametrize("policy", POLICIES)
def test_what_a_continuous_element_is_not_sent_is_of_no_account(policy):
    request = any_floats(-140, -66, 6)
    assert np.abs(sent(policy, request, 1.0, UNLIMITED).astype(np.float64) - request).max() <= UNLIMITED


@pytest.mark.parametrize("cells", [[0, 3, 8], list(range(9)), []])
def test_levels_become_lam_in_the_listed_cells_only(cells):
    lam = np.arange(-4.0, 5.0).astype(F)
    wanted = [x * 0.25 if c in cells else x for c, x in enumerate(lam)]
    scale_levels(np.array(cells, np.int32), F(0.25), lam)
    assert np.array_equal(lam, wanted)


@pytest.mark.parametrize("write_columns", [1, 3, 4, 128])
@pytest.mark.parametrize(("n_bitlines", "tile_bitlines"), [(1, 4), (7, 128), (12, 4), (13, 5), (33, 10), (8, 8)])
@pytest.mark.parametrize("whole", [True, False])
def test_write_operations_equal_a_grouping_cell_by_cell(whole, n_bitlines, tile_bitlines, write_columns):
    rng = np.random.default_rng(n_bitlines)
    size = 6 * n_bitlines
    picks = [rng.random(size) < density for density in (0.02, 0.1, 0.5, 0.9, 1.0)]
    picks += [np.arange(size) < n_bitlines * rows for rows in (1, 4)]  # whole rows from the first on
    picks += [np.arange(size) >= n_bitlines * 2, np.arange(size) % n_bitlines != 0]
    for pick in picks:
        cells = np.flatnonzero(pick).astype(np.int32)
        counts = rng.normal(0.0, 3.0, cells.size)
        counts = (np.copysign(np.ceil(np.abs(counts)), counts) if whole else counts * 1e-4).astype(F)
        args = whole, n_bitlines, 4, tile_bitlines, write_columns
        assert written(cells, counts, 6, *args) == twin.write_groups(cells, counts, *args)


def written(cells, counts, n_wordlines, whole, n_bitlines, tile_wordlines, tile_bitlines, write_columns):
    """Return what `write_operations` says, tiles without any operation left out."""
    across = -(-n_bitlines // tile_bitlines)
    tiles = np.full((-(-n_wordlines // tile_wordlines) * across, 3), -1, np.int64)
    up, down = write_operations(
        cells, counts, whole, n_bitlines, tile_wordlines, tile_bitlines, write_columns, tiles
    )
    return up, down, {divmod(t, across): tile.tolist() for t, tile in enumerate(tiles) if tile.any()}


def test_write_operations_by_hand():
    cells, counts = np.array([0, 1, 3, 6, 9], np.int32), np.array([2, -1, 5, -3, 1], F)
    # Word lines of 5 bit lines, tiles of 1 by 4 and groups of 2: {0, 1}, {3} and, on the next line, {6}; 9 is alone in
    # its tile's last column.
    tiles = {(0, 0): [2, 2 + 5, 1], (1, 0): [1, 0, 3], (1, 1): [1, 1, 0]}
    assert written(cells, counts, 2, True, 5, 1, 4, 2) == (8, 4, tiles)
    tiles = {(0, 0): [2, 2, 0], (1, 0): [1, 1, 0], (1, 1): [1, 1, 0]}
    assert written(cells, counts, 2, False, 5, 1, 4, 2) == (3, 2, tiles)
    for whole in (True, False):
        assert written(cells[:0], counts[:0], 2, whole, 5, 1, 4, 2) == (0, 0, {})

