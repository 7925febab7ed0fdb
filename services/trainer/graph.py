"""The network as the trainer hands it to the converters: plain layers with float32 numpy weights, no framework.

    RGB planar uint8 (n, c, h, w) ──► x = (u8/255 - mean) / std ──► layer ──► layer ──► … ──► float32 (n, outputs)

Layers run one after the other. A backbone writes its trained network down here with batch normalisation already folded
into weights and biases; each converter reads this and nothing else, so torch is needed only to run `run_float`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from services.common.errors import InvalidInput

if TYPE_CHECKING:
    import torch

__all__ = [
    "Activation",
    "Conv",
    "FullyConnected",
    "GlobalAveragePool",
    "Graph",
    "InputSpec",
    "Layer",
    "MaxPool",
    "Softmax",
]

Array = npt.NDArray[np.float32]
Images = npt.NDArray[np.uint8]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Activation:
    """Elementwise function after a layer; `slope` is the factor of the negative half of a leaky ReLU."""

    kind: Literal["none", "relu", "relu6", "leaky"] = "none"
    slope: float = 0.0

    @classmethod
    def none(cls) -> Activation:
        return cls()

    @classmethod
    def relu(cls) -> Activation:
        return cls("relu")

    @classmethod
    def relu6(cls) -> Activation:
        return cls("relu6")

    @classmethod
    def leaky(cls, slope: float = 0.1) -> Activation:
        return cls("leaky", slope)


@dataclass(frozen=True, eq=False)
class Conv:
    """2-D convolution, symmetric zero padding. Weight (oc, ic, k, k), or (c, 1, k, k) when `depthwise`."""

    name: str
    weight: Array
    bias: Array
    stride: int = 1
    padding: int = 0
    depthwise: bool = False
    activation: Activation = field(default_factory=Activation)


@dataclass(frozen=True, eq=False)
class MaxPool:
    """Maximum over `size` x `size` windows; no padding, an odd last row or column is dropped."""

    name: str
    size: int = 2
    stride: int = 2


@dataclass(frozen=True, eq=False)
class GlobalAveragePool:
    """Mean over height and width: (c, h, w) to (c,)."""

    name: str


@dataclass(frozen=True, eq=False)
class FullyConnected:
    """Weight (out, in) times the flattened (CHW order) input, plus bias (out,)."""

    name: str
    weight: Array
    bias: Array
    activation: Activation = field(default_factory=Activation)


@dataclass(frozen=True, eq=False)
class Softmax:
    """Probabilities over the channels."""

    name: str


Layer = Conv | MaxPool | GlobalAveragePool | FullyConnected | Softmax
Capture = Callable[[Layer, Array], None]


@dataclass(frozen=True)
class InputSpec:
    """What the network eats: RGB planar pixels in [0, 255], turned into x = (u8/255 - mean) / std by channel."""

    channels: int
    height: int
    width: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.mean) != self.channels or len(self.std) != self.channels:
            raise InvalidInput(
                "INPUT_NORMALISATION",
                f"input: {self.channels} channels, but {len(self.mean)} means and {len(self.std)} standard deviations",
                fix="Give one mean and one standard deviation for each channel.",
            )
        if not all(math.isfinite(s) and s > 0 for s in self.std) or not all(math.isfinite(m) for m in self.mean):
            raise InvalidInput(
                "INPUT_NORMALISATION",
                f"input: mean {self.mean} or std {self.std} is not finite and positive",
                fix="Use finite means and standard deviations above 0.",
            )


@dataclass(frozen=True, eq=False)
class Graph:
    """A sequential network with its input and its labels (one per output of a classifier)."""

    name: str
    input: InputSpec
    layers: tuple[Layer, ...]
    labels: tuple[str, ...] = ()

    def shapes(self) -> list[Shape]:
        """Output shape of every layer without the batch: (c, h, w), or (c,) after pooling or a fully connected layer.

        Raises InvalidInput, naming the layer, where a weight does not fit the shape it is given.
        """
        shape: Shape = (self.input.channels, self.input.height, self.input.width)
        shapes = []
        for layer in self.layers:
            shape = _output_shape(layer, shape)
            shapes.append(shape)
        return shapes

    def parameters(self) -> int:
        """Number of weights and biases."""
        return sum(
            layer.weight.size + layer.bias.size for layer in self.layers if isinstance(layer, Conv | FullyConnected)
        )

    def multiply_adds(self) -> int:
        """Multiply-accumulate operations of one image, convolutions and fully connected layers only."""
        total = 0
        for layer, shape in zip(self.layers, self.shapes(), strict=True):
            if isinstance(layer, Conv):
                total += layer.weight.size * shape[1] * shape[2]
            elif isinstance(layer, FullyConnected):
                total += layer.weight.size
        return total

    def run_float(self, images_u8: Images, capture: Capture | None = None, batch: int = 32) -> Array:
        """Reference run in float32: images (n, c, h, w) uint8 to (n, outputs), non-flat outputs flattened in CHW order.

        `capture(layer, output)` is called after every layer with its output (n', c, h, w) or (n', c), for n' <= `batch`
        images at a time. Needs torch.
        """
        import torch

        expected = (self.input.channels, self.input.height, self.input.width)
        if images_u8.dtype != np.uint8 or images_u8.ndim != 4 or images_u8.shape[1:] != expected:
            raise InvalidInput(
                "IMAGE_SHAPE",
                f"images are {images_u8.dtype} {images_u8.shape}, the network {self.name} eats uint8 (n, {expected})",
                fix="Resize the images to the network's input, RGB planar, one byte per channel.",
            )
        outputs = []
        with torch.no_grad():
            for start in range(0, len(images_u8), batch):
                x = self._normalised(images_u8[start : start + batch])
                for layer in self.layers:
                    x = _run_layer(layer, x)
                    if capture is not None:
                        capture(layer, x.numpy())
                outputs.append(x.flatten(1).numpy())
        return np.concatenate(outputs) if outputs else np.zeros((0, math.prod(self.shapes()[-1])), np.float32)

    def _normalised(self, images_u8: Images) -> torch.Tensor:
        import torch

        mean = np.asarray(self.input.mean, np.float32)[:, None, None]
        std = np.asarray(self.input.std, np.float32)[:, None, None]
        return torch.from_numpy((images_u8.astype(np.float32) / np.float32(255) - mean) / std)


def _wrong_shape(layer: Layer, shape: Shape, wants: str) -> InvalidInput:
    return InvalidInput(
        "LAYER_SHAPE",
        f"layer {layer.name}: the input is {shape}, it needs {wants}",
        fix="Check the weights and the order of the layers.",
    )


def _output_shape(layer: Layer, shape: Shape) -> Shape:
    match layer:
        case Conv():
            return _conv_shape(layer, shape)
        case MaxPool():
            if len(shape) != 3 or min(shape[1:]) < layer.size:
                raise _wrong_shape(layer, shape, f"(c, h, w) of at least {layer.size} x {layer.size}")
            return shape[0], *((s - layer.size) // layer.stride + 1 for s in shape[1:])
        case GlobalAveragePool():
            if len(shape) != 3:
                raise _wrong_shape(layer, shape, "(c, h, w)")
            return (shape[0],)
        case FullyConnected():
            out, wanted = layer.weight.shape
            if math.prod(shape) != wanted or layer.bias.shape != (out,):
                raise _wrong_shape(layer, shape, f"{wanted} values and {out} biases (has {layer.bias.shape})")
            return (out,)
        case Softmax():
            return shape


def _conv_shape(layer: Conv, shape: Shape) -> Shape:
    weight = layer.weight.shape
    if len(weight) != 4 or weight[2] != weight[3] or layer.bias.shape != weight[:1]:
        raise _wrong_shape(layer, shape, f"weights (oc, ic, k, k) and biases (oc,), has {weight}, {layer.bias.shape}")
    wanted = weight[0] if layer.depthwise else weight[1]
    if len(shape) != 3 or shape[0] != wanted or (layer.depthwise and weight[1] != 1):
        raise _wrong_shape(layer, shape, f"({wanted}, h, w) for weights {weight}, depthwise={layer.depthwise}")
    height, width = ((s + 2 * layer.padding - weight[2]) // layer.stride + 1 for s in shape[1:])
    if height < 1 or width < 1:
        raise _wrong_shape(layer, shape, f"at least {weight[2]} x {weight[2]} pixels with the padding")
    return weight[0], height, width


def _run_layer(layer: Layer, x: torch.Tensor) -> torch.Tensor:
    import torch
    import torch.nn.functional as F

    def tensor(a: Array) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(a, np.float32))

    match layer:
        case Conv():
            groups = layer.weight.shape[0] if layer.depthwise else 1
            y = F.conv2d(x, tensor(layer.weight), tensor(layer.bias), layer.stride, layer.padding, groups=groups)
            return _activate(layer.activation, y)
        case MaxPool():
            return F.max_pool2d(x, layer.size, layer.stride)
        case GlobalAveragePool():
            return x.mean((2, 3))
        case FullyConnected():
            return _activate(layer.activation, F.linear(x.flatten(1), tensor(layer.weight), tensor(layer.bias)))
        case Softmax():
            return torch.softmax(x, 1)


def _activate(activation: Activation, x: torch.Tensor) -> torch.Tensor:
    import torch.nn.functional as F

    functions: dict[str, Any] = {"none": lambda t: t, "relu": F.relu, "relu6": F.relu6}
    if activation.kind == "leaky":
        return F.leaky_relu(x, activation.slope)
    result: torch.Tensor = functions[activation.kind](x)
    return result
