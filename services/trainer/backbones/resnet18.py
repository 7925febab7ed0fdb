"""ResNet-18 (He et al., arXiv:1512.03385) in plain ReLU and dense 3x3 and 1x1 convolutions, for V831 and K210.

The stem is a 3x3 convolution of stride 2 and a 2x2 pooling in place of 7x7 and 3x3: the K210's accelerator has
neither. V831's NPU has no ReLU6 and no depthwise convolution, and none is used.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor, nn

from services.trainer.backbones.blocks import Backbone, ConvNormActivation, divisible, folded
from services.trainer.graph import Activation, Add, Layer, MaxPool

__all__ = ["ResNet18"]

_STAGES = ((64, 1), (128, 2), (256, 2), (512, 2))  # (channels at width 1.0, stride of the first of two blocks)
_NONE = Activation.none()


class BasicBlock(nn.Module):
    """Two 3x3 convolutions, added to the input, or to a 1x1 convolution of it where the shape changes; then ReLU."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.first = ConvNormActivation(c_in, c_out, 3, stride, activation=ResNet18.activation)
        self.second = ConvNormActivation(c_out, c_out, 3, activation=_NONE)
        changed = stride > 1 or c_in != c_out
        self.shortcut = ConvNormActivation(c_in, c_out, 1, stride, activation=_NONE) if changed else None

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.second(self.first(x))
        return (y + (x if self.shortcut is None else self.shortcut(x))).relu()

    def graph_layers(self, name: str, source: str) -> list[Layer]:
        """`source`: the layer whose output is the block's input, the one before."""
        layers: list[Layer] = [folded(f"{name}_first", self.first), folded(f"{name}_second", self.second)]
        if self.shortcut is None:
            return [*layers, Add(f"{name}_add", other=source, activation=ResNet18.activation)]
        shortcut = folded(f"{name}_shortcut", self.shortcut, source)
        return [*layers, shortcut, Add(f"{name}_add", other=f"{name}_second", activation=ResNet18.activation)]


class ResNet18(Backbone):
    """A stem and eight blocks; `width` multiplies all channels."""

    activation: ClassVar[Activation] = Activation.relu()

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        c = divisible(_STAGES[0][0] * width)
        self.stem = ConvNormActivation(3, c, 3, 2, activation=self.activation)
        self.pool = nn.MaxPool2d(2)
        self.blocks = nn.ModuleList()
        for channels, stride in _STAGES:
            self.blocks.append(BasicBlock(c, c := divisible(channels * width), stride))
            self.blocks.append(BasicBlock(c, c, 1))
        self.channels = c
        self.initialise()

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.stem(x))
        for block in self.blocks:
            x = block(x)
        return x

    def graph_layers(self) -> tuple[Layer, ...]:
        layers: list[Layer] = [folded("stem", self.stem), MaxPool("pool_stem")]
        for i, block in enumerate(self.blocks):
            assert isinstance(block, BasicBlock)
            layers += block.graph_layers(f"block{i}", layers[-1].name)
        return tuple(layers)
