"""A slim Darknet: six dense 3x3 convolutions with plain ReLU, a 2x2 pooling after each of the first five.

The shape of the Tiny YOLO backbones (Redmon, pjreddie.com/darknet/yolo) with half the channels at the end. Every layer
runs on V831's NPU: boards ran a slim YOLOv2 of this kind in about 60 ms with plain ReLU, and in over 500 ms with ReLU6,
which the NPU does not have.
"""

from __future__ import annotations

from itertools import pairwise
from typing import ClassVar

from torch import Tensor, nn

from services.trainer.backbones.blocks import Backbone, ConvNormActivation, divisible, folded
from services.trainer.graph import Activation, Layer, MaxPool

__all__ = ["DarknetSlim"]

_CHANNELS = (16, 32, 64, 128, 256, 512)  # at width 1.0


class DarknetSlim(Backbone):
    """`width` multiplies all channels."""

    activation: ClassVar[Activation] = Activation.relu()

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        channels = [3, *(divisible(c * width) for c in _CHANNELS)]
        self.layers = nn.ModuleList(
            ConvNormActivation(c_in, c_out, 3, activation=self.activation) for c_in, c_out in pairwise(channels)
        )
        self.pool = nn.MaxPool2d(2)
        self.channels = channels[-1]
        self.initialise()

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = self.pool(layer(x))
        features: Tensor = self.layers[-1](x)
        return features

    def graph_layers(self) -> tuple[Layer, ...]:
        layers: list[Layer] = []
        for i, layer in enumerate(self.layers):
            assert isinstance(layer, ConvNormActivation)
            layers += [folded(f"conv{i}", layer), MaxPool(f"pool{i}")]
        return tuple(layers[:-1])
