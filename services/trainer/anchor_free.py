"""An anchor-free detector for Linux boards and the browser: backbone and head, and its graph.

MobileNetV1 ends at a sixteenth of the picture here, before its last two blocks: one box a cell needs small cells.
"""

from __future__ import annotations

from torch import Tensor, nn

from services.trainer.backbones import BACKBONES, STRIDE
from services.trainer.backbones.mobilenet_v1 import MobileNetV1
from services.trainer.config import Backbone
from services.trainer.detector import NECK
from services.trainer.graph import Graph
from services.trainer.heads.anchor_free import AnchorFreeHead
from services.trainer.model import input_spec

__all__ = ["AnchorFreeDetector", "anchor_free_graph"]

_BLOCKS = 11  # of MobileNetV1's 13: those before its last stride


class AnchorFreeDetector(nn.Module):
    """Normalised images (n, 3, h, w) to the map (n, 5 + classes, h/stride, w/stride) of its backbone's stride."""

    def __init__(self, backbone: Backbone, classes: int, neck: int = NECK) -> None:
        super().__init__()
        self.backbone = BACKBONES[backbone]()
        if isinstance(self.backbone, MobileNetV1) and self.backbone.stride == STRIDE:
            self.backbone = MobileNetV1(self.backbone.alpha, _BLOCKS)
        self.head = AnchorFreeHead(self.backbone.channels, classes, neck, self.backbone.activation)

    def forward(self, x: Tensor) -> Tensor:
        last: Tensor = self.head(self.backbone(x))
        return last


def anchor_free_graph(
    model: AnchorFreeDetector, labels: tuple[str, ...], height: int, width: int, name: str = "detector"
) -> Graph:
    """The trained network for the converters; it puts out the map."""
    layers = (*model.backbone.graph_layers(), *model.head.graph_layers())
    return Graph(name, input_spec(height, width), layers, labels, head="anchor_free")
