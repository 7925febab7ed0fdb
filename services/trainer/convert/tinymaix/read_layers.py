"""Bodies of the layers that carry numbers: convolution, fully connected, addition."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from services.trainer.convert.tinymaix.errors import malformed, truncated
from services.trainer.convert.tinymaix.layers import (
    ADD_BODY,
    CONV_BODY,
    FC_BODY,
    HEAD_BYTES,
    Act,
    AddLayer,
    ConvLayer,
    FcLayer,
    Floats,
    Head,
    Kind,
    MdlType,
    align,
    sound_scale,
)

__all__ = ["MAX_KERNEL", "MAX_PADDED", "read_add", "read_conv", "read_fc"]

MAX_KERNEL = 15  # a side; a stock tm_port.h takes 25 weights in all
MAX_PADDED = 32 << 20  # elements of a map with its border
INT32_MAX = 2**31 - 1


def read_conv(body: memoryview, at: int, head: Head, mdl_type: MdlType) -> ConvLayer:
    """`body` is the whole layer, `at` its offset in the file."""
    if len(body) < HEAD_BYTES + CONV_BODY.size:
        raise truncated(at, HEAD_BYTES + CONV_BODY.size, "a convolution")
    fields = CONV_BODY.unpack_from(body, HEAD_BYTES)
    kernel_w, kernel_h, stride_w, stride_h, dilation_w, dilation_h, act, *rest = fields
    top, bottom, left, right, depth_mul, reserved, *offsets = rest
    depthwise = head.kind is Kind.DWCONV
    where = at + HEAD_BYTES
    if not (1 <= kernel_w <= MAX_KERNEL and 1 <= kernel_h <= MAX_KERNEL) or min(stride_w, stride_h) < 1:
        raise malformed(where, f"kernel {kernel_h}x{kernel_w} with stride {stride_h}x{stride_w}")
    if (dilation_w, dilation_h) != (1, 1):
        raise malformed(where + 4, "a dilated convolution, which TinyMaix refuses")
    if act not in tuple(Act):
        raise malformed(where + 6, f"activation {act}; TinyMaix knows none (0), relu (1) and relu6 (3)")
    if max(top, bottom) >= kernel_h or max(left, right) >= kernel_w:
        raise malformed(where + 8, f"padding {(top, bottom, left, right)} for a kernel of {kernel_h}x{kernel_w}")
    if depth_mul != depthwise or reserved:
        what = (
            f"depth multiplier {depth_mul} for a {head.kind.name}; only 1 for depthwise and 0 otherwise are supported"
        )
        raise malformed(where + 12, what, fix="Convert the network with Boardloop.")
    if kernel_w * kernel_h == 1 and depthwise:
        raise malformed(where, "a depthwise 1x1 convolution, which TinyMaix refuses")
    _check_sizes(at, head, (kernel_h, kernel_w), (stride_h, stride_w), (top + bottom, left + right))
    into = 1 if depthwise else head.in_dims[3]
    shape = head.out_dims[3], into, kernel_h, kernel_w
    scales, weight, bias = _arrays(body, at, HEAD_BYTES + CONV_BODY.size, offsets, shape, mdl_type)
    pad = top, bottom, left, right
    return ConvLayer(head, (stride_w, stride_h), Act(act), pad, weight, bias, scales)


def _check_sizes(
    at: int, head: Head, kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int]
) -> None:
    padded = [size + pad for size, pad in zip(head.in_dims[1:3], padding, strict=True)]
    wanted = tuple((size - k) // s + 1 for size, k, s in zip(padded, kernel, stride, strict=True))
    if head.out_dims[1:3] != wanted:
        raise malformed(at + 24, f"a map of {head.out_dims[1:3]}; this convolution gives {wanted}")
    if head.kind is Kind.DWCONV and head.in_dims[3] != head.out_dims[3]:
        raise malformed(at + 24, f"a depthwise layer from {head.in_dims[3]} to {head.out_dims[3]} channels")
    if padded[0] * padded[1] * head.in_dims[3] > MAX_PADDED:
        raise malformed(at + 16, f"a map of {padded[0]}x{padded[1]}x{head.in_dims[3]} with its border")


def read_fc(body: memoryview, at: int, head: Head, mdl_type: MdlType) -> FcLayer:
    if len(body) < HEAD_BYTES + FC_BODY.size:
        raise truncated(at, HEAD_BYTES + FC_BODY.size, "a fully connected layer")
    *offsets, reserved = FC_BODY.unpack_from(body, HEAD_BYTES)
    if reserved or head.in_dims[1:3] != (1, 1) or head.out_dims[1:3] != (1, 1):
        raise malformed(at + 16, f"a fully connected layer from {head.in_dims[1:]} to {head.out_dims[1:]}")
    shape = head.out_dims[3], head.in_dims[3]
    scales, weight, bias = _arrays(body, at, HEAD_BYTES + FC_BODY.size, offsets, shape, mdl_type)
    return FcLayer(head, weight, bias, scales)


def read_add(body: memoryview, at: int, head: Head, mdl_type: MdlType) -> AddLayer:
    layout = ADD_BODY[mdl_type]
    if len(body) != HEAD_BYTES + layout.size:
        raise malformed(at + 4, f"an addition of {len(body)} bytes; it has {HEAD_BYTES + layout.size}")
    offset, scale, zero_point, reserved = layout.unpack_from(body, HEAD_BYTES)
    if head.in_dims[1:] != head.out_dims[1:] or reserved:
        raise malformed(at + 24, f"an addition from {head.in_dims[1:]} to {head.out_dims[1:]}")
    if scale < 0 or not sound_scale(scale):
        raise malformed(at + HEAD_BYTES + 4, f"a scale of {scale}; it must be positive, 1e-15 to 1e15")
    if not math.isfinite(zero_point) or (mdl_type is MdlType.INT8 and not -128 <= zero_point <= 127):
        raise malformed(at + HEAD_BYTES + 8, f"a zero point of {zero_point}")
    return AddLayer(head, offset, scale, zero_point)


def _arrays(
    body: memoryview, at: int, start: int, offsets: list[int], shape: tuple[int, ...], mdl_type: MdlType
) -> tuple[Floats, npt.NDArray[Any], npt.NDArray[Any]]:
    """Scales, weights and bias, which must lie one after the other from `start` to the end of the layer."""
    int8 = mdl_type is MdlType.INT8
    count = math.prod(shape)
    parts: tuple[tuple[int, str], ...] = (
        (shape[0] if int8 else 0, "<f4"),
        (count, "<i1" if int8 else "<f4"),
        (shape[0], "<i4" if int8 else "<f4"),
    )
    arrays: list[npt.NDArray[Any]] = []
    for (size, dtype), offset in zip(parts, offsets, strict=True):
        end = start + size * np.dtype(dtype).itemsize
        if offset != start:
            raise malformed(at, f"an array at {offset} of its layer; it must lie at {start}")
        if align(end) > len(body):
            raise truncated(at + start, align(end) - start, "the weights of a layer")
        if any(body[end : align(end)]):
            raise malformed(at + end, "bytes between two arrays are not 0")
        arrays.append(np.frombuffer(body[start:end], dtype))
        start = align(end)
    if start != len(body):
        raise malformed(at + start, f"{len(body) - start} bytes behind the weights of a layer")
    scales, weight, bias = arrays
    _check_numbers(at, scales, weight.reshape(shape), bias, int8)
    return scales, weight.reshape(shape), bias


def _check_numbers(at: int, scales: Floats, weight: npt.NDArray[Any], bias: npt.NDArray[Any], int8: bool) -> None:
    if not int8:
        if not (np.isfinite(weight).all() and np.isfinite(bias).all()):
            raise malformed(at, "weights or biases that are not numbers")
        return
    if not (np.isfinite(scales).all() and (np.abs(scales) < 1e15).all()):
        raise malformed(at, "weight scales that are not numbers")
    sums = 128 * np.abs(weight.astype(np.int64)).reshape(len(weight), -1).sum(1) + np.abs(bias.astype(np.int64))
    if sums.max() > INT32_MAX:
        raise malformed(at, "sums that can overflow 32 bits")
