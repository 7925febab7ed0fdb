"""Which real number a byte of each map stands for.

    x[c] = scale[c] * (byte - zero_point[c])

Behind ReLU all channels of a map share one scale: ranges of single channels, seen on twenty images, do not hold for the
next ones, and what they clip costs more than the finer steps give (measured with ImageNet weights). Maps without an
activation (the narrow ones of MobileNetV2, the operands of additions) have no such tails. Where only 1x1 layers read
them, each channel has its own scale and zero point: norm_mul and norm_add, which write a map, are per channel, a scale
goes into the weights of the layer that reads it, and a zero point into its bias, since a 1x1 layer does not pad. A
wider spread of scales costs a reader's weights precision, so the scales are spread only as far as the sum of both
errors falls (cross-layer equalisation: Nagel et al., 2019, section 4.1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from services.trainer.convert.kmodel_v3.stages import Stage

__all__ = ["MapStatistics", "Scale", "choose_scale", "image_scale", "range_scale"]

Doubles = npt.NDArray[np.float64]

Weights = npt.NDArray[np.floating]

MARGIN = 1.25
MAX_SPREAD = 32.0  # a channel's scale is at least that part of the map's, or the sums would leave the KPU's 36 bits
SPREADS = np.linspace(0, 1, 11)
TINY = 1e-12


@dataclass(frozen=True, eq=False)
class Scale:
    """`scale` and `zero_point` (c,); zero points are whole numbers, but for the image."""

    scale: Doubles
    zero_point: Doubles

    @property
    def range(self) -> tuple[float, float]:
        """Real values the map can hold, over all channels."""
        ends = -self.zero_point * self.scale, (255 - self.zero_point) * self.scale
        return float(ends[0].min()), float(ends[1].max())

    @property
    def padding(self) -> int | None:
        """The byte that stands for 0 in every channel; None if there is no such byte."""
        zero = self.zero_point[0]
        same = bool((self.zero_point == zero).all()) and zero == round(zero) and 0 <= zero <= 255
        return int(zero) if same else None

    def first(self, channels: int) -> Self:
        return type(self)(self.scale[:channels], self.zero_point[:channels])

    def beside(self, other: Self) -> Self:
        return type(self)(*(np.concatenate(pair) for pair in (
            (self.scale, other.scale), (self.zero_point, other.zero_point))))  # fmt: skip

    def values(self, data: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        """Bytes (c, n, h, w) as real numbers."""
        scale, zero = (a.astype(np.float32)[:, None, None, None] for a in (self.scale, self.zero_point))
        real = data.astype(np.float32)
        real -= zero
        real *= scale
        return real

    def bytes(self, real: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """The nearest bytes for real numbers (c, n, h, w)."""
        scale, zero = (a.astype(np.float32)[:, None, None, None] for a in (self.scale, self.zero_point))
        data: npt.NDArray[np.float32] = real / scale + zero
        return np.clip(np.rint(data, out=data), 0, 255, out=data)


@dataclass(frozen=True, eq=False)
class MapStatistics:
    """Of a float map on the calibration images, by channel (c,)."""

    low: Doubles
    high: Doubles
    variance: Doubles


def image_scale(mean: tuple[float, ...], std: tuple[float, ...]) -> Scale:
    """x = (u8/255 - mean)/std."""
    return Scale(1 / (255 * np.array(std, np.float64)), 255 * np.array(mean, np.float64))


def range_scale(low: Doubles, high: Doubles) -> Scale:
    """The scales that cover [low, high] and hold 0 exactly; a map of zeros gets the range [0, 1]."""
    low, high = np.minimum(low, 0.0), np.maximum(high, 0.0)
    high = np.where(high - low < TINY, 1.0, high)
    scale = (high - low) / 255
    return Scale(scale, np.rint(-low / scale))


def choose_scale(stage: Stage, stats: MapStatistics, readers: list[Stage], partner: Scale | None) -> Scale:
    """The scale of the map that `stage` writes. No readers: it goes to main memory, which knows one scale only.

    `partner`: the scale of the map that lies beside this one and was written before, for an addition.
    """
    channels = len(stats.low)
    whole = range_scale(stats.low.min(keepdims=True), stats.high.max(keepdims=True))
    common = Scale(np.repeat(whole.scale, channels), np.repeat(whole.zero_point, channels))
    if not readers or not _free(stage, stats, readers):
        return common
    finest = _finest(stats, common)
    mixing = [r.weight for r in readers if not r.joins]
    scale = _balanced(finest, common.scale, stats, mixing)
    if partner is not None and not mixing:
        scale = _whole_ratios(scale, partner.scale)
    middle = (stats.low + stats.high) / 2
    return Scale(scale, np.rint(127.5 - middle / scale))


def _free(stage: Stage, stats: MapStatistics, readers: list[Stage]) -> bool:
    """Whether every channel may have its own zero point: nobody pads, no leaky table that knows one zero point."""
    pads = any(reader.kernel != 1 for reader in readers)
    return bool(stats.low.min() < 0) and not pads and stage.activation.kind != "leaky"


def _finest(stats: MapStatistics, common: Scale) -> Doubles:
    """The smallest scale with which each channel's range, and what other images may add to it, fits its bytes."""
    scale: Doubles = np.maximum((stats.high - stats.low) * MARGIN / 255, common.scale / MAX_SPREAD)
    return np.minimum(scale, common.scale)


def _balanced(finest: Doubles, common: Doubles, stats: MapStatistics, mixing: list[Weights]) -> Doubles:
    """Between the finest scales and one common scale, where the readers' error is least."""
    if not mixing:
        return finest
    best, least = finest, np.inf
    for spread in SPREADS:
        scale = common * (finest / common) ** spread
        error = sum(_error(weight, scale, stats) for weight in mixing)
        if error < least:
            best, least = scale, error
    return best


def _error(weight: Weights, scale: Doubles, stats: MapStatistics) -> float:
    """Variance of a layer's sums by rounding its input and its weights, in proportion to their own variance."""
    channels = weight.shape[1]
    scale, variance = scale[:channels], stats.variance[:channels]
    power = np.square(weight).sum((0, 2, 3))
    steps = np.abs(weight * scale[:, None, None]).max((1, 2, 3)) / 127
    by_input = (power * np.square(scale)).sum() / 12
    taps = weight.shape[2] * weight.shape[3]
    by_weights = np.square(steps).sum() / 12 * taps * (variance / np.square(scale)).sum()
    return float((by_input + by_weights) / max((power * variance).sum(), TINY))


def _whole_ratios(scale: Doubles, partner: Doubles) -> Doubles:
    """Scales a little larger, so that the two weights of the addition are whole steps of 1/127 of the larger one."""
    ratio = scale / partner
    smaller = np.ceil(127 * np.minimum(ratio, 1) - 1e-9) / 127
    larger = 127 / np.maximum(np.floor(127 / np.maximum(ratio, 1) + 1e-9), 1)
    return partner * np.where(ratio <= 1, smaller, larger)
