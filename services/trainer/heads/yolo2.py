"""YOLOv2 head (Redmon and Farhadi, arXiv:1612.08242): a 3x3 neck, and a 1x1 convolution to the map boards decode."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from services.trainer.backbones.blocks import ConvNormActivation, folded
from services.trainer.detection.yolo2 import VALUES
from services.trainer.graph import Activation, Conv

__all__ = ["OBJECTNESS", "Yolo2Head"]

OBJECTNESS = 4  # its place among the values of an anchor
_PRIOR = 0.01  # objectness at the start: nearly every cell is empty (arXiv:1708.02002, section 3.3)


class Yolo2Head(nn.Module):
    """Features (n, channels, h, w) to the map (n, anchors*(5 + classes), h, w); `neck`: channels between the two."""

    def __init__(self, channels: int, anchors: int, classes: int, neck: int, activation: Activation) -> None:
        super().__init__()
        self.anchors = anchors
        self.neck = ConvNormActivation(channels, neck, 3, activation=activation)
        self.predict = nn.Conv2d(neck, anchors * (VALUES + classes), 1)
        nn.init.kaiming_normal_(self.neck.conv.weight, mode="fan_out")
        nn.init.normal_(self.predict.weight, std=0.05)
        assert self.predict.bias is not None
        with torch.no_grad():
            self.predict.bias.zero_().view(anchors, -1)[:, OBJECTNESS] = math.log(_PRIOR / (1 - _PRIOR))

    def forward(self, features: Tensor) -> Tensor:
        last: Tensor = self.predict(self.neck(features))
        return last

    def take(self, trained: Yolo2Head, rows: Sequence[tuple[int, int]]) -> None:
        """Go on with a trained head of as many anchors; `rows`: (label here, the same label there)."""
        self.neck.load_state_dict(trained.neck.state_dict())
        values = [(value, value) for value in range(VALUES)]
        pairs = [*values, *((VALUES + here, VALUES + there) for here, there in rows)]
        here, there = ([pair[side] for pair in pairs] for side in (0, 1))
        with torch.no_grad():
            for mine, other in zip(self.predict.parameters(), trained.predict.parameters(), strict=True):
                of_anchor = mine.view(self.anchors, -1, *mine.shape[1:])
                of_anchor[:, here] = other.view(self.anchors, -1, *mine.shape[1:])[:, there]

    def graph_layers(self) -> tuple[Conv, Conv]:
        """Neck and map; sigmoid, softmax and exp are the decoder's."""
        weight, bias = self.predict.weight.detach(), self.predict.bias
        assert bias is not None
        return folded("neck", self.neck), Conv("map", weight.contiguous().numpy(), bias.detach().numpy())
