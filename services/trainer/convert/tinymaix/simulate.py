"""TinyMaix on the host: runs a .tmdl file on numpy alone, int8 with the very bits of TinyMaix compiled for a CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from services.common.errors import InvalidInput
from services.trainer.convert.contract import Images, Outputs
from services.trainer.convert.tinymaix import arithmetic
from services.trainer.convert.tinymaix.layers import (
    AddLayer,
    ConvLayer,
    FcLayer,
    FileLayer,
    Kind,
    MdlType,
    Preprocess,
    elements,
)
from services.trainer.convert.tinymaix.reader import read

__all__ = ["TmdlSimulator", "run_file_layer"]

Map = npt.NDArray[Any]
CHUNK_ELEMENTS = 1 << 22  # of the largest map, so that a batch stays within a few hundred MiB


class TmdlSimulator:
    """One loaded file. Raises UnsupportedModel for a file TinyMaix could not run."""

    def __init__(self, data: bytes) -> None:
        self.model = read(data)
        self._last_use = list(range(len(self.model.layers)))
        for i, sources in enumerate(self.model.sources):
            for source in sources:
                if source >= 0:
                    self._last_use[source] = i

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(c, h, w)."""
        _, height, width, channels = self.model.in_dims
        return channels, height, width

    def run(self, images_u8: Images) -> Outputs:
        """uint8 (n, c, h, w), RGB planar, to float32 (n, outputs); a last map is flattened in CHW order."""
        if images_u8.dtype != np.uint8 or images_u8.ndim != 4 or images_u8.shape[1:] != self.input_shape:
            raise InvalidInput(
                "IMAGE_SHAPE",
                f"images are {images_u8.dtype} {images_u8.shape}, the model eats uint8 (n, {self.input_shape})",
                fix="Resize the images to the network's input, RGB planar, one byte per channel.",
            )
        largest = max(elements(layer.head.in_dims) for layer in self.model.layers)
        largest = max(largest, *(elements(layer.head.out_dims) for layer in self.model.layers))
        chunk = max(1, CHUNK_ELEMENTS // largest)
        parts = [self._run(images_u8[i : i + chunk]) for i in range(0, len(images_u8), chunk)]
        return np.concatenate(parts) if parts else np.zeros((0, elements(self.model.out_dims)), np.float32)

    def _run(self, images_u8: Images) -> Outputs:
        live: dict[int, Map] = {-1: self._preprocess(images_u8)}
        for i, (layer, sources) in enumerate(zip(self.model.layers, self.model.sources, strict=True)):
            live[i] = run_file_layer(layer, *(live[source] for source in sources))
            for source in set(sources):
                if source >= 0 and self._last_use[source] == i:
                    del live[source]
        out = live[len(self.model.layers) - 1]
        last = self.model.layers[-1].head
        if self.model.mdl_type is MdlType.INT8 and self.model.out_deq:
            out = arithmetic.dequantise(out, last.out_s, last.out_zp)
        return np.ascontiguousarray(out.transpose(0, 3, 1, 2).reshape(len(out), -1), np.float32)

    def _preprocess(self, images_u8: Images) -> Map:
        """`tm_preprocess`."""
        pixels = images_u8.transpose(0, 2, 3, 1)
        match self.model.preprocess:
            case Preprocess.UINT2INT:
                return (pixels.astype(np.int16) - 128).astype(np.int8)
            case Preprocess.UINT2FPN11:
                return (pixels.astype(np.int16) - 128).astype(np.float32) / np.float32(128)
            case Preprocess.UINT2FP01:
                return pixels.astype(np.float32) / np.float32(255)


def run_file_layer(layer: FileLayer, x: Map, other: Map | None = None) -> Map:
    """One layer on (n, h, w, c), int8 or float32; `other` is the second operand of an addition."""
    head = layer.head
    x = x.reshape(len(x), *head.in_dims[1:])
    levels = head.in_s, head.in_zp, head.out_s, head.out_zp
    match layer:
        case ConvLayer():
            depthwise = head.kind is Kind.DWCONV
            pad_value = head.in_zp if x.dtype == np.int8 else 0
            sums = arithmetic.convolve(x, layer.weight, depthwise, layer.stride, layer.pad, pad_value)
            if x.dtype == np.int8:
                return arithmetic.requantise(
                    sums, layer.bias, layer.scales, head.in_s, layer.act, head.out_s, head.out_zp
                )
            return arithmetic.activate(np.asarray(sums + layer.bias, np.float32), layer.act)
        case FcLayer():
            scale = float(layer.scales[0]) if len(layer.scales) else 1.0
            return arithmetic.connect(x, layer.weight, layer.bias, scale, head.in_s, head.out_s, head.out_zp)
        case AddLayer():
            assert other is not None
            second = other.reshape(x.shape)
            return arithmetic.add(x, second, levels[:2], (layer.in_s1, layer.in_zp1), levels[2:])
        case _ if head.kind is Kind.GAP:
            return arithmetic.average(x, *levels)
        case _ if head.kind is Kind.SOFTMAX:
            return arithmetic.softmax(x, *levels)
        case _:
            return x.reshape(len(x), *head.out_dims[1:])
