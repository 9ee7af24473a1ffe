"""Sampling in CMOS: a cell compares the top bits of a linear-feedback shift register with an n-bit threshold.

The probability is rounded to a multiple of 2**-n_bits. The bits come from a bank of `n_generators` maximal-length
Galois registers: a cell listens to the register of its bit line, bit line b to register b modulo n_generators. Tiles
along the word lines have a bank each and work side by side, which is what the card's `sample_time` counts on. Within a
tile the word lines are served one after the other, and so are the bit lines of one register within a word line; each
draw is `stride` steps of the sequence after the last, and a stride above 1 stands for leap-forward logic. A bank runs
through all looks of a query. Where in its period each register stands when the query begins is a hash of the key, so
that what one query draws does not depend on the queries before it; within a query the correlations are those of the
registers. A register never holds 0, so a threshold that m < 2**n words pass is passed with probability
m 2**(L-n) / (2**L - 1) on a register of L >= n bits. With `lfsr_length` 0 the bits are ideal.

The comparator needs its threshold as a digital number: the store is read for every Monte Carlo sample, and a noisy
reading gives every sample a threshold of its own.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bimu_hw.devices import ParamSpec, SamplerModel, StateVar
from bimu_hw.kernels import inline, jit
from bimu_hw.kernels.bits import fold
from bimu_hw.kernels.draw import draw_looks
from device_models.ideal_sampler import bernoulli_threshold

_I = np.int32
_I64 = np.int64
_U32 = np.uint32
_U64 = np.uint64

#: Feedback mask of a maximal-length Galois register of 1, 2, ... 32 bits that shifts right. Of the masks with the
#: fewest taps the smallest, found by testing the order of the step as a matrix over GF(2); the tests repeat the proof.
MASKS = np.array(
    [
        0x1, 0x3, 0x5, 0x9, 0x12, 0x21, 0x41, 0x8E, 0x108, 0x204, 0x402, 0x829, 0x100D, 0x2015, 0x4001, 0x8016, 0x10004,
        0x20040, 0x40013, 0x80004, 0x100002, 0x200001, 0x400010, 0x80000D, 0x1000004, 0x2000023, 0x4000013, 0x8000004,
        0x10000002, 0x20000029, 0x40000004, 0x80000062,
    ],
    dtype=np.uint32,
)  # fmt: skip

#: Tells the phase of the registers from the keyed bits of the looks.
_PHASE = np.uint64(0x7068617365)


class Params(NamedTuple):
    """See `MODEL.specs`."""

    n_bits: float
    lfsr_length: float
    n_generators: float
    stride: float


class State(NamedTuple):
    """Thresholds, and work space for the bank of registers, of which the first `n_generators` entries are used."""

    threshold: np.ndarray
    register: np.ndarray


@inline
def _word_bits(params):
    """Return the resolution of the comparison: 23 bits where none is stated."""
    return _I(params.n_bits) if params.n_bits >= 1.0 else _I(23)


@inline
def lfsr_step(register, mask):
    """Return the next state (uint32) of a right-shifting Galois register."""
    return _U32((register >> _U32(1)) ^ (mask * (register & _U32(1))))


@inline
def start_state(key, generator, length):
    """Return the state (uint32, never 0) of a register of `length` bits at the beginning of a call."""
    period = _U64((_U64(1) << _U64(length)) - _U64(1))
    return _U32(_U64(1) + fold(fold(key, _PHASE), _U64(generator)) % period)


@inline
def _product(a, b, length, mask):
    """Return the product of two register states read as polynomials modulo that of the register.

    The highest bit stands for 1, the next one for x, and a step of the register multiplies by x.
    """
    product = _U32(0)
    for i in range(length):
        product ^= b * (_U32(a >> _U32(length - 1 - i)) & _U32(1))
        b = lfsr_step(b, mask)
    return _U32(product)


@inline
def lfsr_jump(steps, length, mask):
    """Return x**steps (uint32): its product with a register's state is the state `steps` steps later."""
    result = _U32(_U32(1) << _U32(length - 1))
    square = lfsr_step(result, mask)
    left = _U64(steps)
    while left > _U64(0):
        if left & _U64(1):
            result = _product(result, square, length, mask)
        square = _product(square, square, length, mask)
        left >>= _U64(1)
    return result


@jit
def fabricate(state, params, site, key):
    """Bias every cell at lam = 0; all cells are alike. *Mutates* `state.threshold`."""
    for c in range(state.threshold.size):
        state.threshold[c] = _I(1 << 22)


@jit
def bias(state, lam, cells, params, site, now):
    """Compute the rounded threshold of the listed cells from `lam`. *Mutates* `state.threshold`."""
    threshold = state.threshold
    bits = _word_bits(params)
    shift = _I(_I(23) - bits)
    if cells.size == threshold.size:
        for c in range(threshold.size):
            threshold[c] = _I(bernoulli_threshold(lam[c], bits) << shift)
    else:
        for n in range(cells.size):
            threshold[cells[n]] = _I(bernoulli_threshold(lam[cells[n]], bits) << shift)


@jit
def sample(state, params, site, key, first, interval, now, out):
    """Draw weights, int8[look, cell]. *Mutates* `state.register`, whose contents do not outlive the call."""
    threshold, register = state.threshold, state.register
    length = _I(params.lfsr_length)
    if length == 0:
        draw_looks(threshold, key, first, out)
        return
    cells, n_bitlines = _I64(threshold.size), _I64(site.n_bitlines)
    stride, bank = _I64(params.stride), min(_I64(params.n_generators), n_bitlines, cells)
    mask = MASKS[length - 1]
    # The comparison is on 23 bits, left-aligned.
    left, right = _U32(max(_I(23) - length, _I(0))), _U32(max(length - _I(23), _I(0)))
    tile_cells = _I64(site.tile_wordlines) * n_bitlines
    for tile in range((cells + tile_cells - 1) // tile_cells):
        begin = tile * tile_cells
        end = min(begin + tile_cells, cells)
        turns = (end - begin + n_bitlines - 1) // n_bitlines * ((n_bitlines + bank - 1) // bank)
        jump = lfsr_jump(_I64(first) * turns * stride, length, mask)
        for g in range(bank):
            register[g] = _product(start_state(key, tile * bank + g, length), jump, length, mask)
        for n in range(out.shape[0]):
            row = out[n]
            for line in range(begin, end, n_bitlines):
                for start in range(line, line + n_bitlines, bank):
                    for g in range(min(bank, line + n_bitlines - start, end - start)):
                        k = _I(_U32(register[g] << left) >> right)
                        row[start + g] = np.int8(1) if k >= threshold[start + g] else np.int8(-1)
                    for _ in range(stride):
                        for g in range(bank):
                            register[g] = lfsr_step(register[g], mask)


def drive(params, lam):
    """Return the code (float64) that a word must reach for weight +1."""
    bits = int(params.n_bits) or 23
    return np.floor(2.0**bits / (1.0 + np.exp(2.0 * np.asarray(lam, np.float64))) + 0.5)


MODEL = SamplerModel(
    name="cmos_lfsr",
    family="cmos",
    summary="n-bit comparator on a shared bank of linear-feedback shift registers",
    params=Params,
    state=State,
    specs=(
        ParamSpec("n_bits", "1", "bits of the comparison; 0 for 23", 0.0, 23.0, 0.0, integer=True),
        ParamSpec("lfsr_length", "1", "bits of a register; 0 for ideal bits", 0.0, 32.0, 0.0, integer=True),
        ParamSpec(
            "n_generators",
            "1",
            "registers of a tile row; bit line b listens to register b modulo their number",
            1.0,
            2.0**20,
            integer=True,
        ),
        ParamSpec("stride", "1", "steps of a register's sequence from one draw to the next", 1.0, 64.0, integer=True),
    ),
    variables=(
        StateVar("threshold", "int32", "1", "random bits at or above it give weight +1"),
        StateVar("register", "uint32", "1", "work space: states of the registers"),
    ),
    fabricate=fabricate,
    bias=bias,
    sample=sample,
    holds=("query", "read"),
    store_reads="sample",
    drive=drive,
    drive_name="threshold code",
)
