"""MobileNetV1 (Howard et al., arXiv:1704.04861) in the form that every target chip runs as it is.

Padding is 1 on all sides, also where TF pads only the far side: the K210 then keeps strided convolutions on its
accelerator. ReLU6 everywhere, also after the stride-2 depthwise convolutions: with plain ReLU nncase cuts the chain
there.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from services.trainer.graph import Activation, Conv
from services.trainer.slimming import channels_at
from services.trainer.weights import PretrainedBackbone

__all__ = ["MobileNetV1"]

_BN_EPS = 1e-3  # TF-slim's; a state_dict does not hold it
_BN_MOMENTUM = 0.1
_BLOCKS = (  # (output channels at alpha 1.0, stride of the depthwise convolution)
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2),
    (512, 1), (512, 1), (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1),
)  # fmt: skip


class ConvNormReLU6(nn.Sequential):
    """Convolution without bias, batch normalisation, ReLU6."""

    def __init__(self, c_in: int, c_out: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(
            nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, groups=groups, bias=False),
            nn.BatchNorm2d(c_out, eps=_BN_EPS, momentum=_BN_MOMENTUM),
            nn.ReLU6(inplace=True),
        )

    @property
    def conv(self) -> nn.Conv2d:
        assert isinstance(self[0], nn.Conv2d)
        return self[0]

    @property
    def norm(self) -> nn.BatchNorm2d:
        assert isinstance(self[1], nn.BatchNorm2d)
        return self[1]


class MobileNetV1(nn.Module):
    """Images (n, 3, h, w) to features (n, `channels`, h/32, w/32); `alpha` is the width multiplier."""

    def __init__(self, alpha: float = 0.5) -> None:
        super().__init__()
        c = channels_at(alpha, 32)
        layers = [ConvNormReLU6(3, c, 3, stride=2)]
        for width, stride in _BLOCKS:
            layers.append(ConvNormReLU6(c, c, 3, stride, groups=c))
            layers.append(ConvNormReLU6(c, c := channels_at(alpha, width), 1))
        self.layers = nn.Sequential(*layers)
        self.channels = c
        for layer in self._convolutions():
            nn.init.kaiming_normal_(layer.conv.weight, mode="fan_out")

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.layers(x)
        return features

    def load_pretrained(self, weights: PretrainedBackbone) -> None:
        """Copy weights of the same width (see slimming.narrowed)."""
        with torch.no_grad():
            for layer, source in zip(self._convolutions(), weights.layers, strict=True):
                layer.conv.weight.copy_(torch.from_numpy(source.weight))
                layer.norm.weight.copy_(torch.from_numpy(source.gamma))
                layer.norm.bias.copy_(torch.from_numpy(source.beta))
                for buffer, values in (
                    (layer.norm.running_mean, source.mean),
                    (layer.norm.running_var, source.variance),
                ):
                    assert buffer is not None
                    buffer.copy_(torch.from_numpy(values))

    def graph_layers(self) -> tuple[Conv, ...]:
        """The layers for services.trainer.graph, batch normalisation folded: w*g/sqrt(v+eps), b - m*g/sqrt(v+eps)."""
        return tuple(_folded(f"conv{i}", layer) for i, layer in enumerate(self._convolutions()))

    def _convolutions(self) -> Iterator[ConvNormReLU6]:
        for layer in self.layers:
            assert isinstance(layer, ConvNormReLU6)
            yield layer


def _folded(name: str, layer: ConvNormReLU6) -> Conv:
    conv, norm = layer.conv, layer.norm
    assert norm.running_mean is not None and norm.running_var is not None
    scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    weight = conv.weight.double() * scale[:, None, None, None]
    bias = norm.bias.double() - norm.running_mean.double() * scale
    return Conv(
        name,
        weight.detach().float().contiguous().numpy(),
        bias.detach().float().numpy(),
        stride=conv.stride[0],
        padding=int(conv.padding[0]),
        depthwise=conv.groups > 1,
        activation=Activation.relu6(),
    )
