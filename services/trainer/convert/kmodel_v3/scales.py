"""Which real number a byte of each map stands for.

    x[c] = scale[c] * (byte - zero_point[c])

Scales and zero points may differ by channel: norm_mul and norm_add, which write a map, are per channel. The next layer
takes a scale up in its weights. For a depthwise layer that costs nothing, since its weights have a scale per channel
too; a 1x1 or 3x3 layer has one scale per output, so a wider spread of input scales costs it precision, and the channels
are spread only as far as the sum of both errors falls (the idea of cross-layer equalisation: Nagel et al., 2019,
section 4.1). Zero points differ only where no layer pads: behind a 1x1 they are a constant of the sum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from services.trainer.convert.kmodel_v3.stages import Stage

__all__ = ["MapStatistics", "Reader", "Scale", "choose_scale", "image_scale", "range_scale"]

Doubles = npt.NDArray[np.float64]

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

    def values(self, data: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
        """Bytes (c, n, h, w) as real numbers."""
        axis = (slice(None), None, None, None)
        real: npt.NDArray[np.floating] = (data - self.zero_point[axis]) * self.scale[axis]
        return real


@dataclass(frozen=True, eq=False)
class MapStatistics:
    """Of a float map on the calibration images, by channel (c,)."""

    low: Doubles
    high: Doubles
    variance: Doubles


@dataclass(frozen=True, eq=False)
class Reader:
    """A stage that reads the map; its `weight` (oc, c', k, k) for the map's first channels, absent where depthwise."""

    stage: Stage
    weight: Doubles | None


def image_scale(mean: tuple[float, ...], std: tuple[float, ...]) -> Scale:
    """x = (u8/255 - mean)/std."""
    return Scale(1 / (255 * np.array(std, np.float64)), 255 * np.array(mean, np.float64))


def range_scale(low: Doubles, high: Doubles) -> Scale:
    """The scales that cover [low, high] and hold 0 exactly; a map of zeros gets the range [0, 1]."""
    low, high = np.minimum(low, 0.0), np.maximum(high, 0.0)
    high = np.where(high - low < TINY, 1.0, high)
    scale = (high - low) / 255
    return Scale(scale, np.rint(-low / scale))


def choose_scale(stage: Stage, stats: MapStatistics, readers: list[Reader], partner: Scale | None) -> Scale:
    """The scale of the map that `stage` writes. No readers: it goes to main memory, which knows one scale only.

    `partner`: the scale of the map that lies beside this one and was written before, for an addition.
    """
    channels = len(stats.low)
    whole = range_scale(stats.low.min(keepdims=True), stats.high.max(keepdims=True))
    common = Scale(np.repeat(whole.scale, channels), np.repeat(whole.zero_point, channels))
    if not readers:
        return common
    own_zeros = _own_zeros(stage, stats, readers)
    finest = _finest(stats, common, own_zeros)
    mixing = [r for r in readers if r.weight is not None and not r.stage.joins]
    scale = _balanced(finest, common.scale, stats, mixing)
    if partner is not None and not mixing:
        scale = _whole_ratios(scale, partner.scale)
    zero_point = np.rint(-stats.low / scale) if own_zeros else common.zero_point
    return Scale(scale, zero_point)


def _own_zeros(stage: Stage, stats: MapStatistics, readers: list[Reader]) -> bool:
    """Whether every channel may have its own zero point: nobody pads, no leaky table that knows one zero point."""
    pads = any(reader.stage.kernel != 1 for reader in readers)
    return bool(stats.low.min() < 0) and not pads and stage.activation.kind != "leaky"


def _finest(stats: MapStatistics, common: Scale, own_zeros: bool) -> Doubles:
    """The smallest scale with which each channel's range fits its bytes."""
    if own_zeros:
        scale = (stats.high - stats.low) / 255
    else:
        zero = common.zero_point
        above = stats.high / np.maximum(255 - zero, TINY)
        below = -stats.low / np.maximum(zero, TINY)
        scale = np.maximum(np.where(zero < 255, above, 0), np.where(zero > 0, below, 0))
    floor: Doubles = np.maximum(scale, common.scale / MAX_SPREAD)
    return np.minimum(floor, common.scale)


def _balanced(finest: Doubles, common: Doubles, stats: MapStatistics, mixing: list[Reader]) -> Doubles:
    """Between the finest scales and one common scale, where the readers' error is least."""
    if not mixing:
        return finest
    best, least = finest, np.inf
    for spread in SPREADS:
        scale = common * (finest / common) ** spread
        error = sum(_error(reader.weight, scale, stats) for reader in mixing if reader.weight is not None)
        if error < least:
            best, least = scale, error
    return best


def _error(weight: Doubles, scale: Doubles, stats: MapStatistics) -> float:
    """Variance of a layer's sums by rounding its input and its weights, in proportion to their own variance."""
    channels = weight.shape[1]
    scale, variance = scale[:channels], stats.variance[:channels]
    power = np.square(weight).sum((0, 2, 3))
    steps = np.abs(weight * scale[:, None, None]).max((1, 2, 3)) / 127
    by_input = (power * np.square(scale)).sum() / 12
    taps = weight.shape[2] * weight.shape[3]
    by_weights = WEIGHT_SHARE * np.square(steps).sum() / 12 * taps * (variance / np.square(scale)).sum()
    return float((by_input + by_weights) / max((power * variance).sum(), TINY))


WEIGHT_SHARE = 1.0


def _whole_ratios(scale: Doubles, partner: Doubles) -> Doubles:
    """Scales a little larger, so that the two weights of the addition are whole steps of 1/127 of the larger one."""
    ratio = scale / partner
    smaller = np.ceil(127 * np.minimum(ratio, 1) - 1e-9) / 127
    larger = 127 / np.maximum(np.floor(127 / np.maximum(ratio, 1) + 1e-9), 1)
    return partner * np.where(ratio <= 1, smaller, larger)
