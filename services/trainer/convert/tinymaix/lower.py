"""From the trainer's graph to steps that TinyMaix has, still in float; refuses what it cannot run by the layer's name.

TinyMaix has no activation after an addition and none in its fully connected layer:

    Add + ReLU           ──►  add, then a depthwise 3x3 whose kernel is 1 in the middle, with the ReLU
    FullyConnected(n)    ──►  1x1 convolution of a 1x1 map: it has activations, and one weight scale per output
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from services.common.errors import UnsupportedModel
from services.trainer.convert.common import check_whole, unsupported
from services.trainer.convert.tinymaix.layers import Dims
from services.trainer.convert.tinymaix.read_layers import MAX_KERNEL
from services.trainer.graph import (
    Activation,
    Add,
    Conv,
    FullyConnected,
    GlobalAveragePool,
    Graph,
    MaxPool,
    Shape,
    Softmax,
)

__all__ = ["Floats", "Step", "dims", "lower"]

Floats = npt.NDArray[np.float32]
Act = Literal["none", "relu", "relu6"]
MAX_SIZE = 65535  # a dimension is 16 bits
MAX_BYTE = 255  # kernel, stride and padding are 8 bits


@dataclass(frozen=True, eq=False)
class Step:
    """One layer of the file. `sources`: indices of earlier steps, -1 is the image. `layer`: the graph layer it is of.

    Weight (oc, ic, k, k), or (c, 1, k, k) depthwise; `gives_layer`: its output is the output of that graph layer.
    """

    layer: str
    kind: Literal["conv", "depthwise", "full", "average", "add", "reshape"]
    sources: tuple[int, ...]
    in_dims: Dims
    out_dims: Dims
    weight: Floats = field(default_factory=lambda: np.zeros((0, 0, 1, 1), np.float32))
    bias: Floats = field(default_factory=lambda: np.zeros(0, np.float32))
    stride: int = 1
    padding: int = 0
    act: Act = "none"
    gives_layer: bool = True

    @property
    def title(self) -> str:
        """ "depthwise 3x3 stride 2 relu6"."""
        names = {"full": "fully connected", "average": "global average"}
        words = [names.get(self.kind, self.kind)]
        if self.kind in ("conv", "depthwise"):
            words.append(f"{self.weight.shape[2]}x{self.weight.shape[3]}")
        if self.stride > 1:
            words.append(f"stride {self.stride}")
        return " ".join([*words, self.act] if self.act != "none" else words)


def dims(shape: Shape) -> Dims:
    """(c, h, w) or (c,) as TinyMaix counts it."""
    if len(shape) == 3:
        return 3, shape[1], shape[2], shape[0]
    return 1, 1, 1, math.prod(shape)


def lower(graph: Graph) -> tuple[Step, ...]:
    """Steps in running order; a softmax at the end is left out. Raises UnsupportedModel naming the layer."""
    check_whole(graph)
    layers = graph.layers[:-1] if graph.layers and isinstance(graph.layers[-1], Softmax) else graph.layers
    if not layers:
        raise UnsupportedModel("EMPTY_MODEL", "the network has no layers.", fix="Train a network first.")
    image: Shape = (graph.input.channels, graph.input.height, graph.input.width)
    shapes, wiring = graph.shapes(), graph.wiring()
    steps: list[Step] = []
    place = {-1: -1}  # graph layer -> the step that gives its output
    for i, layer in enumerate(layers):
        inputs = [image if source < 0 else shapes[source] for source in wiring[i]]
        sources = tuple(place[source] for source in wiring[i])
        _check_size(layer.name, inputs[0], shapes[i])
        build: Callable[..., None] = _BUILDERS[type(layer)]
        build(steps, layer, sources, inputs[0], shapes[i])
        place[i] = len(steps) - 1
    return tuple(steps)


def _check_size(name: str, *shapes: Shape) -> None:
    if max(max(shape) for shape in shapes) > MAX_SIZE:
        raise unsupported(
            name, f"a map of {max(shapes, key=max)}; TinyMaix counts to {MAX_SIZE}", "Use a smaller input."
        )


def _act(name: str, activation: Activation) -> Act:
    if activation.kind == "leaky":
        raise unsupported(name, "LeakyReLU, which TinyMaix does not have", "Train with ReLU6 or ReLU.")
    return activation.kind


def _conv(steps: list[Step], layer: Conv, sources: tuple[int, ...], shape: Shape, out: Shape) -> None:
    kernel = layer.weight.shape[2]
    if kernel > MAX_KERNEL or layer.stride > MAX_BYTE:
        raise unsupported(
            layer.name,
            f"a kernel of {kernel}x{kernel} with stride {layer.stride}; the most is {MAX_KERNEL}x{MAX_KERNEL}",
            "Use 3x3 or 5x5 kernels: tm_port.h takes 5x5 as it stands.",
        )
    if layer.padding >= kernel:
        raise unsupported(
            layer.name,
            f"padding {layer.padding} around a {kernel}x{kernel} kernel; TinyMaix takes less than the kernel's side",
            f"Use padding {kernel // 2}.",
        )
    if kernel == 1 and layer.depthwise:
        raise unsupported(
            layer.name,
            "a depthwise 1x1 convolution, which TinyMaix refuses",
            "Fold its factors into the layer before, or use a depthwise 3x3.",
        )
    kind: Literal["conv", "depthwise"] = "depthwise" if layer.depthwise else "conv"
    act = _act(layer.name, layer.activation)
    arrays = layer.weight.astype(np.float32), layer.bias.astype(np.float32)
    steps.append(Step(layer.name, kind, sources, dims(shape), dims(out), *arrays, layer.stride, layer.padding, act))


def _full(steps: list[Step], layer: FullyConnected, sources: tuple[int, ...], shape: Shape, out: Shape) -> None:
    act = _act(layer.name, layer.activation)
    weight, count = layer.weight.astype(np.float32), math.prod(shape)
    if count > MAX_SIZE:
        raise unsupported(
            layer.name,
            f"{count} inputs; TinyMaix counts to {MAX_SIZE}",
            "Put a global average pool before the classifier.",
        )
    if len(shape) == 3:  # the graph flattens (c, h, w), TinyMaix's maps are (h, w, c)
        weight = weight.reshape(-1, *shape).transpose(0, 2, 3, 1).reshape(len(weight), count)
    flat: Dims = (1, 1, 1, count)
    if not steps:  # the first layer reads the image with the image's own dimensions
        steps.append(Step(layer.name, "reshape", sources, dims(shape), flat, gives_layer=False))
        sources = (0,)
    weight = np.ascontiguousarray(weight[:, :, None, None])
    bias = layer.bias.astype(np.float32)
    steps.append(Step(layer.name, "full", sources, flat, dims(out), weight, bias, act=act))


def _average(steps: list[Step], layer: GlobalAveragePool, sources: tuple[int, ...], shape: Shape, out: Shape) -> None:
    _no_image(layer.name, sources)
    steps.append(Step(layer.name, "average", sources, dims(shape), dims(out)))


def _add(steps: list[Step], layer: Add, sources: tuple[int, ...], shape: Shape, out: Shape) -> None:
    _no_image(layer.name, sources)
    act = _act(layer.name, layer.activation)
    size = dims(out)
    steps.append(Step(layer.name, "add", sources, size, size, gives_layer=act == "none"))
    if act == "none":
        return
    middle = np.zeros((size[3], 1, 3, 3), np.float32)
    middle[:, 0, 1, 1] = 1
    bias = np.zeros(size[3], np.float32)
    steps.append(Step(layer.name, "depthwise", (len(steps) - 1,), size, size, middle, bias, 1, 1, act))


def _no_image(name: str, sources: tuple[int, ...]) -> None:
    if -1 in sources:
        raise unsupported(
            name,
            "it reads the picture itself, whose normalisation only a convolution can take in",
            "Put a convolution before it.",
        )


def _max_pool(steps: list[Step], layer: MaxPool, *_: Any) -> None:
    raise unsupported(
        layer.name,
        "max pooling, which TinyMaix does not have",
        f"Leave it out (of a head: pooling average), or give the convolution before it stride {layer.stride}; train "
        "again.",
    )


def _softmax(steps: list[Step], layer: Softmax, *_: Any) -> None:
    raise unsupported(layer.name, "a softmax inside the network", "Keep the softmax at the end, where it is left out.")


_BUILDERS: dict[type, Callable[..., None]] = {
    Conv: _conv,
    FullyConnected: _full,
    GlobalAveragePool: _average,
    Add: _add,
    MaxPool: _max_pool,
    Softmax: _softmax,
}
