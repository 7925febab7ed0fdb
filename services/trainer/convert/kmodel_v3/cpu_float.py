"""The float32 CPU layers of a kmodel V3 file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from services.trainer.convert.kmodel_v3.cpu_base import CpuLayer, MainMemory, Span, Window

__all__ = [
    "Add",
    "AveragePool",
    "FullyConnectedLayer",
    "GlobalAveragePool2d",
    "L2Norm",
    "Logistic",
    "ResizeNearest",
    "SoftmaxLayer",
    "TfFlatten",
]


@dataclass(frozen=True)
class Add(CpuLayer):
    """float: out = a + b."""

    input_a: int
    input_b: int
    output: int
    count: int
    TYPE, NAME, FORMAT, FLOATS = 1, "ADD", "4I", ("input_a", "input_b", "output")

    def reads(self) -> list[Span]:
        return [(self.input_a, 4 * self.count), (self.input_b, 4 * self.count)]

    def writes(self) -> list[Span]:
        return [(self.output, 4 * self.count)]

    def run(self, memory: MainMemory) -> None:
        a, b = memory.floats(self.input_a, self.count), memory.floats(self.input_b, self.count)
        memory.floats(self.output, self.count)[:] = a + b


@dataclass(frozen=True)
class GlobalAveragePool2d(CpuLayer):
    """float (channels, kernel_size) to (channels,)."""

    input: int
    output: int
    kernel_size: int
    channels: int
    TYPE, NAME, FORMAT, FLOATS = 5, "GLOBAL_AVERAGE_POOL2D", "4I", ("input", "output")

    def reads(self) -> list[Span]:
        return [(self.input, 4 * self.kernel_size * self.channels)]

    def writes(self) -> list[Span]:
        return [(self.output, 4 * self.channels)]

    def steps(self) -> int:
        return self.kernel_size

    def run(self, memory: MainMemory) -> None:
        values = memory.floats(self.input, self.kernel_size * self.channels)
        total = np.zeros((memory.images, self.channels), np.float32)
        for i in range(self.kernel_size):  # one after the other, as the runtime adds them
            total += values[:, i :: self.kernel_size]
        memory.floats(self.output, self.channels)[:] = total / np.float32(self.kernel_size)


@dataclass(frozen=True)
class AveragePool(Window):
    """float mean of the part of the window inside the image; the runtime ignores `activation`."""

    activation: int
    TYPE, NAME, FORMAT, FLOATS, element = 9, "AVERAGE_POOL2D", "15I", ("input", "output"), 4

    def run(self, memory: MainMemory) -> None:
        source, target = self.maps(memory.floats)
        result = np.zeros_like(target)
        for y, x, window in self.windows(source):
            taps = window.reshape(*window.shape[:2], -1)
            total = np.zeros(window.shape[:2], np.float32)
            for i in range(taps.shape[2]):
                total += taps[:, :, i]
            result[:, :, y, x] = total / np.float32(taps.shape[2])  # an empty window is 0/0 on the board too
        target[:] = result


@dataclass(frozen=True)
class _Vector(CpuLayer):
    """float (channels,) to float (channels,)."""

    input: int
    output: int
    channels: int
    FORMAT, FLOATS = "3I", ("input", "output")

    def reads(self) -> list[Span]:
        return [(self.input, 4 * self.channels)]

    def writes(self) -> list[Span]:
        return [(self.output, 4 * self.channels)]


@dataclass(frozen=True)
class L2Norm(_Vector):
    """Divides by the Euclidean length."""

    TYPE, NAME = 14, "L2_NORM"

    def run(self, memory: MainMemory) -> None:
        x = memory.floats(self.input, self.channels)
        length = np.maximum(_sequential_sum(x * x), np.float32(1e-10))
        memory.floats(self.output, self.channels)[:] = x * (np.float32(1) / np.sqrt(length))


@dataclass(frozen=True)
class SoftmaxLayer(_Vector):
    """The maximum starts at FLT_MIN, so that logits all below about -87 give 0/0."""

    TYPE, NAME = 15, "SOFTMAX"

    def run(self, memory: MainMemory) -> None:
        x = memory.floats(self.input, self.channels)
        powers = np.exp(x - np.maximum(x.max(1, keepdims=True), np.finfo(np.float32).tiny))
        memory.floats(self.output, self.channels)[:] = powers / _sequential_sum(powers)


@dataclass(frozen=True)
class Logistic(_Vector):
    """1 / (1 + exp(-x))."""

    TYPE, NAME = 25, "LOGISTIC"

    def run(self, memory: MainMemory) -> None:
        x = memory.floats(self.input, self.channels)
        memory.floats(self.output, self.channels)[:] = np.float32(1) / (np.float32(1) + np.exp(-x))


@dataclass(frozen=True, eq=False)
class FullyConnectedLayer(CpuLayer):
    """float: weights (out, in), bias (out,), both float32 behind the head; activation 0 none, 1 ReLU, 2 ReLU6."""

    input: int
    output: int
    in_channels: int
    out_channels: int
    activation: int
    weights: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]
    TYPE, NAME, FORMAT, FLOATS = 18, "FULLY_CONNECTED", "5I", ("input", "output")

    @classmethod
    def _parse_tail(cls, head: list[Any], rest: memoryview) -> tuple[Any, ...]:
        inputs, outputs, activation = head[3], head[4], head[5]
        if 4 * (inputs + 1) * outputs > len(rest):
            raise ValueError(f"{outputs} x {inputs} weights do not fit the body")
        if activation > 2:
            raise ValueError(f"activation {activation} does not exist")
        values = np.frombuffer(rest, "<f4", (inputs + 1) * outputs)
        return values[: inputs * outputs].reshape(outputs, inputs), values[inputs * outputs :]

    def _tail(self) -> bytes:
        return self.weights.astype("<f4", copy=False).tobytes() + self.bias.astype("<f4", copy=False).tobytes()

    def reads(self) -> list[Span]:
        return [(self.input, 4 * self.in_channels)]

    def writes(self) -> list[Span]:
        return [(self.output, 4 * self.out_channels)]

    def steps(self) -> int:
        return self.in_channels

    def run(self, memory: MainMemory) -> None:
        x = memory.floats(self.input, self.in_channels)
        total = np.zeros((memory.images, self.out_channels), np.float32)
        columns = np.ascontiguousarray(self.weights.T)
        for i in range(self.in_channels):  # one after the other, as the runtime adds them
            total += x[:, i : i + 1] * columns[i]
        y = total + self.bias
        if self.activation:
            y = np.maximum(y, np.float32(0))
        if self.activation == 2:
            y = np.minimum(y, np.float32(6))
        memory.floats(self.output, self.out_channels)[:] = y


@dataclass(frozen=True)
class TfFlatten(CpuLayer):
    """float (c, h, w) to (h, w, c)."""

    input: int
    output: int
    width: int
    height: int
    channels: int
    TYPE, NAME, FORMAT, FLOATS = 20, "TF_FLATTEN", "5I", ("input", "output")

    def reads(self) -> list[Span]:
        return [(self.input, 4 * self.width * self.height * self.channels)]

    def writes(self) -> list[Span]:
        return [(self.output, 4 * self.width * self.height * self.channels)]

    def run(self, memory: MainMemory) -> None:
        count = self.width * self.height * self.channels
        maps = memory.floats(self.input, count).reshape(-1, self.channels, self.height, self.width)
        memory.floats(self.output, count)[:] = maps.transpose(0, 2, 3, 1).reshape(memory.images, count)


@dataclass(frozen=True)
class ResizeNearest(CpuLayer):
    """float (c, h, w) to (c, out_height, out_width); the runtime ignores `align_corners`."""

    input: int
    output: int
    width: int
    height: int
    channels: int
    out_width: int
    out_height: int
    align_corners: int
    TYPE, NAME, FORMAT = 22, "RESIZE_NEAREST", "8I"
    FLOATS: ClassVar[tuple[str, ...]] = ("input", "output")
    element: ClassVar[int] = 4

    def reads(self) -> list[Span]:
        return [(self.input, self.element * self.width * self.height * self.channels)]

    def writes(self) -> list[Span]:
        return [(self.output, self.element * self.out_width * self.out_height * self.channels)]

    def run(self, memory: MainMemory) -> None:
        view: Any = memory.floats if self.element == 4 else memory.bytes
        maps = view(self.input, self.width * self.height * self.channels)
        maps = maps.reshape(-1, self.channels, self.height, self.width)
        y = _nearest(self.height, self.out_height)
        x = _nearest(self.width, self.out_width)
        count = self.out_width * self.out_height * self.channels
        view(self.output, count)[:] = maps[:, :, y[:, None], x].reshape(memory.images, count)


def _sequential_sum(x: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Sum over the last axis from left to right in float32, (n, c) to (n, 1)."""
    total: npt.NDArray[np.float32] = np.add.accumulate(x, axis=1, dtype=np.float32)[:, -1:]
    return total


def _nearest(size: int, out_size: int) -> npt.NDArray[np.int64]:
    scale = np.float32(size) / np.float32(out_size)
    position = np.floor(np.arange(out_size, dtype=np.float32) * scale)
    nearest: npt.NDArray[np.int64] = np.minimum(position, size - 1).astype(np.int64)
    return nearest
