"""The weights half of an ncnn model, the .bin: what Convolution, ConvolutionDepthWise and InnerProduct store.

+----------+-------------------------+---------------+----------------------------------------+
| u32 tag  | weights, padded to 4 B  | float32 bias  | int8 only: float32 scales              |
+----------+-------------------------+---------------+----------------------------------------+
tag 0: float32   0x01306B47: float16   0x000D4B38: int8      (ncnn, src/modelbin.cpp)
scales: one per output channel (per group when depthwise), one of the input, and one of the output when parameter 8
is above 100 (src/layer/convolution.cpp, convolutiondepthwise.cpp, innerproduct.cpp)
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from services.common.errors import UnsupportedModel
from services.trainer.convert.ncnn_text import ParamLayer

__all__ = ["LayerWeights", "has_weights", "kernel_of", "read_weights", "weight_shape", "write_weights"]

TAGS: dict[int, np.dtype[Any]] = {0: np.dtype("<f4"), 0x01306B47: np.dtype("<f2"), 0x000D4B38: np.dtype("i1")}
TAG_OF = {dtype: tag for tag, dtype in TAGS.items()}
CONVOLUTIONS = ("Convolution", "ConvolutionDepthWise")
# Layers that store something else, after which the reader would have lost its place.
OTHER_WEIGHTS = {
    *("BatchNorm", "Bias", "Scale", "Normalize", "GroupNorm", "InstanceNorm", "LayerNorm", "PReLU", "MemoryData"),
    *("Deconvolution", "DeconvolutionDepthWise", "Convolution1D", "Convolution3D", "Embed", "Gemm"),
    *("GRU", "LSTM", "RNN", "MultiHeadAttention"),
}
MAX_SIDE = 1 << 20  # channels, outputs: keeps hostile numbers small enough to multiply

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class LayerWeights:
    """Weights (oc, ic/groups, kh, kw) or (outputs, inputs) in float32, float16 or int8; bias (oc,) or None.

    int8 only: `weight_scales` (oc,) or one per group, `input_scale`, `output_scale` (0 when not stored); values are
    round(float * scale).
    """

    weight: npt.NDArray[Any]
    bias: Floats | None = None
    weight_scales: Floats | None = None
    input_scale: float = 0.0
    output_scale: float = 0.0


def has_weights(layer: ParamLayer) -> bool:
    return layer.type in (*CONVOLUTIONS, "InnerProduct")


def kernel_of(layer: ParamLayer) -> tuple[int, int]:
    """(kh, kw) of a convolution or a pooling; the height has parameter 11 when it differs."""
    width = layer.integer(1)
    return layer.integer(11, width), width


def weight_shape(layer: ParamLayer) -> tuple[int, ...]:
    """Shape that the layer's parameters give its weights. Raises UnsupportedModel when they contradict each other."""
    outputs, size = layer.integer(0), layer.integer(2 if layer.type == "InnerProduct" else 6)
    if not 1 <= outputs <= MAX_SIDE or size < 1:
        raise layer.wrong(f"{outputs} outputs and {size} weights")
    inner: tuple[int, ...] = ()
    if layer.type in CONVOLUTIONS:
        inner = kernel_of(layer)
        if not all(1 <= side <= 255 for side in inner):
            raise layer.wrong(f"a kernel of {inner[0]} x {inner[1]}")
    per_input = outputs * int(np.prod(inner, dtype=np.int64))
    if size % per_input:
        raise layer.wrong(f"{size} weights cannot be shared among {outputs} outputs and a kernel {inner}")
    return outputs, size // per_input, *inner


def read_weights(layers: Sequence[ParamLayer], data: bytes) -> dict[str, LayerWeights]:
    """The weights by layer name. Raises UnsupportedModel with the byte offset where the .bin does not fit them."""
    found: dict[str, LayerWeights] = {}
    offset = 0
    for layer in layers:
        if layer.type in OTHER_WEIGHTS:
            raise layer.wrong("its weights are not read here", "Fold it into the convolution before it.")
        if not has_weights(layer):
            continue
        if layer.name in found:
            raise layer.wrong("a second layer of that name", "Give every layer its own name.")
        found[layer.name], offset = _read_layer(layer, data, offset)
    if offset != len(data):
        raise _malformed(offset, f"{len(data) - offset} bytes are left behind the last layer")
    return found


def write_weights(layers: Sequence[ParamLayer], weights: Mapping[str, LayerWeights]) -> bytes:
    """The .bin for `layers`, whose parameters must describe `weights`."""
    return b"".join(_layer_bytes(layer, weights[layer.name]) for layer in layers if has_weights(layer))


def _read_layer(layer: ParamLayer, data: bytes, offset: int) -> tuple[LayerWeights, int]:
    if offset + 4 > len(data):
        raise _malformed(offset, f"the file ends before the weights of layer {layer.name}")
    tag = struct.unpack_from("<I", data, offset)[0]
    if tag not in TAGS:
        raise _malformed(offset, f"layer {layer.name}: weights with the tag {tag:#010x} are not known")
    shape = weight_shape(layer)
    weight, offset = _array(data, offset + 4, layer, TAGS[tag], int(np.prod(shape, dtype=np.int64)))
    bias, term = None, layer.integer(1 if layer.type == "InnerProduct" else 5)
    if term:
        bias, offset = _array(data, offset, layer, np.dtype("<f4"), shape[0])
    term = layer.integer(8) if weight.dtype == np.int8 else 0
    scales = None
    ends = [0.0, 0.0]
    if term:
        scales, offset = _array(data, offset, layer, np.dtype("<f4"), _scale_count(layer, shape[0]))
        for i in range(2 if term > 100 else 1):
            value, offset = _array(data, offset, layer, np.dtype("<f4"), 1)
            ends[i] = float(value[0])
    return LayerWeights(weight.reshape(shape), bias, scales, *ends), offset


def _scale_count(layer: ParamLayer, outputs: int) -> int:
    if layer.type != "ConvolutionDepthWise":
        return outputs
    groups = layer.integer(7, 1)
    if not 1 <= groups <= outputs:
        raise layer.wrong(f"{groups} groups for {outputs} outputs")
    return 1 if layer.integer(8) in (2, 102) else groups


def _array(
    data: bytes, offset: int, layer: ParamLayer, dtype: np.dtype[Any], count: int
) -> tuple[npt.NDArray[Any], int]:
    """`count` values at `offset`, and the offset behind them, a multiple of 4 from the start."""
    size = count * dtype.itemsize
    padded = (size + 3) // 4 * 4
    if offset + padded > len(data):
        raise _malformed(offset, f"layer {layer.name} needs {padded} bytes, {len(data) - offset} are left")
    return np.frombuffer(data, dtype, count, offset).astype(dtype.newbyteorder("=")), offset + padded


def _layer_bytes(layer: ParamLayer, weights: LayerWeights) -> bytes:
    stored = weights.weight.dtype.newbyteorder("<") if weights.weight.dtype.itemsize > 1 else weights.weight.dtype
    if weights.weight.shape != weight_shape(layer) or stored not in TAG_OF:
        raise layer.wrong(f"weights {weights.weight.dtype} {weights.weight.shape} do not fit its parameters")
    body = weights.weight.astype(stored).tobytes()
    parts = [struct.pack("<I", TAG_OF[stored]), body, bytes(-len(body) % 4)]
    if weights.bias is not None:
        parts.append(weights.bias.astype("<f4").tobytes())
    if weights.weight_scales is not None:
        ends = [weights.input_scale, weights.output_scale] if layer.integer(8) > 100 else [weights.input_scale]
        parts += [weights.weight_scales.astype("<f4").tobytes(), np.asarray(ends, "<f4").tobytes()]
    return b"".join(parts)


def _malformed(offset: int, what: str) -> UnsupportedModel:
    fix = "Give the .bin that belongs to this .param; one of them is damaged."
    return UnsupportedModel("NCNN_BIN", f".bin: {what} (byte {offset}).", fix=fix, offset=str(offset))
