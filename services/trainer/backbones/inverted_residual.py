"""Inverted residual blocks (Sandler et al., arXiv:1801.04381), and a backbone of them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, NamedTuple

from torch import Tensor, nn

from services.trainer.backbones.blocks import Backbone, ConvNormActivation, folded
from services.trainer.graph import Activation, Add, Layer

__all__ = ["InvertedResidual", "InvertedResidualBackbone", "Shape"]


class Shape(NamedTuple):
    """Of one block: the expansion, output channels, the stride and size of its depthwise kernel."""

    expansion: int
    channels: int
    stride: int
    kernel: int = 3


class InvertedResidual(nn.Module):
    """1x1 to `expansion` times the channels, depthwise, 1x1 back without activation; added where shapes allow."""

    def __init__(self, c_in: int, shape: Shape, activation: Activation) -> None:
        super().__init__()
        expansion, c_out, stride, kernel = shape
        wide = c_in * expansion
        self.expand = ConvNormActivation(c_in, wide, 1, activation=activation) if expansion > 1 else None
        self.depthwise = ConvNormActivation(wide, wide, kernel, stride, groups=wide, activation=activation)
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


class InvertedResidualBackbone(Backbone):
    """A 3x3 stem of stride 2 and `stem` channels, the blocks, and a last 1x1 convolution to `last` channels."""

    activation: ClassVar[Activation] = Activation.relu6()

    def __init__(self, stem: int, blocks: Iterable[Shape], last: int) -> None:
        super().__init__()
        self.stem = ConvNormActivation(3, stem, 3, 2, activation=self.activation)
        self.blocks = nn.ModuleList()
        c = stem
        for shape in blocks:
            self.blocks.append(InvertedResidual(c, shape, self.activation))
            c = shape.channels
        self.channels = last
        self.last = ConvNormActivation(c, last, 1, activation=self.activation)
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
