"""Operators on every value by itself: activations, batch normalisation, arithmetic with constants, residual sums."""

from __future__ import annotations

import math

import numpy as np

from services.trainer.convert.onnx_file.builder import Feature
from services.trainer.convert.onnx_file.scope import Call
from services.trainer.convert.onnx_file.tensors import Values
from services.trainer.graph import Activation, Add, Conv, FullyConnected

__all__ = ["activation", "add", "affine", "batch_normalisation", "minimum"]


def batch_normalisation(call: Call) -> Feature:
    feature = call.feature()
    channels = call.builder.own_shape(feature)[0]
    names = ("scale", "offset", "mean", "variance")
    gamma, beta, mean, variance = (
        call.shaped(call.needed(i + 1, name), (channels,), name).astype(np.float64) for i, name in enumerate(names)
    )
    if call.attributes.integer("training_mode", 0) or feature.shape[0] != channels:
        raise call.refuse("in training mode, or not over the channels", "Export the network after model.eval().")
    with np.errstate(all="ignore"):  # a negative variance gives NaN, which is refused with the layer's name
        factor = gamma / np.sqrt(variance + call.attributes.number("epsilon", 1e-5))
        return call.builder.scale(call.node, feature, factor, beta - mean * factor, call.alone)


def activation(call: Call) -> Feature:
    return call.builder.activate(call.node, call.feature(), _kind(call), call.alone)


def _kind(call: Call) -> Activation:
    match call.node.op_type:
        case "Relu":
            return Activation.relu()
        case "LeakyRelu":
            return _leaky(call, call.attributes.number("alpha", 0.01))
        case "PRelu":
            slopes = call.needed(1, "slopes").reshape(-1)
            if not slopes.size or (slopes != slopes[0]).any():
                raise call.refuse("a slope for each channel", "Use LeakyReLU, or one PReLU parameter for all channels.")
            return _leaky(call, float(slopes[0]))
    low, high = (_limit(call, name, i) for i, name in ((1, "min"), (2, "max")))
    if low == 0 and high == 6:
        return Activation.relu6()
    if low == 0 and high >= np.finfo(np.float32).max:
        return Activation.relu()
    raise call.refuse(f"limits {low:g} and {high:g}", "Use ReLU (0, no limit) or ReLU6 (0, 6).")


def _leaky(call: Call, slope: float) -> Activation:
    if not 0 <= slope <= 1:
        raise call.refuse(f"slope {slope:g}", "Use a slope between 0 and 1.")
    slope = float(str(np.float32(slope)))  # 0.1 is 0.1 again, not its float32
    return Activation.leaky(slope) if slope else Activation.relu()


def _limit(call: Call, name: str, i: int) -> float:
    default = -math.inf if name == "min" else math.inf
    if name in call.attributes:
        return call.attributes.number(name, default)
    value = call.weights(i, "limits")
    if value is not None and value.size != 1:
        raise call.refuse(f"{value.size} limits", "Use one limit for all values.")
    return default if value is None else float(value.reshape(-1)[0])


def minimum(call: Call) -> Feature:
    """min(x, 6) behind a ReLU."""
    feature, limit = _operands(call)
    host = call.builder.layers[feature.index] if feature.index >= 0 else None
    rectified = isinstance(host, Conv | FullyConnected | Add) and host.activation.kind in ("relu", "relu6")
    if limit.size != 1 or limit.reshape(-1)[0] != 6 or not rectified or not feature.alone:
        raise call.refuse("a minimum that is not ReLU6's", "Use ReLU6.")
    return call.builder.activate(call.node, feature, Activation.relu6(), call.alone)


def _operands(call: Call) -> tuple[Feature, Values]:
    """The feature and the constant, in either order."""
    first, second = call.value(0), call.value(1)
    if isinstance(first, Feature) and isinstance(second, Feature):
        raise call.refuse(
            "two computed operands", "Leave out attention and gating (squeeze-and-excitation, SiLU); use ReLU or ReLU6."
        )
    i = 0 if isinstance(first, Feature) else 1
    return call.feature(i), call.needed(1 - i, "constants")


def add(call: Call) -> Feature:
    if not isinstance(call.value(0), Feature) or not isinstance(call.value(1), Feature):
        return affine(call)
    one, other = call.feature(0), call.feature(1)
    shapes = {one.shape, other.shape, call.builder.own_shape(one), call.builder.own_shape(other)}
    if len(call.inputs) != 2 or len(shapes) != 1:
        raise call.refuse(
            f"it adds {one.shape} and {other.shape}", "Add two maps of the same shape, without reshaping.", "ONNX_SHAPE"
        )
    for image in (one, other):
        if image.index < 0:
            raise call.refuse("it adds the image itself", "Let a convolution come first.")
    if other.index > one.index:
        one, other = other, one  # as a residual connection is written down: the newest, plus an older one
    builder = call.builder
    other_name = builder.layers[other.index].name
    layer = Add(builder.name(call.node), other_name, source=builder.source(one))
    return builder.append(call.node, layer, one, call.alone)


def affine(call: Call) -> Feature:
    feature, constant = _operands(call)
    operator, swapped = call.node.op_type, not isinstance(call.value(0), Feature)
    if operator == "Add" and len(feature.shape) == 1 and call.builder.own_shape(feature) != feature.shape:
        raise call.refuse("it adds to a flattened map", "Add behind a fully connected layer.", "ONNX_SHAPE")
    values = call.channelwise(feature, constant)
    factor, shift = np.ones_like(values), np.zeros_like(values)
    if operator in ("Add", "Sub", "Sum"):
        shift = -values if operator == "Sub" and not swapped else values
        factor = -factor if operator == "Sub" and swapped else factor
    elif operator == "Mul":
        factor = values
    elif swapped or (values == 0).any():
        raise call.refuse("it divides by computed values or by 0", "Divide by constants.")
    else:
        factor = 1 / values
    return call.builder.scale(call.node, feature, factor, shift, call.alone)
