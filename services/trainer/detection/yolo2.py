"""The last map of a YOLOv2 network to boxes, by the rules of the decoders that the boards run.

    channel   anchor 0: x y w h objectness class 0 … class C-1 | anchor 1: x y …     (anchors*(5 + classes), h, w)

    centre      (column + sigmoid(x)) / w, (row + sigmoid(y)) / h
    size        exp(w) * anchor width / w, exp(h) * anchor height / h                 anchors in cells
    confidence  sigmoid(objectness) * softmax(classes)

Sources: arXiv:1612.08242; K210: sipeed/MaixPy-v1, components/kendryte_sdk/src/sipeed_yolo2.c; V831: sipeed/libmaix,
components/libmaix/src/decoder/decoder_yolo2.c. Both drop confidences that are not above `threshold`, then suppress
class by class what overlaps a surer box by more than `nms`; a box gets the name of its surest remaining class. The
K210's has room for 10 boxes of a picture and no check (obj_info_t): a low threshold there writes past the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from services.common.errors import InvalidInput
from services.trainer.detection.boxes import Box, Boxes, Detection, iou

__all__ = ["VALUES", "decode", "picked"]

VALUES = 5  # of an anchor beside its classes: x, y, w, h, objectness
_MAX_EXPONENT = 10.0  # a side of 22,000 anchors: keeps areas finite, and such a box is the whole picture anyway

Floats = npt.NDArray[np.floating[Any]]
Confidences = npt.NDArray[np.float64]


def decode(
    outputs: Floats,
    grid: tuple[int, int],
    anchors: Sequence[tuple[float, float]],
    classes: int,
    threshold: float = 0.5,
    nms: float = 0.3,
) -> list[list[Detection]]:
    """Detections of each picture, surest first.

    `outputs`: (n, anchors*(5 + classes)*h*w) as `Graph.run_float` and the simulators put out, or (n, channels, h, w);
    `grid`: (h, w) of the last map; `anchors`: (width, height) in cells. InvalidInput when the sizes do not fit.
    """
    maps = _maps(outputs, grid, len(anchors), classes)
    boxes = _boxes(maps, np.asarray(anchors, np.float64))  # (n, anchors*h*w, 4)
    confidence = _confidence(maps)  # (n, anchors*h*w, classes)
    return [picked(b, c, threshold, nms) for b, c in zip(boxes, confidence, strict=True)]


def _maps(outputs: Floats, grid: tuple[int, int], anchors: int, classes: int) -> npt.NDArray[np.float64]:
    """(n, anchors, 5 + classes, h, w)."""
    wanted = anchors * (VALUES + classes) * grid[0] * grid[1]
    if not classes or not wanted or outputs.ndim < 2 or np.prod(outputs.shape[1:]) != wanted:
        raise InvalidInput(
            "DETECTOR_OUTPUT_SHAPE",
            f"the output of a picture is {list(outputs.shape[1:])}; {anchors} anchors and {classes} classes "
            f"on {grid[0]} x {grid[1]} cells are {wanted} values.",
            fix="Give the map, the anchors and the labels of one and the same network.",
        )
    if not np.isfinite(outputs).all():
        raise InvalidInput(
            "DETECTOR_OUTPUT_NOT_FINITE",
            "the output of the network holds NaN or infinity.",
            fix="Train again with a lower learning rate; this network has diverged.",
        )
    return outputs.astype(np.float64).reshape(len(outputs), anchors, VALUES + classes, *grid)


def _boxes(maps: npt.NDArray[np.float64], anchors: npt.NDArray[np.float64]) -> Boxes:
    n, count, _, h, w = maps.shape
    centre_x = (np.arange(w) + _sigmoid(maps[:, :, 0])) / w
    centre_y = (np.arange(h)[:, None] + _sigmoid(maps[:, :, 1])) / h
    half_w, half_h = (
        np.exp(maps[:, :, 2 + side].clip(max=_MAX_EXPONENT)) * anchors[:, side, None, None] / (2 * cells)
        for side, cells in ((0, w), (1, h))
    )
    edges = [centre_x - half_w, centre_y - half_h, centre_x + half_w, centre_y + half_h]
    return np.stack(edges, -1).reshape(n, count * h * w, 4)


def _confidence(maps: npt.NDArray[np.float64]) -> Confidences:
    n, count, values, h, w = maps.shape
    scores = maps[:, :, VALUES:]
    powers = np.exp(scores - scores.max(axis=2, keepdims=True))
    confidence = _sigmoid(maps[:, :, 4:VALUES]) * powers / powers.sum(axis=2, keepdims=True)
    flat: Confidences = np.moveaxis(confidence, 2, -1).reshape(n, count * h * w, values - VALUES)
    return flat


def _sigmoid(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    result: npt.NDArray[np.float64] = 0.5 * (1 + np.tanh(0.5 * x))  # no overflow for large negative x
    return result


def picked(boxes: Boxes, confidence: Confidences, threshold: float, nms: float) -> list[Detection]:
    """What stays of one picture, surest first: boxes (k, 4) and confidences (k, classes)."""
    candidates = np.flatnonzero((confidence > threshold).any(axis=1))
    boxes, confidence = boxes[candidates], confidence[candidates]
    confidence = _suppressed(iou(boxes[:, None], boxes), np.where(confidence > threshold, confidence, 0), nms)
    label = confidence.argmax(axis=1)
    surest = confidence.max(axis=1)
    order = np.argsort(-surest, kind="stable")
    return [
        Detection(int(label[i]), float(surest[i]), Box(*map(float, boxes[i]))) for i in order[: int((surest > 0).sum())]
    ]


def _suppressed(overlap: npt.NDArray[np.float64], confidence: Confidences, nms: float) -> Confidences:
    """Confidences (k, classes), 0 where a surer box of the class overlaps by more than `nms`; all classes at a time."""
    close = overlap > nms
    order = np.argsort(-confidence, axis=0, kind="stable")  # (k, classes)
    rank = np.argsort(order, axis=0, kind="stable")
    for place in range(int((confidence > 0).sum(axis=0).max(initial=0))):
        chosen = order[place]  # (classes,)
        alive = np.take_along_axis(confidence, chosen[None], axis=0)[0] > 0
        confidence = np.where(close[chosen].T & (rank > place) & alive, 0, confidence)
    return confidence
