"""Weights in int8 or in float16, and what their rounding adds taken off the bias.

    float32 x ─► round(x * input_scale), -127 to 127 ─► whole-number sums ─► / (input_scale * weight_scale) + bias

One scale per output channel for the weights, one per layer for its input. The error of rounded weights has a mean,
which the mean of the input tells (Nagel et al., arXiv:1906.04721, section 4.2): it is taken off the float32 bias.
"""

from __future__ import annotations

import numpy as np

from services.trainer.convert.contract import ConvertOptions
from services.trainer.convert.ncnn.ranges import LEVELS, Float64
from services.trainer.convert.ncnn_bin import LayerWeights

__all__ = ["in_half", "in_int8"]

_FACTORS = np.linspace(0.6, 1.0, 21)  # of the largest weight, tried by weight_range="mse"
_SMALLEST = 1e-30  # keeps the scale of a channel of zeros finite


def in_half(weights: LayerWeights, mean: Float64, options: ConvertOptions) -> LayerWeights:
    """float32 weights rounded to float16, nearest; `mean` of the input as `Statistics.mean`, moved."""
    half = weights.weight.astype(np.float16)
    return _stored(weights, half, half.astype(np.float64), mean, options)


def in_int8(weights: LayerWeights, limit: float, mean: Float64, options: ConvertOptions) -> LayerWeights:
    """float32 weights in int8; input magnitudes up to `limit` get a code of their own."""
    flat = weights.weight.reshape(len(weights.weight), -1).astype(np.float64)
    scales = (LEVELS / _weight_limits(flat, options)).astype(np.float32)
    codes = np.clip(np.rint(flat * scales[:, None]), -LEVELS, LEVELS)
    exact = (codes / scales[:, None].astype(np.float64)).reshape(weights.weight.shape)
    stored = _stored(weights, codes.astype(np.int8).reshape(weights.weight.shape), exact, mean, options)
    return LayerWeights(stored.weight, stored.bias, scales, float(np.float32(LEVELS / limit)))


def _stored(
    weights: LayerWeights, stored: np.ndarray, exact: Float64, mean: Float64, options: ConvertOptions
) -> LayerWeights:
    bias = np.zeros(len(stored)) if weights.bias is None else weights.bias.astype(np.float64)
    if options.bias_correction:
        bias = bias - _mean_error(exact - weights.weight, mean)
    return LayerWeights(stored, bias.astype(np.float32))


def _weight_limits(flat: Float64, options: ConvertOptions) -> Float64:
    """The magnitude of each output channel that becomes 127; 1 for a channel of zeros."""
    peaks: Float64 = np.abs(flat).max(1)
    peaks[peaks < _SMALLEST] = 1.0
    if options.weight_range == "max":
        return peaks
    errors = []
    for factor in _FACTORS:
        step = (peaks * factor / LEVELS)[:, None]
        errors.append(np.square(flat - step * np.clip(np.rint(flat / step), -LEVELS, LEVELS)).sum(1))
    limits: Float64 = peaks * _FACTORS[np.argmin(errors, axis=0)]
    return limits


def _mean_error(error: Float64, mean: Float64) -> Float64:
    """What the errors (oc, ic/groups, kh, kw) or (outputs, inputs) add to each output for an average input."""
    if error.ndim == 2:
        return np.asarray(error @ mean.reshape(-1))
    channels, sums = mean.mean((1, 2)), error.sum((2, 3))
    depthwise = error.shape[1] == 1 and len(channels) == len(error)
    return np.asarray(sums[:, 0] * channels if depthwise else sums @ channels)
