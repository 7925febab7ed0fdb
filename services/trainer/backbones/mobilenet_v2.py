"""MobileNetV2 (Sandler et al., arXiv:1801.04381): narrow residual connections around wide depthwise convolutions.

The last 1x1 convolution is 1024 channels wide at alpha 1.0, where the paper has 1280: no K210 layer has more than 1024.
It shrinks with alpha, where the paper keeps it: those channels serve 1000 classes, and a small board's model has a few.
"""

from __future__ import annotations

from services.trainer.backbones.blocks import divisible
from services.trainer.backbones.inverted_residual import InvertedResidualBackbone, Shape

__all__ = ["MobileNetV2"]

_STEM, _LAST = 32, 1024
_STAGES = (  # (expansion, output channels at alpha 1.0, blocks, stride of the first): table 2 of the paper
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
)  # fmt: skip


class MobileNetV2(InvertedResidualBackbone):
    """A stem, 17 blocks and a last 1x1 convolution; `alpha` is the width multiplier, 0.35 to 1.0."""

    def __init__(self, alpha: float = 0.5) -> None:
        blocks = [
            Shape(expansion, divisible(width * alpha), 1 if place else stride)
            for expansion, width, count, stride in _STAGES
            for place in range(count)
        ]
        super().__init__(divisible(_STEM * alpha), blocks, divisible(_LAST * alpha))
