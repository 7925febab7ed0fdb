"""What the backbones are built of: convolution, batch normalisation and activation as one block, and its folding.

Every backbone makes features (n, channels, h/stride, w/stride) of images (n, 3, h, w), and writes itself down as graph
layers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar

import torch
from torch import Tensor, nn

from services.trainer.backbones import STRIDE
from services.trainer.graph import Activation, Conv, Layer

__all__ = ["Backbone", "ConvNormActivation", "divisible", "folded"]

_BN_EPS = 1e-3  # TF-slim's, as the ImageNet weights were trained; a state_dict does not hold it
_BN_MOMENTUM = 0.1


class Backbone(nn.Module, ABC):
    """Images (n, 3, h, w) to features (n, `channels`, h/`stride`, w/`stride`); `activation` is what its layers use."""

    activation: ClassVar[Activation]
    channels: int
    stride: int = STRIDE

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor: ...

    @abstractmethod
    def graph_layers(self) -> tuple[Layer, ...]:
        """The layers for services.trainer.graph, batch normalisation folded."""

    def initialise(self) -> None:
        """Random weights after He et al., arXiv:1502.01852."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")


class ConvNormActivation(nn.Sequential):
    """Convolution without bias, batch normalisation, and ReLU, ReLU6 or nothing; the padding keeps the size."""

    def __init__(
        self, c_in: int, c_out: int, kernel: int, stride: int = 1, groups: int = 1, *, activation: Activation
    ) -> None:
        convolution = _StridedDepthwise if groups > 1 and stride > 1 else nn.Conv2d
        super().__init__(
            convolution(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(c_out, eps=_BN_EPS, momentum=_BN_MOMENTUM),
            *_functions(activation),
        )
        self.activation = activation

    @property
    def conv(self) -> nn.Conv2d:
        assert isinstance(self[0], nn.Conv2d)
        return self[0]

    @property
    def norm(self) -> nn.BatchNorm2d:
        assert isinstance(self[1], nn.BatchNorm2d)
        return self[1]


class _StridedDepthwise(nn.Conv2d):
    """Of bfloat16 on a CPU it works in float32: oneDNN's own gradient there is ten times as slow."""

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu" or x.dtype != torch.bfloat16:
            return super().forward(x)
        with torch.autocast("cpu", enabled=False):
            return super().forward(x.float()).bfloat16()


def _functions(activation: Activation) -> Iterator[nn.Module]:
    match activation.kind:
        case "relu":
            yield nn.ReLU(inplace=True)
        case "relu6":
            yield nn.ReLU6(inplace=True)
        case "leaky":
            yield nn.LeakyReLU(activation.slope, inplace=True)


def folded(name: str, block: ConvNormActivation, source: str = "") -> Conv:
    """One layer with the batch normalisation in it: w*g/sqrt(v+eps), b - m*g/sqrt(v+eps)."""
    conv, norm = block.conv, block.norm
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight.double() / (norm.running_var.double() + norm.eps).sqrt()
    weight = conv.weight.double() * scale[:, None, None, None]
    bias = norm.bias.double() - norm.running_mean.double() * scale
    return Conv(
        name,
        weight.detach().float().contiguous().numpy(),
        bias.detach().float().numpy(),
        stride=conv.stride[0],
        padding=int(conv.padding[0]),
        depthwise=conv.groups > 1,
        activation=block.activation,
        source=source,
    )


def divisible(channels: float, by: int = 8) -> int:
    """The multiple of `by` nearest to `channels`, never 10 % below it (TF-slim's rule for MobileNetV2)."""
    rounded = max(by, int(channels + by / 2) // by * by)
    return rounded + by if rounded < 0.9 * channels else rounded
