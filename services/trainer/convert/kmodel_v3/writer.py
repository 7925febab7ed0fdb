"""Writes a kmodel V3 file, byte for byte as nncase 0.1.0-rc5 lays it out.

header 28 B: version 3 | flags (bit 0: 8-bit weights) | arch 0 | layers | lowest KPU row | main memory | outputs
outputs 8 B each: address | size                   layer headers 8 B each: type | body size
bodies, each padded to a file offset that is a multiple of 8:
    K210_CONV: flags | output | offsets of  registers  @8 (96 B)
                                            weights    @128
                                            norm       @128 (8 B a channel)
                                            activation @256 (144 B)
"""

from __future__ import annotations

import struct

import numpy as np

from services.trainer.convert.kmodel_v3.layers import KModel, KpuConv, Layer

__all__ = ["CONV_HEAD", "HEADER", "norm_words", "write"]

HEADER = struct.Struct("<7I")
PAIR = struct.Struct("<2I")
CONV_HEAD = struct.Struct("<6I")
VERSION, EIGHT_BIT_WEIGHTS, ARCH_K210 = 3, 1, 0


def write(model: KModel) -> bytes:
    out = bytearray(
        HEADER.pack(
            VERSION, EIGHT_BIT_WEIGHTS, ARCH_K210,
            len(model.layers), model.lowest_row, model.main_memory, len(model.outputs),
        )
    )  # fmt: skip
    for output in model.outputs:
        out += PAIR.pack(output.address, output.size)
    headers = len(out)
    out += bytes(PAIR.size * len(model.layers))
    for i, layer in enumerate(model.layers):
        start = len(out)
        _append(out, layer)
        _align(out, 8)
        PAIR.pack_into(out, headers + PAIR.size * i, layer.TYPE, len(out) - start)
    return bytes(out) + model.trailing


def norm_words(conv: KpuConv) -> bytes:
    """u64 of a channel: norm_mul 24 bits @0 (signed) | norm_add 32 bits @24 (signed) | norm_shift 4 bits @56."""
    mask24, mask32 = np.uint64((1 << 24) - 1), np.uint64((1 << 32) - 1)
    words = conv.norm_mul.view(np.uint64) & mask24
    words |= (conv.norm_add.view(np.uint64) & mask32) << np.uint64(24)
    words |= conv.norm_shift.view(np.uint64) << np.uint64(56)
    return words.astype("<u8").tobytes()


def _append(out: bytearray, layer: Layer) -> None:
    if isinstance(layer, KpuConv):
        _append_conv(out, layer)
    else:
        out += layer.to_bytes()


def _append_conv(out: bytearray, conv: KpuConv) -> None:
    head = len(out)
    out += bytes(CONV_HEAD.size)
    offsets = []
    for alignment, data in (
        (8, struct.pack("<12Q", *conv.registers())),
        (128, conv.weights.tobytes()),
        (128, norm_words(conv)),
        (256, conv.activation.to_bytes()),
    ):
        _align(out, alignment)
        offsets.append(len(out))
        out += data
    CONV_HEAD.pack_into(out, head, conv.flags, conv.output, *offsets)


def _align(out: bytearray, alignment: int) -> None:
    out += bytes(-len(out) % alignment)
