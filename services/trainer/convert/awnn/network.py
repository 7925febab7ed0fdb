"""An AWNN int8 network in memory: layers, weights, shapes and scales that agree with each other."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from services.common.errors import UnsupportedModel
from services.trainer.convert.awnn.payload import FACTOR_KEY, IntWeights, read_payload
from services.trainer.convert.awnn.requant import Requant
from services.trainer.convert.awnn.shapes import Shape, blob_shapes
from services.trainer.convert.ncnn_bin import has_weights
from services.trainer.convert.ncnn_text import ParamLayer, read_param

__all__ = ["INPUT", "OUTPUT", "Network", "peak_values", "read_network", "requant_of"]

INPUT, OUTPUT = "input0", "output0"  # the blobs that nn.load is told
RUNS = ("Input", "Convolution", "InnerProduct", "ReLU", "Pooling", "Split", "Quantize", "Eltwise")
MAX_WORK = 10_000_000_000  # multiply-adds of one image; ResNet-18 at 224 x 224 takes 1.8e9
UNFOLD_WORK = 8  # laying out a value under a tap costs as much as so many multiply-adds
MAX_SHIFT = 31


@dataclass(frozen=True, eq=False)
class Network:
    layers: tuple[ParamLayer, ...]
    weights: dict[str, IntWeights]
    shapes: dict[str, Shape]  # (c, h, w) by blob
    scales: dict[str, float]  # by blob: value = int8 / scale

    @property
    def input_shape(self) -> Shape:
        return self.shapes[INPUT]

    @property
    def output_shape(self) -> Shape:
        return self.shapes[OUTPUT]

    def peak(self) -> int:
        """The most values of maps that are alive at once, for one image; copies of a Split count."""
        return peak_values(self.layers, self.shapes)


def peak_values(layers: tuple[ParamLayer, ...], shapes: Mapping[str, Shape]) -> int:
    """See `Network.peak`."""
    last = {blob: i for i, layer in enumerate(layers) for blob in layer.inputs}
    sizes = {blob: c * h * w for blob, (c, h, w) in shapes.items()}
    alive = most = 0
    for i, layer in enumerate(layers):
        alive += sum(sizes[blob] for blob in layer.outputs)
        most = max(most, alive)
        alive -= sum(sizes[blob] for blob in set(layer.inputs) if last[blob] == i)
    return most


def read_network(param: bytes, weights: bytes) -> Network:
    """The pair as one network. Raises UnsupportedModel, naming line, layer or byte, for what the NPU could not run."""
    layers = read_param(param)
    for layer in layers:
        if layer.type not in RUNS:
            raise layer.wrong("this type is not simulated", "Convert the network with the target v831-awnn-int8.")
    shapes = blob_shapes(layers)
    scales: dict[str, float] = {}
    for layer in layers:
        scales.update(zip(layer.outputs, _scales(layer), strict=True))
        if layer.type not in ("Input", "Split"):
            _check_keys(layer)
    _check_ends(layers)
    _check_work(layers, shapes)
    return Network(layers, read_payload(layers, shapes, weights), shapes, scales)


def requant_of(layer: ParamLayer, multiplier_key: int = 21) -> Requant:
    """(multiplier, shift) under `multiplier_key` and the next key."""
    return layer.integer(multiplier_key), layer.integer(multiplier_key + 1)


def _scales(layer: ParamLayer) -> tuple[float, ...]:
    scales = layer.numbers(29)
    if len(scales) != len(layer.outputs) or not all(1e-30 < scale < 1e30 and math.isfinite(scale) for scale in scales):
        raise layer.wrong(f"{len(layer.outputs)} outputs need as many positive scales (-23329), it has {scales[:4]}")
    return scales


def _check_keys(layer: ParamLayer) -> None:
    if layer.integer(20) != 1:
        raise layer.wrong("it does not run in int8 (key 20)", "Quantise the whole network.")
    pairs = {21} | {key for key in (17, 26) if key in layer.params or (key == 17 and layer.type == "Eltwise")}
    for key in pairs:
        multiplier, shift = requant_of(layer, key)
        if not 0 <= multiplier <= 32767 or not 0 <= shift <= MAX_SHIFT:
            raise layer.wrong(f"multiplier {multiplier} and shift {shift} (keys {key}, {key + 1}) are out of range")
    if layer.type == "ReLU" and (layer.integer(23) != 1 or layer.number(0) != 0):
        raise layer.wrong("not a plain ReLU (key 23)")
    if layer.integer(19):
        raise layer.wrong("weights of a layer on the image itself (key 19)", "Begin with a convolution of 3x3.")
    if has_weights(layer) and layer.integer(FACTOR_KEY) != 1:
        raise layer.wrong("it has no factor per output channel (key 25)")


def _check_ends(layers: tuple[ParamLayer, ...]) -> None:
    inputs = [blob for layer in layers if layer.type == "Input" for blob in layer.outputs]
    read = {blob for layer in layers for blob in layer.inputs}
    ends = [blob for layer in layers for blob in layer.outputs if blob not in read]
    if inputs != [INPUT] or ends != [OUTPUT]:
        raise UnsupportedModel(
            "AWNN_ENDS",
            f".param: the network goes from {inputs[:3]} to {ends[:3]}; the board's script knows {INPUT} and {OUTPUT}.",
            fix=f"Name the one input {INPUT} and the one output {OUTPUT}.",
        )


def _check_work(layers: tuple[ParamLayer, ...], shapes: dict[str, Shape]) -> None:
    work = 0
    for layer in layers:
        _, height, width = shapes[layer.outputs[0]]
        if layer.type == "Convolution":
            outputs = layer.integer(0)
            work += layer.integer(6) // outputs * (outputs + UNFOLD_WORK) * height * width
        elif layer.type == "InnerProduct":
            work += layer.integer(2)
        if work > MAX_WORK:
            raise layer.wrong(f"with it one image takes more than {MAX_WORK} multiply-adds", "Use a smaller network.")
