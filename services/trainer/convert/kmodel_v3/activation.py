"""The KPU's activation unit: a piecewise linear function of sixteen segments from a 36-bit value to a byte.

    y = clamp(round((v - x_start[i]) * y_mul[i] / 2^shift[i]) + bias[i], 0, 255),  i: last segment with x_start[i] <= v

    u64 of a segment: shift 8 bits @0 | y_mul 16 bits @8 (signed) | x_start 36 bits @24 (signed); then 16 u8 biases

`v` carries the result scaled by 2^prescale. ReLU and ReLU6 need no table of their own: a zero point of 0 and a scale of
max/255 make the clamp do their work, so all layers but the leaky ones share one ramp.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["SEGMENTS", "TABLE_BYTES", "ActivationTable", "leaky", "ramp"]

SEGMENTS = 16
TABLE_BYTES = SEGMENTS * 8 + SEGMENTS
X_MIN, X_MAX = -(1 << 35), (1 << 35) - 1
UNIT = 1024  # y_mul of slope 1; the shift is then 10 + prescale

# Segment starts of the ramp as nncase 0.1.0-rc5 writes them in every layer but leaky ones. Only the eleventh has a
# slope; the others return 0, and the last five begin where no value can lie.
RAMP_STARTS = (
    X_MIN, -2192771912, -1898601972, -1604432032, -1293919318, -999749378, -705579438, -411409498, -100896784, -2840137,
    0, X_MAX - 15, X_MAX - 14, X_MAX - 13, X_MAX - 12, X_MAX - 11,
)  # fmt: skip
RAMP_SEGMENT = 10


@dataclass(frozen=True)
class ActivationTable:
    """Sixteen segments, in the order of the file."""

    x_start: tuple[int, ...]
    y_mul: tuple[int, ...]
    shift: tuple[int, ...]
    bias: tuple[int, ...]

    def to_bytes(self) -> bytes:
        words = [
            shift | (mul & 0xFFFF) << 8 | (start & ((1 << 36) - 1)) << 24
            for start, mul, shift in zip(self.x_start, self.y_mul, self.shift, strict=True)
        ]
        return struct.pack(f"<{SEGMENTS}Q", *words) + bytes(self.bias)

    @classmethod
    def from_bytes(cls, data: bytes) -> ActivationTable:
        """Raises ValueError when a reserved bit is set."""
        words: npt.NDArray[np.uint64] = np.frombuffer(data, "<u8", SEGMENTS)
        if (words >> np.uint64(60)).any():
            raise ValueError("activation table: a reserved bit is set")
        starts = (words << np.uint64(4)).view(np.int64) >> 28
        return cls(
            tuple(starts.tolist()),
            tuple((words >> np.uint64(8)).astype(np.uint16).view(np.int16).tolist()),
            tuple((words & np.uint64(0xFF)).tolist()),
            tuple(data[SEGMENTS * 8 : TABLE_BYTES]),
        )

    def ramp_shift(self, highest: int) -> int | None:
        """s, if for every v <= `highest` the table is clamp(round(v / 2^s)) above 0 and 0 below; None if it is not."""
        live = [i for i in range(SEGMENTS) if self.y_mul[i] or self.bias[i]]
        if list(self.x_start) != sorted(self.x_start) or not live:
            return None
        first = live[0]
        mul, shift = self.y_mul[first], self.shift[first]
        if mul <= 0:
            return None
        power = mul.bit_length() - 1
        is_ramp = self.x_start[first] == 0 and mul == 1 << power and not self.bias[first] and shift > power
        beyond = all(start > highest for start in self.x_start[first + 1 :])
        return shift - power if is_ramp and beyond else None


def ramp(prescale: int) -> ActivationTable:
    """v / 2^prescale clamped to a byte: linear, ReLU and ReLU6 layers alike."""
    mul, shift = [0] * SEGMENTS, [0] * SEGMENTS
    mul[RAMP_SEGMENT], shift[RAMP_SEGMENT] = UNIT, 10 + prescale
    return ActivationTable(RAMP_STARTS, tuple(mul), tuple(shift), (0,) * SEGMENTS)


def leaky(slope: float, zero_point: int, prescale: int) -> ActivationTable:
    """Leaky ReLU for an output with `zero_point`, which must not be in norm_add; 0 < slope <= 1.

    Segment 0 clamps to 0, segments 1 to 14 climb with `slope` from byte 0 to the zero point (one would do; restarting
    at exact bytes keeps the 16-bit slope's error below 1/2^14 of a step), segment 15 has slope 1.
    """
    power = 0
    while round(slope * (1 << (power + 1))) <= 0x7FFF and power < 40:
        power += 1
    starts, biases = [X_MIN], [0]
    for i in range(SEGMENTS - 2):
        biases.append(round(zero_point * i / (SEGMENTS - 2)))
        starts.append(max(X_MIN, round(-(zero_point - biases[-1]) * (1 << prescale) / slope)))
    muls = [0] + [round(slope * (1 << power))] * (SEGMENTS - 2) + [UNIT]
    shifts = [0] + [power + prescale] * (SEGMENTS - 2) + [10 + prescale]
    return ActivationTable((*starts, 0), tuple(muls), tuple(shifts), (*biases, zero_point))
