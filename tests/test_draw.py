"""Weights drawn by bytes: the plain comparison of the same numbers, and the statistics of those numbers.

False alarms: see test_bits; the limits are the same.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from test_bits import ALPHA, a_key, chi_square_p, correlation_z, largest_z_p, pair_table, words

from bimu_hw.kernels import jit
from bimu_hw.kernels.draw import draw_look, draw_looks, fill_draw
from bimu_hw.random import fold


@jit
def _draw(threshold, key, first, out):
    draw_looks(threshold, key, first, out)


@jit
def _draw_one(threshold, key, out):
    draw_look(threshold, key, out)


def numbers(key, n):
    out = np.empty(n, np.uint32)
    fill_draw(np.uint64(key), out)
    return out


@pytest.mark.parametrize("n", [1, 63, 64, 65, 1000, 1024, 1087, 5003])
def test_weights_are_the_comparison_of_whole_numbers(n):
    key, first, looks = a_key(3), 7, 3
    threshold = np.random.default_rng(n).integers(0, 2**23 + 1, n).astype(np.int32)
    drawn = np.array([numbers(fold(int(key), first + s), n) for s in range(looks)])
    # Every fourth cell ties with a byte, and of these every other one with the whole number.
    threshold[::4] = (drawn[0, ::4] >> 9) & ~np.uint32(2**15 - 1)
    threshold[::8] = drawn[1, ::8] >> 9
    threshold[1::16], threshold[2::16] = 0, 2**23
    out = np.zeros((looks, n), np.int8)
    _draw(threshold, key, first, out)
    np.testing.assert_array_equal(out, np.where(drawn >> 9 >= threshold, 1, -1))
    one = np.zeros(n, np.int8)
    _draw_one(threshold, np.uint64(fold(int(key), first + 2)), one)
    np.testing.assert_array_equal(one, out[2])


def test_all_cells_may_tie():
    n = 4096
    threshold = (numbers(fold(int(a_key(4)), 0), n) >> 9).astype(np.int32)
    for above in (0, 1):
        out = np.zeros((1, n), np.int8)
        _draw(threshold + np.int32(above), a_key(4), 0, out)
        assert np.all(out == 1 - 2 * above)


def test_four_cells_take_the_bytes_of_one_word():
    n = 4097
    bytes_ = numbers(a_key(5), n) >> 24
    of_words = words(a_key(5), n // 4 + 1)
    wanted = [(int(of_words[c // 4]) >> 8 * (c % 4) & 255) ^ 128 for c in range(n)]
    assert bytes_.tolist() == wanted


def test_numbers_are_uniform_in_all_their_bits():
    for event in range(4):
        got = numbers(a_key(0, event), 2**21)
        assert chi_square_p(np.bincount(got >> 20, minlength=4096)) > ALPHA
        assert chi_square_p(np.bincount(got & 4095, minlength=4096)) > ALPHA
        # What decides a tie does not depend on the byte that tied.
        assert chi_square_p(np.bincount((got >> 18 & 63) << 8 | got >> 24, minlength=2**14)) > ALPHA


def test_cells_that_share_a_word_are_jointly_uniform():
    """To six bits of each, and for rare weights: two confident cells are wrong together as often as by chance."""
    n, together = 2**21, np.zeros(3, int)
    for event in range(8):
        got = numbers(a_key(12, event), n)
        for k in range(1, 4):
            first, other = got[::4], got[k::4]
            assert chi_square_p(pair_table(first, other)) > ALPHA
            assert largest_z_p([correlation_z(first, other)]) > ALPHA
            together[k - 1] += np.count_nonzero((first >> 23 == 0) & (other >> 23 == 0))
    for seen in together:
        assert stats.binomtest(int(seen), 8 * n // 4, 2.0**-18).pvalue > ALPHA
