"""Operators over a whole map: averages, fully connected layers, softmax."""

from __future__ import annotations

import math

import numpy as np

from services.trainer.convert.onnx_file.builder import Feature
from services.trainer.convert.onnx_file.scope import Call
from services.trainer.convert.onnx_file.tensors import Values
from services.trainer.graph import FullyConnected, GlobalAveragePool, Softmax

__all__ = ["fully_connected", "gemm", "global_average", "matmul", "reduce_mean", "softmax"]


def global_average(call: Call, feature: Feature, keep: bool) -> Feature:
    layer = GlobalAveragePool(call.builder.name(call.node), call.builder.source(feature))
    view = (feature.shape[0], 1, 1) if keep else (feature.shape[0],)
    return call.builder.append(call.node, layer, feature, call.alone, view)


def reduce_mean(call: Call) -> Feature:
    feature = call.map()
    axes = call.integers("axes", 1) or []
    if sorted(axis % 4 if -4 <= axis < 4 else axis for axis in axes) != [2, 3]:
        raise call.refuse(f"a mean over the axes {axes}", "Average over height and width, axes (2, 3).")
    return global_average(call, feature, keep=bool(call.attributes.integer("keepdims", 1)))


def gemm(call: Call) -> Feature:
    feature, weight = call.feature(), call.needed(1, "weights")
    if call.attributes.integer("transA", 0) or weight.ndim != 2:
        raise call.refuse("transA, or weights that are no matrix", "Export a Linear layer as it is.")
    weight = weight if call.attributes.integer("transB", 0) else weight.T
    weight = weight * np.float32(call.attributes.number("alpha", 1.0))
    bias = call.weights(2, "biases")
    beta = np.float32(call.attributes.number("beta", 1.0))
    if bias is None:
        bias = np.zeros(len(weight), np.float32)
    elif bias.size not in (1, len(weight)) or bias.shape[-1:] not in ((), (1,), (len(weight),)):
        raise call.refuse(f"biases {bias.shape} for {len(weight)} outputs", "Export the file again.", "ONNX_SHAPE")
    return fully_connected(call, feature, weight, beta * np.broadcast_to(bias.reshape(-1), (len(weight),)))


def matmul(call: Call) -> Feature:
    feature, weight = call.feature(), call.needed(1, "weights")
    if weight.ndim != 2:
        raise call.refuse(f"weights {weight.shape}, no matrix", "Flatten before the Linear layer.", "ONNX_SHAPE")
    return fully_connected(call, feature, weight.T, np.zeros(weight.shape[1], np.float32))


def fully_connected(
    call: Call, feature: Feature, weight: Values, bias: Values, view: tuple[int, ...] | None = None
) -> Feature:
    inputs = math.prod(feature.shape)
    if (view is None and len(feature.shape) != 1) or weight.shape[1] != inputs or not len(weight):
        raise call.refuse(
            f"weights {weight.shape} on {feature.shape}",
            "Flatten before the Linear layer; check its size.",
            "ONNX_SHAPE",
        )
    layer = FullyConnected(
        call.builder.name(call.node),
        np.ascontiguousarray(weight, np.float32),
        np.ascontiguousarray(bias, np.float32),
        source=call.builder.source(feature),
    )
    return call.builder.append(call.node, layer, feature, call.alone, view)


def softmax(call: Call) -> Feature:
    feature = call.feature()
    rank = 1 + len(feature.shape)
    axis = call.attributes.integer("axis", 1 if call.scope.opset < 13 else -1)
    axis = axis + rank if axis < 0 else axis
    single = math.prod(feature.shape[1:]) == 1
    if axis != 1 or feature.shape[0] != call.builder.own_shape(feature)[0] or (call.scope.opset < 13 and not single):
        raise call.refuse(f"a softmax over axis {axis} of {feature.shape}", "Leave the softmax out, or take axis 1.")
    layer = Softmax(call.builder.name(call.node), call.builder.source(feature))
    return call.builder.append(call.node, layer, feature, call.alone, feature.shape)
