"""Boxes of objects in a picture, in fractions of its width and height: 0 is the left or top edge, 1 the other one."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["Box", "Boxes", "Detection", "Truth", "iou"]

Boxes = npt.NDArray[np.float64]  # (n, 4): left, top, right, bottom


class Box(NamedTuple):
    """Upright rectangle. What a network finds may reach beyond the picture, below 0 and above 1."""

    left: float
    top: float
    right: float
    bottom: float


class Truth(NamedTuple):
    """An object that a person has marked; `label` is its index in the labels."""

    label: int
    box: Box


class Detection(NamedTuple):
    """An object that a network has found; `confidence` in [0, 1]."""

    label: int
    confidence: float
    box: Box


def iou(a: npt.NDArray[np.floating[Any]], b: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float64]:
    """Intersection over union of boxes (…, 4) with boxes (…, 4), broadcast; 0 for two empty boxes."""
    one, other = a.astype(np.float64), b.astype(np.float64)
    sides = np.minimum(one[..., 2:], other[..., 2:]) - np.maximum(one[..., :2], other[..., :2])
    overlap = sides.clip(min=0).prod(-1)
    union = _area(one) + _area(other) - overlap
    result: npt.NDArray[np.float64] = np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0)
    return result


def _area(boxes: Boxes) -> npt.NDArray[np.float64]:
    area: npt.NDArray[np.float64] = (boxes[..., 2:] - boxes[..., :2]).clip(min=0).prod(-1)
    return area
