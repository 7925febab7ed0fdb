"""Puts the network together while the nodes of an ONNX file go by.

A graph's layer has its activation inside and knows no batch normalisation, so what ONNX says in three nodes becomes one
layer here: `activate` and `scale` work on the layer that made their input, where nobody else reads it, and add a 1x1
depthwise convolution where somebody does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import NodeProto

from services.trainer.convert.onnx_file.errors import MAX_NAME, refused, refused_node
from services.trainer.graph import (
    IMAGE,
    Activation,
    Add,
    Conv,
    FullyConnected,
    Layer,
    MaxPool,
    Shape,
    output_shape,
)

__all__ = ["Builder", "Feature"]

Float64 = npt.NDArray[np.float64]
MAX_LAYERS = 2048
MAX_MAP = 1 << 26  # values of one map
MAX_WORK = 4 << 30  # bytes of weights touched while folding: a hostile file must not fold one tensor a thousand times


@dataclass(frozen=True)
class Feature:
    """What a node puts out: the output of layer `index` (-1: the image), seen as `shape`, for one image.

    `alone`: nobody else reads it, so its layer may still change. `padding`: zeros around it that the next convolution
    has to add. `factor`, `shift`: of the image only, the channelwise normalisation so far.
    """

    index: int
    shape: Shape
    alone: bool
    padding: int = 0
    factor: Float64 | None = None
    shift: Float64 | None = None


class Builder:
    """The layers so far. `shapes` are the graph's own: (c,) after pooling, where ONNX keeps (c, 1, 1)."""

    def __init__(self, image: Shape) -> None:
        self.image = image
        self.layers: list[Layer] = []
        self.shapes: list[Shape] = []
        self._alone: list[bool] = []  # whether this layer is the only reader of what it reads
        self._names = {IMAGE}
        self._normalisation: tuple[Float64, Float64] | None = None
        self._work = 0

    def own_shape(self, feature: Feature) -> Shape:
        return self.image if feature.index < 0 else self.shapes[feature.index]

    def name(self, node: NodeProto) -> str:
        """A new layer name after the node's: "/features/0/Conv" gives "features/0"."""
        name = (node.name or (node.output[0] if node.output else ""))[:MAX_NAME].strip("/")
        name = name.removesuffix(f"/{node.op_type}") or f"{node.op_type.lower()}{len(self.layers)}"
        unique, count = name, 1
        while unique in self._names:
            count += 1
            unique = f"{name}_{count}"
        self._names.add(unique)
        return unique

    def source(self, feature: Feature) -> str:
        """What a layer that comes next writes as its source; "" for the layer before."""
        if feature.index == len(self.layers) - 1:
            return ""
        return IMAGE if feature.index < 0 else self.layers[feature.index].name

    def append(self, node: NodeProto, layer: Layer, reads: Feature, alone: bool, view: Shape | None = None) -> Feature:
        """The feature that `layer`, reading `reads`, puts out, seen as `view`."""
        if reads.index < 0:
            self._normalise(node, reads)
        self.layers.append(layer)
        self._alone.append(reads.alone)
        if len(self.layers) > MAX_LAYERS:
            raise refused("ONNX_TOO_LARGE", f"more than {MAX_LAYERS} layers", "Use a smaller network.")
        shape = output_shape(layer, [self.own_shape(reads)] * 2)
        if int(np.prod(shape, dtype=object)) > MAX_MAP:
            raise refused_node(node, f"its output {shape} has more than {MAX_MAP} values", "Use a smaller input.")
        self.shapes.append(shape)
        return Feature(len(self.layers) - 1, view or shape, alone)

    def activate(self, node: NodeProto, feature: Feature, activation: Activation, alone: bool) -> Feature:
        """`activation` of `feature`: inside the layer that made it, before a maximum, or behind it."""
        index = feature.index
        if feature.alone:
            while index >= 0 and isinstance(self.layers[index], MaxPool) and self._alone[index]:
                index = self._read_by(index)  # every activation rises, so the maximum may come later
            host = self.layers[index] if index >= 0 else None
            if isinstance(host, Conv | FullyConnected | Add):
                both = _composed(host.activation, activation)
                if both is not None:
                    self.layers[index] = replace(host, activation=both)
                    return replace(feature, alone=alone)
        channels = self._channels(node, feature, "an activation here")
        return self._depthwise(node, feature, np.ones(channels), np.zeros(channels), activation, alone)

    def scale(self, node: NodeProto, feature: Feature, factor: Float64, shift: Float64, alone: bool) -> Feature:
        """factor * feature + shift, one value a channel each."""
        if (factor == 1).all() and (shift == 0).all():
            return replace(feature, alone=alone and feature.alone)
        if feature.padding:
            raise refused_node(node, "it follows a Pad", "Let a convolution follow the Pad.")
        if feature.index < 0:
            before_factor = np.ones_like(factor) if feature.factor is None else feature.factor
            before_shift = np.zeros_like(shift) if feature.shift is None else feature.shift
            return replace(
                feature,
                factor=before_factor * factor,
                shift=before_shift * factor + shift,
                alone=alone and feature.alone,
            )
        host = self.layers[feature.index]
        if feature.alone and isinstance(host, Conv | FullyConnected) and host.activation.kind == "none":
            self.spend(3 * host.weight.nbytes)
            weight = host.weight * factor.reshape(-1, *(1,) * (host.weight.ndim - 1))
            self.layers[feature.index] = replace(
                host, weight=weight.astype(np.float32), bias=(host.bias * factor + shift).astype(np.float32)
            )
            return replace(feature, alone=alone)
        self._channels(node, feature, "a scale or an offset here")
        return self._depthwise(node, feature, factor, shift, Activation.none(), alone)

    def _depthwise(
        self, node: NodeProto, feature: Feature, factor: Float64, shift: Float64, activation: Activation, alone: bool
    ) -> Feature:
        weight = factor.reshape(-1, 1, 1, 1).astype(np.float32)
        layer = Conv(
            self.name(node),
            weight,
            shift.astype(np.float32),
            depthwise=True,
            activation=activation,
            source=self.source(feature),
        )
        return self.append(node, layer, feature, alone)

    def _channels(self, node: NodeProto, feature: Feature, what: str) -> int:
        own = self.own_shape(feature)
        if len(own) != 3 or feature.shape != own or feature.padding:
            raise refused_node(
                node,
                f"{what}, on {feature.shape}, has no convolution or fully connected layer of its own to go into",
                "Put it behind a convolution or a fully connected layer that nothing else reads.",
            )
        return own[0]

    def _read_by(self, index: int) -> int:
        source = self.layers[index].source
        if not source:
            return index - 1
        return next((i for i, layer in enumerate(self.layers) if layer.name == source), -1)

    def spend(self, size: int) -> None:
        self._work += size
        if self._work > MAX_WORK:
            raise refused("ONNX_TOO_LARGE", "its constants fold into each other too often", "Simplify it (onnxsim).")

    def _normalise(self, node: NodeProto, image: Feature) -> None:
        channels = self.image[0]
        factor = np.ones(channels) if image.factor is None else image.factor
        shift = np.zeros(channels) if image.shift is None else image.shift
        if self._normalisation is None:
            self._normalisation = factor, shift
        elif not all(np.array_equal(a, b) for a, b in zip(self._normalisation, (factor, shift), strict=True)):
            raise refused_node(
                node, "it reads the image normalised in another way than a node before", "Normalise the image once."
            )

    def normalisation(self) -> tuple[Float64, Float64]:
        """Factor and shift that the file itself puts on its input, by channel."""
        return self._normalisation or (np.ones(self.image[0]), np.zeros(self.image[0]))


def _composed(first: Activation, second: Activation) -> Activation | None:
    """One activation for both; None where there is none."""
    if first.kind == "none":
        return second
    kinds: Any = {first.kind, second.kind}
    if kinds <= {"relu", "relu6"}:
        return Activation.relu6() if "relu6" in kinds else Activation.relu()
    return first if first.kind in ("relu", "relu6") and second.kind == "leaky" else None
