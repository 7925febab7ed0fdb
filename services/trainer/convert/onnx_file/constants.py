"""Constant parts of an ONNX file, worked out while reading: shapes put together, weights transposed, numbers cast.

No result is larger than its operands together, so that memory stays bounded by the file.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto

from services.trainer.convert.onnx_file.builder import Feature
from services.trainer.convert.onnx_file.scope import Call
from services.trainer.convert.onnx_file.tensors import Values, array

__all__ = ["CONSTANT_OPERATORS", "FLOAT_TYPES", "shape_of"]

FLOAT_TYPES = (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE)
MAX_FILLED = 64  # the exporter fills in the sides that are not padded
_CAST: dict[int, npt.DTypeLike] = {
    TensorProto.FLOAT: np.float32,
    TensorProto.FLOAT16: np.float16,
    TensorProto.DOUBLE: np.float64,
    TensorProto.INT64: np.int64,
    TensorProto.INT32: np.int32,
    TensorProto.BOOL: np.bool_,
}


def shape_of(call: Call, feature: Feature) -> Values:
    """Shape of a feature with the batch in front."""
    shape = [call.scope.batch, *feature.shape]
    start, end = call.attributes.integer("start", 0), call.attributes.integer("end", len(shape))
    return np.array(shape[start:end], np.int64)


def _operand(call: Call, i: int = 0) -> Values:
    value = call.constant(i, "operands")
    if value is None:
        raise call.refuse(f"it has no input {i}", "Export the file again.")
    return value


def _constant(call: Call) -> Values:
    tensor = call.attributes.tensor("value")
    if tensor is not None:
        return array(tensor, call.node.name)
    if "value_float" in call.attributes:
        return np.array(call.attributes.number("value_float", 0), np.float32)
    if "value_int" in call.attributes:
        return np.array(call.attributes.integer("value_int", 0), np.int64)
    if "value_ints" in call.attributes:
        return np.array(call.attributes.integers("value_ints", []), np.int64)
    raise call.refuse("a constant of texts, sparse or of many floats", "Export the file again.")


def _cast(call: Call) -> Values:
    kind = call.attributes.integer("to", 0)
    if kind not in _CAST:
        raise call.refuse(f"a cast to type {kind}", "Export the network in float32.")
    result: Values = _operand(call).astype(_CAST[kind])
    return result


def _arithmetic(call: Call) -> Values:
    a, b = _operand(call, 0), _operand(call, 1)
    if math.prod(np.broadcast_shapes(a.shape, b.shape)) > max(a.size, b.size):
        raise call.refuse(f"constants {a.shape} and {b.shape} that grow", "Simplify the network (onnxsim).")
    whole = a.dtype.kind in "iu" and b.dtype.kind in "iu"
    functions: dict[str, Callable[[Any, Any], Any]] = {
        "Add": np.add,
        "Sub": np.subtract,
        "Mul": np.multiply,
        "Div": np.floor_divide if whole else np.divide,
    }
    return np.asarray(functions[call.node.op_type](a, b))


def _gather(call: Call) -> Values:
    values, indices = _operand(call, 0), _operand(call, 1)
    if values.ndim != 1 or indices.dtype.kind not in "iu" or indices.size > max(values.size, 1):
        raise call.refuse("it picks out of something else than a shape", "Simplify the network (onnxsim).")
    return np.asarray(values[indices])


def _concat(call: Call) -> Values:
    parts = [_operand(call, i) for i in range(len(call.inputs))]
    return np.concatenate(parts, axis=call.attributes.integer("axis", 0))


def _slice(call: Call) -> Values:
    values = _operand(call)
    starts, ends = call.integers("starts", 1, []) or [], call.integers("ends", 2, []) or []
    axes = call.integers("axes", 3) or list(range(len(starts)))
    steps = call.integers("steps", 4) or [1] * len(starts)
    cut = [slice(None)] * values.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        cut[axis] = slice(start, None if step < 0 and end < -values.shape[axis] else end, step)
    return values[tuple(cut)]


def _constant_of_shape(call: Call) -> Values:
    shape, tensor = [int(size) for size in _operand(call)], call.attributes.tensor("value")
    if math.prod(shape) > MAX_FILLED:
        raise call.refuse(f"it makes {math.prod(shape)} equal values", "Simplify the network (onnxsim).")
    value = np.zeros(1, np.float32) if tensor is None else array(tensor, call.node.name)
    return np.full(shape, value.reshape(-1)[0])


def _squeeze(call: Call) -> Values:
    axes = call.integers("axes", 1)
    return np.squeeze(_operand(call), None if axes is None else tuple(axes))


def _reshape(call: Call) -> Values:
    values, wanted = _operand(call, 0), call.integers("shape", 1, [-1]) or []
    return values.reshape([values.shape[i] if size == 0 else size for i, size in enumerate(wanted)])


def _transpose(call: Call) -> Values:
    values = _operand(call)
    return values.transpose(call.attributes.integers("perm", list(range(values.ndim))[::-1]))


CONSTANT_OPERATORS: dict[str, Callable[[Call], Values]] = {
    "Add": _arithmetic,
    "Cast": _cast,
    "Concat": _concat,
    "Constant": _constant,
    "ConstantOfShape": _constant_of_shape,
    "Div": _arithmetic,
    "Gather": _gather,
    "Identity": _operand,
    "Mul": _arithmetic,
    "Reshape": _reshape,
    "Slice": _slice,
    "Squeeze": _squeeze,
    "Sub": _arithmetic,
    "Transpose": _transpose,
    "Unsqueeze": lambda call: np.expand_dims(_operand(call), tuple(call.integers("axes", 1) or [])),
}
