"""A graph as an ONNX file, written node by node: no exporter, no framework, every shape stated.

    input ─► [Cast ─► Mul ─► Add] ─► Conv ─► Clip ─► … ─► GlobalAveragePool ─► Flatten ─► Gemm ─► output

Names: layer "a" gives the values "a/sum" (before its activation) and "a/out", the weights "a/weight" and "a/bias", and
the nodes "a/Conv", "a/Clip": the reader takes the layer's name from them.
Operators: github.com/onnx/onnx, docs/Operators.md.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from services.common.errors import InvalidInput
from services.trainer.convert.common import unsupported
from services.trainer.convert.onnx_file.metadata import KEY, Metadata, Pixels
from services.trainer.graph import (
    Activation,
    Add,
    Conv,
    FullyConnected,
    GlobalAveragePool,
    Graph,
    Layer,
    MaxPool,
    Shape,
    Softmax,
)

__all__ = ["INPUT", "OUTPUT", "to_onnx"]

INPUT, OUTPUT = "input", "output"
OPSETS = range(11, 18)  # 11: Clip takes its limits as inputs; from 18 on ReduceMean and others differ
IR_VERSION = 7  # the least that opset 13 allows (onnx/docs/Versioning.md); older and newer readers all take it


def to_onnx(
    graph: Graph,
    *,
    opset: int = 13,
    pixels: Pixels = "normalised",
    batch: int | None = 1,
    softmax: bool = False,
) -> bytes:
    """The network as an ONNX file: "input" (n, c, h, w) to "output", logits (n, classes) or the last map (n, c, h, w).

    `pixels`: what the input eats. "normalised": float32 x = (u8/255 - mean)/std; "float32" and "uint8": 0 to 255, the
    normalisation is then part of the file. `batch`: images at once, None for any number. `softmax`: keep a softmax at
    the end, which is left out otherwise. Metadata: see metadata.py. Every value has its shape written down.

    Raises InvalidInput for an opset that this does not write, or a graph whose layers do not fit.
    """
    if opset not in OPSETS:
        raise InvalidInput(
            "ONNX_OPSET",
            f"opset {opset} is not one of {OPSETS.start} to {OPSETS.stop - 1}.",
            fix="Use opset 13, or 11 for old readers.",
        )
    if not graph.layers:
        raise InvalidInput("GRAPH_EMPTY", f"the network {graph.name} has no layers.", fix="Give it at least one layer.")
    model: bytes = _Writer(graph, opset, pixels, batch, softmax).model().SerializeToString()
    return model


class _Writer:
    def __init__(self, graph: Graph, opset: int, pixels: Pixels, batch: int | None, softmax: bool) -> None:
        self.graph, self.opset, self.pixels = graph, opset, pixels
        self.batch: int | str = "n" if batch is None else batch
        self.wiring, self.shapes = graph.wiring(), graph.shapes()
        last = len(graph.layers) - 1
        if not softmax and isinstance(graph.layers[-1], Softmax) and last > 0:
            last = self.wiring[-1][0]
        self.last = last
        self.layers = graph.layers[: last + 1]
        self.nodes: list[NodeProto] = []
        self.weights: list[TensorProto] = []
        self.values: list[ValueInfoProto] = []
        self.layer = "pixels"

    def model(self) -> ModelProto:
        image: Shape = (self.graph.input.channels, self.graph.input.height, self.graph.input.width)
        kind = TensorProto.UINT8 if self.pixels == "uint8" else TensorProto.FLOAT
        names = {-1: self._normalised(image)}
        for i, layer in enumerate(self.layers):
            sources = [names[source] for source in self.wiring[i]]
            into = image if self.wiring[i][0] < 0 else self.shapes[self.wiring[i][0]]
            names[i] = OUTPUT if i == self.last else f"{layer.name}/out"
            self.layer = layer.name
            self._write(layer, sources, into, self.shapes[i], names[i])
        values = [value for value in self.values if value.name != OUTPUT]
        graph = helper.make_graph(
            self.nodes,
            self.graph.name or "network",
            [self._info(INPUT, image, kind)],
            [self._info(OUTPUT, self.shapes[self.last])],
            self.weights,
            value_info=values,
        )
        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", self.opset)],
            producer_name="boardloop",
            ir_version=IR_VERSION,
        )
        helper.set_model_props(model, {KEY: Metadata.of(self.graph, self.pixels).to_json()})
        return model

    def _normalised(self, image: Shape) -> str:
        """Pixels to x; the multiplication and the addition are there only where they change something."""
        if self.pixels == "normalised":
            return INPUT
        name = INPUT
        if self.pixels == "uint8":
            name = self._node("Cast", [INPUT], "pixels/float", image, to=TensorProto.FLOAT)
        mean, std = (
            np.asarray(v, np.float64).reshape(1, -1, 1, 1) for v in (self.graph.input.mean, self.graph.input.std)
        )
        scale = self._weight("pixels/scale", 1 / (255 * std))
        name = self._node("Mul", [name, scale], "pixels/scaled", image)
        if mean.any():
            shift = self._weight("pixels/shift", -mean / std)
            name = self._node("Add", [name, shift], "pixels/normalised", image)
        return name

    def _write(self, layer: Layer, sources: list[str], into: Shape, shape: Shape, out: str) -> None:
        match layer:
            case Conv():
                inputs = [*sources, *self._weights_of(layer)]
                attributes = {
                    "kernel_shape": [layer.weight.shape[2]] * 2,
                    "strides": [layer.stride] * 2,
                    "pads": [layer.padding] * 4,
                    "dilations": [1, 1],
                    "group": layer.weight.shape[0] if layer.depthwise else 1,
                }
                self._activated(layer.activation, "Conv", inputs, layer.name, shape, out, attributes)
            case Add():
                self._activated(layer.activation, "Add", sources, layer.name, shape, out, {})
            case MaxPool():
                self._node(
                    "MaxPool",
                    sources,
                    out,
                    shape,
                    kernel_shape=[layer.size] * 2,
                    strides=[layer.stride] * 2,
                    pads=[0] * 4,
                )
            case GlobalAveragePool():
                mean = self._node("GlobalAveragePool", sources, f"{layer.name}/mean", (*shape, 1, 1))
                self._node("Flatten", [mean], out, shape, axis=1)
            case FullyConnected():
                source = sources[0]
                if len(into) > 1:
                    source = self._node("Flatten", [source], f"{layer.name}/flat", (math.prod(into),), axis=1)
                inputs = [source, *self._weights_of(layer)]
                self._activated(layer.activation, "Gemm", inputs, layer.name, shape, out, {"transB": 1})
            case Softmax():
                if self.opset < 13 and len(into) > 1:  # it would run over all of c, h and w
                    raise unsupported(layer.name, f"a softmax of maps in opset {self.opset}", "Use opset 13.")
                self._node("Softmax", sources, out, shape, axis=1)

    def _weights_of(self, layer: Conv | FullyConnected) -> list[str]:
        return [
            self._weight(f"{layer.name}/weight", layer.weight),
            self._weight(f"{layer.name}/bias", layer.bias),
        ]

    def _weight(self, name: str, values: npt.NDArray[Any]) -> str:
        self.weights.append(numpy_helper.from_array(np.asarray(values, "<f4"), name))
        return name

    def _activated(
        self,
        activation: Activation,
        operator: str,
        inputs: list[str],
        layer: str,
        shape: Shape,
        out: str,
        attributes: dict[str, Any],
    ) -> None:
        """`operator` and its activation, or the operator alone where there is none."""
        if activation.kind == "none":
            self._node(operator, inputs, out, shape, **attributes)
            return
        total = self._node(operator, inputs, f"{layer}/sum", shape, **attributes)
        match activation.kind:
            case "relu":
                self._node("Relu", [total], out, shape)
            case "relu6":
                limits = [self._weight(f"{layer}/{end}", np.array(v)) for end, v in (("low", 0), ("high", 6))]
                self._node("Clip", [total, *limits], out, shape)
            case "leaky":
                self._node("LeakyRelu", [total], out, shape, alpha=float(activation.slope))

    def _node(self, operator: str, inputs: list[str], out: str, shape: Shape, **attributes: Any) -> str:
        self.nodes.append(helper.make_node(operator, inputs, [out], name=f"{self.layer}/{operator}", **attributes))
        self.values.append(self._info(out, shape))
        return out

    def _info(self, name: str, shape: Shape, kind: int = TensorProto.FLOAT) -> ValueInfoProto:
        return helper.make_tensor_value_info(name, kind, [self.batch, *shape])
