"""The .bin of an AWNN int8 network: per Convolution or InnerProduct, in the order of the layers,

    +---------------+---------------------+---------------+--------------+---------------+------------------------+
    | u32 0x000D4B38| int8 weights        | u32 0x000D4438| int16 biases | u32 0x000D4438| int16 factors, 10 bits |
    +---------------+---------------------+---------------+--------------+---------------+------------------------+
    each part zero-padded to 4 bytes; biases only with key 24, factors (one per output channel) only with key 25

The weights lie in blocks of 8 output and 32 input channels, pixel by pixel of the kernel: [oc/8][ic/32][kh*kw][8][32];
blocks at the edge are smaller, not padded. An InnerProduct is a convolution whose kernel is the whole input map.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from services.trainer.convert.awnn.errors import malformed
from services.trainer.convert.awnn.shapes import Shape
from services.trainer.convert.ncnn_bin import has_weights, weight_shape
from services.trainer.convert.ncnn_text import ParamLayer

__all__ = ["BIAS_KEY", "FACTOR_BITS", "FACTOR_KEY", "IntWeights", "read_payload", "write_payload"]

TAG_INT8, TAG_INT16 = 0x000D4B38, 0x000D4438
BIAS_KEY, FACTOR_KEY = 24, 25
FACTOR_BITS = 10
ROWS, COLUMNS = 8, 32  # output and input channels of a block

Int8 = npt.NDArray[np.int8]
Int16 = npt.NDArray[np.int16]


@dataclass(frozen=True, eq=False)
class IntWeights:
    """weight (oc, ic, kh, kw) int8; bias (oc,) int16 or None; factor (oc,) int16 / 1024 per output channel or None."""

    weight: Int8
    bias: Int16 | None
    factor: Int16 | None


def write_payload(layers: Sequence[ParamLayer], weights: Mapping[str, IntWeights]) -> bytes:
    """The .bin for the layers' weights, by layer name."""
    return b"".join(_layer_bytes(weights[layer.name]) for layer in layers if has_weights(layer))


def read_payload(layers: Sequence[ParamLayer], shapes: Mapping[str, Shape], data: bytes) -> dict[str, IntWeights]:
    """The weights by layer name. Raises UnsupportedModel with the byte offset where `data` does not fit the layers."""
    found: dict[str, IntWeights] = {}
    offset = 0
    for layer in layers:
        if not has_weights(layer):
            continue
        if layer.name in found:
            raise layer.wrong("a second layer of that name", "Give every layer its own name.")
        found[layer.name], offset = _read_layer(layer, shapes[layer.inputs[0]], data, offset)
    if offset != len(data):
        raise malformed(".bin", offset, f"{len(data) - offset} bytes are left behind the last layer")
    return found


def _layer_bytes(weights: IntWeights) -> bytes:
    oc, ic = weights.weight.shape[:2]
    flat = weights.weight.reshape(oc, ic, -1)
    blocks = [flat[rows, columns].transpose(2, 0, 1).tobytes() for rows, columns in _blocks(oc, ic)]
    parts = [_part(TAG_INT8, b"".join(blocks))]
    parts += [_part(TAG_INT16, a.astype("<i2").tobytes()) for a in (weights.bias, weights.factor) if a is not None]
    return b"".join(parts)


def _part(tag: int, body: bytes) -> bytes:
    return struct.pack("<I", tag) + body + bytes(-len(body) % 4)


def _blocks(oc: int, ic: int) -> Iterator[tuple[slice, slice]]:
    for row in range(0, oc, ROWS):
        for column in range(0, ic, COLUMNS):
            yield slice(row, min(row + ROWS, oc)), slice(column, min(column + COLUMNS, ic))


def _read_layer(layer: ParamLayer, source: Shape, data: bytes, offset: int) -> tuple[IntWeights, int]:
    shape = weight_shape(layer)
    if layer.type == "InnerProduct":
        shape = (shape[0], *source)
        if layer.integer(2) != int(np.prod(shape, dtype=np.int64)):
            raise layer.wrong(
                f"{layer.integer(2)} weights do not fit {layer.integer(0)} outputs and the input {source}"
            )
    stored, offset = _read_part(layer, data, offset, TAG_INT8, np.dtype("i1"), int(np.prod(shape, dtype=np.int64)))
    flat = np.empty((shape[0], shape[1], int(np.prod(shape[2:]))), np.int8)
    at = 0
    for rows, columns in _blocks(shape[0], shape[1]):
        block = flat[rows, columns]
        size = block.size
        block[:] = stored[at : at + size].reshape(-1, block.shape[0], block.shape[1]).transpose(1, 2, 0)
        at += size
    more: list[Int16 | None] = []
    for key in (BIAS_KEY, FACTOR_KEY):
        values = None
        if layer.integer(key):
            values, offset = _read_part(layer, data, offset, TAG_INT16, np.dtype("<i2"), shape[0])
        more.append(values)
    return IntWeights(flat.reshape(shape), more[0], more[1]), offset


def _read_part(
    layer: ParamLayer, data: bytes, offset: int, tag: int, dtype: np.dtype[Any], count: int
) -> tuple[npt.NDArray[Any], int]:
    size = count * dtype.itemsize
    end = offset + 4 + (size + 3) // 4 * 4
    if end > len(data):
        raise malformed(".bin", offset, f"layer {layer.name} needs {end - offset} bytes, {len(data) - offset} are left")
    found = struct.unpack_from("<I", data, offset)[0]
    if found != tag:
        raise malformed(".bin", offset, f"layer {layer.name}: {found:#010x} stands where the tag {tag:#010x} belongs")
    return np.frombuffer(data, dtype, count, offset + 4).astype(dtype.newbyteorder("=")), end
