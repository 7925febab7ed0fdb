"""From a pixel to what the first layer of an ONNX file reads, put together as one mean and one std a channel.

u8/255 ─► (u8/255 - mean)/std, what the file's input eats ─► factor * input + shift, inside the file ─► first layer
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import TensorProto, ValueInfoProto

from services.common.errors import InvalidInput
from services.trainer.convert.onnx_file.builder import Float64
from services.trainer.convert.onnx_file.errors import refused
from services.trainer.convert.onnx_file.metadata import Metadata
from services.trainer.graph import InputSpec, Shape

__all__ = ["input_spec"]

Numbers = Sequence[float] | None


def input_spec(
    image: ValueInfoProto,
    shape: Shape,
    inner: tuple[Float64, Float64],
    kept: Metadata | None,
    mean: Numbers,
    std: Numbers,
) -> InputSpec:
    """`inner`: factor and shift, by channel. Raises UnsupportedModel where they have no mean and std of their own."""
    channels, height, width = shape
    given = mean is not None or std is not None
    outer_mean, outer_std = _outer(image, channels, kept, mean, std)
    factor, shift = inner
    if not (np.isfinite(factor).all() and np.isfinite(shift).all() and (factor > 0).all()):
        raise refused(
            "ONNX_NORMALISATION", f"the input is multiplied by {factor.tolist()[:4]}", "Use positive factors."
        )
    spec = InputSpec(channels, height, width, outer_mean, outer_std)
    if not shift.any() and (factor == 1).all():
        return spec
    own_std = np.asarray(outer_std) / factor
    own_mean = np.asarray(outer_mean) - shift * own_std
    if kept is not None and not given and len(kept.mean) == len(kept.std) == channels:
        same = np.allclose(own_mean, kept.mean, rtol=1e-5, atol=1e-6) and np.allclose(own_std, kept.std, rtol=1e-5)
        if same:  # the file's numbers are the metadata's, rounded to float32
            return InputSpec(channels, height, width, kept.mean, kept.std)
    return InputSpec(channels, height, width, tuple(own_mean.tolist()), tuple(own_std.tolist()))


def _outer(
    image: ValueInfoProto, channels: int, kept: Metadata | None, mean: Numbers, std: Numbers
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and std of what the file's input eats."""
    whole_bytes = image.type.tensor_type.elem_type == TensorProto.UINT8
    if mean is not None or std is not None:
        if whole_bytes:
            raise InvalidInput(
                "INPUT_NORMALISATION",
                "the file's input is uint8: its normalisation is part of the file.",
                fix="Leave mean and std out.",
            )
        return _by_channel(mean, 0.0, channels), _by_channel(std, 1.0, channels)
    if whole_bytes or (kept is not None and kept.pixels != "normalised"):
        return (0.0,) * channels, (1 / 255,) * channels
    if kept is not None:
        return kept.mean, kept.std
    return (0.0,) * channels, (1.0,) * channels


def _by_channel(values: Numbers, default: float, channels: int) -> tuple[float, ...]:
    found = (default,) if values is None else tuple(float(value) for value in values)
    return found * channels if len(found) == 1 else found
