"""The last map of a detector to boxes, whatever its head: one place that knows which decoder reads which map.

head           decoder                                         channels of a cell
"yolo2"        services.trainer.detection.yolo2                anchors * (5 + classes)
"anchor_free"  services.trainer.detection.anchor_free          5 + classes
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from services.trainer.detection.anchor_free import decode_anchor_free
from services.trainer.detection.boxes import Detection
from services.trainer.detection.yolo2 import VALUES, decode

__all__ = ["DetectorMap"]

Floats = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class DetectorMap:
    """`head`: a detector's of services.trainer.config.HEADS; `anchors`: (width, height) in cells, of a yolo2 only."""

    head: str
    classes: int
    anchors: Sequence[tuple[float, float]] = ()

    def found(
        self, outputs: Floats, grid: tuple[int, int], threshold: float = 0.5, nms: float | None = None
    ) -> list[list[Detection]]:
        """Detections of each picture, surest first, in outputs (n, values) or (n, channels, h, w) of `grid` (h, w).

        `nms` None: as usual with this head. InvalidInput when the sizes do not fit, or a value is not finite.
        """
        suppressed = {} if nms is None else {"nms": nms}
        if self.head == "anchor_free":
            return decode_anchor_free(outputs, grid, self.classes, threshold, **suppressed)
        return decode(outputs, grid, self.anchors, self.classes, threshold, **suppressed)

    def grid(self, values: int, width: int, height: int) -> tuple[int, int]:
        """(h, w) of a map of so many values over an input of `width` by `height` pixels, whatever the network's stride.

        `found` refuses outputs that such a map does not explain.
        """
        boxes = 1 if self.head == "anchor_free" else max(len(self.anchors), 1)
        cells = values // (boxes * (VALUES + self.classes))
        stride = max(math.isqrt(width * height // max(cells, 1)), 1)
        return height // stride, width // stride
