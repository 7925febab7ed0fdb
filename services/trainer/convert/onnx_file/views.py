"""Operators that only look at a feature differently: flatten, reshape, squeeze, and those that do nothing at all."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from services.trainer.convert.onnx_file.builder import Feature
from services.trainer.convert.onnx_file.constants import FLOAT_TYPES
from services.trainer.convert.onnx_file.scope import Call

__all__ = ["VIEW_OPERATORS"]


def _seen_as(call: Call, shape: list[int]) -> Feature:
    """The feature with the shape `shape`, batch included."""
    feature, batch = call.feature(padding=call.node.op_type == "Identity"), call.scope.batch
    if shape[:1] != [batch] or math.prod(shape[1:]) != math.prod(feature.shape) or len(shape) > 6:
        raise call.refuse(
            f"it makes {shape[:8]} of {[batch, *feature.shape]}",
            "Keep the batch in front; leave anchors to the board, which decodes the map.",
            "ONNX_SHAPE",
        )
    return replace(feature, shape=tuple(shape[1:]), alone=feature.alone and call.alone)


def _same(call: Call) -> Feature:
    feature = call.feature(padding=True)
    return replace(feature, alone=feature.alone and call.alone)


def _dropout(call: Call) -> Feature:
    training = call.constant(2, "training mode")
    if (training is not None and training.any()) or len([name for name in call.node.output if name]) > 1:
        raise call.refuse("in training mode, or with its mask", "Export the network after model.eval().")
    return _same(call)


def _cast(call: Call) -> Feature:
    if call.attributes.integer("to", 0) not in FLOAT_TYPES:
        raise call.refuse("it makes whole numbers of a feature", "Export the float network.")
    return _same(call)


def _flatten(call: Call) -> Feature:
    if call.attributes.integer("axis", 1) not in (1, -len(call.feature().shape)):
        raise call.refuse("it flattens from another axis than 1", "Use flatten(1).", "ONNX_SHAPE")
    return _seen_as(call, [call.scope.batch, math.prod(call.feature().shape)])


def _reshape(call: Call) -> Feature:
    shape, wanted = [call.scope.batch, *call.feature().shape], call.integers("shape", 1, []) or []
    zeros = not call.attributes.integer("allowzero", 0)
    sizes = [shape[i] if size == 0 and zeros and i < len(shape) else size for i, size in enumerate(wanted)]
    known = math.prod(size for size in sizes if size != -1)
    if sizes.count(-1) == 1 and known > 0:
        sizes[sizes.index(-1)] = math.prod(shape) // known
    return _seen_as(call, sizes)


def _squeeze(call: Call) -> Feature:
    shape = [call.scope.batch, *call.feature().shape]
    axes = call.integers("axes", 1)
    if axes is None:
        axes = [i for i, size in enumerate(shape) if size == 1 and i > 0]
    axes = [axis + len(shape) if axis < 0 else axis for axis in axes]
    if any(not 0 < axis < len(shape) or shape[axis] != 1 for axis in axes):
        raise call.refuse(f"axes {axes} of {shape}", "Squeeze axes of size 1 behind the batch.", "ONNX_SHAPE")
    return _seen_as(call, [size for i, size in enumerate(shape) if i not in axes])


def _unsqueeze(call: Call) -> Feature:
    shape = [call.scope.batch, *call.feature().shape]
    axes = call.integers("axes", 1, []) or []
    rank = len(shape) + len(axes)
    for axis in sorted(axis + rank if axis < 0 else axis for axis in axes):
        if not 0 < axis < rank:
            raise call.refuse(f"axes {axes} of {shape}", "Add axes behind the batch.", "ONNX_SHAPE")
        shape.insert(axis, 1)
    return _seen_as(call, shape)


VIEW_OPERATORS: dict[str, Callable[[Call], Feature]] = {
    "Cast": _cast,
    "Dropout": _dropout,
    "Flatten": _flatten,
    "Identity": _same,
    "Reshape": _reshape,
    "Squeeze": _squeeze,
    "Unsqueeze": _unsqueeze,
}
