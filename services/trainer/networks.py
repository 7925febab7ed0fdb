"""A network for every head: how it is built from a configuration, and its graph for the converters.

"classifier"   services.trainer.model.Classifier                logits (n, classes)
"yolo2"        services.trainer.detector.Detector               the map (n, anchors*(5 + classes), h/stride, w/stride)
"anchor_free"  services.trainer.anchor_free.AnchorFreeDetector  the map (n, 5 + classes, h/stride, w/stride)

The stride is the backbone's: 32, or 16 of one that is cut.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from services.trainer.anchor_free import AnchorFreeDetector, anchor_free_graph
from services.trainer.backbones import BACKBONES
from services.trainer.config import TrainingConfig
from services.trainer.detector import Detector, detector_graph
from services.trainer.graph import Graph
from services.trainer.model import Classifier, normalised, to_graph
from services.trainer.pictures import Pictures

__all__ = ["Anchors", "Network", "anchors_of", "build", "graph_of", "grid_of", "predict"]

Network = Classifier | Detector | AnchorFreeDetector
Anchors = Sequence[tuple[float, float]]  # width, height in cells of the last map


@dataclass(frozen=True)
class _Head:
    build: Callable[[TrainingConfig, int, Anchors], Network]


_HEADS = {
    "classifier": _Head(
        lambda config, classes, anchors: Classifier(config.backbone, classes, config.dropout, config.pooling)
    ),
    "yolo2": _Head(lambda config, classes, anchors: Detector(config.backbone, classes, tuple(anchors))),
    "anchor_free": _Head(lambda config, classes, anchors: AnchorFreeDetector(config.backbone, classes)),
}


def build(config: TrainingConfig, classes: int, anchors: Anchors = ()) -> Network:
    """The untrained network; `anchors`: of a yolo2."""
    return _HEADS[config.head].build(config, classes, anchors)


def anchors_of(model: Network) -> tuple[tuple[float, float], ...]:
    """() of a network that has none."""
    return tuple((float(w), float(h)) for w, h in model.anchors.tolist()) if isinstance(model, Detector) else ()


def grid_of(config: TrainingConfig) -> tuple[int, int]:
    """(h, w) of a yolo2's last map."""
    stride = BACKBONES[config.backbone]().stride
    return config.height // stride, config.input_size // stride


def graph_of(model: Network, config: TrainingConfig, labels: tuple[str, ...], name: str = "") -> Graph:
    """The trained network for the converters; it puts out logits, or the map that the boards decode."""
    if isinstance(model, Detector):
        return detector_graph(model, labels, config.height, config.input_size, name or "detector")
    if isinstance(model, AnchorFreeDetector):
        return anchor_free_graph(model, labels, config.height, config.input_size, name or "detector")
    return to_graph(model, labels, config.input_size, config.height, name or "classifier")


def predict(model: Network, pixels: npt.NDArray[np.uint8] | Pictures, batch: int = 64) -> npt.NDArray[np.float32]:
    """Outputs (n, values) of the float network for uint8 (n, 3, h, w): logits, or the map flattened in CHW order."""
    model.eval()
    with torch.no_grad():
        parts = [
            model(normalised(torch.from_numpy(pixels[i : i + batch]))).flatten(1) for i in range(0, len(pixels), batch)
        ]
    outputs: npt.NDArray[np.float32] = torch.cat(parts).numpy()
    return outputs
