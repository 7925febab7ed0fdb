"""The integers of one convolution or fully connected layer, from its float weights and the scales around it.

acc = sum(x8 * w8)                          int32, scale in * ws[oc]
acc * factor[oc] / 1024                     scale in * min(ws), one for all output channels
 + bias16 (* bias multiplier / 2^shift)     the same scale
 * multiplier / 2^shift                     scale of the output, then saturated to int8
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.trainer.convert.awnn.payload import FACTOR_BITS, IntWeights
from services.trainer.convert.awnn.requant import Requant, encode

__all__ = ["IntLayer", "int_layer", "int_weights"]

INT8, INT16 = np.float32(127), np.float32(32767)

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class IntLayer:
    weights: IntWeights
    requant: Requant  # keys 21, 22
    bias_requant: Requant | None  # keys 26, 27, when a bias does not fit int16


def int_layer(weight: Floats, bias: Floats | None, scales: Floats, source: np.float32, target: np.float32) -> IntLayer:
    """`weight` (oc, ic, kh, kw), `bias` (oc,), `scales` of the weights (oc,), scales of the input and output blobs."""
    lowest = scales.min()
    quantised, factor = int_weights(weight, scales)
    stored, bias_requant = (None, None) if bias is None else _bias(bias, np.float32(source * lowest))
    requant = encode(float(target / (source * lowest)))
    return IntLayer(IntWeights(quantised, stored, factor), requant, bias_requant)


def int_weights(weight: Floats, scales: Floats) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int16]]:
    """Weights (oc, ...) as int8, and the factors (oc,) that bring all channels to the lowest scale."""
    by_channel = scales.reshape(-1, *(1,) * (weight.ndim - 1))
    quantised = np.clip(_half_away(weight * by_channel), -INT8, INT8).astype(np.int8)
    factor = _half_away(np.float32(1 << FACTOR_BITS) * scales.min() / scales).astype(np.int16)
    return quantised, factor


def _bias(bias: Floats, scale: np.float32) -> tuple[npt.NDArray[np.int16], Requant | None]:
    wide = bias * scale
    largest = np.abs(wide).max()
    if largest <= INT16:
        return _half_away(wide).astype(np.int16), None
    excess = np.float32(largest / INT16)
    return _half_away(wide / excess).astype(np.int16), encode(float(excess))


def _half_away(x: Floats) -> Floats:
    rounded: Floats = np.trunc(x + np.copysign(np.float32(0.5), x))
    return rounded
