"""What is known while the nodes of an ONNX file go by: constants and features by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import GraphProto, NodeProto, TensorProto

from services.trainer.convert.onnx_file.builder import Builder, Feature
from services.trainer.convert.onnx_file.errors import MAX_NAME, refused_node
from services.trainer.convert.onnx_file.tensors import Attributes, Values, array

__all__ = ["Call", "Scope"]

FLOATS = ("f",)
Float64 = npt.NDArray[np.float64]


class Scope:
    """Names to values. Initialisers are read when a node first asks for them."""

    def __init__(self, graph: GraphProto, nodes: list[NodeProto], batch: int, opset: int, builder: Builder) -> None:
        self.batch, self.opset, self.builder = batch, opset, builder
        self._weights: dict[str, TensorProto] = {tensor.name: tensor for tensor in graph.initializer}
        self._values: dict[str, Values | Feature] = {}
        self._uses: dict[str, int] = {}
        for node in nodes:
            for name in node.input:
                self._uses[name] = self._uses.get(name, 0) + 1
        for output in graph.output:
            self._uses[output.name] = self._uses.get(output.name, 0) + 1

    def put(self, name: str, value: Values | Feature) -> None:
        self._values[name] = value

    def get(self, name: str) -> Values | Feature | None:
        if name not in self._values and name in self._weights:
            self._values[name] = array(self._weights[name])
        return self._values.get(name)

    def used_once(self, name: str) -> bool:
        return self._uses.get(name, 0) == 1


class Call:
    """One node with its inputs at hand."""

    def __init__(self, node: NodeProto, scope: Scope) -> None:
        self.node, self.scope, self.builder = node, scope, scope.builder
        self.attributes = Attributes(node)
        self.inputs = [self._input(name) for name in node.input]
        self.alone = scope.used_once(node.output[0])

    def _input(self, name: str) -> Values | Feature | None:
        if not name:
            return None
        value = self.scope.get(name)
        if value is None:
            raise self.refuse(f"no node before gives its input {name[:MAX_NAME]!r}", "Export the file again.")
        return value

    def refuse(self, what: str, fix: str, reason: str = "ONNX_OPERATOR") -> Exception:
        return refused_node(self.node, what, fix, reason)

    def value(self, i: int) -> Values | Feature | None:
        return self.inputs[i] if i < len(self.inputs) else None

    def feature(self, i: int = 0, padding: bool = False) -> Feature:
        """Input `i`, which must come from the image. `padding`: whether the operator can take zeros around it."""
        value = self.value(i)
        if not isinstance(value, Feature):
            raise self.refuse(f"input {i} is not computed from the image", "Export the network without constant parts.")
        if value.padding and not padding:
            raise self.refuse("it follows a Pad", "Let a convolution follow the Pad, or put the padding into it.")
        return value

    def map(self, padding: bool = False) -> Feature:
        """Input 0, which must be (c, h, w) as a layer made it."""
        feature = self.feature(0, padding)
        if len(feature.shape) != 3 or self.builder.own_shape(feature) != feature.shape:
            raise self.refuse(
                f"its input {feature.shape} is no map (c, h, w) of a layer",
                "Reshape only behind the last convolution.",
                "ONNX_SHAPE",
            )
        return feature

    def constant(self, i: int, what: str) -> Values | None:
        """Input `i` where it is given; it must be a constant."""
        value = self.value(i)
        if isinstance(value, Feature):
            raise self.refuse(f"its {what} are computed from the image", "Use a network whose weights are constants.")
        return value

    def weights(self, i: int, what: str) -> Values | None:
        """Input `i` in float32."""
        value = self.constant(i, what)
        if value is None:
            return None
        if value.dtype.kind not in FLOATS:
            raise self.refuse(
                f"its {what} are {value.dtype}", "Export the float32 network, before quantisation.", "ONNX_QUANTISED"
            )
        self.builder.spend(value.nbytes)
        with np.errstate(over="ignore", invalid="ignore"):  # infinities are refused with the layer's name later
            return value.astype(np.float32)

    def needed(self, i: int, what: str) -> Values:
        value = self.weights(i, what)
        if value is None:
            raise self.refuse(f"it has no {what}", "Export the file again.")
        return value

    def shaped(self, value: Values, shape: tuple[int, ...], what: str) -> Values:
        if value.shape != shape:
            raise self.refuse(f"its {what} are {value.shape}, not {shape}", "Export the file again.", "ONNX_SHAPE")
        return value

    def integers(self, name: str, i: int, default: list[int] | None = None) -> list[int] | None:
        """Whole numbers that older opsets keep in attribute `name` and newer ones in input `i`."""
        if name in self.attributes:
            return self.attributes.integers(name, [])
        value = self.constant(i, name)
        if value is None:
            return default
        if value.dtype.kind not in "iu" or value.size > 8:
            raise self.refuse(f"its {name} are no short list of whole numbers", "Export the file again.")
        return [int(v) for v in value.reshape(-1)]

    def channelwise(self, feature: Feature, value: Values) -> Float64:
        """A constant operand as one value for each channel of `feature`."""
        own = self.builder.own_shape(feature)
        channels = own[0]
        shape = value.shape
        while len(shape) > len(feature.shape) and shape[0] == 1:
            shape = shape[1:]
        flat = feature.shape == (channels,)
        wanted: tuple[Any, ...] = (channels,) if flat else (channels, 1, 1)
        if value.size == 1:
            return np.full(channels, float(value.reshape(-1)[0]))
        if feature.shape in (own, (channels,), (channels, 1, 1)) and shape == wanted and value.dtype.kind == "f":
            return value.reshape(-1).astype(np.float64)
        raise self.refuse(
            f"its constant {value.shape} has not one value for each channel of {feature.shape}",
            "Use constants with one value, or one a channel.",
            "ONNX_SHAPE",
        )
