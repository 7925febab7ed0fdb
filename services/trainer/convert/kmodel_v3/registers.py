"""The twelve 64-bit words that start one convolution on the K210's KPU, and the row layout of its 2 MiB of RAM.

A feature map lies in rows of 64 bytes. Narrow maps share a row:

    width <= 16   | c0 16 B | c1 16 B | c2 16 B | c3 16 B |     4 channels a row
    width <= 32   | c0      32 B      | c1      32 B      |     2 channels a row
    wider         | c0 ... ceil(w/64) rows ...            |     1 channel

Field names and positions: kendryte-standalone-sdk, lib/drivers/include/kpu.h, `kpu_layer_argument_t`. The values follow
from shape, kernel, addresses and quantisation alone; nncase 0.1.0-rc5 writes the same.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

__all__ = [
    "KPU_ROWS",
    "POOL_FACTOR",
    "WORDS",
    "ConvShape",
    "Quantisation",
    "RowLayout",
    "conv_registers",
    "decode",
    "encode",
    "rows",
]

KPU_ROWS = 32768  # 2 MiB of KPU RAM in rows of 64 bytes
KERNEL_BUFFER = 30 * 1024  # bytes of 8-bit weights the KPU holds at once
WORDS = 12


class Bits(NamedTuple):
    word: int
    low: int
    width: int
    signed: bool = False


FIELDS: dict[str, Bits] = {
    "int_en": Bits(0, 0, 1),
    "ram_flag": Bits(0, 1, 1),
    "full_add": Bits(0, 2, 1),
    "depth_wise_layer": Bits(0, 3, 1),
    "image_src_addr": Bits(1, 0, 15),
    "image_dst_addr": Bits(1, 32, 15),
    "i_ch_num": Bits(2, 0, 10),
    "o_ch_num": Bits(2, 32, 10),
    "o_ch_num_coef": Bits(2, 48, 10),
    "i_row_wid": Bits(3, 0, 10),
    "i_col_high": Bits(3, 10, 9),
    "o_row_wid": Bits(3, 32, 10),
    "o_col_high": Bits(3, 42, 9),
    "kernel_type": Bits(4, 0, 3),
    "pad_type": Bits(4, 3, 1),
    "pool_type": Bits(4, 4, 4),
    "first_stride": Bits(4, 8, 1),
    "bypass_conv": Bits(4, 9, 1),
    "load_para": Bits(4, 10, 1),
    "dma_burst_size": Bits(4, 16, 8),
    "pad_value": Bits(4, 24, 8),
    "bwsx_base_addr": Bits(4, 32, 32),
    "load_coor": Bits(5, 0, 1),
    "load_time": Bits(5, 1, 6),
    "para_size": Bits(5, 15, 17),
    "para_start_addr": Bits(5, 32, 32),
    "coef_column_offset": Bits(6, 0, 4),
    "coef_row_offset": Bits(6, 4, 12),
    "channel_switch_addr": Bits(7, 0, 15),
    "row_switch_addr": Bits(7, 16, 4),
    "coef_size": Bits(7, 20, 8),
    "coef_group": Bits(7, 28, 3),
    "load_act": Bits(7, 31, 1),
    "active_addr": Bits(7, 32, 32),
    "wb_channel_switch_addr": Bits(8, 0, 15),
    "wb_row_switch_addr": Bits(8, 16, 4),
    "wb_group": Bits(8, 20, 3),
    "shr_w": Bits(9, 0, 4),
    "shr_x": Bits(9, 4, 4),
    "arg_w": Bits(9, 8, 24, signed=True),
    "arg_x": Bits(9, 32, 24, signed=True),
    "arg_add": Bits(10, 0, 40, signed=True),
    "send_data_out": Bits(11, 0, 1),
    "channel_byte_num": Bits(11, 16, 16),
    "dma_total_byte": Bits(11, 32, 32),
}

# Pool type to the factor by which it divides height and width. Types 8 and 9 are 2x2 windows with stride 1.
POOL_FACTOR = {0: 1, 1: 2, 2: 2, 3: 4, 4: 4, 5: 2, 6: 2, 7: 4, 8: 1, 9: 1}


class RowLayout(NamedTuple):
    """`groups` channels share a row; one image line takes `row_length` rows."""

    groups: int
    row_length: int

    @classmethod
    def of(cls, width: int) -> RowLayout:
        if width <= 16:
            return cls(4, 1)
        if width <= 32:
            return cls(2, 1)
        return cls(1, -(-width // 64))


def rows(channels: int, height: int, width: int) -> int:
    """64-byte rows of KPU RAM that a (c, h, w) map takes."""
    layout = RowLayout.of(width)
    return layout.row_length * height * -(-channels // layout.groups)


@dataclass(frozen=True)
class ConvShape:
    """Geometry of one KPU convolution: stride 1, padding kernel // 2, pooling behind the activation."""

    in_channels: int
    out_channels: int
    height: int
    width: int
    kernel: int  # 1 or 3
    depthwise: bool
    pool: int  # pool_type register

    @property
    def out_height(self) -> int:
        return self.height // POOL_FACTOR[self.pool]

    @property
    def out_width(self) -> int:
        return self.width // POOL_FACTOR[self.pool]

    @property
    def weights(self) -> int:
        """Number of weights, one byte each."""
        return self.kernel**2 * self.in_channels * (1 if self.depthwise else self.out_channels)

    @property
    def coefficients(self) -> int:
        """Output channels whose weights fit the KPU's weight buffer at once; 0 if not even one does."""
        if self.depthwise:
            return self.out_channels
        return min(self.out_channels, KERNEL_BUFFER // (self.kernel**2 * self.in_channels))

    @property
    def load_time(self) -> int:
        """How often the weight buffer is filled; the register holds at most 64."""
        return 1 if self.depthwise else math.ceil(self.out_channels / max(self.coefficients, 1))

    @property
    def multiply_adds(self) -> int:
        return self.weights * self.height * self.width


@dataclass(frozen=True)
class Quantisation:
    """Zero-point terms of the accumulator: sum x*w + (arg_x*sum x >> shr_x) + (arg_w*sum w >> shr_w) + arg_add*ic."""

    pad_value: int = 0
    arg_x: int = 0
    shr_x: int = 0
    arg_w: int = 0
    shr_w: int = 0
    arg_add: int = 0


def conv_registers(shape: ConvShape, source: int, target: int, quant: Quantisation) -> tuple[int, ...]:
    """The twelve words for a convolution from KPU row `source` to row `target`.

    The three memory addresses (weights, batch normalisation, activation) stay 0: the board's runtime fills them in.
    """
    into, out = RowLayout.of(shape.width), RowLayout.of(shape.out_width)
    out_pixels = shape.out_width * shape.out_height
    group = 1 if shape.depthwise else shape.coefficients
    return encode(
        {
            "depth_wise_layer": int(shape.depthwise),
            "image_src_addr": source,
            "image_dst_addr": target,
            "i_ch_num": shape.in_channels - 1,
            "o_ch_num": shape.out_channels - 1,
            "o_ch_num_coef": shape.coefficients - 1,
            "i_row_wid": shape.width - 1,
            "i_col_high": shape.height - 1,
            "o_row_wid": shape.out_width - 1,
            "o_col_high": shape.out_height - 1,
            "kernel_type": shape.kernel // 2,
            "pool_type": shape.pool,
            "load_para": 1,
            "dma_burst_size": 15,
            "pad_value": quant.pad_value,
            "load_coor": 1,
            "load_time": shape.load_time - 1,
            "para_size": shape.kernel**2 * shape.in_channels * group,
            "channel_switch_addr": into.row_length * shape.height,
            "row_switch_addr": into.row_length,
            "coef_group": into.groups,
            "load_act": 1,
            "wb_channel_switch_addr": out.row_length * shape.out_height,
            "wb_row_switch_addr": out.row_length,
            "wb_group": out.groups,
            "shr_w": quant.shr_w,
            "shr_x": quant.shr_x,
            "arg_w": quant.arg_w,
            "arg_x": quant.arg_x,
            "arg_add": quant.arg_add,
            "channel_byte_num": (out_pixels - 1) & 0xFFFF,  # read only when the result goes to main memory
            "dma_total_byte": out_pixels * shape.out_channels - 1,
        }
    )


def encode(fields: dict[str, int]) -> tuple[int, ...]:
    """Words from named fields; fields not given are 0. A value must fit its bits."""
    words = [0] * WORDS
    for name, value in fields.items():
        bits = FIELDS[name]
        low, high = (-(1 << bits.width - 1), 1 << bits.width - 1) if bits.signed else (0, 1 << bits.width)
        if not low <= value < high:
            raise ValueError(f"register field {name}: {value} does not fit {bits.width} bits")
        words[bits.word] |= (value & ((1 << bits.width) - 1)) << bits.low
    return tuple(words)


def decode(words: tuple[int, ...]) -> dict[str, int]:
    """Named fields from words; bits outside any field are dropped."""
    fields = {}
    for name, bits in FIELDS.items():
        value = words[bits.word] >> bits.low & ((1 << bits.width) - 1)
        if bits.signed and value >> (bits.width - 1):
            value -= 1 << bits.width
        fields[name] = value
    return fields
