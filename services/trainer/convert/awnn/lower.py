"""The trained network as a float ncnn network whose layers all run on the V831's NPU.

    image ─► Input ─► Convolution ─► ReLU ─► Split ─┬─► Convolution ─► ReLU ─► Convolution ─► Eltwise ─► ReLU ─► …
                                                    └────────────────────────────────────────────┘

* The image reaches the network as x' = (u8 - 255*mean)*norm with |x'| <= 1, which an input scale of 127 turns into
  int8; the first weights take the rest, w' = w/(255*std*norm). Zero stays zero, so the padding stays right.
* A depthwise convolution, which the NPU has not, becomes a dense one that is zero off the diagonal.
* A ReLU6 becomes a ReLU whose output has the scale 127/6: int8 saturates at 127, which is 6.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

import numpy as np

from services.common.errors import UnsupportedModel
from services.trainer.convert.common import check_whole, unsupported
from services.trainer.convert.ncnn_bin import LayerWeights
from services.trainer.convert.ncnn_text import ParamLayer, Value
from services.trainer.graph import (
    Add,
    Conv,
    FullyConnected,
    GlobalAveragePool,
    Graph,
    InputSpec,
    Layer,
    MaxPool,
    Softmax,
)

__all__ = ["Lowered", "lower"]

NORM_DECIMALS, MEAN_DECIMALS = 7, 5  # a .mud file holds numbers of 9 characters: 0.0078125, 123.67512
MAX_KERNEL = 7


@dataclass
class Lowered:
    """A float ncnn network: `layers`, and `weights` by layer name.

    `activated`: blob before a ReLU to the blob behind it. `ceilings`: blob behind a ReLU6 to its 6. `ends`: the layers
    of the trained network with the blob that holds their output.
    """

    mean: tuple[float, ...]
    norm: tuple[float, ...]
    layers: list[ParamLayer] = field(default_factory=list)
    weights: dict[str, LayerWeights] = field(default_factory=dict)
    activated: dict[str, str] = field(default_factory=dict)
    ceilings: dict[str, float] = field(default_factory=dict)
    ends: list[tuple[Layer, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def lower(graph: Graph) -> Lowered:
    """Raises UnsupportedModel, naming the layer, for what the NPU cannot follow."""
    check_whole(graph)
    if graph.input.channels != 3:
        raise unsupported("input", f"{graph.input.channels} channels", "Train with RGB images.", "UNSUPPORTED_INPUT")
    return _Lowering(graph).run()


def input_normalisation(spec: InputSpec) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """mean and norm of nn.load by channel, with |(u8 - mean)*norm| <= 1: (127.5, 1/128) for a mean of 0.5."""
    means = tuple(round(255 * mean, MEAN_DECIMALS) for mean in spec.mean)
    furthest = [max(abs(mean), abs(255 - mean)) for mean in means]
    norms = tuple(math.floor(10**NORM_DECIMALS / (far + 0.5)) / 10**NORM_DECIMALS for far in furthest)
    for mean, norm in zip(means, norms, strict=True):
        if norm <= 0 or abs(mean) > 255:
            what = f"input: a mean of {mean} bytes."
            raise UnsupportedModel("INPUT_NORMALISATION", what, fix="Use a mean between 0 and 1.")
    return means, norms


class _Lowering:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.layers = graph.layers[:-1] if isinstance(graph.layers[-1], Softmax) else graph.layers
        if not self.layers:
            raise unsupported(graph.layers[-1].name, "a softmax alone", "Give a network with a convolution.")
        self.wiring = graph.wiring()[: len(self.layers)]
        self.shapes = graph.shapes()
        self.names = _ncnn_names([layer.name for layer in self.layers])
        self.readers = [sum(sources.count(i) for sources in self.wiring) for i in range(-1, len(self.layers))]
        self.free: dict[int, list[str]] = {}  # by layer: the blobs that its readers take, one each
        self.result = Lowered(*input_normalisation(graph.input))

    def run(self) -> Lowered:
        spec = self.graph.input
        size: dict[int, Value] = {0: spec.width, 1: spec.height, 2: spec.channels}
        self._emit("Input", "input0", (), "input0", size)
        self._offer(-1, "input0", "input0")
        for i, layer in enumerate(self.layers):
            self._layer(i, layer)
        if len(self.layers) < len(self.graph.layers):
            self.result.notes.append(f"{self.graph.layers[-1].name}: left out; the script on the board takes it.")
        return self.result

    def _emit(
        self, kind: str, name: str, inputs: tuple[str, ...], output: str, params: dict[int, Value] | None = None
    ) -> None:
        self.result.layers.append(ParamLayer(kind, name, inputs, (output,), params or {}))

    def _offer(self, index: int, name: str, blob: str) -> None:
        """Gives every reader of layer `index` its own copy of `blob`: ncnn wants a Split where several read one."""
        count = self.readers[index + 1]
        self.free[index] = [blob]
        if count > 1:
            copies = tuple(f"{blob}_{i}" for i in range(count))
            self.result.layers.append(ParamLayer("Split", f"split_{name}", (blob,), copies))
            self.free[index] = list(copies)

    def _layer(self, i: int, layer: Layer) -> None:
        if -1 in self.wiring[i] and not (isinstance(layer, Conv) and layer.weight.shape[2] > 1):
            raise unsupported(
                layer.name, "it works on the image itself", "Begin with a convolution of 3x3; only such read the image."
            )
        inputs = tuple(self.free[source].pop(0) for source in self.wiring[i])
        name, last = self.names[i], i == len(self.layers) - 1
        acts = isinstance(layer, Conv | FullyConnected | Add) and layer.activation.kind != "none"
        end = "output0" if last else name
        first = f"{name}_sum" if acts else end
        kind, params = self._describe(i, layer)
        self._emit(kind, name, inputs, first, params)
        if acts:
            self._emit("ReLU", f"{name}_relu", (first,), end)
            self._check_activation(layer, end)
            self.result.activated[first] = end
        self.result.ends.append((layer, end))
        if not last and not self.readers[i + 1]:
            raise unsupported(layer.name, "no layer reads its output", "Leave it out, or connect it.")
        if last and self.readers[i + 1]:
            raise unsupported(layer.name, "the last layer is read by another", "Put the network's output last.")
        if not last:
            self._offer(i, name, end)

    def _describe(self, i: int, layer: Layer) -> tuple[str, dict[int, Value]]:
        match layer:
            case Conv():
                return "Convolution", self._convolution(i, layer)
            case FullyConnected():
                self.result.weights[self.names[i]] = LayerWeights(*_floats(layer))
                return "InnerProduct", {0: len(layer.bias), 1: 1, 2: layer.weight.size}
            case Add():
                return "BinaryOp", {0: 0}
            case MaxPool():
                return "Pooling", self._pooling(i, layer)
            case GlobalAveragePool():
                return "Pooling", {0: 1, 4: 1}
            case Softmax():
                raise unsupported(layer.name, "a softmax inside the network", "Use a softmax at the end only.")

    def _convolution(self, i: int, layer: Conv) -> dict[int, Value]:
        kernel = layer.weight.shape[2]
        if not 1 <= kernel <= MAX_KERNEL or not 1 <= layer.stride <= 2 or not 0 <= layer.padding <= kernel // 2:
            raise unsupported(
                layer.name,
                f"a kernel of {kernel}, stride {layer.stride}, padding {layer.padding}",
                f"Use kernels of 1 to {MAX_KERNEL}, stride 1 or 2, padding up to half the kernel.",
            )
        weight, bias = _floats(layer)
        if layer.depthwise:
            weight = _dense(weight)
            self.result.warnings.append(
                f"{layer.name}: the NPU has no depthwise convolution, the vendor's tool leaves it to the CPU. It is "
                f"written as a dense one with {len(weight)} times the weights, zero off the diagonal: the same answers."
            )
        if -1 in self.wiring[i]:
            factor = [1 / (255 * std * norm) for std, norm in zip(self.graph.input.std, self.result.norm, strict=True)]
            weight = weight * np.array(factor, np.float32)[:, None, None]
        self.result.weights[self.names[i]] = LayerWeights(weight, bias)
        return {0: len(bias), 1: kernel, 3: layer.stride, 4: layer.padding, 5: 1, 6: weight.size}

    def _pooling(self, i: int, layer: MaxPool) -> dict[int, Value]:
        if not 1 <= layer.size <= 3 or not 1 <= layer.stride <= 3:
            raise unsupported(layer.name, f"windows of {layer.size} every {layer.stride}", "Use windows of 2 every 2.")
        params: dict[int, Value] = {0: 0, 1: layer.size, 2: layer.stride}
        shape = self.shapes[self.wiring[i][0]]
        if any((side - layer.size) % layer.stride for side in shape[1:]):
            params[5] = 1
            self.result.warnings.append(
                f"{layer.name}: {shape[1]} x {shape[2]} is no whole number of windows; the rest is dropped (key 5=1), "
                "which no golden file has. Use an input size that halves evenly."
            )
        return params

    def _check_activation(self, layer: Layer, blob: str) -> None:
        assert isinstance(layer, Conv | FullyConnected | Add)
        if layer.activation.kind == "leaky":
            raise unsupported(
                layer.name, "a leaky ReLU, whose stored form is not known", "Train with ReLU (or ReLU6) for the V831."
            )
        if layer.activation.kind == "relu6":
            self.result.ceilings[blob] = 6.0
            self.result.notes.append(
                f"{layer.name}: the NPU has no ReLU6 (the vendor's tool leaves it to the CPU); written as a ReLU whose "
                "int8 output saturates at 6. Nobody has checked this on hardware."
            )


def _floats(layer: Conv | FullyConnected) -> tuple[np.ndarray, np.ndarray]:
    return layer.weight.astype(np.float32), layer.bias.astype(np.float32)


def _dense(weight: np.ndarray) -> np.ndarray:
    """(c, 1, k, k) to (c, c, k, k)."""
    channels = np.arange(len(weight))
    dense = np.zeros((len(weight), len(weight), *weight.shape[2:]), np.float32)
    dense[channels, channels] = weight[:, 0]
    return dense


def _ncnn_names(names: list[str]) -> list[str]:
    """Names without spaces, each once, none of a blob that the board's script knows."""
    taken = {"input0", "output0"}
    found = []
    for i, name in enumerate(names):
        plain = re.sub(r"[^A-Za-z0-9_.\-]", "_", name)[:100] or "layer"
        if plain in taken or any(f"{plain}{end}" in taken for end in ("_sum", "_relu")):
            plain = f"{plain}_{i}"
        taken |= {plain, f"{plain}_sum", f"{plain}_relu"}
        found.append(plain)
    return found
