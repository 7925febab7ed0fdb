"""The input normalisation, folded into the layers that read the image.

u8/255 = factor*v + offset, where v is what `tm_preprocess` makes of the byte; padding is v = 0, the grey `offset`. In
training the border was the mean. Where the two differ, a 1x1 convolution that only normalises comes first, and the
padding behind it is right. It hardly needs memory, since the image is free when the next layer runs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from services.trainer.convert.tinymaix.levels import input_levels
from services.trainer.convert.tinymaix.lower import Step, dims
from services.trainer.graph import InputSpec

__all__ = ["FP01", "FPN11", "InputCode", "float_code", "fold", "int8_code", "with_right_border"]

GREY_TOLERANCE = 0.5  # of 255: half a step of the camera


@dataclass(frozen=True)
class InputCode:
    factor: float
    offset: float

    def border_error(self, spec: InputSpec) -> float:
        """Greys of 255 between the padding and the channel mean that is furthest from it."""
        return max(abs(255 * (mean - self.offset)) for mean in spec.mean)


FP01 = InputCode(1.0, 0.0)  # v = u8/255
FPN11 = InputCode(128 / 255, 128 / 255)  # v = (u8 - 128)/128


def int8_code(spec: InputSpec) -> InputCode:
    """v = (u8 - zero)/255; the zero is the mean of the channel means."""
    return InputCode(1.0, input_levels(spec.mean).zero / 255)


def float_code(spec: InputSpec) -> InputCode:
    """The one whose padding is nearer to the means."""
    return min((FP01, FPN11), key=lambda code: code.border_error(spec))


def with_right_border(steps: tuple[Step, ...], spec: InputSpec, code: InputCode) -> tuple[Step, ...]:
    """`steps`, with a normalising convolution before them if a padded layer would see a wrong border."""
    padded = [step for step in steps if step.sources == (-1,) and step.padding]
    if not padded or code.border_error(spec) <= GREY_TOLERANCE:
        return steps
    image = dims((spec.channels, spec.height, spec.width))
    weight = np.eye(spec.channels, dtype=np.float32)[:, :, None, None]
    bias = np.zeros(spec.channels, np.float32)
    first = Step(padded[0].layer, "conv", (-1,), image, image, weight, bias, gives_layer=False)
    return first, *(replace(step, sources=tuple(source + 1 for source in step.sources)) for step in steps)


def fold(steps: tuple[Step, ...], step: Step, spec: InputSpec, code: InputCode) -> Step:
    """`step` of `steps` with weights for v in place of (u8/255 - mean)/std, unless it does not read the image."""
    source = step.sources[0]
    if step.kind in ("conv", "depthwise") and source == -1:
        return _folded(step, spec, code)
    if source >= 0 and steps[source].kind == "reshape" and steps[source].sources == (-1,):
        count = spec.height * spec.width  # the reshaped image is (h, w, c) in a row
        wide = InputSpec(spec.channels * count, 1, 1, spec.mean * count, spec.std * count)
        return _folded(step, wide, code)
    return step


def _folded(step: Step, spec: InputSpec, code: InputCode) -> Step:
    axis = (slice(None), None, None, None) if step.kind == "depthwise" else (None, slice(None), None, None)
    mean, std = np.array(spec.mean)[axis], np.array(spec.std)[axis]
    weight = step.weight.astype(np.float64) / std
    bias = step.bias + (weight * (code.offset - mean)).sum((1, 2, 3))
    return replace(step, weight=(weight * code.factor).astype(np.float32), bias=bias.astype(np.float32))
