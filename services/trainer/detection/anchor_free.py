"""The map of an anchor-free network to boxes, for programs around ncnn and ONNX Runtime.

    channel     left  top  right  bottom  objectness  class 0 … class C-1                        (5 + C, h, w)

    edges       (column + 1/2 - exp(left)) / w   (row + 1/2 - exp(top)) / h   (column + 1/2 + exp(right)) / w   …
    confidence  sigmoid(objectness) * softmax(classes)

Distances from the middle of a cell to the four edges, in cells: arXiv:1904.01355 (FCOS); an objectness that learns the
overlap, in place of its centre-ness: arXiv:2107.08430 (YOLOX). One box a cell, then suppression class by class as in
services.trainer.detection.yolo2.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from services.common.errors import InvalidInput
from services.trainer.detection.boxes import Detection
from services.trainer.detection.yolo2 import picked

__all__ = ["MAX_EXPONENT", "VALUES", "decode_anchor_free"]

VALUES = 5  # of a cell beside its classes
MAX_EXPONENT = 6.0  # 400 cells: the whole picture, and areas stay finite

Floats = npt.NDArray[np.floating[Any]]


def decode_anchor_free(
    outputs: Floats, grid: tuple[int, int], classes: int, threshold: float = 0.5, nms: float = 0.45
) -> list[list[Detection]]:
    """Detections of each picture, surest first. `outputs`: (n, (5 + classes)*h*w) as graphs and simulators put out.

    InvalidInput when the sizes do not fit, or a value is not finite.
    """
    h, w = grid
    wanted = (VALUES + classes) * h * w
    if not classes or outputs.ndim < 2 or np.prod(outputs.shape[1:]) != wanted or not np.isfinite(outputs).all():
        raise InvalidInput(
            "DETECTOR_OUTPUT_SHAPE",
            f"the output of a picture is {list(outputs.shape[1:])}; {classes} classes on {h} x {w} cells are {wanted} "
            "finite values.",
            fix="Give the map and the labels of one and the same network; train again when it holds NaN.",
        )
    values = outputs.astype(np.float64).reshape(len(outputs), VALUES + classes, h * w).swapaxes(1, 2)
    row, column = np.divmod(np.arange(h * w), w)
    reach = np.exp(values[..., :4].clip(max=MAX_EXPONENT))  # (n, cells, 4)
    middle = np.stack([column, row, column, row], -1) + 0.5
    boxes = (middle + reach * [-1, -1, 1, 1]) / [w, h, w, h]
    powers = np.exp(values[..., VALUES:] - values[..., VALUES:].max(-1, keepdims=True))
    sure = 0.5 * (1 + np.tanh(0.5 * values[..., 4:VALUES]))  # sigmoid without overflow
    confidence = sure * powers / powers.sum(-1, keepdims=True)
    return [picked(b, c, threshold, nms) for b, c in zip(boxes, confidence, strict=True)]
