"""MobileNetV2 (Sandler et al., arXiv:1801.04381): narrow residual connections around wide depthwise convolutions.

The last 1x1 convolution is 1024 channels wide at alpha 1.0, where the paper has 1280: no K210 layer has more than 1024.
It shrinks with alpha, where the paper keeps it: those channels serve 1000 classes, and a small board's model has a few.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from services.trainer.backbones.blocks import Backbone, ConvNormActivation, divisible, folded
from services.trainer.graph import Activation, Add, Layer

__all__ = ["MobileNetV2"]

_STEM, _LAST = 32, 1024
_STAGES = (  # (expansion, output channels at alpha 1.0, blocks, stride of the first): table 2 of the paper
    (1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1),
)  # fmt: skip


class InvertedResidual(nn.Module):
    """1x1 to `expansion` times the channels, depthwise, 1x1 back without activation; added where shapes allow."""

    def __init__(self, c_in: int, c_out: int, expansion: int, stride: int, kernel: int = 3) -> None:
        super().__init__()
        wide, act = c_in * expansion, MobileNetV2.activation
        self.expand = ConvNormActivation(c_in, wide, 1, activation=act) if expansion > 1 else None
        self.depthwise = ConvNormActivation(wide, wide, kernel, stride, groups=wide, activation=act)
        self.project = ConvNormActivation(wide, c_out, 1, activation=Activation.none())
        self.residual = stride == 1 and c_in == c_out

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.depthwise(x if self.expand is None else self.expand(x))
        y = self.project(y)
        return x + y if self.residual else y

    def graph_layers(self, name: str, source: str) -> list[Layer]:
        """`source`: the layer whose output is the block's input, the one before."""
        layers: list[Layer] = [] if self.expand is None else [folded(f"{name}_expand", self.expand)]
        layers += [folded(f"{name}_depthwise", self.depthwise), folded(f"{name}_project", self.project)]
        return [*layers, Add(f"{name}_add", other=source)] if self.residual else layers


class MobileNetV2(Backbone):
    """A stem, 17 blocks and a last 1x1 convolution; `alpha` is the width multiplier, 0.35 to 1.0."""

    activation: ClassVar[Activation] = Activation.relu6()

    def __init__(self, alpha: float = 0.5) -> None:
        super().__init__()
        c = divisible(_STEM * alpha)
        self.stem = ConvNormActivation(3, c, 3, 2, activation=self.activation)
        self.blocks = nn.ModuleList()
        for expansion, width, count, stride in _STAGES:
            for place in range(count):
                step = stride if place == 0 else 1
                self.blocks.append(InvertedResidual(c, c := divisible(width * alpha), expansion, step))
        self.channels = divisible(_LAST * alpha)
        self.last = ConvNormActivation(c, self.channels, 1, activation=self.activation)
        self.initialise()

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        features: Tensor = self.last(x)
        return features

    def graph_layers(self) -> tuple[Layer, ...]:
        layers: list[Layer] = [folded("stem", self.stem)]
        for i, block in enumerate(self.blocks):
            assert isinstance(block, InvertedResidual)
            layers += block.graph_layers(f"block{i}", layers[-1].name)
        return (*layers, folded("last", self.last))
