"""Writes a model in the layout of TinyMaix's own tools/tflite2tmdl.py, little endian.

| head 64 | layer: head 48 | body | scales | weights | bias | layer … |      every part at a multiple of 8 bytes
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from services.trainer.convert.tinymaix.layers import (
    ADD_BODY,
    CONV_BODY,
    FC_BODY,
    HEAD_BYTES,
    MAGIC,
    MODEL_HEAD,
    MODEL_HEAD_BYTES,
    AddLayer,
    ConvLayer,
    FcLayer,
    FileLayer,
    Head,
    Kind,
    MdlType,
    Model,
    align,
    head_format,
)

__all__ = ["write"]


def write(model: Model) -> bytes:
    """The file's bytes. All numbers must fit their fields; `limits` and the reader see to that."""
    head = MODEL_HEAD.pack(
        MAGIC,
        model.mdl_type,
        model.out_deq,
        1,
        1,
        len(model.layers),
        model.buf_size,
        0,
        *model.in_dims,
        *model.out_dims,
    )
    return head.ljust(MODEL_HEAD_BYTES, b"\0") + b"".join(_layer(model.mdl_type, layer) for layer in model.layers)


def _layer(mdl_type: MdlType, layer: FileLayer) -> bytes:
    body = b""
    match layer:
        case ConvLayer():
            offsets, arrays = _arrays(HEAD_BYTES + CONV_BODY.size, layer.scales, layer.weight, layer.bias)
            kernel = layer.weight.shape[3], layer.weight.shape[2]
            depth_mul = int(layer.head.kind is Kind.DWCONV)
            body = CONV_BODY.pack(*kernel, *layer.stride, 1, 1, layer.act, *layer.pad, depth_mul, 0, *offsets) + arrays
        case FcLayer():
            offsets, arrays = _arrays(HEAD_BYTES + FC_BODY.size, layer.scales, layer.weight, layer.bias)
            body = FC_BODY.pack(*offsets, 0) + arrays
        case AddLayer():
            body = ADD_BODY[mdl_type].pack(layer.in_oft1, layer.in_s1, layer.in_zp1, 0)
        case _:
            pass
    return _head(mdl_type, layer.head, HEAD_BYTES + len(body)) + body


def _head(mdl_type: MdlType, head: Head, size: int) -> bytes:
    return head_format(mdl_type).pack(
        head.kind,
        head.is_out,
        size,
        head.in_oft,
        head.out_oft,
        *head.in_dims,
        *head.out_dims,
        head.in_s,
        head.in_zp,
        head.out_s,
        head.out_zp,
    )


def _arrays(start: int, *arrays: npt.NDArray[Any]) -> tuple[list[int], bytes]:
    """Offset of each array from the layer's first byte, and the padded bytes of all."""
    offsets, data = [], b""
    for array in arrays:
        offsets.append(start + len(data))
        raw = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
        data += raw.ljust(align(len(raw)), b"\0")
    return offsets, data
