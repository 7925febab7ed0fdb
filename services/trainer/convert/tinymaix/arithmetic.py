"""TinyMaix's arithmetic on numpy arrays, int8 bit for bit. Source: src/tm_layers.c, src/arch_cpu.h, tinymaix.h.

Maps are (n, h, w, c). An int8 result is a float32 that C casts to int8: the fraction is cut off towards zero, and
nothing saturates: 128 becomes -128. Every step below is one float32 operation of the C code, in its order; a compiler
that fuses multiplication and addition (FMA chips) can differ where a value falls exactly on a whole number.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from services.trainer.convert.tinymaix.layers import Act

__all__ = [
    "Bytes",
    "Floats",
    "activate",
    "add",
    "average",
    "connect",
    "convolve",
    "dequantise",
    "requantise",
    "softmax",
    "to_int8",
]

Bytes = npt.NDArray[np.int8]
Floats = npt.NDArray[np.float32]
Sums = npt.NDArray[np.floating[Any]]

EXACT_FLOAT32 = 1 << 24  # whole numbers below this are exact in float32
SOFTMAX_GUARD = np.float32(0.000001)  # tm_layers.c keeps 1.0 from becoming 256


def convolve(
    x: npt.NDArray[Any],
    weight: npt.NDArray[Any],
    depthwise: bool,
    stride: tuple[int, int],
    pad: tuple[int, int, int, int],
    pad_value: float = 0,
) -> Sums:
    """Sums (n, oh, ow, oc) without bias. `stride` is (w, h), `pad` top, bottom, left, right.

    int8 in: whole numbers, exact, as float32 where they are small enough and as float64 otherwise.
    """
    kh, kw = weight.shape[2:]
    dtype = _exact_dtype(weight) if x.dtype == np.int8 else x.dtype
    padded = np.pad(x, ((0, 0), pad[:2], pad[2:], (0, 0)), constant_values=pad_value) if any(pad) else x
    n, height, width, channels = padded.shape
    oh, ow = (height - kh) // stride[1] + 1, (width - kw) // stride[0] + 1
    sums = np.zeros((n, oh, ow, len(weight)), dtype)
    for ky in range(kh):
        for kx in range(kw):
            rows = slice(ky, ky + stride[1] * (oh - 1) + 1, stride[1])
            columns = slice(kx, kx + stride[0] * (ow - 1) + 1, stride[0])
            part = padded[:, rows, columns].astype(dtype)
            tap = weight[:, :, ky, kx].astype(dtype)
            if depthwise:
                part *= tap[:, 0]
                sums += part
            else:
                sums += (part.reshape(-1, channels) @ tap.T).reshape(sums.shape)
    return sums


def _exact_dtype(weight: npt.NDArray[Any]) -> type[np.floating[Any]]:
    largest = 128 * np.abs(weight.astype(np.int64)).reshape(len(weight), -1).sum(1).max()
    return np.float32 if largest < EXACT_FLOAT32 else np.float64


def requantise(
    sums: Sums, bias: npt.NDArray[Any], scales: Floats, in_s: float, act: Act, out_s: float, out_zp: float
) -> Bytes:
    """`tm_postprocess_sum` of a convolution; sums (…, oc), bias int32 (oc,), weight scales float32 (oc,)."""
    with np.errstate(all="ignore"):  # a hostile file may overflow float32 here, as C does
        y = (sums.astype(np.float64) + bias).astype(np.float32)
        y *= scales * np.float32(in_s)
        if act is not Act.NONE:
            np.maximum(y, np.float32(0), out=y)
        if act is Act.RELU6:
            np.minimum(y, np.float32(6), out=y)
        y *= np.float32(1) / np.float32(out_s)
        y += np.float32(out_zp)
        return to_int8(y)


def to_int8(y: Floats) -> Bytes:
    """C's cast: cut towards zero, then the lowest byte; out of an int's range gives 0, as x86 does."""
    fits = np.abs(y) < np.float32(2**31)
    if fits.all():
        return y.astype(np.int32).astype(np.int8)
    return np.where(fits, y, np.float32(0)).astype(np.int32).astype(np.int8)


def activate(y: Floats, act: Act) -> Floats:
    """fp32: ReLU6 is ReLU there (arch_cpu.h: "treat relu6 as relu in float mode")."""
    return y if act is Act.NONE else np.maximum(y, np.float32(0))


def average(x: npt.NDArray[Any], in_s: float, in_zp: float, out_s: float, out_zp: float) -> npt.NDArray[Any]:
    """Global average pooling to (n, 1, 1, c). int8: the mean is cut towards zero before anything else happens."""
    count = x.shape[1] * x.shape[2]
    if x.dtype != np.int8:
        return np.asarray(x.sum((1, 2), keepdims=True, dtype=np.float32) / np.float32(count), np.float32)
    sums = x.sum((1, 2), keepdims=True, dtype=np.int64)
    means = np.sign(sums) * (np.abs(sums) // count)
    with np.errstate(all="ignore"):
        y = (means - int(in_zp)).astype(np.float32) * np.float32(in_s) / np.float32(out_s) + np.float32(out_zp)
        return to_int8(y)


def connect(
    x: npt.NDArray[Any],
    weight: npt.NDArray[Any],
    bias: npt.NDArray[Any],
    scale: float,
    in_s: float,
    out_s: float,
    out_zp: float,
) -> npt.NDArray[Any]:
    """Fully connected, (n, 1, 1, in) to (n, 1, 1, out)."""
    flat = x.reshape(len(x), 1, 1, -1)
    if x.dtype != np.int8:
        return np.asarray(flat @ weight.T + bias, np.float32)
    sums = flat.astype(np.float64) @ weight.T.astype(np.float64) + bias
    with np.errstate(all="ignore"):
        y = sums.astype(np.float32) * np.float32(in_s) * np.float32(scale) / np.float32(out_s) + np.float32(out_zp)
        return to_int8(y)


def add(
    a: npt.NDArray[Any],
    b: npt.NDArray[Any],
    a_levels: tuple[float, float],
    b_levels: tuple[float, float],
    out: tuple[float, float],
) -> npt.NDArray[Any]:
    """Sum of two maps; the levels are (scale, zero point)."""
    if a.dtype != np.int8:
        return np.asarray(a + b, np.float32)
    with np.errstate(all="ignore"):
        y = dequantise(a, *a_levels) + dequantise(b, *b_levels)
        return to_int8(y / np.float32(out[0]) + np.float32(out[1]))


def dequantise(q: Bytes, scale: float, zero_point: float) -> Floats:
    return np.asarray((q.astype(np.int32) - int(zero_point)).astype(np.float32) * np.float32(scale), np.float32)


def softmax(x: npt.NDArray[Any], in_s: float, in_zp: float, out_s: float, out_zp: float) -> npt.NDArray[Any]:
    """Over the channels; the exponential in double, as C's `exp`, everything else in float32."""
    y = dequantise(x, in_s, in_zp) if x.dtype == np.int8 else x
    with np.errstate(all="ignore"):
        powers = np.exp((y - y.max(-1, keepdims=True)).astype(np.float64)).astype(np.float32)
        total = np.cumsum(powers, -1, dtype=np.float32)[..., -1:]
        shares = (powers - SOFTMAX_GUARD) / total
        return shares if x.dtype != np.int8 else to_int8(shares / np.float32(out_s) + np.float32(out_zp))
