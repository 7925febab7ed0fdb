"""Operators that move a window over a map: convolutions, pooling and the padding before them."""

from __future__ import annotations

import numpy as np

from services.trainer.convert.onnx_file.builder import Feature
from services.trainer.convert.onnx_file.dense import fully_connected, global_average
from services.trainer.convert.onnx_file.scope import Call
from services.trainer.graph import Conv, MaxPool

__all__ = ["average_pool", "convolution", "max_pool", "pad"]

SAME = "Export with explicit, equal padding on all sides (PyTorch's padding=1): that of TensorFlow's SAME is one-sided."


def convolution(call: Call) -> Feature:
    feature, weight = call.feature(padding=True), call.needed(1, "weights")
    if weight.ndim != 4 or weight.shape[2] != weight.shape[3] or 0 in weight.shape:
        raise call.refuse(f"weights {weight.shape}; kernels must be square and 2-D", "Use k x k kernels.", "ONNX_SHAPE")
    bias = call.weights(2, "biases")
    bias = np.zeros(len(weight), np.float32) if bias is None else call.shaped(bias, (len(weight),), "biases")
    kernel, stride = weight.shape[2], _window(call, weight.shape[2])
    groups = call.attributes.integer("group", 1)
    averaged = feature.shape == (weight.shape[1], 1, 1) and call.builder.own_shape(feature) == feature.shape[:1]
    if groups == 1 and kernel == 1 and averaged:
        return fully_connected(call, feature, weight[:, :, 0, 0], bias, (len(weight), 1, 1))
    feature = call.map(padding=True)
    channels = feature.shape[0]
    depthwise = groups > 1
    if (groups not in (1, channels)) or (depthwise and len(weight) != channels):
        raise call.refuse(
            f"{groups} groups from {channels} to {len(weight)} channels",
            "Use ordinary convolutions (1 group) or depthwise ones (as many groups as channels in and out).",
        )
    call.shaped(weight, (len(weight), 1 if depthwise else channels, kernel, kernel), "weights")
    padding = feature.padding + _padding(call, feature, kernel, stride)
    if padding > kernel:
        raise call.refuse(f"padding {padding} around a kernel of {kernel}", "Use a padding of at most kernel/2.")
    name = call.builder.name(call.node)
    layer = Conv(name, weight, bias, stride, padding, depthwise, source=call.builder.source(feature))
    return call.builder.append(call.node, layer, feature, call.alone)


def _window(call: Call, kernel: int) -> int:
    """The stride; kernel, strides and dilations must be square."""
    attributes = call.attributes
    if attributes.integers("kernel_shape", [kernel] * 2) != [kernel] * 2:
        raise call.refuse("its kernel_shape is not that of the weights", "Export the file again.", "ONNX_SHAPE")
    if any(value != 1 for value in attributes.integers("dilations", [1, 1])):
        raise call.refuse("dilated", "Use dilation 1; a stack of 3x3 convolutions sees as far.")
    strides = attributes.integers("strides", [1, 1])
    if len(strides) != 2 or strides[0] != strides[1] or not 1 <= strides[0] <= 16:
        raise call.refuse(f"strides {strides[:4]}", "Use the same stride, 1 to 16, in both directions.")
    return strides[0]


def _padding(call: Call, feature: Feature, kernel: int, stride: int) -> int:
    mode = call.attributes.text("auto_pad", "NOTSET")
    pads = call.attributes.integers("pads", [0, 0, 0, 0])
    if mode == "VALID":
        pads = [0, 0, 0, 0]
    elif mode in ("SAME_UPPER", "SAME_LOWER"):
        inside = [size + 2 * feature.padding for size in feature.shape[1:]]
        totals = [max((-(-size // stride) - 1) * stride + kernel - size, 0) for size in inside]
        ends = [total - total // 2 for total in totals]
        starts = [total // 2 for total in totals]
        pads = [*starts, *ends] if mode == "SAME_UPPER" else [*ends, *starts]
    elif mode != "NOTSET":
        raise call.refuse(f"auto_pad {mode[:20]}", "Use explicit pads.")
    if len(pads) != 4 or len(set(pads)) != 1 or pads[0] < 0:
        raise call.refuse(f"pads {pads[:8]} (top, left, bottom, right)", SAME)
    return pads[0]


def pad(call: Call) -> Feature:
    feature = call.map(padding=True)
    pads = call.integers("pads", 1, []) or []
    if call.attributes.text("mode", "constant") != "constant":
        raise call.refuse("it pads with something else than a constant", "Pad with zeros.")
    value = call.constant(2, "values")
    filled = call.attributes.number("value", 0.0) if value is None or not value.size else float(value.reshape(-1)[0])
    if call.value(3) is not None or len(pads) != 8 or pads[:2] != [0, 0] or pads[4:6] != [0, 0] or filled != 0:
        raise call.refuse("it pads batch or channels, or not with zeros", "Pad height and width with zeros.")
    sides = pads[2:4] + pads[6:8]
    if len(set(sides)) != 1 or sides[0] < 0:
        raise call.refuse(f"pads {sides} (top, left, bottom, right)", SAME)
    return Feature(
        feature.index,
        feature.shape,
        call.alone and feature.alone,
        feature.padding + sides[0],
        feature.factor,
        feature.shift,
    )


def _pool_shape(call: Call) -> tuple[int, int]:
    """Size and stride of a square window."""
    size = call.attributes.integers("kernel_shape", [])
    if len(size) != 2 or size[0] != size[1] or not 1 <= size[0] <= 64:
        raise call.refuse(f"window {size[:4]}", "Use a square window.")
    return size[0], _window(call, size[0])


def max_pool(call: Call) -> Feature:
    feature = call.map()
    size, stride = _pool_shape(call)
    if _padding(call, feature, size, stride):
        raise call.refuse("a padded maximum", "Use MaxPool 2x2 with stride 2 and no padding, or a strided convolution.")
    if call.attributes.integer("ceil_mode", 0) and any((side - size) % stride for side in feature.shape[1:]):
        raise call.refuse(f"ceil_mode on {feature.shape}", "Use an input whose sides the pooling divides.")
    if len([name for name in call.node.output if name]) > 1:
        raise call.refuse("it gives the indices too", "Pool without indices.")
    layer = MaxPool(call.builder.name(call.node), size, stride, call.builder.source(feature))
    return call.builder.append(call.node, layer, feature, call.alone)


def average_pool(call: Call) -> Feature:
    feature = call.map(padding=True)
    size = call.attributes.integers("kernel_shape", [])
    if tuple(size) == feature.shape[1:] and not any(call.attributes.integers("pads", [feature.padding])):
        return global_average(call, feature, keep=True)
    k, stride = _pool_shape(call)
    own = _padding(call, feature, k, stride)
    padding = own + feature.padding
    if padding > k // 2 or (own and not call.attributes.integer("count_include_pad", 0)):
        raise call.refuse("its padding does not count as zeros", "Use count_include_pad=1, or no padding.")
    if call.attributes.integer("ceil_mode", 0) and any((side + 2 * padding - k) % stride for side in feature.shape[1:]):
        raise call.refuse(f"ceil_mode on {feature.shape}", "Use an input whose sides the pooling divides.")
    channels = feature.shape[0]
    weight = np.full((channels, 1, k, k), 1 / (k * k), np.float32)
    bias, source = np.zeros(channels, np.float32), call.builder.source(feature)
    layer = Conv(call.builder.name(call.node), weight, bias, stride, padding, True, source=source)
    return call.builder.append(call.node, layer, feature, call.alone)
