"""Quantises the stages one after the other on the calibration images.

Each stage runs twice: in float32 on float maps, and in the KPU's integers on the bytes that the stages before it really
give. The float maps set the scales, the bytes which way weights are rounded; the difference of the two means, channel
by channel, corrects the bias, so that errors do not add up from layer to layer (sequential bias correction: Nagel et
al., 2019, section 4.2). Strange variations of the images run in float only, and tell the rounding what else
the later layers may see (see variations.py).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from services.trainer.convert.common import snr_db
from services.trainer.convert.contract import ConvertOptions, Images
from services.trainer.convert.kmodel_v3.activation import ramp
from services.trainer.convert.kmodel_v3.copies import offsets
from services.trainer.convert.kmodel_v3.kpu import Accumulator, KpuUnit
from services.trainer.convert.kmodel_v3.layers import KpuConv
from services.trainer.convert.kmodel_v3.quantise import Doubles, input_offsets, normalise, quantise_weights
from services.trainer.convert.kmodel_v3.registers import POOL_FACTOR, Quantisation
from services.trainer.convert.kmodel_v3.rounding import MAX_INPUTS, second_moments
from services.trainer.convert.kmodel_v3.scales import MapStatistics, Scale, choose_scale, image_scale
from services.trainer.convert.kmodel_v3.stages import (
    IMAGE_MAP,
    POOL_LEFT_TOP,
    POOL_MAX,
    POOL_MAX_4,
    Lowered,
    Stage,
    readers,
)
from services.trainer.convert.kmodel_v3.variations import variations
from services.trainer.graph import GlobalAveragePool, InputSpec

if TYPE_CHECKING:
    import torch

__all__ = ["QuantisedStage", "calibrate"]

CHUNK = 8  # images whose sums are computed at a time: what fits the processor's cache is faster
SNR_IMAGES = 8
NO_TABLE = ramp(0)  # until the normalisation is known
Bytes = npt.NDArray[np.float32]  # (c, n, h, w), whole numbers 0 to 255


@dataclass(frozen=True, eq=False)
class QuantisedStage:
    stage: Stage
    conv: KpuConv
    out: Scale
    prescale: int
    snr_db: float
    data: Bytes | None = None  # what it gives for the calibration images, of the last stage only


@dataclass(eq=False)
class _Maps:
    """Float map (n, c, h, w), of copied channels one copy, bytes and scale of every map that is still to be read.

    `varied`: float maps of the variations of the images.
    """

    real: dict[int, torch.Tensor]
    varied: dict[int, torch.Tensor]
    data: dict[int, Bytes]
    scales: dict[int, Scale]

    def drop(self, index: int) -> None:
        del self.real[index], self.varied[index], self.data[index]


def calibrate(lowered: Lowered, spec: InputSpec, images_u8: Images, options: ConvertOptions) -> list[QuantisedStage]:
    """Integer convolutions for all stages, at their rows of KPU RAM. Needs torch."""
    import torch

    mean = np.asarray(spec.mean, np.float32)[:, None, None]
    std = np.asarray(spec.std, np.float32)[:, None, None]
    last = lowered.shapes[-1]
    varied = variations(images_u8, last.out_height, last.out_width)
    maps = _Maps(
        {IMAGE_MAP: torch.from_numpy((images_u8.astype(np.float32) / np.float32(255) - mean) / std)},
        {IMAGE_MAP: torch.from_numpy((varied / np.float32(255) - mean) / std)},
        {IMAGE_MAP: np.ascontiguousarray(images_u8.transpose(1, 0, 2, 3), np.float32)},
        {IMAGE_MAP: image_scale(spec.mean, spec.std)},
    )
    done, read_by = [], readers(lowered.stages)
    for i, stage in enumerate(lowered.stages):
        done.append(_quantise(lowered, i, maps, read_by, options))
        for source in set(stage.sources):
            if read_by[source][-1] == i:
                maps.drop(source)
    return [*done[:-1], replace(done[-1], data=maps.data[len(done) - 1])]


def _quantise(
    lowered: Lowered, i: int, maps: _Maps, read_by: dict[int, list[int]], options: ConvertOptions
) -> QuantisedStage:
    """Stage `i`, whose inputs are in `maps`; puts its output there."""
    import torch

    stage = lowered.stages[i]
    with torch.no_grad():
        sums = _convolve(stage, _joined_real(stage, maps.real))
        real = _activate(stage, sums)
        varied = _joined_real(stage, maps.varied)
    out = _scale(lowered, i, real, maps.scales, read_by)
    data = _joined_data(stage, maps)
    conv, factor, bias = _integers(lowered, i, _joined_scale(stage, maps), (data, varied), options)
    accumulate, step = Accumulator(conv), 2 if stage.pool == POOL_LEFT_TOP else 1
    parts = [accumulate(data[:, at : at + CHUNK], step) for at in range(0, data.shape[1], CHUNK)]
    if options.bias_correction:
        mean = sum(part.sum((1, 2, 3)) for part in parts) / (sums.numel() / sums.shape[1])
        bias = np.tile(sums.mean((0, 2, 3)).double().numpy(), stage.copies) - mean * factor
    del sums  # at 224x224 the maps of 64 images take hundreds of megabytes
    norm = normalise(stage, conv, factor, bias + offsets(stage) * out.scale, out, options.prescale)
    conv = replace(conv, norm_mul=norm.mul, norm_add=norm.add, norm_shift=norm.shift, activation=norm.table)
    unit, finished = KpuUnit(conv, name=stage.name), []
    while parts:
        finished.append(unit.finish(parts.pop(0)))
    result = np.concatenate(finished, axis=1)
    with torch.no_grad():
        maps.varied[i] = _activate(stage, _convolve(stage, varied))
    maps.real[i], maps.data[i], maps.scales[i] = real, result, out
    return QuantisedStage(stage, conv, out, norm.prescale, _snr_db(real, result, out))


def _snr_db(real: torch.Tensor, data: Bytes, out: Scale) -> float:
    """As `common.snr_db`, on a few images, not in float64: the maps are large. Of copied channels the mean counts."""
    some = np.linspace(0, len(real) - 1, min(len(real), SNR_IMAGES)).round().astype(int)
    wanted = real[some].numpy()
    channels = wanted.shape[1]
    mean = data[:, some].reshape(-1, channels, len(some), *wanted.shape[2:]).mean(0)
    noise = out.first(channels).values(mean).transpose(1, 0, 2, 3) - wanted
    signal, rest = (math.sqrt(np.vdot(x, x)) for x in (wanted, np.ascontiguousarray(noise)))
    return snr_db(np.array([signal]), np.array([signal - rest]))


def _scale(
    lowered: Lowered, i: int, real: torch.Tensor, scales: dict[int, Scale], read_by: dict[int, list[int]]
) -> Scale:
    """The scale for the output of stage `i`, which suits the stages that read it."""
    stage = lowered.stages[i]
    ends = real.amin((0, 2, 3)), real.amax((0, 2, 3))
    low, high = (np.tile(end.double().numpy(), stage.copies) for end in ends)
    # only a map with a sign may have scales by channel
    signed = low.min() < 0
    variance = np.tile(real.var((0, 2, 3)).double().numpy(), stage.copies) if signed else np.ones(len(low))
    stats = MapStatistics(low, high, variance)
    partner, found = None, [lowered.stages[index] for index in read_by[i]]
    for reader in found:
        if reader.joins:
            other = next(source for source in reader.sources if source != i)
            partner = scales.get(other, partner)
    if partner is not None:
        partner = partner.first(len(stats.low)) if len(partner.scale) >= len(stats.low) else None
    return choose_scale(stage, stats, found, partner)


def _joined_real(stage: Stage, real: dict[int, torch.Tensor]) -> torch.Tensor:
    import torch

    parts = [real[source] for source in stage.sources]
    return (parts[0] if len(parts) == 1 else torch.cat(parts, 1))[:, : stage.in_channels]


def _joined_data(stage: Stage, maps: _Maps) -> Bytes:
    parts = [maps.data[source] for source in stage.sources]
    return (parts[0] if len(parts) == 1 else np.concatenate(parts))[: stage.in_channels]


def _joined_scale(stage: Stage, maps: _Maps) -> Scale:
    scale, *others = (maps.scales[source] for source in stage.sources)
    for other in others:
        scale = scale.beside(other)
    return scale.first(stage.in_channels)


def _integers(
    lowered: Lowered, i: int, scale: Scale, inputs_seen: tuple[Bytes, torch.Tensor], options: ConvertOptions
) -> tuple[KpuConv, Doubles, Doubles]:
    """The convolution without its normalisation, s_x*s_w (oc,), and the real bias (oc,)."""
    stage, shape = lowered.stages[i], lowered.shapes[i]
    padding = scale.padding
    pad_value = _nearest_byte(scale.zero_point) if padding is None else padding
    inputs = scale.scale[:, None, None, None] if stage.depthwise else scale.scale[:, None, None]
    moments = None
    if not stage.joins and (stage.depthwise or stage.weight[0].size <= MAX_INPUTS):
        moments = _moments(lowered, i, scale, *inputs_seen)
    quantised, factor = quantise_weights(stage.weight * inputs, options.weight_range, moments, stage.copies)
    bias = stage.bias.astype(np.float64)
    if padding is not None:
        quant = input_offsets(stage.kernel, padding)
    else:  # the zero points' share is a constant, but for the padding
        quant = Quantisation(pad_value=pad_value, arg_x=-128)
        zeros = scale.zero_point[:, None, None, None] if stage.depthwise else scale.zero_point[:, None, None]
        bias = bias - factor * ((quantised - 128.0) * zeros).sum((1, 2, 3))
    nothing = np.zeros(shape.out_channels, np.int64)
    conv = KpuConv(
        shape=shape,
        source_row=lowered.places[stage.sources[0]],
        target_row=lowered.places[i],
        quant=quant,
        weights=quantised[:, 0] if shape.depthwise else quantised,
        norm_mul=nothing,
        norm_add=nothing,
        norm_shift=nothing,
        activation=NO_TABLE,
    )
    return conv, factor, bias


def _moments(lowered: Lowered, i: int, scale: Scale, data: Bytes, varied: torch.Tensor) -> Doubles:
    """Of the inputs of stage `i`."""
    stage = lowered.stages[i]
    if stage.kernel != 1:
        return second_moments(data, stage.kernel, stage.depthwise)
    copies = stage.in_channels // varied.shape[1]
    real = varied.numpy().transpose(1, 0, 2, 3)
    real = scale.first(len(real)).bytes(real)
    # behind the last layer stands the average: what its weights do to averages counts, not to single pixels
    if i == len(lowered.stages) - 1 and lowered.tail and isinstance(lowered.tail[0], GlobalAveragePool):
        data, real = data.mean((2, 3), keepdims=True), real.mean((2, 3), keepdims=True)
    return second_moments(data, 1, False, copies, np.tile(real, (copies, 1, 1, 1)))


def _nearest_byte(zero_points: Doubles) -> int:
    return round(min(max(float(zero_points.mean()), 0), 255))


def _convolve(stage: Stage, x: torch.Tensor) -> torch.Tensor:
    """Sums before the activation, (n, oc, h, w); left-top pooling, which commutes with it, has happened.

    Copies are computed once: `x` and the result have one of each.
    """
    import torch
    import torch.nn.functional as F

    stride = 2 if stage.pool == POOL_LEFT_TOP else 1
    channels = len(stage.weight) // stage.copies
    weight, groups = stage.weight[:channels], channels if stage.depthwise else 1
    if not stage.depthwise and x.shape[1] < stage.in_channels:
        weight = weight.reshape(channels, -1, x.shape[1], stage.kernel, stage.kernel).sum(1)
    bias = torch.from_numpy(stage.bias[:channels])
    return F.conv2d(x, torch.from_numpy(weight), bias, stride, stage.kernel // 2, groups=groups)


def _activate(stage: Stage, sums: torch.Tensor) -> torch.Tensor:
    import torch.nn.functional as F

    kind = stage.activation.kind
    y = sums
    if kind == "relu":
        y = F.relu(sums)
    elif kind == "relu6":
        y = F.relu6(sums)
    elif kind == "leaky":
        y = F.leaky_relu(sums, stage.activation.slope)
    return F.max_pool2d(y, POOL_FACTOR[stage.pool]) if stage.pool in (POOL_MAX, POOL_MAX_4) else y
