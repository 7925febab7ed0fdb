"""The byte CPU layers of a kmodel V3 file: quantised arithmetic, copies, and the doors to and from the KPU."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from services.trainer.convert.kmodel_v3.cpu_base import CpuLayer, MainMemory, Span, Window
from services.trainer.convert.kmodel_v3.cpu_float import ResizeNearest

__all__ = [
    "AddPadding",
    "ChannelwiseDequantize",
    "Concat",
    "Dequantize",
    "MaxPool2d",
    "Quantize",
    "QuantizedAdd",
    "QuantizedConcat",
    "QuantizedResizeNearest",
    "RemovePadding",
    "Requantize",
    "Upload",
]


@dataclass(frozen=True)
class QuantizedAdd(CpuLayer):
    """u8: out = round(((a + a_offset) * a_mul >> a_shift + the same of b) * out_mul >> out_shift) + out_offset."""

    input_a: int
    input_b: int
    output: int
    count: int
    a_offset: int
    a_mul: int
    a_shift: int
    b_offset: int
    b_mul: int
    b_shift: int
    out_offset: int
    out_mul: int
    out_shift: int
    TYPE, NAME, FORMAT = 2, "QUANTIZED_ADD", "4I9i"

    def problem(self) -> str:
        bad = [s for s in (self.a_shift, self.b_shift, self.out_shift) if not 0 <= s <= 62]
        return f"a shift of {bad[0]} bits" if bad else ""

    @property
    def padded_count(self) -> int:
        """The runtime works on whole groups of eight bytes."""
        return (self.count + 7) // 8 * 8

    def reads(self) -> list[Span]:
        return [(self.input_a, self.padded_count), (self.input_b, self.padded_count)]

    def writes(self) -> list[Span]:
        return [(self.output, self.padded_count)]

    def run(self, memory: MainMemory) -> None:
        count = self.padded_count
        a = (memory.bytes(self.input_a, count).astype(np.int64) + self.a_offset) * self.a_mul
        b = (memory.bytes(self.input_b, count).astype(np.int64) + self.b_offset) * self.b_mul
        same = self.a_shift == self.b_shift
        value = (a + b) >> self.a_shift if same else (a >> self.a_shift) + (b >> self.b_shift)
        value = _carry_shift(value * self.out_mul, self.out_shift) + self.out_offset
        memory.bytes(self.output, count)[:] = np.clip(value, 0, 255)


@dataclass(frozen=True)
class MaxPool2d(Window):
    """u8; an empty window gives 0."""

    TYPE, NAME, element = 8, "QUANTIZED_MAX_POOL2D", 1

    def run(self, memory: MainMemory) -> None:
        source, target = self.maps(memory.bytes)
        result = np.zeros_like(target)
        for y, x, window in self.windows(source):
            if window.size:
                result[:, :, y, x] = window.max((2, 3))
        target[:] = result


@dataclass(frozen=True)
class Quantize(CpuLayer):
    """u8 = clamp(round((x - bias) / scale)), ties away from zero."""

    input: int
    output: int
    count: int
    scale: float
    bias: float
    TYPE, NAME, FORMAT, FLOATS = 11, "QUANTIZE", "3I2f", ("input",)

    def reads(self) -> list[Span]:
        return [(self.input, 4 * self.count)]

    def writes(self) -> list[Span]:
        return [(self.output, self.count)]

    def run(self, memory: MainMemory) -> None:
        scale = np.float32(1) / np.float32(self.scale)
        value = (memory.floats(self.input, self.count) - np.float32(self.bias)) * scale
        rounded = np.copysign(np.floor(np.abs(value.astype(np.float64)) + 0.5), value)
        memory.bytes(self.output, self.count)[:] = np.clip(np.nan_to_num(rounded), 0, 255)


@dataclass(frozen=True)
class Dequantize(CpuLayer):
    """float = u8 * scale + bias."""

    input: int
    output: int
    count: int
    scale: float
    bias: float
    TYPE, NAME, FORMAT, FLOATS = 12, "DEQUANTIZE", "3I2f", ("output",)

    def reads(self) -> list[Span]:
        return [(self.input, self.count)]

    def writes(self) -> list[Span]:
        return [(self.output, 4 * self.count)]

    def run(self, memory: MainMemory) -> None:
        value = memory.bytes(self.input, self.count).astype(np.float32)
        memory.floats(self.output, self.count)[:] = value * np.float32(self.scale) + np.float32(self.bias)


@dataclass(frozen=True)
class ChannelwiseDequantize(CpuLayer):
    """float = u8 * scale + bias with a pair (scale, bias) for each channel of `channel_size` values."""

    input: int
    output: int
    channels: int
    channel_size: int
    parameters: npt.NDArray[np.float32]
    TYPE, NAME, FORMAT, FLOATS = 24, "CHANNELWISE_DEQUANTIZE", "4I", ("output",)

    @classmethod
    def _parse_tail(cls, head: list[Any], rest: memoryview) -> tuple[Any, ...]:
        channels = head[3]
        if 8 * channels > len(rest):
            raise ValueError(f"{channels} channels do not fit the body")
        return (np.frombuffer(rest, "<f4", 2 * channels).reshape(channels, 2),)

    def _tail(self) -> bytes:
        return self.parameters.astype("<f4", copy=False).tobytes()

    def reads(self) -> list[Span]:
        return [(self.input, self.channels * self.channel_size)]

    def writes(self) -> list[Span]:
        return [(self.output, 4 * self.channels * self.channel_size)]

    def run(self, memory: MainMemory) -> None:
        count = self.channels * self.channel_size
        value = memory.bytes(self.input, count).astype(np.float32).reshape(-1, self.channels, self.channel_size)
        result = value * self.parameters[:, :1] + self.parameters[:, 1:]
        memory.floats(self.output, count)[:] = result.reshape(memory.images, count)


@dataclass(frozen=True)
class Requantize(CpuLayer):
    """u8 = table[u8]."""

    input: int
    output: int
    count: int
    table: bytes
    TYPE, NAME, FORMAT = 13, "REQUANTIZE", "3I256s"

    def reads(self) -> list[Span]:
        return [(self.input, self.count)]

    def writes(self) -> list[Span]:
        return [(self.output, self.count)]

    def run(self, memory: MainMemory) -> None:
        table = np.frombuffer(self.table, np.uint8)
        memory.bytes(self.output, self.count)[:] = table[memory.bytes(self.input, self.count)]


@dataclass(frozen=True)
class Concat(CpuLayer):
    """Copies `inputs` (address, bytes) one behind the other."""

    output: int
    input_count: int
    inputs: tuple[Span, ...]
    TYPE, NAME, FORMAT = 16, "CONCAT", "2I"

    @classmethod
    def _parse_tail(cls, head: list[Any], rest: memoryview) -> tuple[Any, ...]:
        count = head[2]
        if 8 * count > len(rest):
            raise ValueError(f"{count} inputs do not fit the body")
        return (tuple(struct.iter_unpack("<2I", rest[: 8 * count])),)

    def _tail(self) -> bytes:
        return b"".join(struct.pack("<2I", *span) for span in self.inputs)

    def reads(self) -> list[Span]:
        return list(self.inputs)

    def writes(self) -> list[Span]:
        return [(self.output, sum(size for _, size in self.inputs))]

    def run(self, memory: MainMemory) -> None:
        parts = [memory.bytes(address, size) for address, size in self.inputs]
        if parts:
            joined = np.concatenate(parts, axis=1)
            memory.bytes(self.output, joined.shape[1])[:] = joined


@dataclass(frozen=True)
class QuantizedConcat(Concat):
    """The same copy; the inputs share one quantisation."""

    TYPE, NAME = 17, "QUANTIZED_CONCAT"


@dataclass(frozen=True)
class QuantizedResizeNearest(ResizeNearest):
    """The same for u8."""

    TYPE, NAME, FLOATS, element = 23, "QUANTIZED_RESIZE_NEAREST", (), 1


@dataclass(frozen=True)
class AddPadding(CpuLayer):
    """u8 (channels,) from main memory to position (0, 0) of 4x4 maps in KPU RAM."""

    input: int
    target_row: int
    channels: int
    TYPE, NAME, FORMAT = 10241, "ADD_PADDING", "3I"

    def reads(self) -> list[Span]:
        return [(self.input, self.channels)]

    def writes(self) -> list[Span]:
        return []


@dataclass(frozen=True)
class RemovePadding(CpuLayer):
    """Position (0, 0) of 4x4 u8 maps in main memory, packed: every sixteenth byte."""

    input: int
    output: int
    channels: int
    TYPE, NAME, FORMAT = 10242, "REMOVE_PADDING", "3I"

    def reads(self) -> list[Span]:
        return [(self.input, 16 * self.channels)]

    def writes(self) -> list[Span]:
        return [(self.output, self.channels)]

    def run(self, memory: MainMemory) -> None:
        packed = memory.bytes(self.input, 16 * self.channels)[:, ::16].copy()
        memory.bytes(self.output, self.channels)[:] = packed


@dataclass(frozen=True)
class Upload(CpuLayer):
    """u8 (c, h, w) from main memory to rows of KPU RAM."""

    input: int
    target_row: int
    width: int
    height: int
    channels: int
    TYPE, NAME, FORMAT = 10243, "UPLOAD", "5I"

    def reads(self) -> list[Span]:
        return [(self.input, self.width * self.height * self.channels)]

    def writes(self) -> list[Span]:
        return []


def _carry_shift(value: npt.NDArray[np.int64], shift: int) -> npt.NDArray[np.int64]:
    """kpu.c's `kpu_carry_shift`: ties move away from zero; odd negative halves move one further down."""
    if shift <= 0:
        return value
    halves = value >> (shift - 1)
    odd = halves & 1 == 1
    result: npt.NDArray[np.int64] = (halves >> 1) + np.where(odd, np.where(halves < 0, -1, 1), 0)
    return result
