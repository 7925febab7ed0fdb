"""Anchors for a data set: k-means over the sizes of its boxes, with the distance 1 - IoU and the median as the centre.

Source: arXiv:1612.08242, section 2, "Dimension clusters"; the median, as sipeed/maix_train takes it, ignores odd boxes.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from services.common.errors import InvalidInput
from services.trainer.detection.boxes import Box

__all__ = ["ANCHORS", "fit_anchors", "mean_iou"]

ANCHORS = 5  # both boards' decoders are used with five; the K210's takes its number of classes from it
_MAX_ROUNDS = 300

Sizes = npt.NDArray[np.float64]  # (n, 2): width, height


def fit_anchors(boxes: Iterable[Box], grid: tuple[int, int], count: int = ANCHORS) -> tuple[tuple[float, float], ...]:
    """`count` anchors (width, height) in cells of the last map `grid` (h, w), smallest first; the same for any order.

    `boxes`: of the training pictures, in fractions of the picture. InvalidInput: too few boxes, or an empty one.
    """
    sizes = np.array([(b.right - b.left, b.bottom - b.top) for b in boxes], np.float64).reshape(-1, 2)
    if len(sizes) < count:
        raise InvalidInput(
            "BOXES_TOO_FEW",
            f"{len(sizes)} boxes in the training pictures; {count} anchors need at least {count}.",
            fix="Mark more objects; a detector wants 100 boxes of each label or more.",
        )
    if not np.isfinite(sizes).all() or (sizes <= 0).any():
        raise InvalidInput("BOX_EMPTY", "a box has no width or no height.", fix="Remove it, or draw it again.")
    sizes *= (grid[1], grid[0])
    sizes = sizes[np.lexsort((sizes[:, 0], sizes.prod(axis=1)))]
    centres = sizes[((np.arange(count) + 0.5) / count * len(sizes)).astype(int)]  # spread over the areas
    nearest = np.full(len(sizes), -1)
    for _ in range(_MAX_ROUNDS):
        overlap = _size_iou(sizes, centres)
        previous, nearest = nearest, overlap.argmax(axis=1)
        if (nearest == previous).all():
            break
        centres = _medians(sizes, nearest, overlap.max(axis=1), count)
    return tuple((float(w), float(h)) for w, h in sorted(centres.tolist(), key=lambda c: c[0] * c[1]))


def mean_iou(boxes: Iterable[Box], anchors: Iterable[tuple[float, float]], grid: tuple[int, int]) -> float:
    """How well anchors (in cells of `grid`) fit: the mean over the boxes of the best IoU of the sizes."""
    sizes = np.array([((b.right - b.left) * grid[1], (b.bottom - b.top) * grid[0]) for b in boxes], np.float64)
    return float(_size_iou(sizes, np.array(list(anchors), np.float64)).max(axis=1).mean())


def _medians(sizes: Sizes, nearest: npt.NDArray[np.intp], fit: npt.NDArray[np.float64], count: int) -> Sizes:
    """New centres; one that no box chose moves to a box that is served worst."""
    worst = iter(np.argsort(fit, kind="stable"))
    return np.array(
        [
            np.median(sizes[nearest == centre], axis=0) if (nearest == centre).any() else sizes[next(worst)]
            for centre in range(count)
        ]
    )


def _size_iou(a: Sizes, b: Sizes) -> npt.NDArray[np.float64]:
    """IoU of sizes (n, 2) and (m, 2), both boxes with the same centre: (n, m)."""
    overlap = np.minimum(a[:, None], b).prod(-1)
    result: npt.NDArray[np.float64] = overlap / (a.prod(-1)[:, None] + b.prod(-1) - overlap)
    return result
