"""The integer sums of the NPU's layers in numpy: exact, with bounded memory.

Maps are int8 arrays (c, n, h, w): with the channel first, the images of a batch share one matrix product. Products of
int8 values are whole numbers; a float32 product is exact while the sums stay below 2^24, so long sums go in pieces.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Int8Map", "Int64Map", "Sums", "average", "diagonal", "max_pool", "saturate"]

Int8Map = npt.NDArray[np.int8]
Int64Map = npt.NDArray[np.int64]

FLOAT32_EXACT = 1 << 24
TILE_VALUES = 2 << 20  # of the unfolded input at a time
LOW, HIGH = -128, 127


@dataclass(frozen=True)
class Strip:
    """Where the sums of `Sums.strips` belong: images and rows of the output."""

    images: slice
    rows: slice


class Sums:
    """Convolution of int8 maps with int8 weights (oc, ic, kh, kw), symmetric zero padding."""

    def __init__(self, weight: Int8Map, stride: int = 1, padding: int = 0) -> None:
        self.stride, self.padding = stride, padding
        self.kernel = weight.shape[2], weight.shape[3]
        self.diagonal = diagonal(weight)
        by_tap = weight.transpose(0, 2, 3, 1).reshape(len(weight), -1).astype(np.float32)  # (oc, kh*kw*ic)
        self.pieces = _pieces(by_tap)

    def output(self, height: int, width: int) -> tuple[int, int]:
        """(oh, ow) for an input of that size."""
        sides = zip((height, width), self.kernel, strict=True)
        oh, ow = ((side + 2 * self.padding - kernel) // self.stride + 1 for side, kernel in sides)
        return oh, ow

    def strips(self, x: Int8Map) -> Iterator[tuple[Strip, Int64Map]]:
        """Pieces of the result, sums (oc, n', rows, ow), that together cover it; a few MiB each."""
        channels, count = x.shape[:2]
        oh, ow = self.output(*x.shape[2:])
        per_row = channels * self.kernel[0] * self.kernel[1] * ow
        rows = min(oh, max(1, TILE_VALUES // per_row))
        images = max(1, TILE_VALUES // (per_row * rows))
        for first in range(0, count, images):
            part = slice(first, min(first + images, count))
            for top in range(0, oh, rows):
                strip = Strip(part, slice(top, min(top + rows, oh)))
                yield strip, self._product(self._unfold(x, strip, ow))

    def _unfold(self, x: Int8Map, strip: Strip, ow: int) -> npt.NDArray[np.float32]:
        """Input values under every tap: (kh*kw, c, n', rows, ow)."""
        top, bottom = strip.rows.start, strip.rows.stop
        height, width = x.shape[2:]
        first = top * self.stride - self.padding  # row of the input under the strip's first tap, may lie above
        span = (bottom - top - 1) * self.stride + self.kernel[0]
        low, high = max(first, 0), min(first + span, height)
        source = x[:, strip.images]
        padded = np.zeros((*source.shape[:2], span, width + 2 * self.padding), np.float32)
        padded[:, :, low - first : high - first, self.padding : self.padding + width] = source[:, :, low:high]
        taps = np.empty((self.kernel[0] * self.kernel[1], *source.shape[:2], bottom - top, ow), np.float32)
        for tap in range(len(taps)):
            dy, dx = divmod(tap, self.kernel[1])
            taps[tap] = padded[:, :, dy : dy + span - self.kernel[0] + 1 : self.stride, dx:][..., :: self.stride][
                ..., :ow
            ]
        return taps

    def _product(self, taps: npt.NDArray[np.float32]) -> Int64Map:
        if self.diagonal is not None:
            by_tap = self.diagonal[:, 0].reshape(len(self.diagonal), -1).T.astype(np.float32)
            sums: Int64Map = (taps * by_tap[:, :, None, None, None]).sum(0).astype(np.int64)
            return sums
        columns = taps.reshape(taps.shape[0] * taps.shape[1], -1)
        total = np.zeros((len(self.pieces[0][1]), columns.shape[1]), np.int64)
        for part, weight in self.pieces:
            total += (weight @ columns[part]).astype(np.int64)
        return total.reshape(-1, *taps.shape[2:])


def diagonal(weight: npt.NDArray[Any]) -> npt.NDArray[Any] | None:
    """(c, 1, kh, kw) of weights (c, c, kh, kw) that are zero off the diagonal: a depthwise convolution; else None."""
    count = len(weight)
    if count < 2 or weight.shape[1] != count or np.count_nonzero(weight) > weight[0, 0].size * count:
        return None
    channels = np.arange(count)
    found: npt.NDArray[Any] = weight[channels, channels][:, None]
    return found if np.count_nonzero(found) == np.count_nonzero(weight) else None


def _pieces(weight: npt.NDArray[np.float32]) -> list[tuple[slice, npt.NDArray[np.float32]]]:
    """Ranges of the inputs, so that no sum within one can leave what float32 holds exactly."""
    inputs = weight.shape[1]
    size = inputs
    while size > 1:
        sums = np.add.reduceat(np.abs(weight), np.arange(0, inputs, size), axis=1)
        if -LOW * float(sums.max()) < FLOAT32_EXACT:
            break
        size = (size + 1) // 2
    ranges = [slice(start, min(start + size, inputs)) for start in range(0, inputs, size)]
    return [(part, np.ascontiguousarray(weight[:, part])) for part in ranges]


def max_pool(x: Int8Map, size: int, stride: int) -> Int8Map:
    """Maximum over windows without padding; rows and columns that fill no window are dropped."""
    oh, ow = ((side - size) // stride + 1 for side in x.shape[2:])
    result = np.full((*x.shape[:2], oh, ow), LOW, np.int8)
    for dy in range(size):
        for dx in range(size):
            np.maximum(result, x[:, :, dy::stride, dx::stride][:, :, :oh, :ow], out=result)
    return result


def average(x: Int8Map, multiplier: int, shift: int) -> Int64Map:
    """Mean over the map times multiplier / 2^shift, rounded once, halves away from zero: (c, n, 1, 1)."""
    total = x.sum((2, 3), dtype=np.int64, keepdims=True) * multiplier
    divisor = x.shape[2] * x.shape[3] << shift
    rounded: Int64Map = np.sign(total) * ((2 * np.abs(total) + divisor) // (2 * divisor))
    return rounded


def saturate(x: Int64Map) -> Int8Map:
    return np.clip(x, LOW, HIGH).astype(np.int8)
