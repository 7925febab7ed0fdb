"""Quantises the steps one after the other on the calibration images.

Each step runs twice: in float32, and in TinyMaix's integers on the bytes that the steps before it really give. The
float maps set the levels; the difference of the two means, channel by channel, corrects the bias, so that errors do not
add up from layer to layer (sequential bias correction: Nagel et al., 2019, section 4.2). No torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from services.trainer.convert.common import snr_db, unsupported
from services.trainer.convert.contract import ConvertOptions, Images
from services.trainer.convert.tinymaix import arithmetic
from services.trainer.convert.tinymaix.fold import fold, int8_code
from services.trainer.convert.tinymaix.layers import Act, AddLayer, ConvLayer, FileLayer, Head, Kind, PlainLayer
from services.trainer.convert.tinymaix.levels import MIDDLE, SMALLEST_RANGE, Levels, choose, input_levels, sum_levels
from services.trainer.convert.tinymaix.lower import Floats, Step
from services.trainer.convert.tinymaix.memory import Plan
from services.trainer.convert.tinymaix.simulate import run_file_layer
from services.trainer.convert.tinymaix.weights import covariance, quantise_weights
from services.trainer.graph import InputSpec

__all__ = ["QuantisedStep", "calibrate", "float_sums"]

Doubles = npt.NDArray[np.float64]
Use = Literal["output", "sum", "weights"]

RELU6_TOP = 6.0
MAX_BIAS = 1 << 29  # leaves room for the sums in 32 bits
GAIN_MARGIN = 1.25
SMALLEST_GAIN = 1 / 32
EXACT_DB = 120.0  # what snr_db says of no noise
INT32_MAX = 2**31 - 1
KINDS = {
    "conv": Kind.CONV,
    "full": Kind.CONV,
    "depthwise": Kind.DWCONV,
    "average": Kind.GAP,
    "add": Kind.ADD,
    "reshape": Kind.RESHAPE,
}


@dataclass(frozen=True, eq=False)
class QuantisedStep:
    step: Step
    layer: FileLayer
    levels: Levels
    snr_db: float


@dataclass(frozen=True, eq=False)
class _Map:
    """One map on all calibration images, in float and as the file has it: real = gain*step*(level - zero).

    `gain` (c,), at most 1, is for channels that use less of the range than others; the next weights take it in.
    """

    real: Floats
    q: npt.NDArray[np.int8]
    levels: Levels
    gain: Doubles

    def from_bytes(self) -> Floats:
        return np.asarray(self.levels.real(self.q) * self.gain.astype(np.float32), np.float32)


def calibrate(
    steps: tuple[Step, ...], place: Plan, spec: InputSpec, images_u8: Images, options: ConvertOptions
) -> Iterator[QuantisedStep]:
    """File layers in order, none of them marked as the output yet."""
    last_use = {source: i for i, step in enumerate(steps) for source in step.sources}
    live = {-1: _image(spec, images_u8)}
    for i, step in enumerate(steps):
        inputs = [live[source] for source in step.sources]
        offsets = [0 if source < 0 else place.offsets[source] for source in step.sources]
        levels = inputs[0].levels
        head = Head(
            KINDS[step.kind],
            False,
            offsets[0],
            place.offsets[i],
            step.in_dims,
            step.out_dims,
            levels.step,
            levels.zero_point,
            levels.step,
            levels.zero_point,
        )
        layer: FileLayer
        if step.kind == "add":
            layer, live[i] = _add(head, offsets[1], *inputs)
        elif step.kind == "average":
            layer, live[i] = _average(head, inputs[0])
        elif step.kind == "reshape":
            layer, live[i] = _reshape(head, inputs[0])
        else:
            folded = fold(steps, step, spec, int8_code(spec))
            layer, live[i] = _convolve(step, folded, head, inputs[0], _use(steps, i), options)
        quality = EXACT_DB if step.kind == "reshape" else snr_db(live[i].real, live[i].from_bytes())
        yield QuantisedStep(step, layer, live[i].levels, quality)
        for source in set(step.sources):
            if last_use[source] == i:
                del live[source]


def _use(steps: tuple[Step, ...], i: int) -> Use:
    """What the output of step `i` is for."""
    readers = [j for j, step in enumerate(steps) if i in step.sources]
    if not readers:
        return "output"
    if any(steps[j].kind == "add" for j in readers):
        return "sum"
    passed = [j for j in readers if steps[j].kind in ("average", "reshape")]
    return next((use for use in (_use(steps, j) for j in passed) if use != "weights"), "weights")


def _image(spec: InputSpec, images_u8: Images) -> _Map:
    pixels = images_u8.transpose(0, 2, 3, 1)
    mean, std = np.asarray(spec.mean, np.float32), np.asarray(spec.std, np.float32)
    real = (pixels.astype(np.float32) / np.float32(255) - mean) / std
    q = (pixels.astype(np.int16) - MIDDLE).astype(np.int8)
    return _Map(np.asarray(real, np.float32), q, input_levels(spec.mean), np.ones(spec.channels))


def float_sums(step: Step, x: Floats) -> Floats:
    """The convolution in float32 before its activation, (n, h, w, c) to (n, oh, ow, oc)."""
    x = x.reshape(len(x), *step.in_dims[1:])
    pad = (step.padding,) * 4
    sums = arithmetic.convolve(x, step.weight, step.kind == "depthwise", (step.stride, step.stride), pad)
    return np.asarray(sums + step.bias, np.float32)


def _activated(step: Step, sums: Floats) -> Floats:
    if step.act == "none":
        return sums
    return np.clip(sums, 0, RELU6_TOP if step.act == "relu6" else None)


def _add(head: Head, second: int, a: _Map, b: _Map) -> tuple[FileLayer, _Map]:
    real = a.real + b.real
    levels = sum_levels(a.levels, b.levels, real)
    head = replace(head, out_s=levels.step, out_zp=levels.zero_point)
    layer = AddLayer(head, second, b.levels.step, b.levels.zero_point)
    return layer, _Map(real, run_file_layer(layer, a.q, b.q), levels, a.gain)


def _average(head: Head, x: _Map) -> tuple[FileLayer, _Map]:
    # Only the quotient of the scales counts, and 1/1 is exact: n*s/s can fall just below n and lose a level.
    layer = PlainLayer(replace(head, in_s=1.0, out_s=1.0))
    return layer, _Map(x.real.mean((1, 2), keepdims=True), run_file_layer(layer, x.q), x.levels, x.gain)


def _reshape(head: Head, x: _Map) -> tuple[FileLayer, _Map]:
    layer = PlainLayer(head)
    q = run_file_layer(layer, x.q)
    return layer, _Map(x.real.reshape(q.shape), q, x.levels, np.tile(x.gain, q.shape[3] // len(x.gain)))


def _convolve(
    step: Step, folded: Step, head: Head, x: _Map, use: Use, options: ConvertOptions
) -> tuple[FileLayer, _Map]:
    """`folded` has the weights for the image's bytes, `step` those for the normalised image."""
    sums = float_sums(step, x.real)
    real = _activated(step, sums)
    gain = _gain(real) if use == "weights" else np.ones(real.shape[3])
    levels = choose(real / gain, RELU6_TOP if step.act == "relu6" else None, use == "output")
    lift = (levels.zero + levels.shift) * levels.step * gain
    smallest = (np.abs(folded.bias) + np.abs(lift) + 1e-12) / (x.levels.step * MAX_BIAS)
    q_in = x.q.reshape(len(x.q), *step.in_dims[1:])
    depthwise = step.kind == "depthwise"
    seen = covariance(q_in, step.weight.shape[2], step.stride, step.padding, x.levels.zero_point, depthwise)
    weight, scales = quantise_weights(_take_in(folded, x.gain), options.weight_range, smallest, seen)
    factor = x.levels.step * scales  # real value of 1 in the sums
    offset = x.levels.zero_point * weight.astype(np.int64).sum((1, 2, 3))
    pad = (step.padding,) * 4
    stride = step.stride, step.stride
    whole = arithmetic.convolve(q_in, weight, depthwise, stride, pad, x.levels.zero_point)
    bias = folded.bias.astype(np.float64)
    if options.bias_correction:
        bias = sums.mean((0, 1, 2), dtype=np.float64) - (whole.mean((0, 1, 2), dtype=np.float64) - offset) * factor
    integers = np.rint((bias + lift) / factor) - offset
    _check_sums(step.layer, weight, integers)
    layer = ConvLayer(
        replace(head, out_s=RELU6_TOP / levels.clamp, out_zp=-MIDDLE),
        stride,
        Act.RELU6,
        pad,
        weight,
        integers.astype(np.int32),
        (scales * RELU6_TOP / (levels.clamp * levels.step * gain)).astype(np.float32),
    )
    out = layer.head
    q = arithmetic.requantise(whole, layer.bias, layer.scales, out.in_s, layer.act, out.out_s, out.out_zp)
    return layer, _Map(real, q, levels, gain)


def _gain(real: Floats) -> Doubles:
    """Range of every channel by the range of the widest one, with a margin for pictures unlike these."""
    highest = np.abs(real).max((0, 1, 2)).astype(np.float64)
    shares = GAIN_MARGIN * highest / max(float(highest.max()), SMALLEST_RANGE)
    return np.asarray(np.clip(shares, SMALLEST_GAIN, 1.0), np.float64)


def _take_in(step: Step, gain: Doubles) -> Floats:
    """The weights of `step` for inputs that lack the factor `gain` (c,)."""
    if step.kind == "depthwise":
        return (step.weight * gain[:, None, None, None]).astype(np.float32)
    return (step.weight * np.tile(gain, step.weight.shape[1] // len(gain))[:, None, None]).astype(np.float32)


def _check_sums(name: str, weight: npt.NDArray[np.int8], bias: npt.NDArray[Any]) -> None:
    sums = MIDDLE * np.abs(weight.astype(np.int64)).sum((1, 2, 3)) + np.abs(bias)
    if sums.max() > INT32_MAX:
        raise unsupported(
            name,
            f"sums of {weight[0].size} products, which can overflow 32 bits",
            "Use fewer input channels, or a global average pool before the classifier.",
            "TOO_MANY_INPUTS",
        )
