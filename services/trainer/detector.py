"""A YOLOv2 detector, backbone and head, and its graph for the converters."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from services.trainer.backbones import BACKBONES
from services.trainer.config import Backbone
from services.trainer.detection import Detection, DetectorMap
from services.trainer.graph import Graph
from services.trainer.heads.yolo2 import Yolo2Head
from services.trainer.model import input_spec

__all__ = [
    "EVALUATION_NMS",
    "EVALUATION_THRESHOLD",
    "NECK",
    "Detector",
    "detections",
    "detector_graph",
]

EVALUATION_THRESHOLD, EVALUATION_NMS = 0.005, 0.45  # low: average precision wants the unsure boxes too
NECK = 96  # with MobileNetV1-0.5 the file stays near 1.3 MB, which a K210 has room for; the paper's 1024 would not


class Detector(nn.Module):
    """Normalised images (n, 3, h, w) to the map (n, anchors*(5 + classes), h/stride, w/stride); its backbone's."""

    anchors: Tensor

    def __init__(
        self, backbone: Backbone, classes: int, anchors: tuple[tuple[float, float], ...], neck: int = NECK
    ) -> None:
        super().__init__()
        self.backbone = BACKBONES[backbone]()
        self.head = Yolo2Head(self.backbone.channels, len(anchors), classes, neck, self.backbone.activation)
        self.register_buffer("anchors", torch.tensor(anchors).reshape(-1, 2))

    def forward(self, x: Tensor) -> Tensor:
        last: Tensor = self.head(self.backbone(x))
        return last


def detector_graph(model: Detector, labels: tuple[str, ...], height: int, width: int, name: str = "detector") -> Graph:
    """The trained network for the converters; it puts out the map, which services.trainer.detection.decode reads."""
    anchors = tuple((float(w), float(h)) for w, h in np.asarray(model.anchors))
    layers = (*model.backbone.graph_layers(), *model.head.graph_layers())
    return Graph(name, input_spec(height, width), layers, labels, anchors)


def detections(
    outputs: npt.NDArray[np.float32],
    graph: Graph,
    threshold: float = EVALUATION_THRESHOLD,
    nms: float = EVALUATION_NMS,
) -> list[list[Detection]]:
    """What the outputs (n, values) of a detector, float or simulated, say of each picture."""
    _, h, w = graph.shapes()[-1]
    return DetectorMap(graph.kind, len(graph.labels), graph.anchors).found(outputs, (h, w), threshold, nms)
