"""Which way each weight is rounded: so that the layer's sums change least, not so that the weights do.

The calibration images give the second moments H of a layer's inputs; the error of a sum by rounding weights w to q is
(w - q) H (w - q). Rounding each weight to the nearest step is best only if H is a diagonal; the inputs of a 3x3 window
are nearly the same value, so there the errors of a window must cancel. The weights of an output are rounded one after
the other, and what is left of each error is taken over by those that are still free (GPTQ: Frantar et al., 2022); for
the nine weights of a depthwise layer single steps up and down follow until none helps.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

__all__ = ["MAX_INPUTS", "round_steps", "second_moments"]

Doubles = npt.NDArray[np.float64]

MAX_INPUTS = 2304  # of a dense layer; the inverse of H takes its cube
MAX_SAMPLES, MAX_WINDOWS = 8192, 2048  # of a dense layer's inputs; of each channel of a depthwise layer
LEAST_SHRINKAGE = 0.02
LOW, HIGH = -128, 127
IMAGE_WEIGHT = 4.0  # of how images differ from each other, beside how pixels do: later layers average over pixels
BLOCK = 64
DESCENTS = 40


def second_moments(
    data: npt.NDArray[np.float32],
    kernel: int,
    depthwise: bool,
    copies: int = 1,
    varied: npt.NDArray[np.float32] | None = None,
) -> Doubles:
    """Covariance of the inputs of one output, bytes (c, n, h, w): (c*k*k, c*k*k), depthwise (c, k*k, k*k).

    The channels of a 1x1 layer's inputs are `copies` times nearly the same, and `varied` (c, n, h, w) are more of them.
    """
    channels, n, height, width = data.shape
    if kernel == 1:
        maps = [data] if varied is None else [data, varied]
        samples = np.concatenate([_pixels(part, MAX_SAMPLES >> i) for i, part in enumerate(maps)], axis=1)
        means = np.concatenate([part.mean((2, 3)) for part in maps], axis=1) if height * width > 1 else None
        return _covariance(samples, copies, means)
    inside = (n, height - 2, width - 2)  # windows without padding: the map need not be copied
    count = min(MAX_WINDOWS if depthwise else MAX_SAMPLES, math.prod(inside))
    places = np.random.default_rng(0).choice(math.prod(inside), count, replace=False)
    image, y, x = np.unravel_index(np.sort(places), inside)
    windows = np.empty((channels, 9, count), np.float32)
    for tap in range(9):
        windows[:, tap] = data[:, image, y + tap // 3, x + tap % 3]
    return _covariance(windows if depthwise else windows.reshape(channels * 9, count))


def _pixels(data: npt.NDArray[np.float32], most: int) -> npt.NDArray[np.float32]:
    """(c, n, h, w) to (c, about `most`)."""
    flat = data.reshape(len(data), -1)
    return np.ascontiguousarray(flat[:, :: max(1, flat.shape[1] // most)])


def _covariance(
    samples: npt.NDArray[np.float32], copies: int = 1, means: npt.NDArray[np.float32] | None = None
) -> Doubles:
    """Over the last axis; with few samples for many inputs mostly its diagonal, which those do tell.

    `means` (inputs, n) of images count beside the samples. What copies have in common is known and stays.
    """
    inputs, count = samples.shape[-2:]
    samples = samples - samples.mean(-1, keepdims=True)
    moments: Doubles = (samples @ np.swapaxes(samples, -1, -2)).astype(np.float64) / count
    known = float(count)
    if means is not None:
        means = means - means.mean(1, keepdims=True)
        moments += (means @ means.T).astype(np.float64) * (IMAGE_WEIGHT / means.shape[1])
        known /= 1 + IMAGE_WEIGHT
    level = np.maximum(np.diagonal(moments, axis1=-2, axis2=-1).mean(-1), 1e-9)[..., None, None]
    distinct = inputs // copies
    share = LEAST_SHRINKAGE + (1 - LEAST_SHRINKAGE) * distinct / (distinct + 8 * known)
    moments *= 1 - share + share * np.tile(np.eye(distinct), (copies, copies))
    moments += 0.01 * level * np.eye(inputs)
    return moments


def round_steps(values: Doubles, moments: Doubles, copies: int = 1) -> Doubles:
    """Whole steps for `values` (rows, p), in steps; `moments` (p, p), or (rows, p, p) of each row.

    The rows are `copies` times the same, and each copy takes over the errors of those before it.
    """
    count = len(values) // copies
    rest = np.zeros((count, values.shape[1]))
    steps = []
    for start in range(0, len(values), count):
        wanted = values[start : start + count] + rest
        if moments.ndim == 3:
            part = _descend(np.clip(np.rint(wanted), LOW, HIGH), wanted, moments[start : start + count])
        else:
            part = _gptq(wanted, moments)
        rest = wanted - part
        steps.append(part)
    return np.concatenate(steps)


def _gptq(values: Doubles, moments: Doubles) -> Doubles:
    """Algorithm 1 of the paper; the most active inputs first."""
    order = np.argsort(-np.diagonal(moments))
    upper = np.linalg.cholesky(np.linalg.inv(moments[np.ix_(order, order)])).T
    work = values[:, order].astype(np.float32)
    upper = (upper / np.diagonal(upper)[:, None]).astype(np.float32)
    steps = np.empty_like(work)
    for start in range(0, len(order), BLOCK):
        end = min(start + BLOCK, len(order))
        errors = np.empty((len(work), end - start), np.float32)
        for j in range(start, end):
            steps[:, j] = np.clip(np.rint(work[:, j]), LOW, HIGH)
            error = errors[:, j - start] = work[:, j] - steps[:, j]
            work[:, j + 1 : end] -= error[:, None] * upper[j, j + 1 : end]
        work[:, end:] -= errors @ upper[start:end, end:]
    result = np.empty(values.shape)
    result[:, order] = steps
    return result


def _descend(steps: Doubles, values: Doubles, moments: Doubles) -> Doubles:
    """Moves one weight of every row by one step while that lowers its error."""
    steps = steps.copy()
    index = np.arange(len(steps))
    diagonal = np.diagonal(moments, axis1=1, axis2=2)
    for _ in range(DESCENTS):
        gradient = np.einsum("rij,rj->ri", moments, values - steps)
        direction = np.where(gradient > 0, 1.0, -1.0)
        gain = 2 * np.abs(gradient) - diagonal
        gain[(steps + direction < LOW) | (steps + direction > HIGH)] = -1
        best = gain.argmax(1)
        better = gain[index, best] > 0
        if not better.any():
            break
        steps[index[better], best[better]] += direction[index[better], best[better]]
    return steps
