"""Checks an ncnn network before the runtime sees it: ncnn believes its files and reads past the end of wrong ones.

Only the layers that pnnx makes of our graphs are let through, with parameters that fit the shapes they meet and weights
of the size that follows. Parameters: ncnn, docs/developer-guide/operators.md.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np

from services.common.errors import UnsupportedModel
from services.trainer.convert.ncnn_bin import LayerWeights, weight_shape
from services.trainer.convert.ncnn_text import ParamLayer

__all__ = ["check_network"]

Shape = tuple[int, ...]
MAX_MAP = 1 << 26  # values of one blob
MAX_LAYERS = 4096
ACTIVATION_ARGUMENTS = {0: 0, 1: 0, 2: 1, 3: 2}  # none, ReLU, LeakyReLU with its slope, Clip with its limits
INT8 = 8  # parameter int8_scale_term
_CONVOLUTION = {0, 1, 2, 3, 4, 5, 6, 8, 9, 11, 12, 13, 14, -23310}


def check_network(
    layers: tuple[ParamLayer, ...], weights: Mapping[str, LayerWeights], first: str, image: Shape, last: str
) -> Shape:
    """Shape of the blob `last` for `image` (c, h, w) in blob `first`. Raises UnsupportedModel, naming the layer."""
    if len(layers) > MAX_LAYERS:
        raise UnsupportedModel("NCNN_PARAM", f".param: {len(layers)} layers.", fix="Use a smaller network.")
    blobs: dict[str, Shape] = {}
    read: set[str] = set()
    for i, layer in enumerate(layers):
        if read.intersection(layer.inputs) or len(set(layer.inputs)) < len(layer.inputs):
            raise layer.wrong("it reads a blob that has a reader already; a Split must come before them")
        read.update(layer.inputs)
        if layer.type == "Input":
            if i or layer.outputs != (first,) or layer.inputs or layer.params:
                raise layer.wrong(f"there is one input, it comes first and makes the blob {first}")
            blobs[first] = image
            continue
        if layer.type not in _RULES:
            raise layer.wrong("this kind of layer is not in our files", "Convert the network again.")
        shape = _RULES[layer.type](layer, [blobs[name] for name in layer.inputs])
        if math.prod(shape) > MAX_MAP:
            raise layer.wrong(f"its output {shape} has more than {MAX_MAP} values", "Use a smaller input.")
        if layer.name in weights:
            _check_weights(layer, weights[layer.name])
        blobs.update(dict.fromkeys(layer.outputs, shape))
    if last not in blobs or not layers or layers[0].type != "Input":
        raise UnsupportedModel(
            "NCNN_PARAM", f".param: no blob {last[:40]} or no input.", fix="Convert the network again."
        )
    return blobs[last]


def _check_weights(layer: ParamLayer, weights: LayerWeights) -> None:
    stored = (weights.weight, weights.bias, weights.weight_scales)
    for values in stored:
        if values is not None and values.dtype.kind == "f" and not np.isfinite(values).all():
            raise layer.wrong("weights, biases or scales hold NaN or infinity")
    if (weights.weight.dtype == np.int8) != bool(layer.integer(INT8)):
        raise layer.wrong(f"parameter 8 is {layer.integer(INT8)} and the weights are {weights.weight.dtype}")
    if weights.weight_scales is not None and not ((weights.weight_scales > 0).all() and weights.input_scale > 0):
        raise layer.wrong("a scale is not above 0")
    if not math.isfinite(weights.input_scale):
        raise layer.wrong("the scale of the input is not finite")


def _only(layer: ParamLayer, known: set[int], inputs: list[Shape], count: int = 1, outputs: int = 1) -> Shape:
    """The first input's shape; refuses parameters this cannot check and other numbers of blobs."""
    unknown = set(layer.params) - known
    if unknown or len(inputs) != count or len(layer.outputs) != outputs:
        raise layer.wrong(
            f"{len(inputs)} inputs, {len(layer.outputs)} outputs, parameters {sorted(layer.params)}, unlike our files"
        )
    return inputs[0]


def _map(layer: ParamLayer, shape: Shape) -> Shape:
    if len(shape) != 3:
        raise layer.wrong(f"its input {shape} is no map (c, h, w)")
    return shape


def _within(layer: ParamLayer, key: int, value: int, low: int, high: int) -> int:
    if not low <= value <= high:
        raise layer.wrong(f"parameter {key} is {value}, not {low} to {high}")
    return value


def _same(layer: ParamLayer, width: int, height: int, default: int, low: int, high: int) -> int:
    """A value that is the same for width and height."""
    value = layer.integer(width, default)
    if layer.integer(height, value) != value:
        raise layer.wrong(f"parameters {width} and {height} differ")
    return _within(layer, width, value, low, high)


def _activation(layer: ParamLayer) -> None:
    kind, arguments = layer.integer(9), layer.numbers(10)
    if ACTIVATION_ARGUMENTS.get(kind) != len(arguments):
        raise layer.wrong(f"activation {kind} with {len(arguments)} arguments")


def _convolution(layer: ParamLayer, inputs: list[Shape]) -> Shape:
    depthwise = layer.type == "ConvolutionDepthWise"
    channels, height, width = _map(layer, _only(layer, _CONVOLUTION | ({7} if depthwise else set()), inputs))
    kernel = _same(layer, 1, 11, 0, 1, 255)
    _same(layer, 2, 12, 1, 1, 1)
    stride, padding = _same(layer, 3, 13, 1, 1, 16), _same(layer, 4, 14, 0, 0, kernel)
    _within(layer, 5, layer.integer(5), 0, 1)
    _within(layer, INT8, layer.integer(INT8), 0, 1)
    _activation(layer)
    outputs, each, *_ = weight_shape(layer)
    if depthwise and not (layer.integer(7) == channels == outputs and each == 1):
        raise layer.wrong(f"{layer.integer(7)} groups from {channels} to {outputs} channels")
    if not depthwise and each != channels:
        raise layer.wrong(f"weights for {each} channels, the input has {channels}")
    sides = [(side + 2 * padding - kernel) // stride + 1 for side in (height, width)]
    if min(sides) < 1:
        raise layer.wrong(f"a kernel of {kernel} on a map {height} x {width}")
    return outputs, *sides


def _inner_product(layer: ParamLayer, inputs: list[Shape]) -> Shape:
    shape = _only(layer, {0, 1, 2, INT8, 9, -23310}, inputs)
    _within(layer, 1, layer.integer(1), 0, 1)
    _within(layer, INT8, layer.integer(INT8), 0, 1)
    _activation(layer)
    outputs, each = weight_shape(layer)
    if each != math.prod(shape):
        raise layer.wrong(f"weights for {each} values, the input {shape} has {math.prod(shape)}")
    return (outputs,)


def _pooling(layer: ParamLayer, inputs: list[Shape]) -> Shape:
    channels, *sides = _map(layer, _only(layer, {0, 1, 2, 3, 4, 5, 11, 12, 13}, inputs))
    _within(layer, 0, layer.integer(0), 0, 1)
    if layer.integer(4):
        return (channels,)
    _within(layer, 0, layer.integer(0), 0, 0)
    size, stride = _same(layer, 1, 11, 0, 1, min(64, *sides)), _same(layer, 2, 12, 1, 1, 64)
    _same(layer, 3, 13, 0, 0, 0)
    _within(layer, 5, layer.integer(5), 1, 1)
    return channels, *((side - size) // stride + 1 for side in sides)


def _addition(layer: ParamLayer, inputs: list[Shape]) -> Shape:
    shape = _only(layer, {0}, inputs, count=2)
    _within(layer, 0, layer.integer(0), 0, 0)
    if inputs[1] != shape:
        raise layer.wrong(f"it adds {shape} and {inputs[1]}")
    return shape


def _elementwise(layer: ParamLayer, inputs: list[Shape]) -> Shape:
    shape = _only(layer, {0, 1} if layer.type == "Clip" else {0}, inputs)
    for key in layer.params:
        layer.number(key)
    return shape


def _flatten(layer: ParamLayer, inputs: list[Shape]) -> Shape:
    return (math.prod(_only(layer, set(), inputs)),)


def _split(layer: ParamLayer, inputs: list[Shape]) -> Shape:
    return _only(layer, set(), inputs, outputs=max(len(layer.outputs), 1))


_RULES: dict[str, Callable[[ParamLayer, list[Shape]], Shape]] = {
    "BinaryOp": _addition,
    "Clip": _elementwise,
    "Convolution": _convolution,
    "ConvolutionDepthWise": _convolution,
    "Flatten": _flatten,
    "InnerProduct": _inner_product,
    "Pooling": _pooling,
    "ReLU": _elementwise,
    "Split": _split,
}
