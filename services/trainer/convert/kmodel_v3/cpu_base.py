"""What all CPU layers of a kmodel share: their place in the file and the board's main memory.

Numbers are little endian, u32 where nothing else is said. Addresses are bytes in main memory (a buffer of
`main_mem_usage` bytes that the runtime allocates) or, where named `row`, 64-byte rows of KPU RAM. Source:
kendryte-standalone-sdk, lib/drivers/include/kpu.h and kpu.c. `run` adds in the order of kpu.c: floats agree to the bit.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

__all__ = ["CpuLayer", "MainMemory", "Span", "Window"]

Span = tuple[int, int]  # address, bytes


class MainMemory:
    """Main memory of a board, once for each of `images` images."""

    def __init__(self, images: int, size: int) -> None:
        self.images = images
        self._cells = np.zeros((images, (size + 7) // 8 * 8), np.uint8)

    def bytes(self, address: int, count: int) -> npt.NDArray[np.uint8]:
        """A view (images, count)."""
        return self._cells[:, address : address + count]

    def floats(self, address: int, count: int) -> npt.NDArray[np.float32]:
        """A view (images, count); `address` is a multiple of 4."""
        return self._cells.view(np.float32)[:, address // 4 : address // 4 + count]


@dataclass(frozen=True)
class CpuLayer:
    """A layer the board's CPU computes. The dataclass fields are the body: FORMAT, then `tail`, if there is one."""

    flags: int

    TYPE: ClassVar[int]
    NAME: ClassVar[str]
    FORMAT: ClassVar[str]  # struct characters of the fields after `flags`
    FLOATS: ClassVar[tuple[str, ...]] = ()  # fields that are addresses of floats

    @classmethod
    def parse(cls, body: memoryview) -> Self:
        """Raises struct.error or ValueError when the body is too short or a size in it cannot be."""
        layout = struct.Struct("<I" + cls.FORMAT)
        values: list[Any] = list(layout.unpack_from(body))
        return cls(*values, *cls._parse_tail(values, body[layout.size :]))

    @classmethod
    def _parse_tail(cls, head: list[Any], rest: memoryview) -> tuple[Any, ...]:
        return ()

    def to_bytes(self) -> bytes:
        layout = "<I" + self.FORMAT
        values = [getattr(self, f.name) for f in fields(self)]
        count = len(struct.unpack(layout, bytes(struct.calcsize(layout))))
        return struct.pack(layout, *values[:count]) + self._tail()

    def _tail(self) -> bytes:
        return b""

    def reads(self) -> list[Span]:
        """Main memory this layer reads."""
        raise NotImplementedError

    def writes(self) -> list[Span]:
        """Main memory this layer writes."""
        raise NotImplementedError

    def problem(self) -> str:
        """Why the fields make no sense, or nothing. Bounds of main memory are checked elsewhere."""
        for name in self.FLOATS:
            if getattr(self, name) % 4:
                return f"{name}: floats at address {getattr(self, name)}, not a multiple of 4"
        return ""

    def steps(self) -> int:
        """Array operations that `run` takes: the bound on the simulator's time for hostile files."""
        return 10

    def run(self, memory: MainMemory) -> None:
        """Computes the layer for all images."""
        raise NotImplementedError


@dataclass(frozen=True)
class Window(CpuLayer):
    """Fields of the two window poolings over (channels, height, width); `element` is the bytes of one value."""

    input: int
    output: int
    in_width: int
    in_height: int
    in_channels: int
    out_width: int
    out_height: int
    out_channels: int
    kernel_width: int
    kernel_height: int
    stride_width: int
    stride_height: int
    padding_width: int
    padding_height: int
    FORMAT = "14I"
    element: ClassVar[int]

    def reads(self) -> list[Span]:
        return [(self.input, self.element * self.in_width * self.in_height * self.in_channels)]

    def writes(self) -> list[Span]:
        return [(self.output, self.element * self.out_width * self.out_height * self.out_channels)]

    def problem(self) -> str:
        if max(getattr(self, f.name) for f in fields(self)[3:]) > 0xFFFF:
            return "a size of the pooling is above 65535"
        if self.out_channels > self.in_channels:
            return f"pooling from {self.in_channels} to {self.out_channels} channels"
        return super().problem()

    def steps(self) -> int:
        return self.out_width * self.out_height * (1 if self.element == 1 else self.kernel_width * self.kernel_height)

    def maps(self, view: Any) -> tuple[Any, Any]:
        """Views (n, c, h, w) of input and output through `memory.bytes` or `memory.floats`."""
        (source, _), (target, _) = self.reads()[0], self.writes()[0]
        shape_in = (self.in_channels, self.in_height, self.in_width)
        shape_out = (self.out_channels, self.out_height, self.out_width)
        return (
            view(source, math.prod(shape_in)).reshape(-1, *shape_in)[:, : self.out_channels],
            view(target, math.prod(shape_out)).reshape(-1, *shape_out),
        )

    def windows(self, source: Any) -> Iterator[tuple[int, int, Any]]:
        """(y, x, part of the input under the window) for every output position."""
        for y in range(self.out_height):
            top = y * self.stride_height - self.padding_height
            for x in range(self.out_width):
                left = x * self.stride_width - self.padding_width
                bottom, right = top + self.kernel_height, left + self.kernel_width
                yield y, x, source[:, :, max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
