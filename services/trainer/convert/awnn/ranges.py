"""How much of a blob's range int8 shall hold: three ways to choose the value that becomes 127.

`max` loses nothing and is coarse when one value sticks out; `mse` minimises the squared error of rounding and clipping
together; `kl` keeps the histogram's shape (Migacz, GTC 2017), as the vendor's tool does.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

__all__ = ["Method", "threshold", "weight_scales"]

Method = Literal["max", "mse", "kl"]
Floats = npt.NDArray[np.float32]

LEVELS = 127
BINS = 2048
CLIPS = np.linspace(0.3, 1.0, 71)
WEIGHT_CLIPS = np.linspace(0.5, 1.0, 26)
SMALLEST = 1e-6  # of a range: a blob that is always zero gets this one
FACTOR_STEPS = 1024  # the factor per channel has 10 bits


def threshold(values: Floats, method: Method) -> float:
    """The magnitude that becomes 127, above 0, for the values of a blob."""
    magnitude = np.abs(values.ravel())
    top = float(magnitude.max(initial=0.0))
    if top < SMALLEST:
        return SMALLEST
    if method == "max":
        return top
    counts, edges = np.histogram(magnitude[magnitude > 0], BINS, (0.0, top))
    if method == "mse":
        return top * float(CLIPS[np.argmin(_squared_error(counts, edges, top))])
    return top * _kl_bins(counts.astype(np.float64)) / BINS


def _squared_error(counts: npt.NDArray[np.int64], edges: Floats, top: float) -> npt.NDArray[np.float64]:
    """By clip: the rounding error step^2/12 of what lies below, the distance of what lies above."""
    centres = (edges[:-1] + edges[1:]) / 2
    limits = top * CLIPS[:, None]
    error = np.where(centres < limits, (limits / LEVELS) ** 2 / 12, (centres - limits) ** 2)
    total: npt.NDArray[np.float64] = (error * counts).sum(1)
    return total


def _kl_bins(counts: npt.NDArray[np.float64]) -> int:
    """Number of bins to keep, LEVELS + 1 to BINS, with the least divergence after merging them to LEVELS + 1."""
    levels = LEVELS + 1
    best, found = np.inf, BINS
    for kept in range(levels, BINS + 1, 8):
        wanted = counts[:kept].copy()
        wanted[-1] += counts[kept:].sum()
        starts = np.linspace(0, kept, levels, endpoint=False).astype(int)
        filled = counts[:kept] > 0
        sums, used = np.add.reduceat(counts[:kept], starts), np.add.reduceat(filled.astype(float), starts)
        mean = np.divide(sums, used, out=np.zeros(levels), where=used > 0)
        got = np.repeat(mean, np.diff([*starts, kept])) * filled
        if got.sum() == 0:
            continue
        p, q = wanted / wanted.sum(), np.maximum(got / got.sum(), 1e-9)
        divergence = float((p[p > 0] * np.log(p[p > 0] / q[p > 0])).sum())
        if divergence < best:
            best, found = divergence, kept
    return found


def weight_scales(weight: Floats, clip: Literal["max", "mse"]) -> Floats:
    """One scale per output channel, 127/max|w| or the one of the least squared error.

    Each is then lowered to min(scales)*1024/q for a whole q: the 10-bit factor that brings the channels to one scale is
    exact, where the vendor's tool rounds it and so changes the gain of channels with small weights.
    """
    flat = np.abs(weight.reshape(len(weight), -1)).astype(np.float64)
    tops = np.maximum(flat.max(1), SMALLEST)
    if clip == "mse":
        tops = tops * _best_clips(flat, tops)
    scales = LEVELS / tops
    lowest = np.round(scales.min(), 6)
    steps = np.ceil(np.round(FACTOR_STEPS * lowest / scales, 6)).clip(1, FACTOR_STEPS)
    exact: Floats = np.round(FACTOR_STEPS * lowest / steps, 6).astype(np.float32)
    return exact


def _best_clips(flat: npt.NDArray[np.float64], tops: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    errors = []
    for clip in WEIGHT_CLIPS:
        step = (tops * clip / LEVELS)[:, None]
        errors.append(((np.clip(np.round(flat / step), 0, LEVELS) * step - flat) ** 2).sum(1))
    chosen: npt.NDArray[np.float64] = WEIGHT_CLIPS[np.argmin(errors, 0)]
    return chosen
