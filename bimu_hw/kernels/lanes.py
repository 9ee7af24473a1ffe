"""Eight float64 side by side: a value type that LLVM keeps in vector registers (two or four where they are narrower).

Loops that run along a chain cannot be vectorised along it. Where eight independent chains share one program, a kernel
says so by computing with `lanes`: loads and stores take a flat, contiguous float64 array and an element index, and
check nothing.
"""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core.datamodel import models
from numba.extending import intrinsic, register_model

LANES = 8
_DOUBLE = ir.DoubleType()
_VECTOR = ir.VectorType(_DOUBLE, LANES)
_FLAGS = ("contract", "nsz", "arcp")


class LanesType(types.Type):
    """Numba's name for a vector of eight float64."""

    def __init__(self) -> None:
        super().__init__(name="float64x8")


LANES_TYPE = LanesType()


@register_model(LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager, numba_type):
        super().__init__(manager, numba_type, _VECTOR)


def _address(context, builder, array_type, array, index, kind):
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), kind.as_pointer())


@intrinsic
def load(typing_context, array, index):
    """Return elements index .. index + 7."""

    def generate(context, builder, signature, args):
        pointer = _address(context, builder, signature.args[0], *args, _VECTOR)
        return builder.load(pointer, align=8)

    return LANES_TYPE(array, types.intp), generate


@intrinsic
def store(typing_context, array, index, value):
    """Write elements index .. index + 7."""

    def generate(context, builder, signature, args):
        pointer = _address(context, builder, signature.args[0], args[0], args[1], _VECTOR)
        builder.store(args[2], pointer, align=8)
        return context.get_dummy_value()

    return types.void(array, types.intp, LANES_TYPE), generate


@intrinsic
def store_lane(typing_context, array, index, value, lane):
    """Write one lane to one element."""

    def generate(context, builder, signature, args):
        pointer = _address(context, builder, signature.args[0], args[0], args[1], _DOUBLE)
        builder.store(builder.extract_element(args[2], args[3]), pointer, align=8)
        return context.get_dummy_value()

    return types.void(array, types.intp, LANES_TYPE, types.intp), generate


def _splat(builder, value):
    first = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(first, ir.Constant(_VECTOR, ir.Undefined), zeros)


@intrinsic
def splat(typing_context, value):
    """Return a float64 in all lanes."""

    def generate(context, builder, signature, args):
        return _splat(builder, args[0])

    return LANES_TYPE(types.float64), generate


@intrinsic
def spread(typing_context, array, index):
    """Return one element in all lanes."""

    def generate(context, builder, signature, args):
        return _splat(builder, builder.load(_address(context, builder, signature.args[0], *args, _DOUBLE), align=8))

    return LANES_TYPE(array, types.intp), generate


def _binary(operation):
    def typed(typing_context, left, right):
        def generate(context, builder, signature, args):
            return getattr(builder, operation)(*args, flags=_FLAGS)

        return LANES_TYPE(LANES_TYPE, LANES_TYPE), generate

    return typed


add, subtract, multiply, divide = (intrinsic(_binary(name)) for name in ("fadd", "fsub", "fmul", "fdiv"))


@intrinsic
def absolute(typing_context, value):
    """Return the absolute values."""

    def generate(context, builder, signature, args):
        bits = ir.VectorType(ir.IntType(64), LANES)
        mask = ir.Constant(bits, [2**63 - 1] * LANES)
        return builder.bitcast(builder.and_(builder.bitcast(args[0], bits), mask), _VECTOR)

    return LANES_TYPE(LANES_TYPE), generate


@intrinsic
def greatest(typing_context, left, right):
    """Return the larger of each pair of numbers."""

    def generate(context, builder, signature, args):
        return builder.select(builder.fcmp_ordered(">", *args), *args)

    return LANES_TYPE(LANES_TYPE, LANES_TYPE), generate


def _two_of_each(number):
    """Return the intrinsic that lines up lanes 2 number and 2 number + 1 of four vectors."""

    def typed(typing_context, first, second, third, fourth):
        def generate(context, builder, signature, args):
            index = ir.VectorType(ir.IntType(32), LANES)
            k = 2 * number
            two = ir.Constant(index, [k, k + 1, k + 8, k + 9] * 2)
            left = builder.shuffle_vector(args[0], args[1], two)
            right = builder.shuffle_vector(args[2], args[3], two)
            return builder.shuffle_vector(left, right, ir.Constant(index, [0, 1, 2, 3, 8, 9, 10, 11]))

        return LANES_TYPE(*[LANES_TYPE] * 4), generate

    return intrinsic(typed)


line_up_0, line_up_1, line_up_2, line_up_3 = (_two_of_each(number) for number in range(4))
