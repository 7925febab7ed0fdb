"""TinyMaix's convolution pixel by pixel in whole numbers and single float32 steps, as the C code is written."""

from __future__ import annotations

import numpy as np

from services.trainer.convert.tinymaix.layers import Act, ConvLayer, Kind


def conv_pixel(layer: ConvLayer, x: np.ndarray, y: int, column: int, channel: int) -> int:
    """One int8 output of `layer` on x (h, w, c): tm_layers.c, then tm_postprocess_sum."""
    head = layer.head
    kernel = layer.weight[channel]
    total = 0
    for ic in range(kernel.shape[0]):
        source = channel if head.kind is Kind.DWCONV else ic
        for ky in range(kernel.shape[1]):
            for kx in range(kernel.shape[2]):
                at_y, at_x = y * layer.stride[1] - layer.pad[0] + ky, column * layer.stride[0] - layer.pad[2] + kx
                inside = 0 <= at_y < x.shape[0] and 0 <= at_x < x.shape[1]
                total += int(kernel[ic, ky, kx]) * (int(x[at_y, at_x, source]) if inside else int(head.in_zp))
    value = np.float32(total + int(layer.bias[channel])) * (layer.scales[channel] * np.float32(head.in_s))
    if layer.act is not Act.NONE:
        value = max(value, np.float32(0))
    if layer.act is Act.RELU6:
        value = min(value, np.float32(6))
    result = int(value * (np.float32(1) / np.float32(head.out_s)) + np.float32(head.out_zp))  # int() cuts towards zero
    return (result + 128) % 256 - 128
