"""The 16-bit multiplier and right shift with which the NPU brings integers from one scale to another.

Keys 21 and 22 of a layer (17 and 18 of an Eltwise operand, 26 and 27 of a bias): y = x * multiplier / 2^shift.
How the vendor's quantiser (0.9.6) chooses them was measured from outside; how the NPU rounds is not public.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["UNIT_SHIFT", "Requant", "encode", "rescale", "shift_right"]

LARGEST = np.float32(32767)
UNIT_SHIFT = 15  # of every factor up to 1

Requant = tuple[int, int]
Integers = npt.NDArray[np.int64]


def encode(factor: float) -> Requant:
    """(multiplier, shift) for a positive factor; above 1 the largest shift up to 14 with which it fits 15 bits."""
    m = np.float32(factor)
    if m <= 1:
        return _round(m * LARGEST), UNIT_SHIFT
    shift = UNIT_SHIFT - 1
    while shift > 0 and _round(m * np.float32(2**shift)) > LARGEST:
        shift -= 1
    return min(_round(m * np.float32(2**shift)), int(LARGEST)), shift


def rescale(x: Integers, requant: Requant) -> Integers:
    """x * multiplier / 2^shift, rounded; `x` int64 of at most 47 bits."""
    multiplier, shift = requant
    return shift_right(x * np.int64(multiplier), shift)


def shift_right(x: Integers, shift: int) -> Integers:
    """x / 2^shift, halves away from zero, as NVDLA's shifters round (NV_NVDLA_HLS_shiftrightsu.v)."""
    if shift == 0:
        return x
    shifted: Integers = (x + np.int64(1 << (shift - 1)) - (x < 0)) >> np.int64(shift)
    return shifted


def _round(value: np.float32) -> int:
    return int(np.floor(value + np.float32(0.5)))
