"""Runs an AWNN int8 file on numpy alone, by the integer rules that follow from the stored numbers.

How the NPU computes is not public. Known, from the vendor's quantiser: what every stored number is, its scale, and so
the value of every output up to rounding. Inferred, and never compared with a chip: that int8 saturates at -128 and 127,
that halves round away from zero, that a sum is rounded after the factor per channel and again after the multiplier,
that the operand of a sum keeps more than 8 bits when it is rescaled, that a mean is rounded once, and that the image
becomes round((u8 - mean)*norm*scale). An answer on the board may differ from this one by a step of the output's scale.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from services.common.errors import InvalidInput
from services.trainer.convert.awnn.container import Container, parse
from services.trainer.convert.awnn.kernels import Int8Map, Int64Map, Sums, average, max_pool, saturate
from services.trainer.convert.awnn.network import INPUT, OUTPUT, read_network, requant_of
from services.trainer.convert.awnn.payload import FACTOR_BITS, IntWeights
from services.trainer.convert.awnn.requant import rescale, shift_right
from services.trainer.convert.contract import Images, Outputs
from services.trainer.convert.ncnn_bin import has_weights
from services.trainer.convert.ncnn_text import ParamLayer

__all__ = ["AwnnSimulator", "LayerUnit", "image_to_int8"]

CHUNK_VALUES = 8 << 20  # of maps that are alive at once
Capture = Callable[[ParamLayer, Int8Map], None]


class AwnnSimulator:
    """A loaded model: `run` maps uint8 images (n, c, h, w) to float32 (n, outputs), a map in CHW order."""

    def __init__(self, data: bytes | Container) -> None:
        """Raises UnsupportedModel, naming the byte, the line or the layer, for a file the NPU could not run."""
        self.container = data if isinstance(data, Container) else parse(data)
        self.network = read_network(self.container.param, self.container.bin)
        self.container.check_shapes(self.network.input_shape, self.network.output_shape)
        self.units = [LayerUnit(layer, self.network.weights.get(layer.name)) for layer in self.network.layers]
        self.chunk = max(1, min(64, CHUNK_VALUES // self.network.peak()))

    @property
    def input_shape(self) -> tuple[int, int, int]:
        return self.network.input_shape

    @property
    def output_shape(self) -> tuple[int, int, int]:
        """(c, h, w) of output0."""
        return self.network.output_shape

    def run(self, images_u8: Images, capture: Capture | None = None) -> Outputs:
        """`capture(layer, map)` gets every layer's output, int8 (c, n', h, w), for a few images at a time."""
        if images_u8.dtype != np.uint8 or images_u8.ndim != 4 or images_u8.shape[1:] != self.input_shape:
            raise InvalidInput(
                "IMAGE_SHAPE",
                f"images are {images_u8.dtype} {images_u8.shape}, the model eats uint8 (n, {self.input_shape})",
                fix="Resize the images to the network's input, RGB planar, one byte per channel.",
            )
        parts = [self._run(images_u8[i : i + self.chunk], capture) for i in range(0, len(images_u8), self.chunk)]
        outputs = int(np.prod(self.output_shape))
        raw = np.concatenate(parts) if parts else np.zeros((0, outputs), np.int8)
        return raw.astype(np.float32) / np.float32(self.network.scales[OUTPUT])

    def _run(self, images: Images, capture: Capture | None) -> Int8Map:
        layers = self.network.layers
        last = {blob: i for i, layer in enumerate(layers) for blob in layer.inputs}
        live: dict[str, Int8Map] = {}
        for i, (layer, unit) in enumerate(zip(layers, self.units, strict=True)):
            if layer.type == "Input":
                about = self.container
                y = image_to_int8(images, about.mean, about.norm, self.network.scales[INPUT])
            else:
                y = unit.run(*(live[blob] for blob in layer.inputs))
            live.update(dict.fromkeys(layer.outputs, y))
            if capture is not None:
                capture(layer, y)
            for blob in set(layer.inputs):
                if last[blob] == i:
                    del live[blob]
        result = live[OUTPUT]
        return result.transpose(1, 0, 2, 3).reshape(len(images), -1)


class LayerUnit:
    """One layer of the NPU on int8 maps (c, n, h, w)."""

    def __init__(self, layer: ParamLayer, weights: IntWeights | None) -> None:
        self.layer = layer
        self.requant = requant_of(layer)
        self.weights = weights
        if weights is not None and has_weights(layer):
            stride, padding = (layer.integer(3, 1), layer.integer(4)) if layer.type == "Convolution" else (1, 0)
            self.sums = Sums(weights.weight, stride, padding)

    def run(self, x: Int8Map, other: Int8Map | None = None) -> Int8Map:
        layer = self.layer
        match layer.type:
            case "Split":
                return x
            case "Convolution" | "InnerProduct":
                return self._weighted(x)
            case "ReLU":
                return saturate(rescale(np.maximum(x, 0).astype(np.int64), self.requant))
            case "Pooling" if layer.integer(4):
                return saturate(self._pooled_globally(x))
            case "Pooling":
                pooled = max_pool(x, layer.integer(1), layer.integer(2, 1))
                return saturate(rescale(pooled.astype(np.int64), self.requant))
            case "Quantize":
                return saturate(rescale(x.astype(np.int64), self.requant))
            case _:
                assert layer.type == "Eltwise" and other is not None
                return self._sum(x, other)

    def _pooled_globally(self, x: Int8Map) -> Int64Map:
        if self.layer.integer(0):
            return average(x, *self.requant)
        return rescale(x.max((2, 3), keepdims=True).astype(np.int64), self.requant)

    def _sum(self, first: Int8Map, second: Int8Map) -> Int8Map:
        fine, coarse = (first, second) if self.layer.integer(16) else (second, first)
        total = fine + rescale(coarse.astype(np.int64), requant_of(self.layer, 17))
        return saturate(rescale(total, self.requant))

    def _weighted(self, x: Int8Map) -> Int8Map:
        assert self.weights is not None
        result = np.empty((len(self.weights.weight), x.shape[1], *self.sums.output(*x.shape[2:])), np.int8)
        bias = self._bias()
        for strip, acc in self.sums.strips(x):
            wide = self.scaled(acc) + bias
            result[:, strip.images, strip.rows] = saturate(rescale(wide, self.requant))
        return result

    def scaled(self, acc: Int64Map) -> Int64Map:
        """Sums (oc, ...) at the one scale in * min(ws), before the bias."""
        assert self.weights is not None and self.weights.factor is not None
        return shift_right(acc * _by_channel(self.weights.factor), FACTOR_BITS)

    def _bias(self) -> Int64Map:
        assert self.weights is not None
        if self.weights.bias is None:
            return np.zeros((1, 1, 1, 1), np.int64)
        bias = _by_channel(self.weights.bias)
        return rescale(bias, requant_of(self.layer, 26)) if 26 in self.layer.params else bias


def _by_channel(values: npt.NDArray[np.int16]) -> Int64Map:
    return values.astype(np.int64)[:, None, None, None]


def image_to_int8(images: Images, mean: tuple[float, ...], norm: tuple[float, ...], scale: float) -> Int8Map:
    """Pixels (n, c, h, w) as the NPU's input (c, n, h, w): round((u8 - mean)*norm*scale), saturated."""
    channels = images.transpose(1, 0, 2, 3).astype(np.float32)
    shift, factor = (np.asarray(v, np.float32)[:, None, None, None] for v in (mean, norm))
    x = (channels - shift) * factor * np.float32(scale)
    eight_bits: Int8Map = np.clip(np.trunc(x + np.copysign(np.float32(0.5), x)), -128, 127).astype(np.int8)
    return eight_bits
