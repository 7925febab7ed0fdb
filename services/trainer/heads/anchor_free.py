"""Anchor-free head (after FCOS, arXiv:1904.01355, and YOLOX, arXiv:2107.08430): two 3x3 layers and one 1x1 map.

One level and one box a cell: a backbone whose last map is a sixteenth of the picture suits it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from services.trainer.backbones.blocks import ConvNormActivation, folded
from services.trainer.detection.anchor_free import VALUES
from services.trainer.graph import Activation, Conv

__all__ = ["AnchorFreeHead"]

_OBJECTNESS = 4
_PRIOR = 0.01  # objectness at the start: nearly every cell is empty (arXiv:1708.02002, section 3.3)


class AnchorFreeHead(nn.Module):
    """Features (n, channels, h, w) to the map (n, 5 + classes, h, w) of services.trainer.detection.anchor_free."""

    def __init__(self, channels: int, classes: int, neck: int, activation: Activation) -> None:
        super().__init__()
        self.first = ConvNormActivation(channels, neck, 3, activation=activation)
        self.second = ConvNormActivation(neck, neck, 3, activation=activation)
        self.predict = nn.Conv2d(neck, VALUES + classes, 1)
        for block in (self.first, self.second):
            nn.init.kaiming_normal_(block.conv.weight, mode="fan_out")
        nn.init.normal_(self.predict.weight, std=0.05)
        assert self.predict.bias is not None
        with torch.no_grad():
            self.predict.bias.zero_()[_OBJECTNESS] = math.log(_PRIOR / (1 - _PRIOR))

    def forward(self, features: Tensor) -> Tensor:
        last: Tensor = self.predict(self.second(self.first(features)))
        return last

    def take(self, trained: AnchorFreeHead, rows: Sequence[tuple[int, int]]) -> None:
        """Go on with a trained head; `rows`: (label here, the same label there)."""
        self.first.load_state_dict(trained.first.state_dict())
        self.second.load_state_dict(trained.second.state_dict())
        values = [(value, value) for value in range(VALUES)]
        pairs = [*values, *((VALUES + here, VALUES + there) for here, there in rows)]
        here, there = ([pair[side] for pair in pairs] for side in (0, 1))
        with torch.no_grad():
            for mine, other in zip(self.predict.parameters(), trained.predict.parameters(), strict=True):
                mine[here] = other[there]

    def graph_layers(self) -> tuple[Conv, Conv, Conv]:
        """Two layers and the map; sigmoid, softmax and exp are the decoder's."""
        weight, bias = self.predict.weight.detach(), self.predict.bias
        assert bias is not None
        last = Conv("map", weight.contiguous().numpy(), bias.detach().numpy())
        return folded("first", self.first), folded("second", self.second), last
