"""Quantises the stages one after the other on the calibration images.

Each stage runs twice: in float32 on float maps, and in the KPU's integers on the bytes that the stages before it really
give. The float maps set the output ranges; the difference of the two means, channel by channel, corrects the bias, so
that errors do not add up from layer to layer (sequential bias correction: Nagel et al., 2019, section 4.2).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from services.trainer.convert.common import snr_db
from services.trainer.convert.contract import ConvertOptions, Images
from services.trainer.convert.kmodel_v3.activation import ramp
from services.trainer.convert.kmodel_v3.kpu import Accumulator, KpuUnit
from services.trainer.convert.kmodel_v3.layers import KpuConv
from services.trainer.convert.kmodel_v3.lower import POOL_LEFT_TOP, POOL_MAX, Stage
from services.trainer.convert.kmodel_v3.quantise import (
    Doubles,
    Scale,
    input_offsets,
    normalise,
    quantise_weights,
    range_scale,
)
from services.trainer.convert.kmodel_v3.registers import KPU_ROWS, ConvShape, rows
from services.trainer.graph import InputSpec

if TYPE_CHECKING:
    import torch

__all__ = ["QuantisedStage", "calibrate"]

BYTES = Scale(1.0, 0)  # the first layer eats the camera's bytes
NO_TABLE = ramp(0)  # until the normalisation is known


@dataclass(frozen=True, eq=False)
class QuantisedStage:
    stage: Stage
    conv: KpuConv
    out: Scale
    prescale: int
    snr_db: float


def calibrate(
    stages: tuple[Stage, ...],
    shapes: tuple[ConvShape, ...],
    spec: InputSpec,
    images_u8: Images,
    options: ConvertOptions,
) -> list[QuantisedStage]:
    """Integer convolutions for all stages, with rows of KPU RAM assigned. Needs torch."""
    import torch

    mean = np.asarray(spec.mean, np.float32)[:, None, None]
    std = np.asarray(spec.std, np.float32)[:, None, None]
    real = torch.from_numpy((images_u8.astype(np.float32) / np.float32(255) - mean) / std)
    bytes_in: npt.NDArray[np.float32] = np.ascontiguousarray(images_u8.transpose(1, 0, 2, 3), np.float32)
    scale, done = BYTES, []
    for i, (stage, shape) in enumerate(zip(stages, shapes, strict=True)):
        with torch.no_grad():
            sums = _convolve(stage, real)
            real = _activate(stage, sums)
        low, high = float(real.min()), float(real.max())
        out = range_scale(low, high)
        conv, factor, bias = _integers(stage, shape, scale, spec if i == 0 else None, options, rows_of(i, shape))
        alu = Accumulator(conv)(bytes_in, 2 if stage.pool == POOL_LEFT_TOP else 1)
        if options.bias_correction:
            bias = sums.double().mean((0, 2, 3)).numpy() - alu.mean((1, 2, 3)) * factor
        norm = normalise(stage, conv, factor, bias, out, options.prescale)
        conv = replace(conv, norm_mul=norm.mul, norm_add=norm.add, norm_shift=norm.shift, activation=norm.table)
        bytes_in = KpuUnit(conv, name=stage.name).finish(alu)
        quality = snr_db(real.numpy().transpose(1, 0, 2, 3), (bytes_in - out.zero_point) * out.scale)
        done.append(QuantisedStage(stage, conv, out, norm.prescale, quality))
        scale = out
    return done


def rows_of(index: int, shape: ConvShape) -> tuple[int, int]:
    """Source and target row: maps alternate between the top and the bottom of KPU RAM; the image lies at the top."""
    used_in = rows(shape.in_channels, shape.height, shape.width)
    used_out = rows(shape.out_channels, shape.out_height, shape.out_width)
    return (KPU_ROWS - used_in, 0) if index % 2 == 0 else (0, KPU_ROWS - used_out)


def _integers(
    stage: Stage,
    shape: ConvShape,
    scale: Scale,
    spec: InputSpec | None,
    options: ConvertOptions,
    position: tuple[int, int],
) -> tuple[KpuConv, Doubles, Doubles]:
    """The convolution without its normalisation, s_x*s_w (oc,), and the real bias (oc,).

    With `spec` the input normalisation is folded in: w/(255 std), bias - sum w*mean/std, padding byte 255*mean.
    """
    weight, bias = stage.weight.astype(np.float64), stage.bias.astype(np.float64)
    pad_value = None
    if spec is not None:
        axis = (slice(None), None, None, None) if stage.depthwise else (None, slice(None), None, None)
        std, mean = np.array(spec.std)[axis], np.array(spec.mean)[axis]
        bias = bias - (weight * mean / std).sum((1, 2, 3))
        weight = weight / (255 * std)
        pad_value = round(min(max(255 * sum(spec.mean) / len(spec.mean), 0), 255))
    quantised, weight_scale = quantise_weights(weight, options.weight_range)
    zeros = np.zeros(shape.out_channels, np.int64)
    conv = KpuConv(
        shape=shape,
        source_row=position[0],
        target_row=position[1],
        quant=input_offsets(shape.kernel, scale.zero_point, pad_value),
        weights=quantised[:, 0] if shape.depthwise else quantised,
        norm_mul=zeros,
        norm_add=zeros,
        norm_shift=zeros,
        activation=NO_TABLE,
    )
    return conv, weight_scale * scale.scale, bias


def _convolve(stage: Stage, x: torch.Tensor) -> torch.Tensor:
    """Sums before the activation, (n, oc, h, w); left-top pooling, which commutes with it, has happened."""
    import torch
    import torch.nn.functional as F

    stride = 2 if stage.pool == POOL_LEFT_TOP else 1
    groups = stage.weight.shape[0] if stage.depthwise else 1
    weight, bias = torch.from_numpy(stage.weight), torch.from_numpy(stage.bias)
    return F.conv2d(x, weight, bias, stride, stage.weight.shape[2] // 2, groups=groups)


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
    return F.max_pool2d(y, 2) if stage.pool == POOL_MAX else y
