"""Eight floats side by side: a value type that LLVM keeps in vector registers (several where they are narrower).

Loops that run along a chain cannot be vectorised along it. Where eight independent chains share one program, a kernel
says so by computing with `lanes`: loads and stores take a flat, contiguous array of float64 or float32 and an element
index, and check nothing. Arithmetic is in the precision of the array that a value came from; a store rounds or widens.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import extending, types
from numba.core.datamodel import models

LANES = 8
intrinsic: Any = extending.intrinsic
_VECTORS = {types.float64: ir.VectorType(ir.DoubleType(), LANES), types.float32: ir.VectorType(ir.FloatType(), LANES)}
_INTEGERS = ir.VectorType(ir.IntType(8), LANES)
_FLAGS = ("contract", "nsz", "arcp")


class LanesType(types.Type):
    """Numba's name for a vector of eight floats."""

    def __init__(self, element: Any) -> None:
        super().__init__(name=f"{element.name}x{LANES}")
        self.element = element


_TYPES = {element: LanesType(element) for element in _VECTORS}


@extending.register_model(LanesType)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager, numba_type):
        super().__init__(manager, numba_type, _VECTORS[numba_type.element])


def _address(context: Any, builder: Any, array_type: Any, array: Any, index: Any, kind: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), kind.as_pointer())


def _load(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    pointer = _address(context, builder, array_type, array, index, _VECTORS[array_type.dtype])
    return builder.load(pointer, align=array_type.dtype.bitwidth // 8)


def _convert(builder: Any, value: Any, element: Any, wanted: Any) -> Any:
    if element == wanted:
        return value
    return (builder.fpext if wanted == types.float64 else builder.fptrunc)(value, _VECTORS[wanted])


@intrinsic
def load(typing_context, array, index):
    """Return elements index .. index + 7."""

    def generate(context, builder, signature, args):
        return _load(context, builder, signature.args[0], *args)

    return _TYPES[array.dtype](array, types.intp), generate


@intrinsic
def load_like(typing_context, like, array, index):
    """Return elements index .. index + 7 of `array` in the precision of `like`."""

    def generate(context, builder, signature, args):
        value = _load(context, builder, signature.args[1], args[1], args[2])
        return _convert(builder, value, array.dtype, like.dtype)

    return _TYPES[like.dtype](like, array, types.intp), generate


@intrinsic
def load_bytes(typing_context, like, array, index):
    """Return elements index .. index + 7 of an int8 array as numbers in the precision of `like`."""

    def generate(context, builder, signature, args):
        pointer = _address(context, builder, signature.args[1], args[1], args[2], _INTEGERS)
        return builder.sitofp(builder.load(pointer, align=1), _VECTORS[like.dtype])

    if array.dtype != types.int8:
        return None
    return _TYPES[like.dtype](like, array, types.intp), generate


@intrinsic
def store(typing_context, array, index, value):
    """Write elements index .. index + 7."""

    def generate(context, builder, signature, args):
        pointer = _address(context, builder, signature.args[0], args[0], args[1], _VECTORS[array.dtype])
        value_out = _convert(builder, args[2], value.element, array.dtype)
        builder.store(value_out, pointer, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, value), generate


@intrinsic
def store_lane(typing_context, array, index, value, lane):
    """Write one lane to one element."""

    def generate(context, builder, signature, args):
        kind = _VECTORS[array.dtype].element
        pointer = _address(context, builder, signature.args[0], args[0], args[1], kind)
        builder.store(builder.extract_element(args[2], args[3]), pointer, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    if array.dtype != value.element:
        return None
    return types.void(array, types.intp, value, types.intp), generate


def _splat(builder, value, vector):
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(first, ir.Constant(vector, ir.Undefined), zeros)


@intrinsic
def splat(typing_context, like, value):
    """Return a float64 in all lanes, in the precision of the array `like`."""

    def generate(context, builder, signature, args):
        number = args[1]
        if like.dtype == types.float32:
            number = builder.fptrunc(number, ir.FloatType())
        return _splat(builder, number, _VECTORS[like.dtype])

    return _TYPES[like.dtype](like, types.float64), generate


@intrinsic
def spread(typing_context, array, index):
    """Return one element in all lanes."""

    def generate(context, builder, signature, args):
        vector = _VECTORS[array.dtype]
        pointer = _address(context, builder, signature.args[0], args[0], args[1], vector.element)
        return _splat(builder, builder.load(pointer, align=array.dtype.bitwidth // 8), vector)

    return _TYPES[array.dtype](array, types.intp), generate


def _binary(operation):
    def typed(typing_context, left, right):
        def generate(context, builder, signature, args):
            return getattr(builder, operation)(*args, flags=_FLAGS)

        return (left(left, right), generate) if left == right else None

    return typed


add, subtract, multiply, divide = (intrinsic(_binary(name)) for name in ("fadd", "fsub", "fmul", "fdiv"))


@intrinsic
def absolute(typing_context, value):
    """Return the absolute values."""

    def generate(context, builder, signature, args):
        width = value.element.bitwidth
        bits = ir.VectorType(ir.IntType(width), LANES)
        mask = ir.Constant(bits, [2 ** (width - 1) - 1] * LANES)
        return builder.bitcast(builder.and_(builder.bitcast(args[0], bits), mask), _VECTORS[value.element])

    return value(value), generate


@intrinsic
def greatest(typing_context, left, right):
    """Return the larger of each pair of numbers."""

    def generate(context, builder, signature, args):
        return builder.select(builder.fcmp_ordered(">", *args), *args)

    return (left(left, right), generate) if left == right else None


def _signed_by(number):
    """Return the intrinsic that gives a value the signs of every fourth byte of 32, from byte `number` on.

    Shifting the wanted byte to the top of its word puts its sign where a selection looks for it: nothing is widened.
    """

    def typed(typing_context, plus, minus, array, index):
        def generate(context, builder, signature, args):
            words = ir.VectorType(ir.IntType(32), LANES)
            value = builder.load(_address(context, builder, array, args[2], args[3], words), align=1)
            shifted = builder.shl(value, ir.Constant(words, [24 - 8 * number] * LANES))
            return builder.select(builder.icmp_signed("<", shifted, ir.Constant(words, [0] * LANES)), args[1], args[0])

        if array.dtype != types.int8 or plus != minus:
            return None
        return plus(plus, minus, array, types.intp), generate

    return intrinsic(typed)


#: ``signed_by_k(plus, minus, array, index)``: in lane l `minus` where element index + 4 l + k of an int8 array is
#: negative, else `plus`; on processors with little-endian memory.
signed_by_0, signed_by_1, signed_by_2, signed_by_3 = (_signed_by(number) for number in range(4))


@intrinsic
def negate(typing_context, value):
    """Return the values with the other sign."""

    def generate(context, builder, signature, args):
        return builder.fneg(args[0])

    return value(value), generate


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

        return first(first, second, third, fourth), generate

    return intrinsic(typed)


line_up_0, line_up_1, line_up_2, line_up_3 = (_two_of_each(number) for number in range(4))
