"""Vectors of eight float32 for numba code: one value of this type holds eight neighbouring pixels.

Whether LLVM vectorises a plain loop depends on its version and on whether it can prove that arrays do not overlap. Here
the vectorisation is explicit. Every operation follows IEEE 754 in the order written, and none is fused or reordered, so
all CPUs give identical results whatever the width of their registers.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.typing.templates import ConcreteTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

#: Number of pixels in a vector.
LANES = 8


class _Vector(types.Type):
    def __init__(self) -> None:
        super().__init__(name=f"float32x{LANES}")


_vector = _Vector()


@register_model(_Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: _Vector) -> None:
        super().__init__(dmm, fe_type, ir.VectorType(ir.FloatType(), LANES))


def _arithmetic(function: Callable[..., Any], instruction: str) -> None:
    @infer_global(function)
    class _Typing(ConcreteTemplate):
        cases = [signature(_vector, _vector, _vector)]  # noqa: RUF012

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return getattr(builder, instruction)(*args)

    lower_builtin(function, _vector, _vector)(lower)


for _function, _instruction in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _arithmetic(_function, _instruction)


def _address(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    kind = context.get_value_type(_vector)
    return builder.bitcast(builder.gep(data, [index]), kind.as_pointer())


@intrinsic
def load(typing: Any, array: Any, index: Any) -> Any:
    """``load(array, index)``: eight values of a flat float32 array."""

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.load(_address(context, builder, sig.args[0], args[0], args[1]), align=4)

    return _vector(array, types.intp), lower


@intrinsic
def store(typing: Any, array: Any, index: Any, value: Any) -> Any:
    """``store(array, index, vector)``: write eight values to a flat float32 array."""

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        target = _address(context, builder, sig.args[0], args[0], args[1])
        builder.store(args[2], target, align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, value), lower


@intrinsic
def splat(typing: Any, scalar: Any) -> Any:
    """``splat(x)``: the float32 x in every lane."""

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = context.get_value_type(_vector)
        undefined = ir.Constant(kind, ir.Undefined)
        first = builder.insert_element(undefined, args[0], ir.Constant(ir.IntType(32), 0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
        return builder.shuffle_vector(first, undefined, zeros)

    return _vector(types.float32), lower


@intrinsic
def lane(typing: Any, vector: Any, index: Any) -> Any:
    """``lane(vector, i)``: value i of a vector."""

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        return builder.extract_element(*args)

    return types.float32(vector, types.intp), lower


def _choice(comparison: str) -> Any:
    @intrinsic
    def choose(typing: Any, a: Any, b: Any) -> Any:
        def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            return builder.select(builder.fcmp_ordered(comparison, *args), *args)

        return a(a, b), lower

    return choose


minimum = _choice("<")
maximum = _choice(">")


def _where(comparison: str) -> Any:
    @intrinsic
    def where(typing: Any, a: Any, b: Any, then: Any, otherwise: Any) -> Any:
        def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            return builder.select(builder.fcmp_ordered(comparison, *args[:2]), *args[2:])

        return a(a, b, then, otherwise), lower

    return where


#: ``where_equal(a, b, c, d)``: lanes of c where a = b, otherwise lanes of d.
where_equal = _where("==")
#: ``where_less(a, b, c, d)``: lanes of c where a < b, otherwise lanes of d.
where_less = _where("<")


def _unary(operation: str) -> Any:
    @intrinsic
    def function(typing: Any, value: Any) -> Any:
        def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            kind = args[0].type
            name = f"llvm.{operation}.v{LANES}f32"
            return builder.call(
                cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, [kind]), name), args
            )

        return value(value), lower

    return function


#: Square roots, correctly rounded.
sqrt = _unary("sqrt")
#: Nearest integers; halves are rounded to even.
nearest = _unary("rint")
#: Absolute values.
absolute = _unary("fabs")


@intrinsic
def fma(typing: Any, a: Any, b: Any, c: Any) -> Any:
    """``a * b + c``, rounded once."""

    def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
        kind = args[0].type
        name = f"llvm.fma.v{LANES}f32"
        function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, [kind] * 3), name)
        return builder.call(function, args)

    return a(a, b, c), lower


def network(wires: int, comparators: tuple[tuple[int, int], ...], outputs: tuple[int, ...]) -> Any:
    """A sorting network on vectors.

    Parameters
    ----------
    wires
        Number of vectors that the network reads.
    comparators
        Pairs (low, high) of wires: the smaller of the two values goes to ``low``, the larger to ``high``.
    outputs
        Wires that the network returns; comparisons that no output needs are not compiled.

    Returns
    -------
    callable
        ``network(array, places)`` for numba. ``places`` is a tuple of indices; wire i is loaded from ``array`` at
        ``places[i]``. Returns a tuple of vectors.
    """

    @intrinsic
    def run(typing: Any, array: Any, places: Any) -> Any:
        result = types.UniTuple(_vector, len(outputs))  # type: ignore[attr-defined]  # defined by numba on import

        def lower(context: Any, builder: Any, sig: Any, args: Any) -> Any:
            where = [builder.extract_value(args[1], wire) for wire in range(wires)]
            values = [builder.load(_address(context, builder, sig.args[0], args[0], index), align=4) for index in where]
            for low, high in comparators:
                pair = values[low], values[high]
                values[low] = builder.select(builder.fcmp_ordered("<", *pair), *pair)
                values[high] = builder.select(builder.fcmp_ordered(">", *pair), *pair)
            return context.make_tuple(builder, result, [values[wire] for wire in outputs])

        return result(array, places), lower

    return run
