"""Real numbers to the KPU's integers, one convolution at a time.

    x = s_x[i] (q_x - z_x),  w s_x[i] = s_w[o] (q_w - 128),  y = s_y[o] (q_y - z_y[o])

    y/s_y + z_y = (sum (q_x - z_x)(q_w - 128)) *  s_w[o] / s_y[o]   +  b[o]/s_y + z_y
                  `----- accumulator, exact ----'  `norm_mul/2^shift'  `norm_add'     both times 2^prescale

Weights are symmetric per output channel and hold the scale of their input. The accumulator's zero-point terms are whole
numbers: arg_x = -128, arg_w = -z_x, arg_add = k*k*128*z_x, and the padding byte is z_x. Where zero points differ by
channel their share is in b.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from services.trainer.convert.common import unsupported
from services.trainer.convert.kmodel_v3.activation import X_MAX, X_MIN, ActivationTable, leaky, ramp
from services.trainer.convert.kmodel_v3.kpu import accumulator_bounds
from services.trainer.convert.kmodel_v3.layers import KpuConv
from services.trainer.convert.kmodel_v3.registers import Quantisation
from services.trainer.convert.kmodel_v3.rounding import round_steps
from services.trainer.convert.kmodel_v3.scales import Scale
from services.trainer.convert.kmodel_v3.stages import Stage

__all__ = [
    "MAX_PRESCALE",
    "MIN_PRESCALE",
    "Normalisation",
    "input_offsets",
    "normalise",
    "quantise_weights",
]

MIN_PRESCALE, MAX_PRESCALE = 10, 18
WEIGHT_ZERO = 128
NORM_MUL_LIMIT = 1 << 22  # norm_mul has 24 signed bits; one spare
MAX_NORM_SHIFT = 15
MSE_CLIPS = np.linspace(1.0, 0.6, 21)

Doubles = npt.NDArray[np.float64]


def quantise_weights(
    weight: npt.NDArray[np.floating], how: Literal["max", "mse"], moments: Doubles | None = None, copies: int = 1
) -> tuple[npt.NDArray[np.uint8], Doubles]:
    """Bytes in the file's shape and s_w (oc,). "mse" clips each channel where the squared error is least."""
    flat = weight.reshape(weight.shape[0], -1).astype(np.float64)
    largest = np.abs(flat).max(1)
    largest[largest == 0] = 1.0
    scale = largest / 127
    if how == "mse":
        best = np.full(len(flat), np.inf)
        for clip in MSE_CLIPS:
            candidate = largest * clip / 127
            steps = np.clip(np.rint(flat / candidate[:, None]), -128, 127)
            error = ((steps * candidate[:, None] - flat) ** 2).sum(1)
            scale = np.where(error < best, candidate, scale)
            best = np.minimum(error, best)
    steps = np.clip(np.rint(flat / scale[:, None]), -128, 127)
    if moments is not None:
        steps = round_steps(flat / scale[:, None], moments, copies)
    steps += WEIGHT_ZERO
    return steps.astype(np.uint8).reshape(weight.shape), scale


def input_offsets(kernel: int, zero_point: int) -> Quantisation:
    """Accumulator terms for an input with one zero point, which is the padding byte too."""
    return Quantisation(
        pad_value=zero_point,
        arg_x=-WEIGHT_ZERO,
        arg_w=-zero_point,
        arg_add=kernel * kernel * WEIGHT_ZERO * zero_point,
    )


@dataclass(frozen=True, eq=False)
class Normalisation:
    """The integers behind the accumulator."""

    mul: npt.NDArray[np.int64]
    add: npt.NDArray[np.int64]
    shift: npt.NDArray[np.int64]
    table: ActivationTable
    prescale: int


def normalise(stage: Stage, conv: KpuConv, factor: Doubles, bias: Doubles, out: Scale, prescale: int) -> Normalisation:
    """Normalisation and activation of `conv`; `factor` (oc,) is s_x*s_w, `bias` (oc,) is real.

    Takes the largest prescale, at most the one given, with which every possible sum fits the KPU's 36 bits. Raises
    UnsupportedModel, naming the layer, if none does.
    """
    low, high = accumulator_bounds(conv)
    for bits in range(min(prescale, MAX_PRESCALE), MIN_PRESCALE - 1, -1):
        attempt = _normalise_with(stage, factor / out.scale, bias / out.scale, out, bits)
        if attempt is not None and _fits(attempt, low, high):
            return attempt
    raise unsupported(
        stage.name,
        "a sum can leave the KPU's 36 bits: its weights or biases are very large for the range of its output",
        "Train with weight decay, or with ReLU6 in place of ReLU.",
        "SUM_OUTSIDE_36_BITS",
    )


def _normalise_with(stage: Stage, ratio: Doubles, offset: Doubles, out: Scale, prescale: int) -> Normalisation | None:
    slopes = ratio * 2.0**prescale
    spare = np.floor(np.log2((NORM_MUL_LIMIT - 1) / slopes))
    if spare.min() < 0:
        return None
    shift = np.minimum(spare, MAX_NORM_SHIFT).astype(np.int64)
    mul = np.rint(slopes * 2.0**shift).astype(np.int64)
    is_leaky = stage.activation.kind == "leaky"
    add = np.rint((offset + (0 if is_leaky else out.zero_point)) * 2.0**prescale)
    if np.abs(add).max() >= 2**31:
        return None
    table = leaky(stage.activation.slope, int(out.zero_point[0]), prescale) if is_leaky else ramp(prescale)
    return Normalisation(mul, add.astype(np.int64), shift, table, prescale)


def _fits(norm: Normalisation, low: npt.NDArray[np.int64], high: npt.NDArray[np.int64]) -> bool:
    """Whether v stays inside 36 bits for every input; the product is taken in float, with a bit to spare."""
    limit = math.ldexp(1.0, 34)
    unit = norm.mul * 2.0 ** -norm.shift.astype(np.float64)
    ends = np.concatenate([low * unit + norm.add, high * unit + norm.add])
    return bool(-limit < ends.min() and ends.max() < limit and low.min() >= X_MIN and high.max() <= X_MAX)
