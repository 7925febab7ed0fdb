"""From a float ncnn network and its calibration table to the AWNN int8 pair, as the vendor's quantiser 0.9.6 does it.

A rewrite of rules that were measured from outside; the golden vectors say where it equals the tool (docs/targets.md).
Keys that a layer gets: 20=1 int8, 21/22 multiplier and shift to the output's scale, 23=1 ReLU, 24=2 int16 bias,
25=1 factor per channel, 26/27 bias multiplier and shift, 17/18 those of the operand of a sum that is rescaled,
16=1 when that is the second one, -23328 on the NPU, -23329 scales of the outputs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from services.common.errors import UnsupportedModel
from services.trainer.convert.awnn.integers import int_layer
from services.trainer.convert.awnn.payload import IntWeights, write_payload
from services.trainer.convert.awnn.requant import encode
from services.trainer.convert.awnn.shapes import Shape, blob_shapes
from services.trainer.convert.awnn.table import Scales
from services.trainer.convert.ncnn_bin import LayerWeights, has_weights
from services.trainer.convert.ncnn_text import ParamLayer, Value, write_param

__all__ = ["Quantised", "Quantiser", "quantise"]

PLACEMENT, SCALES = -23328, -23329
# Keys that stand in the text only when they differ from ncnn's default, in its order; then those of a square kernel.
DEFAULTS: dict[str, dict[int, int]] = {
    "Input": {0: 0, 1: 0, 2: 0},
    "Convolution": {0: 0, 1: 0, 2: 1, 3: 1, 4: 0, 5: 0, 6: 0},
    "InnerProduct": {0: 0, 1: 0, 2: 0},
    "Pooling": {0: 0, 1: 0, 2: 1, 3: 0, 4: 0, 5: 0},
    "ReLU": {},
    "Eltwise": {0: 0},
}


@dataclass(frozen=True, eq=False)
class Quantised:
    layers: tuple[ParamLayer, ...]
    weights: dict[str, IntWeights]

    def param(self) -> bytes:
        return write_param(self.layers, aligned=True).encode()

    def bin(self) -> bytes:
        return write_payload(self.layers, self.weights)


def quantise(layers: Sequence[ParamLayer], weights: Mapping[str, LayerWeights], scales: Scales) -> Quantised:
    """The int8 network. Raises UnsupportedModel, naming the layer, for what cannot be quantised or has no scale."""
    quantiser = Quantiser(weights, scales, blob_shapes(layers))
    for layer in layers:
        quantiser.add(layer)
    return quantiser.result()


class Quantiser:
    """Quantises layer by layer, in their order; a layer's scales must be in `scales` when it comes."""

    def __init__(self, weights: Mapping[str, LayerWeights], scales: Scales, shapes: Mapping[str, Shape]) -> None:
        self.weights = weights
        self.scales = scales
        self.shapes = shapes
        self.images: set[str] = set()  # blobs of Input layers
        self.done: list[ParamLayer] = []
        self.integers: dict[str, IntWeights] = {}

    def add(self, layer: ParamLayer) -> tuple[ParamLayer, ...]:
        """The layers that it becomes: one, or a Split and its Quantize layers."""
        start = len(self.done)
        if layer.type == "Split":
            self._split(layer)
        elif has_weights(layer):
            self._weighted(layer, direct=not self.images.isdisjoint(layer.inputs))
        else:
            self._plain(layer)
        if layer.type == "Input":
            self.images.update(layer.outputs)
        return tuple(self.done[start:])

    def result(self) -> Quantised:
        return Quantised(tuple(self.done), self.integers)

    def _scale(self, layer: ParamLayer, blob: str) -> np.float32:
        if blob not in self.scales.blobs:
            raise _no_scale(layer, f"the blob {blob}")
        return self.scales.blobs[blob]

    def _emit(self, layer: ParamLayer, keys: dict[int, Value], kind: str = "") -> None:
        kind = kind or layer.type
        scales = tuple(float(self._scale(layer, blob)) for blob in layer.outputs)
        ends: dict[int, Value] = {PLACEMENT: (0 if kind == "Input" else 1,), SCALES: scales}
        self.done.append(ParamLayer(kind, layer.name, layer.inputs, layer.outputs, {**keys, **ends}))

    def _plain(self, layer: ParamLayer) -> None:
        target = self._scale(layer, layer.outputs[0])
        inputs = [self._scale(layer, blob) for blob in layer.inputs]
        keys = _shown(layer)
        kind = layer.type
        if kind in ("BinaryOp", "Eltwise"):
            kind, keys = "Eltwise", {0: 1}
        if inputs:
            keys |= _requant(float(target / max(inputs)))
        if kind == "ReLU":
            if layer.number(0) != 0:
                raise layer.wrong("a leaky ReLU, whose stored form is not known", "Train with ReLU.")
            keys |= {23: 1}
        if kind == "Eltwise":
            multiplier, shift = encode(float(max(inputs) / min(inputs)))
            keys |= {17: multiplier, 18: shift}
            keys |= {16: 1} if inputs[1] < inputs[0] else {}
        self._emit(layer, keys, kind)

    def _weighted(self, layer: ParamLayer, direct: bool) -> None:
        if direct and (layer.type == "InnerProduct" or layer.integer(1) == 1):
            what = "a 1x1 convolution or fully connected layer on the image itself"
            raise layer.wrong(what, "Begin with a convolution of 3x3 or larger.")
        weight, source = self.weights[layer.name], self.shapes[layer.inputs[0]]
        if layer.name not in self.scales.weights:
            raise _no_scale(layer, "its weights")
        scales = self.scales.weights[layer.name]
        if len(scales) != len(weight.weight):
            raise layer.wrong(f"{len(scales)} weight scales for {len(weight.weight)} channels", "Calibrate again.")
        if not np.isfinite(weight.weight).all() or (weight.bias is not None and not np.isfinite(weight.bias).all()):
            raise layer.wrong("weights or biases hold NaN or infinity", "Train again with a lower learning rate.")
        values = weight.weight.astype(np.float32)
        if layer.type == "InnerProduct":
            if values.shape[1] != source[0] * source[1] * source[2]:
                raise layer.wrong(f"{values.shape[1]} weights per output do not fit its input {source}")
            values = values.reshape(len(values), *source)
        ends = self._scale(layer, layer.inputs[0]), self._scale(layer, layer.outputs[0])
        done = int_layer(values, weight.bias, scales, *ends)
        self.integers[layer.name] = done.weights
        keys: dict[int, Value] = {**_shown(layer), 20: 1, 21: done.requant[0], 22: done.requant[1]}
        keys |= {24: 2, 25: 1} if weight.bias is not None else {25: 1}
        if done.bias_requant is not None:
            keys |= {26: done.bias_requant[0], 27: done.bias_requant[1]}
        self._emit(layer, keys)

    def _split(self, layer: ParamLayer) -> None:
        """Where a copy has another scale than its source, a Quantize layer behind every copy brings it there."""
        source = self._scale(layer, layer.inputs[0])
        targets = [self._scale(layer, blob) for blob in layer.outputs]
        if all(target == source for target in targets):
            self._emit(layer, {})
            return
        copies = tuple(f"{blob}_cvt" for blob in layer.outputs)
        ends: dict[int, Value] = {PLACEMENT: (1,), SCALES: tuple(float(target) for target in targets)}
        self.done.append(ParamLayer("Split", layer.name, layer.inputs, copies, ends))
        for copy, blob, target in zip(copies, layer.outputs, targets, strict=True):
            converter = ParamLayer("Quantize", f"{layer.name}_cvt", (copy,), (blob,))
            self._emit(converter, {0: float(target), **_requant(float(target / source))})


def _requant(factor: float) -> dict[int, Value]:
    multiplier, shift = encode(factor)
    return {20: 1, 21: multiplier, 22: shift}


def _shown(layer: ParamLayer) -> dict[int, Value]:
    defaults = DEFAULTS.get(layer.type, {})
    return {key: layer.integer(key) for key, default in defaults.items() if layer.integer(key, default) != default}


def _no_scale(layer: ParamLayer, what: str) -> UnsupportedModel:
    return layer.wrong(f"the calibration table has no scale for {what}", "Calibrate this very network.")
