"""Random bits as a function of a 64-bit key and a cell number.

Two generators, for two needs:

* `cell_bits`: a keyed hash of a dozen 32-bit operations that LLVM turns into SIMD code, for Monte Carlo bits that are
  drawn by the hundred thousand per query. For a fixed key it is a bijection of the cell number.
* `philox`: Philox4x32-10 (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011), a
  generator that passes BigCrush, for device noise that is drawn by the pulse.

Keys are made on the host (`bimu_hw.random.stream_key`) and folded further here, always by mixing.
"""

from __future__ import annotations

import numpy as np

from bimu_hw.kernels import inline, jit
from bimu_hw.kernels.elementary import cos_turn, log32

_U32 = np.uint32
_U64 = np.uint64

#: Step of the Weyl sequence over cells: 2**32 divided by the golden ratio, made odd and prime.
WEYL = np.uint32(0x9E3779B1)


@inline
def mix64(value):
    """Return SplitMix64's finaliser of a uint64, the twin of `bimu_hw.random.mix64`."""
    value = _U64((value ^ (value >> _U64(30))) * _U64(0xBF58476D1CE4E5B9))
    value = _U64((value ^ (value >> _U64(27))) * _U64(0x94D049BB133111EB))
    return value ^ (value >> _U64(31))


@inline
def fold(key, word):
    """Mix one more word into a uint64 key, the twin of `bimu_hw.random.fold`."""
    return mix64(_U64(key + _U64(0x9E3779B97F4A7C15)) ^ mix64(_U64(_U64(word) + _U64(0xD1B54A32D192ED03))))


@inline
def key_halves(key):
    """Return the low and the high 32 bits of a key."""
    return _U32(key & _U64(0xFFFFFFFF)), _U32(key >> _U64(32))


@inline
def cell_bits(key_low, key_high, cell):
    """Return 32 random bits of one cell (uint32) under a key given as two halves.

    Cell and low half run through a Weyl sequence (the golden-ratio multiplier, which a loop over cells does by
    addition), then two multiply-xorshift rounds (multipliers by Wellons' "hash-prospector" search) with the high half
    going in before the first. Without the Weyl step cells a power of two apart are correlated by up to 2 %; with the
    high half in the last round, so are two keys of equal low half. The halves come from `mix64`, so the keys of two
    events are unrelated words.
    """
    return scramble(_U32(_U32(_U32(cell) + key_low) * WEYL), key_high)


@inline
def scramble(weyl, key_high):
    """Finish `cell_bits` from its Weyl term, (cell + key_low) * WEYL, which an inner loop carries along by adding."""
    x = _U32(weyl ^ (weyl >> _U32(16)))
    x = _U32(x ^ key_high)
    x = _U32(x * _U32(0x21F0AAAD))
    x = _U32(x ^ (x >> _U32(15)))
    x = _U32(x * _U32(0xD35A2D97))
    return _U32(x ^ (x >> _U32(15)))


@inline
def half_turn(word):
    """Rotate a word by 16 bits: its second look at the same 32 random bits."""
    return _U32(_U32(word << _U32(16)) | _U32(word >> _U32(16)))


@inline
def look_bits(key_low, key_high, cell, half):
    """Return the 32 random bits of one cell in a look at an array.

    The first `half` cells, half of the array rounded up, take the word of their own number; the others take the same
    words turned by 16 bits, which halves the cost of drawing. Each word is uniform to its last bit. Two cells that
    share one are independent to the 16 leading bits of each: a joint probability is off by at most 2**-15, and all
    other pairs of cells are as independent as `cell_bits` makes them.
    """
    upper = _U32(cell) >= half
    word = cell_bits(key_low, key_high, _U32(cell) - half if upper else _U32(cell))
    return half_turn(word) if upper else word


@inline(borrowed=True)
def fill_pairs(weyl, key_high, lower, upper):
    """Write the words of successive cells from a Weyl term on, and the same words turned (uint32, flat)."""
    for c in range(lower.size):
        word = scramble(weyl, key_high)
        weyl = _U32(weyl + WEYL)
        lower[c] = word
        upper[c] = half_turn(word)


@inline
def centred_uniform(bits):
    """Return a float32 uniform in (0, 1) from the top 23 bits: (k + 1/2) / 2**23, so never 0 and never 1."""
    return np.float32(np.float32(np.int32(bits >> _U32(9))) + np.float32(0.5)) * np.float32(2.0**-23)


@inline
def normal_from_bits(bits_a, bits_b):
    """Return one standard normal float32 from two words, by Box and Muller's transform with polynomial log and cosine.

    The radius uses 24 bits, so values stay within about 5.9 standard deviations.
    """
    u = np.float32(np.float32(np.int32(bits_a >> _U32(8))) + np.float32(0.5)) * np.float32(2.0**-24)
    turn = np.float32(np.float32(np.int32(bits_b >> _U32(8))) + np.float32(0.5)) * np.float32(2.0**-24)
    return np.float32(np.sqrt(np.float32(-2.0) * log32(u)) * cos_turn(turn))


@jit
def philox(key, counter_low, counter_high):
    """Return the four uint32 words of Philox4x32-10 for a uint64 key and two uint64 counter halves."""
    k0 = _U64(key & _U64(0xFFFFFFFF))
    k1 = _U64(key >> _U64(32))
    low = _U64(0xFFFFFFFF)
    c0 = _U64(counter_low & low)
    c1 = _U64(counter_low >> _U64(32))
    c2 = _U64(counter_high & low)
    c3 = _U64(counter_high >> _U64(32))
    for _ in range(10):
        p0 = _U64(_U64(0xD2511F53) * c0)
        p1 = _U64(_U64(0xCD9E8D57) * c2)
        c0, c1, c2, c3 = (
            _U64((p1 >> _U64(32)) ^ c1 ^ k0), _U64(p1 & low), _U64((p0 >> _U64(32)) ^ c3 ^ k1), _U64(p0 & low),
        )  # fmt: skip
        k0 = _U64((k0 + _U64(0x9E3779B9)) & low)
        k1 = _U64((k1 + _U64(0xBB67AE85)) & low)
    return _U32(c0), _U32(c1), _U32(c2), _U32(c3)


@jit
def fill_look(key, half, out):
    """Fill `out` (uint32, flat) with the bits of one look, the first `half` of its cells being those with a word of
    their own.
    """
    low, high = key_halves(key)
    for c in range(out.size):
        out[c] = look_bits(low, high, _U32(c), _U32(half))


@jit
def fill_uniform(key, out):
    """Fill `out` (float32, flat) with the centred uniforms of cells 0 .. len(out) - 1."""
    low, high = key_halves(key)
    for i in range(out.size):
        out[i] = centred_uniform(cell_bits(low, high, _U32(i)))


@jit
def fill_normal(key, out):
    """Fill `out` (float32, flat) with standard normals of cells 0 .. len(out) - 1."""
    low, high = key_halves(key)
    low_b, high_b = key_halves(fold(key, _U64(1)))
    for i in range(out.size):
        out[i] = normal_from_bits(cell_bits(low, high, _U32(i)), cell_bits(low_b, high_b, _U32(i)))
