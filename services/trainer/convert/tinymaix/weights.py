"""int8 weights with one scale per output channel."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

__all__ = ["quantise_weights"]

Doubles = npt.NDArray[np.float64]
HIGHEST = 127
CLIPS = np.linspace(0.6, 1.0, 17)  # shares of the largest weight that "mse" tries


def quantise_weights(
    weight: npt.NDArray[np.float32], weight_range: Literal["max", "mse"], smallest: npt.NDArray[np.floating]
) -> tuple[npt.NDArray[np.int8], Doubles]:
    """Weights (oc, …) as int8 and their scales (oc,), w = scale*q, each scale at least `smallest` (oc,).

    "max" covers the largest weight of a channel; "mse" clips it where that lowers the squared error.
    """
    flat = weight.reshape(len(weight), -1).astype(np.float64)
    largest = np.abs(flat).max(1)
    best = np.maximum(largest / HIGHEST, smallest)
    if weight_range == "mse":
        errors = []
        scales = [np.maximum(best * clip, smallest) for clip in CLIPS]
        for scale in scales:
            errors.append(np.square(_round(flat, scale) * scale[:, None] - flat).sum(1))
        best = np.array(scales)[np.argmin(errors, 0), np.arange(len(flat))]
    return _round(flat, best).astype(np.int8).reshape(weight.shape), best


def _round(flat: Doubles, scale: Doubles) -> Doubles:
    return np.clip(np.rint(flat / scale[:, None]), -HIGHEST, HIGHEST)
