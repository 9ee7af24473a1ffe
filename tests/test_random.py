"""Where keys come from: known answers, no collisions, and nothing that depends on who asks first."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bimu_hw.errors import ScenarioError
from bimu_hw.random import Purpose, check_seed, fold, host_generator, mix64, stream_key

GOLDEN_GAMMA = 0x9E3779B97F4A7C15
WORDS = st.integers(0, 2**64 - 1)


@pytest.mark.parametrize(
    ("seed", "answers"),
    [
        (0, (0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F)),
        (1234567, (6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431)),
    ],
)
def test_mix64_is_the_finaliser_of_splitmix64(seed, answers):
    """The published generator adds the golden gamma and finalises."""
    assert tuple(mix64(seed + k * GOLDEN_GAMMA) for k in range(1, len(answers) + 1)) == answers


@given(WORDS)
def test_mix64_can_be_undone(value):
    """A bijection loses nothing: two events never share a key because of mixing."""
    x = mix64(value)
    x ^= (x >> 31) ^ (x >> 62)
    x = x * pow(0x94D049BB133111EB, -1, 2**64) % 2**64
    x ^= (x >> 27) ^ (x >> 54)
    x = x * pow(0xBF58476D1CE4E5B9, -1, 2**64) % 2**64
    x ^= (x >> 30) ^ (x >> 60)
    assert x == value


@given(WORDS, WORDS, WORDS)
def test_fold_tells_words_and_keys_apart(key, a, b):
    assert (fold(key, a) == fold(key, b)) == (a == b)
    assert (fold(a, key) == fold(b, key)) == (a == b)


def test_keys_of_a_run_never_collide():
    """The chance that 2**17 perfectly random 64-bit keys collide is 5e-10."""
    keys = {
        int(stream_key(seed, purpose, layer, event))
        for seed, purpose, layer, event in itertools.product((0, 1, 2, 2**63 - 1), Purpose, range(4), range(400))
    }
    assert len(keys) == 4 * len(Purpose) * 4 * 400


def test_every_word_and_its_place_matter():
    keys = [
        stream_key(1, Purpose.PULSE),
        stream_key(1, Purpose.PULSE, 0),
        stream_key(1, Purpose.PULSE, 0, 0),
        stream_key(1, Purpose.PULSE, 0, 1),
        stream_key(1, Purpose.PULSE, 1, 0),
        stream_key(1, Purpose.ROUNDING, 0, 1),
        stream_key(2, Purpose.PULSE, 0, 1),
    ]
    assert len({int(key) for key in keys}) == len(keys)
    assert all(key.dtype == np.uint64 for key in keys)


def test_a_key_is_the_chain_of_mixing_that_it_is_said_to_be():
    expected = mix64(5)
    for word in (int(Purpose.WEIGHT_SAMPLE), 1, 123456):
        expected = fold(expected, word)
    assert int(stream_key(5, Purpose.WEIGHT_SAMPLE, 1, 123456)) == expected


def test_seed_zero_is_a_seed_like_any_other():
    ones = [int(stream_key(0, purpose, event)).bit_count() for purpose in Purpose for event in range(500)]
    n = 64 * len(ones)
    assert abs(sum(ones) - n / 2) < 6.0 * np.sqrt(n / 4)  # a fair coin leaves this band with probability 2e-9


def test_purposes_keep_the_numbers_they_were_given():
    """A recorded run is reproducible only while these do not change; new ones are appended."""
    assert [(p.name, int(p)) for p in Purpose][:21] == [
        ("FABRICATE_STORAGE", 1),
        ("FABRICATE_SAMPLER", 2),
        ("FAULT", 3),
        ("INITIAL_LAM", 4),
        ("WEIGHT_SAMPLE", 5),
        ("RELAXED_SAMPLE", 6),
        ("READ_STORAGE", 7),
        ("PULSE", 8),
        ("ROUNDING", 9),
        ("EVALUATION", 10),
        ("PERMUTATION", 11),
        ("ARRIVAL", 12),
        ("LABEL_POLICY", 13),
        ("LABEL_NOISE", 14),
        ("ADC", 15),
        ("FABRICATE_PERIPHERY", 16),
        ("STREAM", 17),
        ("ADVANCE", 18),
        ("CONTROLLER_READ", 19),
        ("OOD", 20),
        ("DISTURB", 21),
    ]
    assert len({int(p) for p in Purpose}) == len(Purpose)


def test_host_generators_are_reproducible_and_distinct():
    def first(*words):
        return host_generator(3, Purpose.PERMUTATION, *words).permutation(50).tolist()

    assert first(0) == first(0)
    assert first(0) != first(1)


@pytest.mark.parametrize("seed", [0, 1, 2**63 - 1, np.int64(7), np.uint64(7)])
def test_seeds_that_are_seeds(seed):
    assert check_seed(seed) == int(seed)
    assert type(check_seed(seed)) is int


@pytest.mark.parametrize("seed", [-1, 2**63, 1.0, "1", None, True, np.float64(2.0)])
def test_seeds_that_are_none(seed):
    with pytest.raises(ScenarioError, match=r"seed: got .*; allowed are integers from 0 to 2\*\*63 - 1\."):
        check_seed(seed)
    with pytest.raises(ScenarioError):
        stream_key(seed, Purpose.PULSE)
