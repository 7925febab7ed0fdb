"""A .tmdl file as Python objects. Source of names, numbers and layouts: TinyMaix include/tinymaix.h.

Maps lie in one buffer as HWC; `dims` is (number of dimensions, h, w, c). real = scale*(q - zero point), int8 only.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = [
    "ADD_BODY",
    "ALIGN",
    "CONV_BODY",
    "FC_BODY",
    "HEAD_BYTES",
    "MAGIC",
    "MODEL_HEAD",
    "MODEL_HEAD_BYTES",
    "Act",
    "AddLayer",
    "ConvLayer",
    "Dims",
    "FcLayer",
    "FileLayer",
    "Head",
    "Kind",
    "MdlType",
    "Model",
    "PlainLayer",
    "Preprocess",
    "align",
    "elements",
    "head_format",
    "sound_scale",
]

Dims = tuple[int, int, int, int]
Floats = npt.NDArray[np.float32]

MAGIC = b"MAIX"
ALIGN = 8
MODEL_HEAD = struct.Struct("<4sBBHHHII4H4H")  # then 28 reserved bytes
MODEL_HEAD_BYTES = 64
HEAD_BYTES = 48
CONV_BODY = struct.Struct("<4B2BH4BIIIII")  # kernel and stride (w, h), dilation, act, pad, depth_mul, 0, three offsets
FC_BODY = struct.Struct("<IIII")  # offsets of scales, weights, bias; 0
ADD_BODY = {0: struct.Struct("<Ifii"), 2: struct.Struct("<Iffi")}  # by MdlType: offset, scale, zero point, 0


class MdlType(IntEnum):
    INT8 = 0
    FP32 = 2


class Kind(IntEnum):
    CONV = 0
    GAP = 1
    FC = 2
    SOFTMAX = 3
    RESHAPE = 4
    DWCONV = 5
    ADD = 6


class Act(IntEnum):
    """relu1, tanh and sign bit have numbers too; TinyMaix takes them and does nothing."""

    NONE = 0
    RELU = 1
    RELU6 = 3


class Preprocess(IntEnum):
    """How `tm_preprocess` turns a camera's byte into the network's input."""

    UINT2INT = 2  # u8 - 128
    UINT2FP01 = 3  # u8/255
    UINT2FPN11 = 4  # (u8 - 128)/128


@dataclass(frozen=True)
class Head:
    """What every layer begins with. Offsets are bytes in the buffer; zero points are floats in fp32 files."""

    kind: Kind
    is_out: bool
    in_oft: int
    out_oft: int
    in_dims: Dims
    out_dims: Dims
    in_s: float = 1.0
    in_zp: float = 0
    out_s: float = 1.0
    out_zp: float = 0


@dataclass(frozen=True, eq=False)
class ConvLayer:
    """Convolution (weight oc, ic, kh, kw) or depthwise (c, 1, kh, kw). `pad` is top, bottom, left, right."""

    head: Head
    stride: tuple[int, int]  # (w, h)
    act: Act
    pad: tuple[int, int, int, int]
    weight: npt.NDArray[Any]  # int8 or float32
    bias: npt.NDArray[Any]  # int32 with the input's zero point fused in, or float32
    scales: Floats  # (oc,), int8 only


@dataclass(frozen=True, eq=False)
class FcLayer:
    """Weight (out, in). In int8 files TinyMaix reads only the first scale."""

    head: Head
    weight: npt.NDArray[Any]
    bias: npt.NDArray[Any]
    scales: Floats


@dataclass(frozen=True)
class AddLayer:
    head: Head
    in_oft1: int
    in_s1: float = 1.0
    in_zp1: float = 0


@dataclass(frozen=True)
class PlainLayer:
    """Global average pooling, softmax or reshape: nothing but the head."""

    head: Head


FileLayer = ConvLayer | FcLayer | AddLayer | PlainLayer


@dataclass(frozen=True, eq=False)
class Model:
    """`sources`: for every layer the layers it reads, -1 is the image; the reader finds them from the offsets."""

    mdl_type: MdlType
    out_deq: bool
    buf_size: int
    in_dims: Dims
    out_dims: Dims
    layers: tuple[FileLayer, ...]
    sources: tuple[tuple[int, ...], ...] = ()
    starts: tuple[int, ...] = ()  # byte offset of every layer in the file it was read from

    @property
    def unit(self) -> int:
        """Bytes of one element of a map."""
        return 1 if self.mdl_type is MdlType.INT8 else 4

    @property
    def preprocess(self) -> Preprocess:
        """int8 files take u8 - 128; in fp32 files, where TinyMaix ignores scales, the first head's scale says it."""
        if self.mdl_type is MdlType.INT8:
            return Preprocess.UINT2INT
        first = self.layers[0].head
        return Preprocess.UINT2FPN11 if (first.in_s, first.in_zp) == (1 / 128, 128) else Preprocess.UINT2FP01


def head_format(mdl_type: MdlType) -> struct.Struct:
    """kind, is_out, size, in_oft, out_oft, in_dims, out_dims, in_s, in_zp, out_s, out_zp."""
    zero_point = "i" if mdl_type is MdlType.INT8 else "f"
    return struct.Struct(f"<HHIII4H4Hf{zero_point}f{zero_point}")


def elements(dims: Dims) -> int:
    return dims[1] * dims[2] * dims[3]


def sound_scale(scale: float) -> bool:
    """Scales of this size cannot make a float32 overflow into a NaN; a real one is far from both ends."""
    return math.isfinite(scale) and 1e-15 <= abs(scale) <= 1e15


def align(size: int) -> int:
    return (size + ALIGN - 1) // ALIGN * ALIGN
