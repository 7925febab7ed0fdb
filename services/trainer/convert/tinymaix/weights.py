"""int8 weights with one scale per output channel, rounded so that their errors cancel on real inputs.

Rounding every weight to the nearest is not the best: inputs are alike (neighbouring pixels, correlated channels), so
the error of one weight can be made good by the next ones. With the inputs' covariance H the weights of a channel are
rounded one after the other, and each error goes over to the weights still to come, H^-1 saying how much: optimal brain
quantisation in the order of the weights (Frantar et al., GPTQ, arXiv:2210.17323, algorithm 1).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

__all__ = ["MAX_INPUTS", "covariance", "quantise_weights"]

Doubles = npt.NDArray[np.float64]
HIGHEST = 127
CLIPS = np.linspace(0.6, 1.0, 17)  # shares of the largest weight that "mse" tries
MAX_INPUTS = 1280  # of one output, for covariances: their inverse takes the cube of it
SAMPLES = 12_000  # input windows that a covariance is taken from
DAMPING = 0.01  # of the mean variance, added to every variance: as in the paper


def quantise_weights(
    weight: npt.NDArray[np.float32],
    weight_range: Literal["max", "mse"],
    smallest: npt.NDArray[np.floating],
    inputs: Doubles | None = None,
) -> tuple[npt.NDArray[np.int8], Doubles]:
    """Weights (oc, …) as int8 and their scales (oc,), w = scale*q, each scale at least `smallest` (oc,).

    "max" covers the largest weight of a channel; "mse" clips it where that lowers the squared error. `inputs`: see
    `covariance`; without it every weight goes to the nearest step.
    """
    flat = weight.reshape(len(weight), -1).astype(np.float64)
    largest = np.abs(flat).max(1)
    best = np.maximum(largest / HIGHEST, smallest)
    if weight_range == "mse":
        errors = []
        scales = [np.maximum(best * clip, smallest) for clip in CLIPS]
        for scale in scales:
            errors.append(np.square(_round(flat, scale) * scale[:, None] - flat).sum(1))
        best = np.array(scales)[np.argmin(errors, 0), np.arange(len(flat))]
    rounded = _round(flat, best) if inputs is None else _round_together(flat, best, inputs)
    return rounded.astype(np.int8).reshape(weight.shape), best


def _round(flat: Doubles, scale: Doubles) -> Doubles:
    return np.clip(np.rint(flat / scale[:, None]), -HIGHEST, HIGHEST)


def _round_together(flat: Doubles, scale: Doubles, inputs: Doubles) -> Doubles:
    groups = len(inputs)
    left = flat.reshape(groups, -1, flat.shape[1]).copy()
    steps = scale.reshape(groups, -1)
    spread = np.linalg.cholesky(np.linalg.inv(inputs)).transpose(0, 2, 1)  # upper, inv = spread^T spread
    rounded = np.empty_like(left)
    for i in range(flat.shape[1]):
        rounded[:, :, i] = np.clip(np.rint(left[:, :, i] / steps), -HIGHEST, HIGHEST)
        error = (left[:, :, i] - rounded[:, :, i] * steps) / spread[:, i, i, None]
        left[:, :, i:] -= error[:, :, None] * spread[:, None, i, i:]
    return rounded.reshape(flat.shape)


def covariance(
    x: npt.NDArray[np.int8],
    kernel: int,
    stride: int,
    padding: int,
    pad_value: int,
    depthwise: bool,
) -> Doubles | None:
    """Covariance of the inputs of one output, (1, ic*k*k, ic*k*k), or (c, k*k, k*k) depthwise; x is (n, h, w, c).

    None where one output has more than MAX_INPUTS inputs. The mean is left out: the bias takes its error.
    """
    channels, taps = x.shape[3], kernel * kernel
    if not depthwise and channels * taps > MAX_INPUTS:
        return None
    pad = (padding, padding)
    padded = np.pad(x, ((0, 0), pad, pad, (0, 0)), constant_values=pad_value) if padding else x
    rows, columns = ((size - kernel) // stride + 1 for size in padded.shape[1:3])
    rng = np.random.default_rng(0)
    count = min(SAMPLES, len(x) * rows * columns)
    image, y, column = (rng.integers(0, size, count) for size in (len(x), rows, columns))
    windows = np.empty((count, channels, taps), np.float32)
    for tap in range(taps):
        windows[:, :, tap] = padded[image, y * stride + tap // kernel, column * stride + tap % kernel]
    windows -= windows.mean(0)
    if depthwise:
        moments = np.einsum("nck,ncl->ckl", windows, windows, optimize=True) / count
    else:
        flat = windows.reshape(count, -1)
        moments = (flat.T @ flat / count)[None]
    size = moments.shape[1]
    variance = np.trace(moments, axis1=1, axis2=2) / size
    return np.asarray(moments + (DAMPING * variance + 1e-3)[:, None, None] * np.eye(size), np.float64)
