"""The network as the trainer hands it to the converters: plain layers with float32 numpy weights, no framework.

    RGB planar uint8 (n, c, h, w) ──► x = (u8/255 - mean) / std ──► layer ──► layer ──► … ──► float32 (n, outputs)
                                                                      └──► layer ──► Add ─┘

Layers run in their order, each on the output of the one before it or of the earlier one that `source` names; the last
one gives the network's output. A backbone writes its trained network down here with batch normalisation already folded
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
    "IMAGE",
    "Activation",
    "Add",
    "Conv",
    "FullyConnected",
    "GlobalAveragePool",
    "Graph",
    "Head",
    "InputSpec",
    "Kind",
    "Layer",
    "MaxPool",
    "Softmax",
    "activate",
    "output_shape",
    "run_layer",
]

Array = npt.NDArray[np.float32]
Images = npt.NDArray[np.uint8]
Shape = tuple[int, ...]
Kind = Literal["classifier", "yolo2", "anchor_free"]
Head = Literal["", "anchor_free"]  # "": what `anchors` say, YOLOv2 or a classifier

IMAGE = "image"  # the name under which a layer's `source` means the normalised image


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
    source: str = ""


@dataclass(frozen=True, eq=False)
class Add:
    """Sum of the outputs of `source` ("": the layer before) and `other`, of one shape: a residual connection."""

    name: str
    other: str
    activation: Activation = field(default_factory=Activation)
    source: str = ""


@dataclass(frozen=True, eq=False)
class MaxPool:
    """Maximum over `size` x `size` windows; no padding, an odd last row or column is dropped."""

    name: str
    size: int = 2
    stride: int = 2
    source: str = ""


@dataclass(frozen=True, eq=False)
class GlobalAveragePool:
    """Mean over height and width: (c, h, w) to (c,)."""

    name: str
    source: str = ""


@dataclass(frozen=True, eq=False)
class FullyConnected:
    """Weight (out, in) times the flattened (CHW order) input, plus bias (out,)."""

    name: str
    weight: Array
    bias: Array
    activation: Activation = field(default_factory=Activation)
    source: str = ""


@dataclass(frozen=True, eq=False)
class Softmax:
    """Probabilities over the channels."""

    name: str
    source: str = ""


Layer = Conv | Add | MaxPool | GlobalAveragePool | FullyConnected | Softmax
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
    """A network with its input and its labels (one per output of a classifier, one per class of a detector).

    `anchors`: (width, height) in cells of the last map; a network that has them is a YOLOv2 detector, whose last map
    (anchors*(5 + labels), h, w) holds per anchor x, y, w, h, objectness and the classes (arXiv:1612.08242).
    `head` "anchor_free": a detector whose map services.trainer.detection.anchor_free reads.
    """

    name: str
    input: InputSpec
    layers: tuple[Layer, ...]
    labels: tuple[str, ...] = ()
    anchors: tuple[tuple[float, float], ...] = ()
    head: Head = ""

    @property
    def kind(self) -> Kind:
        """What its outputs are, by the name of the head in services.trainer.config.HEADS."""
        return self.head or ("yolo2" if self.anchors else "classifier")

    def wiring(self) -> list[tuple[int, ...]]:
        """For every layer the indices of the layers it reads, in order; -1 is the image.

        Raises InvalidInput for a name that two layers share, or a source that no earlier layer has.
        """
        known = {IMAGE: -1}
        wires = []
        for i, layer in enumerate(self.layers):
            sources = [layer.source, layer.other] if isinstance(layer, Add) else [layer.source]
            for source in sources:
                if source and source not in known:
                    raise InvalidInput(
                        "LAYER_SOURCE",
                        f"layer {layer.name}: it reads {source!r}, and no earlier layer has that name",
                        fix="Name an earlier layer, or nothing for the layer before.",
                    )
            if layer.name in known:
                raise InvalidInput(
                    "LAYER_NAME",
                    f"layer {layer.name}: a second layer of that name",
                    fix="Give every layer its own name.",
                )
            wires.append(tuple(known[source] if source else i - 1 for source in sources))
            known[layer.name] = i
        return wires

    def last_uses(self) -> list[int]:
        """For every layer the index of the last layer that reads its output; the last layer is read at the end."""
        last = list(range(len(self.layers)))
        for i, sources in enumerate(self.wiring()):
            for source in sources:
                if source >= 0:
                    last[source] = i
        return last

    def shapes(self) -> list[Shape]:
        """Output shape of every layer without the batch: (c, h, w), or (c,) after pooling or a fully connected layer.

        Raises InvalidInput, naming the layer, where a weight does not fit the shape it is given.
        """
        image: Shape = (self.input.channels, self.input.height, self.input.width)
        shapes: list[Shape] = []
        for layer, sources in zip(self.layers, self.wiring(), strict=True):
            inputs = [image if source < 0 else shapes[source] for source in sources]
            shapes.append(output_shape(layer, inputs))
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
        wiring, last = self.wiring(), self.last_uses()
        with torch.no_grad():
            for start in range(0, len(images_u8), batch):
                x = self._normalised(images_u8[start : start + batch])
                live = {-1: x}
                for i, layer in enumerate(self.layers):
                    live[i] = x = run_layer(layer, *(live[source] for source in wiring[i]))
                    if capture is not None:
                        capture(layer, x.numpy())
                    for source in set(wiring[i]):
                        if source >= 0 and last[source] == i:
                            del live[source]
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


def output_shape(layer: Layer, inputs: list[Shape]) -> Shape:
    """Shape that `layer` makes of the shapes it reads; InvalidInput, naming it, where they do not fit."""
    shape = inputs[0]
    match layer:
        case Add():
            if inputs[1] != shape:
                raise _wrong_shape(layer, inputs[1], f"{shape}, the shape of the other operand")
            return shape
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


def run_layer(layer: Layer, x: torch.Tensor, other: torch.Tensor | None = None) -> torch.Tensor:
    """One layer in float32 on (n, c, h, w) or (n, c); `other` is the second operand of an Add."""
    import torch
    import torch.nn.functional as F

    def tensor(a: Array) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(a, np.float32))

    match layer:
        case Conv():
            groups = layer.weight.shape[0] if layer.depthwise else 1
            y = F.conv2d(x, tensor(layer.weight), tensor(layer.bias), layer.stride, layer.padding, groups=groups)
            return activate(layer.activation, y)
        case Add():
            assert other is not None
            return activate(layer.activation, x + other)
        case MaxPool():
            return F.max_pool2d(x, layer.size, layer.stride)
        case GlobalAveragePool():
            return x.mean((2, 3))
        case FullyConnected():
            return activate(layer.activation, F.linear(x.flatten(1), tensor(layer.weight), tensor(layer.bias)))
        case Softmax():
            return torch.softmax(x, 1)


def activate(activation: Activation, x: torch.Tensor) -> torch.Tensor:
    """The function of a layer's activation on any tensor."""
    import torch.nn.functional as F

    functions: dict[str, Any] = {"none": lambda t: t, "relu": F.relu, "relu6": F.relu6}
    if activation.kind == "leaky":
        return F.leaky_relu(x, activation.slope)
    result: torch.Tensor = functions[activation.kind](x)
    return result
