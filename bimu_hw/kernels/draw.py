"""Bernoulli weights from thresholds of 23 bits, most of them decided by eight.

A cell's random number is a byte of a word that it shares with three neighbours, and behind it bits of a word of its
own, which are drawn only where the byte equals the leading bits of the threshold: once in 256 cells. The probabilities
are those of a comparison with all bits, exactly, and 64 cells are compared at once.

`draw_64` is written in vector instructions, since one of them tells which of 64 comparisons are ties. `draw_number` is
the plain definition of the same numbers; it also decides what is left over at the end of an array.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import extending, types

from bimu_hw.kernels import inline, jit
from bimu_hw.kernels.bits import WEYL, cell_bits, fold, key_halves

_I = np.int32
_I8 = np.int8
_U32 = np.uint32
_U64 = np.uint64

_WORDS = 16
_CELLS = 4 * _WORDS
#: Cells that are drawn together, for all looks, while their thresholds are in the first-level cache.
_BLOCK = 16 * _CELLS
#: What tells the second key of a look from all that devices make of the first.
_OWN = np.uint64(0x9C3B_1F0E_5A77_D24B)
_NEXT = np.uint32(_WORDS * int(WEYL) % 2**32)

intrinsic: Any = extending.intrinsic
_WORD, _BYTE = ir.IntType(32), ir.IntType(8)
_VECTOR, _BYTES, _MASK = ir.VectorType(_WORD, _WORDS), ir.VectorType(_BYTE, _CELLS), ir.IntType(_CELLS)


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


@intrinsic
def draw_64(typing_context, coarse, index, weyl, high, out):
    """Draw the bytes of 64 cells and compare them with 64 of `coarse` (int8[cell]), both from `index` on.

    `weyl` is the Weyl term of the first word (`bimu_hw.kernels.bits.scramble`). Writes -1 where the byte is smaller,
    else +1, to `out` (int8[cell]), and returns a uint64 with a bit for every tie. Words are taken apart from their
    lowest byte on, as processors with little-endian memory do by reading them.
    """

    def constant(value):
        return ir.Constant(_VECTOR, [value] * _WORDS)

    def generate(context, builder, signature, args):
        def pointer(number):
            data = context.make_array(signature.args[number])(context, builder, args[number]).data
            return builder.bitcast(builder.gep(data, [args[1]]), _BYTES.as_pointer())

        def splat(value):
            first = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), value, ir.Constant(_WORD, 0))
            return builder.shuffle_vector(first, ir.Constant(_VECTOR, ir.Undefined), constant(0))

        def fold_down(x, shift):
            return builder.xor(x, builder.lshr(x, constant(shift)))

        steps = ir.Constant(_VECTOR, [int(WEYL) * k % 2**32 for k in range(_WORDS)])
        x = builder.xor(fold_down(builder.add(splat(args[2]), steps), 16), splat(args[3]))
        x = fold_down(builder.mul(x, constant(0x21F0AAAD)), 15)
        x = fold_down(builder.mul(x, constant(0xD35A2D97)), 15)
        drawn = builder.bitcast(x, _BYTES)
        threshold = builder.load(pointer(0), align=1)
        smaller = builder.sext(builder.icmp_signed("<", drawn, threshold), _BYTES)
        builder.store(builder.or_(smaller, ir.Constant(_BYTES, [1] * _CELLS)), pointer(4), align=1)
        return builder.bitcast(builder.icmp_signed("==", drawn, threshold), _MASK)

    return types.uint64(coarse, types.intp, types.uint32, types.uint32, out), generate


@intrinsic
def _lowest(typing_context, mask):
    """Return the number of the lowest bit that is set, 64 if none is."""

    def generate(context, builder, signature, args):
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), generate


@inline(borrowed=True)
def _list_ties(coarse, weyl, high, out, ties):
    """Decide all cells by their bytes and list those that are ties; return the length of the list."""
    found = np.int64(0)
    for c in range(0, out.size, _CELLS):
        mask = _U64(draw_64(coarse, c, weyl, high, out))  # type: ignore[call-arg]  # numba passes the context
        weyl = _U32(weyl + _NEXT)
        # Written in any case and kept if there was a tie: most often there is one or none.
        ties[found] = _I(c + _lowest(mask))  # type: ignore[call-arg]
        found += np.int64(mask != _U64(0))
        mask &= _U64(mask - _U64(1))
        while mask != _U64(0):
            ties[found] = _I(c + _lowest(mask))  # type: ignore[call-arg]
            found += 1
            mask &= _U64(mask - _U64(1))
    return found


@inline(borrowed=True)
def _set_coarse(threshold, coarse):
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
    ties : int32[_BLOCK + 1]
        Work space.
    out : int8[look, cell]
        *Mutates* `coarse`, `ties`, `out`.
    """
    whole = threshold.size // _CELLS * _CELLS
    for start in range(0, whole, _BLOCK):
        stop = min(start + _BLOCK, whole)
        part = threshold[start:stop]
        _set_coarse(part, coarse)
        for s in range(out.shape[0]):
            k, w = keys[s], out[s, start:stop]
            found = _list_ties(coarse, _U32(_U32(_U32(start // 4) + k[0]) * WEYL), k[1], w, ties)
            for n in range(found):
                c = ties[n]
                number = draw_number(k[0], k[1], k[2], k[3], _U32(start + c))
                w[c] = _I8(1) if _I(number >> _U32(9)) >= part[c] else _I8(-1)
    for s in range(out.shape[0]):
        k = keys[s]
        for c in range(whole, threshold.size):
            number = draw_number(k[0], k[1], k[2], k[3], _U32(c))
            out[s, c] = _I8(1) if _I(number >> _U32(9)) >= threshold[c] else _I8(-1)


@inline
def draw_looks(threshold, key, first, out):
    """Draw independent weights (int8[look, cell], +1 or -1) for looks `first` on, from `key` folded with each look."""
    keys = np.empty((out.shape[0], 4), np.uint32)
    for s in range(out.shape[0]):
        look_keys(fold(key, _U64(first + s)), keys[s])
    draw_keyed(threshold, keys, np.empty(_BLOCK, np.int8), np.empty(_BLOCK + 1, np.int32), out)


@inline
def draw_look(threshold, key, out):
    """Draw independent weights (int8[cell], +1 or -1) for one look, from its own key."""
    keys = np.empty((1, 4), np.uint32)
    look_keys(key, keys[0])
    draw_keyed(threshold, keys, np.empty(_BLOCK, np.int8), np.empty(_BLOCK + 1, np.int32), out.reshape((1, out.size)))


@jit
def fill_draw(key, out):
    """Write the numbers that the cells of one look compare with their thresholds (uint32, flat)."""
    keys = np.empty(4, np.uint32)
    look_keys(key, keys)
    for c in range(out.size):
        out[c] = draw_number(keys[0], keys[1], keys[2], keys[3], _U32(c))
