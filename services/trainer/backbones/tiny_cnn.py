"""A tiny CNN for microcontrollers: depthwise separable convolutions, under 100 KB of int8 with a head of a few classes.

Strided convolutions and no pooling but the global average: TinyMaix has no other. Plain ReLU: TinyMaix's floating-point
builds treat ReLU6 as ReLU. No depthwise layer is over 256 channels wide, the most of its default build (TM_MAX_KCSIZE).
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from services.trainer.backbones.blocks import Backbone, ConvNormActivation, folded
from services.trainer.graph import Activation, Layer

__all__ = ["TinyCnn"]

_STEM = 16
_BLOCKS = ((32, 2), (32, 1), (64, 2), (64, 1), (128, 2), (128, 1), (160, 2))  # (channels, stride of the depthwise one)


class TinyCnn(Backbone):
    """A stem and seven blocks of a depthwise 3x3 and a 1x1 convolution."""

    activation: ClassVar[Activation] = Activation.relu()

    def __init__(self) -> None:
        super().__init__()
        c = _STEM
        layers = [ConvNormActivation(3, c, 3, 2, activation=self.activation)]
        for channels, stride in _BLOCKS:
            layers.append(ConvNormActivation(c, c, 3, stride, groups=c, activation=self.activation))
            layers.append(ConvNormActivation(c, c := channels, 1, activation=self.activation))
        self.layers = nn.Sequential(*layers)
        self.channels = c
        self.initialise()

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.layers(x)
        return features

    def graph_layers(self) -> tuple[Layer, ...]:
        blocks = [layer for layer in self.layers if isinstance(layer, ConvNormActivation)]
        return tuple(folded(f"conv{i}", block) for i, block in enumerate(blocks))
