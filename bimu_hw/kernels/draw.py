"""Bernoulli weights from thresholds of 23 bits, most of them decided by eight.

A cell's random number is a byte of a word that it shares with three neighbours, and behind it bits of a word of its
own, which are drawn only where the byte equals the leading bits of the threshold: once in 256 cells. The probabilities
are those of a comparison with all bits, exactly, and 64 cells are compared at once.

`_draw_64` is written in vector instructions, since one of them tells which of 64 comparisons are ties. `draw_number` is
the plain definition of the same numbers; it also decides what is left over at the end of an array.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import extending, types
from numba.core.datamodel import models

from bimu_hw.kernels import inline, jit
from bimu_hw.kernels.bits import WEYL, cell_bits, fold, key_halves

_I = np.int32
_I8 = np.int8
_U32 = np.uint32
_U64 = np.uint64

_WORDS = 16
#: Cells that are drawn and compared together.
GROUP = 4 * _WORDS
#: Cells that are drawn together, for all looks, while their thresholds are in the first-level cache.
_BLOCK = 16 * GROUP
_LISTED = 2 * (_BLOCK // GROUP + 1)
#: What tells the second key of a look from all that devices make of the first.
_OWN = np.uint64(0x9C3B_1F0E_5A77_D24B)

intrinsic: Any = extending.intrinsic
_WORD, _BYTE = ir.IntType(32), ir.IntType(8)
_VECTOR, _BYTES, _MASK = ir.VectorType(_WORD, _WORDS), ir.VectorType(_BYTE, GROUP), ir.IntType(GROUP)


@inline
def draw_number(low, high, low_own, high_own, cell):
    """Return the 32 random bits of a cell (uint32) under the two keys of a look, each given as two halves.

    The leading byte is byte cell % 4 of `cell_bits` of cell // 4, its first bit inverted (bytes are compared as signed
    numbers); the other 24 bits are the leading ones of `cell_bits` of the cell under the second key.
    """
    byte = _U32(cell_bits(low, high, _U32(cell) >> _U32(2)) >> _U32(_U32(8) * (_U32(cell) & _U32(3)))) & _U32(255)
    return _U32(_U32(byte ^ _U32(128)) << _U32(24)) | _U32(cell_bits(low_own, high_own, _U32(cell)) >> _U32(8))


@inline
def look_keys(key, keys):
    """Write the halves of a look's two keys to `keys`, uint32[4]."""
    keys[0], keys[1] = key_halves(key)
    keys[2], keys[3] = key_halves(fold(key, _OWN))


class _WeylType(types.Type):
    """Numba's name for the Weyl terms of `_WORDS` words that follow each other."""

    def __init__(self) -> None:
        super().__init__(name="weyl_terms")


_WEYL_TERMS = _WeylType()


@extending.register_model(_WeylType)
class _WeylModel(models.PrimitiveModel):
    def __init__(self, manager, numba_type):
        super().__init__(manager, numba_type, _VECTOR)


def _constant(value):
    return ir.Constant(_VECTOR, [value] * _WORDS)


def _splat(builder, value):
    first = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), value, ir.Constant(_WORD, 0))
    return builder.shuffle_vector(first, ir.Constant(_VECTOR, ir.Undefined), _constant(0))


@intrinsic
def _terms_from(typing_context, weyl):
    """Return the Weyl terms of a word, whose own is given, and of those that follow it."""

    def generate(context, builder, signature, args):
        steps = ir.Constant(_VECTOR, [int(WEYL) * k % 2**32 for k in range(_WORDS)])
        return builder.add(_splat(builder, args[0]), steps)

    return _WEYL_TERMS(types.uint32), generate


@intrinsic
def _next_terms(typing_context, terms):
    """Return the Weyl terms of the words that follow."""

    def generate(context, builder, signature, args):
        return builder.add(args[0], _constant(_WORDS * int(WEYL) % 2**32))

    return _WEYL_TERMS(_WEYL_TERMS), generate


@intrinsic
def _draw_64(typing_context, coarse, index, terms, high, out):
    """Draw the bytes of 64 cells and compare them with 64 of `coarse` (int8[cell]), both from `index` on.

    Takes the Weyl terms of their words, of which `bimu_hw.kernels.bits.scramble` is the rest. Writes -1 where the byte
    is smaller, else +1, to `out` (int8[cell]), and returns a uint64 with a bit for every tie. Words are taken apart
    from their lowest byte on, as processors with little-endian memory do by reading them.
    """

    def generate(context, builder, signature, args):
        def pointer(number):
            data = context.make_array(signature.args[number])(context, builder, args[number]).data
            return builder.bitcast(builder.gep(data, [args[1]]), _BYTES.as_pointer())

        def fold_down(x, shift):
            return builder.xor(x, builder.lshr(x, _constant(shift)))

        x = builder.xor(fold_down(args[2], 16), _splat(builder, args[3]))
        x = fold_down(builder.mul(x, _constant(0x21F0AAAD)), 15)
        x = fold_down(builder.mul(x, _constant(0xD35A2D97)), 15)
        drawn = builder.bitcast(x, _BYTES)
        threshold = builder.load(pointer(0), align=1)
        smaller = builder.sext(builder.icmp_signed("<", drawn, threshold), _BYTES)
        builder.store(builder.or_(smaller, ir.Constant(_BYTES, [1] * GROUP)), pointer(4), align=1)
        return builder.bitcast(builder.icmp_signed("==", drawn, threshold), _MASK)

    return types.uint64(coarse, types.intp, _WEYL_TERMS, types.uint32, out), generate


@intrinsic
def lowest(typing_context, mask):
    """Return the number of the lowest bit that is set, 64 if none is."""

    def generate(context, builder, signature, args):
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.uint64(types.uint64), generate


@inline(borrowed=True)
def list_ties(coarse, weyl, high, code, found, ties, out):
    """Decide all cells by their bytes and list the ties among them; return how long the list is then.

    Parameters
    ----------
    coarse : int8[cell]
        The thresholds' leading bits (`set_coarse`) of 64 cells or a multiple of that.
    weyl, high : uint32
        Weyl term of the first word, and high half of the key (`bimu_hw.kernels.bits.scramble`).
    code : uint64
        What the first cell is called in the list; the others follow.
    found : uint64
        Length of the list so far.
    ties : uint64[found + cell / 64 + 1, 2]
        The list, as flat array: for 64 cells with a tie, what the first of them is called, and a bit for every tie.
    out : int8[cell]
        *Mutates* `ties`, `out`.
    """
    terms = _terms_from(weyl)  # type: ignore[call-arg]  # numba passes the context
    for c in range(0, out.size, GROUP):
        mask = _U64(_draw_64(coarse, c, terms, high, out))  # type: ignore[call-arg]
        terms = _next_terms(terms)  # type: ignore[call-arg]
        # Written in any case and kept if there was a tie.
        ties[found] = code
        ties[found + _U64(1)] = mask
        found = _U64(found + (_U64(mask != _U64(0)) << _U64(1)))
        code = _U64(code + _U64(GROUP))
    return found


@inline(borrowed=True)
def first_weyl(keys, cell):
    """Return the Weyl term of the word of a cell, a multiple of four."""
    return _U32(_U32(_U32(cell >> 2) + keys[0]) * WEYL)


@inline(borrowed=True)
def decide_tie(keys, coarse, threshold, cell):
    """Return the weight of a cell whose byte equals `coarse`: what `draw_number` says, its byte being known."""
    rest = cell_bits(keys[2], keys[3], _U32(cell)) >> _U32(17)
    return _I8(1) if _I((_I(coarse) + _I(128)) << _I(15)) + _I(rest) >= threshold else _I8(-1)


@inline(borrowed=True)
def draw_singly(threshold, keys, start, out):
    """Draw the weights of the cells from `start` on by whole numbers."""
    for c in range(start, threshold.size):
        number = draw_number(keys[0], keys[1], keys[2], keys[3], _U32(c))
        out[c] = _I8(1) if _I(number >> _U32(9)) >= threshold[c] else _I8(-1)


@inline(borrowed=True)
def set_coarse(threshold, coarse):
    """Write the leading eight bits of the thresholds as signed bytes; 2**23 shares the highest with its neighbours."""
    for c in range(threshold.size):
        coarse[c] = _I8(_I(min(threshold[c] >> _I(15), _I(255)) - _I(128)))


@jit(borrowed=True)
def draw_keyed(threshold, keys, coarse, ties, out):
    """Write weights: +1 where the leading 23 bits of `draw_number` reach the threshold, else -1.

    Parameters
    ----------
    threshold : int32[cell]
        In units of 2**-23, 0 to 2**23.
    keys : uint32[look, 4]
        From `look_keys`.
    coarse : int8[_BLOCK]
    ties : uint64[_LISTED]
        Work space.
    out : int8[look, cell]
        *Mutates* `coarse`, `ties`, `out`.
    """
    whole = threshold.size // GROUP * GROUP
    for start in range(0, whole, _BLOCK):
        stop = min(start + _BLOCK, whole)
        part = threshold[start:stop]
        set_coarse(part, coarse)
        for s in range(out.shape[0]):
            k, w = keys[s], out[s, start:stop]
            found = list_ties(coarse, first_weyl(k, start), k[1], _U64(0), _U64(0), ties, w)
            for n in range(_U64(0), found, _U64(2)):
                mask = ties[n + _U64(1)]
                while mask != _U64(0):
                    c = _U64(ties[n] + lowest(mask))  # type: ignore[call-arg]  # numba passes the context
                    w[c] = decide_tie(k, coarse[c], part[c], _U32(start) + _U32(c))
                    mask &= _U64(mask - _U64(1))
    for s in range(out.shape[0]):
        draw_singly(threshold, keys[s], whole, out[s])


@inline
def draw_looks(threshold, key, first, out):
    """Draw independent weights (int8[look, cell], +1 or -1) for looks `first` on, from `key` folded with each look."""
    keys = np.empty((out.shape[0], 4), np.uint32)
    for s in range(out.shape[0]):
        look_keys(fold(key, _U64(first + s)), keys[s])
    draw_keyed(threshold, keys, np.empty(_BLOCK, np.int8), np.empty(_LISTED, np.uint64), out)


@inline
def draw_look(threshold, key, out):
    """Draw independent weights (int8[cell], +1 or -1) for one look, from its own key."""
    keys = np.empty((1, 4), np.uint32)
    look_keys(key, keys[0])
    rows = out.reshape((1, out.size))
    draw_keyed(threshold, keys, np.empty(_BLOCK, np.int8), np.empty(_LISTED, np.uint64), rows)


@jit
def fill_draw(key, out):
    """Write the numbers that the cells of one look compare with their thresholds (uint32, flat)."""
    keys = np.empty(4, np.uint32)
    look_keys(key, keys)
    for c in range(out.size):
        out[c] = draw_number(keys[0], keys[1], keys[2], keys[3], _U32(c))
