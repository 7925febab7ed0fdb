"""The arithmetic of one KPU convolution, exact to the bit, in numpy.

    alu = sum x*w + (arg_x*sum x >> shr_x) + (arg_w*sum w >> shr_w) + arg_add*ic   (arg_add*1 when depthwise)
    v   = (alu*norm_mul >> norm_shift) + norm_add                                     arithmetic shift
    y   = activation table of v, then pooling;   alu and v have 36 bits

The sums are integers below 2^24 or 2^53, so a matrix product in float32 or float64 is exact in any order; which of the
two is allowed follows from the weights. Maps are float arrays (c, n, h, w) holding whole numbers 0 to 255: with the
channel first, the images of a batch share one matrix product.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from services.common.errors import UnsupportedModel
from services.trainer.convert.kmodel_v3.activation import SEGMENTS, X_MAX, X_MIN, ActivationTable
from services.trainer.convert.kmodel_v3.layers import KpuConv

__all__ = ["Accumulator", "KpuUnit", "Rounding", "accumulator_bounds"]

Floats = npt.NDArray[Any]  # float32 or float64, whole numbers
Ints = npt.NDArray[np.int64]

FLOAT32_EXACT = 1 << 24
FLOAT64_EXACT = 1 << 53
TILE_BYTES = 16 << 20  # of the unfolded input of a 3x3 convolution at a time


class Rounding(Enum):
    """How the activation unit rounds ties; which one silicon does is not known."""

    HALF_AWAY = "half-away"  # the chip's SDK and nncase 0.1
    HALF_EVEN = "half-even"  # nncase 1.x; it also compares x_start < v instead of <=


class Accumulator:
    """The first line of the formula: the weighted sums of one convolution."""

    def __init__(self, conv: KpuConv) -> None:
        shape, quant = conv.shape, conv.quant
        self.shape, self.pad_value = shape, quant.pad_value
        weights = conv.weights.reshape(shape.out_channels, -1).astype(np.int64)
        # sum x*w = sum x*(w-c) + c*sum x: with c = -arg_x the two terms in `sum x` cancel when nothing is shifted out.
        self.centre = -quant.arg_x if quant.shr_x == 0 and 0 <= -quant.arg_x <= 255 else 128
        self.arg_x, self.shr_x = quant.arg_x, quant.shr_x
        self.needs_sum_x = not (quant.shr_x == 0 and self.centre == -quant.arg_x)
        self.constant: Ints = (quant.arg_w * weights.sum(1) >> quant.shr_w) + quant.arg_add * (
            1 if shape.depthwise else shape.in_channels
        )
        centred = weights - self.centre
        if self.needs_sum_x and not shape.depthwise:  # one more output channel computes sum x
            centred = np.concatenate([centred, np.ones((1, centred.shape[1]), np.int64)])
        positive, negative = np.maximum(centred, 0).sum(1), np.maximum(-centred, 0).sum(1)
        exact32 = 255 * max(int(positive.max()), int(negative.max())) < FLOAT32_EXACT
        self.dtype: type[np.float32] | type[np.float64] = np.float32 if exact32 else np.float64
        self.weights: Floats = centred.astype(self.dtype)
        self.low, self.high = accumulator_bounds(conv)

    def __call__(self, x: Floats, step: int = 1) -> npt.NDArray[np.float64]:
        """x (c, n, h, w) to alu (oc, n, h/step, w/step): float64 holding exact integers; `step` skips positions."""
        sums = self._depthwise(x, step) if self.shape.depthwise else self._dense(x, step)
        alu: npt.NDArray[np.float64] = sums[: self.shape.out_channels].astype(np.float64)
        if self.needs_sum_x:
            sum_x = self._window_sums(x, step) if self.shape.depthwise else sums[self.shape.out_channels :]
            wide = sum_x.astype(np.float64)
            alu += np.floor(wide * (self.arg_x * 2.0**-self.shr_x)) + wide * self.centre
        if self.constant.any():
            alu += self.constant[:, None, None, None]
        return alu

    def _dense(self, x: Floats, step: int) -> Floats:
        channels, n, height, width = x.shape
        out_h, out_w = height // step, width // step
        if self.shape.kernel == 1:
            columns = np.ascontiguousarray(x[:, :, : out_h * step : step, : out_w * step : step], self.dtype).reshape(
                channels, -1
            )
            products: Floats = self.weights @ columns
            return products.reshape(-1, n, out_h, out_w)
        padded = self._padded(x)
        sums = np.empty((len(self.weights), n, out_h, out_w), self.dtype)
        tile = max(1, TILE_BYTES // (9 * channels * n * out_w * padded.itemsize))
        for top in range(0, out_h, tile):
            lines = min(tile, out_h - top)
            columns = np.empty((channels, 3, 3, n, lines, out_w), self.dtype)
            for ky in range(3):
                for kx in range(3):
                    y = top * step + ky
                    columns[:, ky, kx] = padded[:, :, y : y + lines * step : step, kx : kx + out_w * step : step]
            sums[:, :, top : top + lines] = (self.weights @ columns.reshape(channels * 9, -1)).reshape(
                -1, n, lines, out_w
            )
        return sums

    def _depthwise(self, x: Floats, step: int) -> Floats:
        if self.shape.kernel == 1:
            scaled: Floats = self._window_sums(x, step) * self.weights[:, :, None, None]
            return scaled
        return self._shifted_sum(x, self.weights, step)

    def _window_sums(self, x: Floats, step: int) -> Floats:
        if self.shape.kernel == 1:
            height, width = x.shape[2] // step * step, x.shape[3] // step * step
            return x[:, :, :height:step, :width:step]
        return self._shifted_sum(x, np.ones_like(self.weights), step)

    def _shifted_sum(self, x: Floats, weights: Floats, step: int) -> Floats:
        """3x3 sums by nine shifted additions over the flattened padded map: long runs, no inner loop per line."""
        channels, n, height, width = x.shape
        flat = self._padded(x).reshape(channels, -1)
        pitch, total = width + 2, flat.shape[1]
        span = total - 2 * pitch - 2
        sums = np.zeros((channels, total), self.dtype)
        out, product = sums[:, :span], np.empty((channels, span), self.dtype)
        for tap in range(9):
            shift = tap // 3 * pitch + tap % 3
            np.multiply(flat[:, shift : shift + span], weights[:, tap : tap + 1], out=product)
            out += product
        return sums.reshape(channels, n, height + 2, pitch)[
            :, :, : height // step * step : step, : width // step * step : step
        ]

    def _padded(self, x: Floats) -> Floats:
        channels, n, height, width = x.shape
        padded = np.full((channels, n, height + 2, width + 2), self.pad_value, self.dtype)
        padded[:, :, 1:-1, 1:-1] = x
        return padded


def accumulator_bounds(conv: KpuConv) -> tuple[Ints, Ints]:
    """Lowest and highest `alu` (oc,) that any input bytes can give."""
    quant, shape = conv.quant, conv.shape
    weights = conv.weights.reshape(shape.out_channels, -1).astype(np.int64)
    slope = weights + (quant.arg_x / (1 << quant.shr_x))
    low = np.floor(255 * np.minimum(slope, 0).sum(1)).astype(np.int64) - 1
    high = np.ceil(255 * np.maximum(slope, 0).sum(1)).astype(np.int64)
    constant = (quant.arg_w * weights.sum(1) >> quant.shr_w) + quant.arg_add * (
        1 if shape.depthwise else shape.in_channels
    )
    return low + constant, high + constant


@dataclass(frozen=True)
class _Ramp:
    """v = floor(alu * factor) + offset, y = round(v / 2^shift) clamped to a byte, exact in float64."""

    factor: npt.NDArray[np.float64]
    offset: npt.NDArray[np.float64]
    shift: int

    def half_away(self, alu: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """floor((floor(a) + b) / c) = floor((a + b) / c) for whole b, c: one multiplication and one addition do it."""
        unit = 2.0**-self.shift
        alu *= (self.factor * unit)[:, None, None, None]
        alu += ((self.offset + (1 << (self.shift - 1))) * unit)[:, None, None, None]
        clipped = np.clip(alu, 0, 255, out=alu)
        return np.floor(clipped, out=clipped)

    def half_even(self, alu: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        alu *= self.factor[:, None, None, None]
        np.floor(alu, out=alu)
        alu += self.offset[:, None, None, None]
        alu *= 2.0**-self.shift
        rounded = np.rint(alu, out=alu)
        return np.clip(rounded, 0, 255, out=rounded)


class _Lines:
    """Any table of rising segments in float64: y = floor(v * slope[i] + offset[i]), ties away from zero."""

    def __init__(self, table: ActivationTable) -> None:
        unit = np.ldexp(1.0, -np.array(table.shift))
        self.starts = np.array(table.x_start, np.float64)[1:]
        self.slope = np.array(table.y_mul) * unit
        self.offset = np.array(table.bias) + 0.5 - np.array(table.x_start, np.float64) * self.slope

    @classmethod
    def of(cls, table: ActivationTable) -> _Lines | None:
        """None if the table falls somewhere, is out of order, or would not be exact in float64."""
        rising = all(mul >= 0 for mul in table.y_mul) and list(table.x_start) == sorted(table.x_start)
        if not rising or table.x_start[0] != X_MIN:
            return None
        exact = all(
            (-2 * X_MIN) * mul + ((bias + 1) << shift) < FLOAT64_EXACT
            for mul, bias, shift in zip(table.y_mul, table.bias, table.shift, strict=True)
        )
        return cls(table) if exact else None

    def __call__(self, v: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        segment = np.zeros(v.shape, np.uint8)
        for start in self.starts:  # sixteen comparisons of whole maps are faster than a search for every value
            segment += v >= start
        v *= self.slope.take(segment)
        v += self.offset.take(segment)
        clipped = np.clip(v, 0, 255, out=v)
        return np.floor(clipped, out=clipped)


class KpuUnit:
    """One convolution ready to run: accumulator, normalisation, activation and pooling."""

    def __init__(self, conv: KpuConv, rounding: Rounding = Rounding.HALF_AWAY, name: str = "K210_CONV") -> None:
        self.conv, self.rounding, self.name = conv, rounding, name
        self.accumulate = Accumulator(conv)
        # Left-top pooling keeps one position of each square, so only those are computed.
        self.step = {5: 2, 7: 4}.get(conv.shape.pool, 1)
        v_low, v_high = self._value_bounds()
        self.fits_36_bits = min(v_low, int(self.accumulate.low.min())) >= X_MIN and (
            max(v_high, int(self.accumulate.high.max())) <= X_MAX
        )
        self.ramp = self._ramp(v_high) if self.fits_36_bits else None
        self.lines = None
        if self.ramp is None and self.fits_36_bits and rounding is Rounding.HALF_AWAY and self._exact_normalisation():
            self.lines = _Lines.of(conv.activation)

    def __call__(self, x: Floats) -> npt.NDArray[np.float32]:
        """Bytes in, bytes out: (c, n, h, w) to (oc, n, oh, ow)."""
        return self.finish(self.accumulate(x, self.step))

    def finish(self, alu: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
        """Everything behind the accumulator. Overwrites `alu`."""
        if self.ramp is not None:
            y = self.ramp.half_away(alu) if self.rounding is Rounding.HALF_AWAY else self.ramp.half_even(alu)
        elif self.lines is not None:
            y = self.lines(self._normalise(alu))
        else:
            y = self._general(alu)
        return _pool(y, self.conv.shape.pool).astype(np.float32)

    def _value_bounds(self) -> tuple[int, int]:
        """Lowest and highest v; exact Python integers, since the product may need more than 64 bits."""
        lows, highs = [], []
        conv, acc = self.conv, self.accumulate
        for low, high, mul, add, shift in zip(
            acc.low.tolist(),
            acc.high.tolist(),
            conv.norm_mul.tolist(),
            conv.norm_add.tolist(),
            conv.norm_shift.tolist(),
            strict=True,
        ):
            ends = ((low * mul >> shift) + add, (high * mul >> shift) + add)
            lows.append(min(ends))
            highs.append(max(ends))
        return min(lows), max(highs)

    def _ramp(self, highest: int) -> _Ramp | None:
        conv = self.conv
        shift = conv.activation.ramp_shift(highest)
        if shift is None:
            return None
        if not self._exact_normalisation(1 << (shift - 1)):
            return None
        factor = np.ldexp(conv.norm_mul.astype(np.float64), -conv.norm_shift.astype(np.int32))
        return _Ramp(factor, conv.norm_add.astype(np.float64), shift)

    def _exact_normalisation(self, addend: int = 0) -> bool:
        """Whether alu*norm_mul + (norm_add + addend) * 2^norm_shift is a whole number below 2^53."""
        conv = self.conv
        largest = max(-int(self.accumulate.low.min()), int(self.accumulate.high.max()), 1)
        numerator = largest * int(np.abs(conv.norm_mul).max())
        added = int(np.abs(conv.norm_add).max()) + addend << int(conv.norm_shift.max())
        return numerator + added < FLOAT64_EXACT

    def _normalise(self, alu: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """v = floor(alu * mul / 2^shift) + add in float64, in place."""
        factor = np.ldexp(self.conv.norm_mul.astype(np.float64), -self.conv.norm_shift.astype(np.int32))
        alu *= factor[:, None, None, None]
        v = np.floor(alu, out=alu)
        v += self.conv.norm_add.astype(np.float64)[:, None, None, None]
        return v

    def _general(self, alu: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Any table, any rounding, in int64; checks the 36-bit limits where the bounds do not exclude them."""
        conv = self.conv
        column = (slice(None), None, None, None)
        if not self.fits_36_bits and (alu.min() < X_MIN or alu.max() > X_MAX):
            raise self._overflow("the accumulator")
        v = (alu.astype(np.int64) * conv.norm_mul[column] >> conv.norm_shift[column]) + conv.norm_add[column]
        if not self.fits_36_bits and (v.min() < X_MIN or v.max() > X_MAX):
            raise self._overflow("the normalised value")
        return apply_table(conv.activation, v, self.rounding).astype(np.float64)

    def _overflow(self, what: str) -> UnsupportedModel:
        return UnsupportedModel(
            "KMODEL_OVERFLOW",
            f"layer {self.name}: {what} does not fit the KPU's 36 bits.",
            fix="Lower the weights or the bias of this layer, or convert with a smaller prescale.",
        )


def apply_table(table: ActivationTable, v: Ints, rounding: Rounding) -> Ints:
    """The activation unit on int64 values of any shape."""
    starts = np.array(table.x_start, np.int64)
    if (np.diff(starts) >= 0).all():
        side: Literal["left", "right"] = "right" if rounding is Rounding.HALF_AWAY else "left"
        segment = np.maximum(np.searchsorted(starts, v, side) - 1, 0)
    else:
        segment = np.zeros(v.shape, np.int64)
        for i in range(SEGMENTS):
            segment[v >= starts[i] if rounding is Rounding.HALF_AWAY else v > starts[i]] = i
    product = (v - starts[segment]) * np.array(table.y_mul, np.int64)[segment]
    shift = np.minimum(np.array(table.shift, np.int64), 62)[segment]
    y = _round_shift(product, shift, rounding) + np.array(table.bias, np.int64)[segment]
    clipped: Ints = np.clip(y, 0, 255)
    return clipped


def _round_shift(value: Ints, shift: Ints, rounding: Rounding) -> Ints:
    half = np.int64(1) << shift >> 1
    if rounding is Rounding.HALF_AWAY:
        rounded: Ints = np.where(value < 0, -((-value + half) >> shift), (value + half) >> shift)
        return rounded
    down = value >> shift
    rest = value - (down << shift)
    up = (rest > half) | ((rest == half) & (shift > 0) & (down & 1 == 1))
    result: Ints = down + up
    return result


def _pool(y: npt.NDArray[np.float64], pool: int) -> npt.NDArray[np.float64]:
    """Pooling behind the activation. Left-top pooling (5, 7) has happened already."""
    if pool in (1, 3):
        size = 2 if pool == 1 else 4
        lines = y[:, :, : y.shape[2] // size * size, : y.shape[3] // size * size]
        tall = lines[:, :, 0::size]
        for i in range(1, size):
            tall = np.maximum(tall, lines[:, :, i::size])
        result = tall[..., 0::size]
        for i in range(1, size):
            result = np.maximum(result, tall[..., i::size])
        return result
    if pool == 6:  # right-top
        return y[:, :, 0 : y.shape[2] // 2 * 2 : 2, 1 : y.shape[3] // 2 * 2 : 2]
    return y
