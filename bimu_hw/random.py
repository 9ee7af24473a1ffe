"""Where every random number comes from.

A random draw is a function of *what it is for*: the run's seed, the purpose, the layer, the event (the index of the
query, for nearly all purposes) and the cell. No generator is shared and no state is kept, so the bits do not depend on
the number of threads, on the order of events or on what is recorded, and a checkpoint holds no generator state.

The host makes 64-bit keys with `stream_key`; kernels turn a key and a cell number into bits (`bimu_hw.kernels.bits`).
"""

from __future__ import annotations

from enum import IntEnum
from functools import lru_cache

import numpy as np

from bimu_hw.errors import ScenarioError


class Purpose(IntEnum):
    """What a stream of random numbers is for. Append only: a number, once given, keeps its meaning."""

    FABRICATE_STORAGE = 1
    FABRICATE_SAMPLER = 2
    FAULT = 3
    INITIAL_LAM = 4
    WEIGHT_SAMPLE = 5
    RELAXED_SAMPLE = 6
    READ_STORAGE = 7
    PULSE = 8
    ROUNDING = 9
    EVALUATION = 10
    PERMUTATION = 11
    ARRIVAL = 12
    LABEL_POLICY = 13
    LABEL_NOISE = 14
    ADC = 15
    FABRICATE_PERIPHERY = 16
    STREAM = 17
    ADVANCE = 18
    CONTROLLER_READ = 19
    OOD = 20
    DISTURB = 21
    ADC_ERROR = 22
    ADC_NOISE = 23
    DAC_ERROR = 24
    PRICE = 25
    SWEEP = 26
    LABEL_LATENCY = 27
    SEARCH = 28


_MASK = (1 << 64) - 1


def mix64(value: int) -> int:
    """Return a bijective, well-mixed function of a 64-bit integer (SplitMix64's finaliser).

    Source: Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014 (variant 13 constants).
    """
    value &= _MASK
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & _MASK
    return value ^ (value >> 31)


def fold(key: int, word: int) -> int:
    """Mix one more word into a key. Words are mixed one after the other, never added: no two events share noise."""
    return mix64(((key + 0x9E3779B97F4A7C15) & _MASK) ^ mix64((word + 0xD1B54A32D192ED03) & _MASK))


def stream_key(seed: int, purpose: Purpose, *words: int) -> np.uint64:
    """Return the 64-bit key of one stream.

    Parameters
    ----------
    seed : int
        One of the run's three seeds (fabrication, noise, data), 0 <= seed < 2**63. Zero is a seed like any other.
    purpose : Purpose
        What the numbers are for.
    *words : int
        The layer, the event and whatever else tells this stream from its siblings.

    Returns
    -------
    numpy.uint64
    """
    key = _first_words(check_seed(seed), int(purpose))
    for word in words:
        key = fold(key, int(word))
    return np.uint64(key)


@lru_cache(maxsize=256)
def _first_words(seed: int, purpose: int) -> int:
    """Return the key of a seed and a purpose, from which those of all events begin."""
    return fold(mix64(seed), purpose)


def host_generator(seed: int, purpose: Purpose, *words: int) -> np.random.Generator:
    """Return a NumPy generator for work outside the kernels (permutations, arrival times).

    Same arguments as `stream_key`; the generator is Philox, keyed by that key.
    """
    return np.random.Generator(np.random.Philox(key=int(stream_key(seed, purpose, *words))))


def check_seed(seed: int) -> int:
    """Return the seed as an int, or raise `ScenarioError` if it is not an integer in [0, 2**63)."""
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= int(seed) < 2**63:
        raise ScenarioError(f"seed: got {seed!r}; allowed are integers from 0 to 2**63 - 1.")
    return int(seed)
