"""MobileNetV1 (Howard et al., arXiv:1704.04861) in the form that every target chip runs as it is.

Padding is 1 on all sides, also where TF pads only the far side: the K210 then keeps strided convolutions on its
accelerator. ReLU6 everywhere, also after the stride-2 depthwise convolutions: with plain ReLU nncase cuts the chain
there.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import ClassVar

import torch
from torch import Tensor, nn

from services.trainer.backbones.blocks import Backbone, ConvNormActivation, folded
from services.trainer.graph import Activation, Conv
from services.trainer.slimming import channels_at
from services.trainer.weights import PretrainedBackbone

__all__ = ["MobileNetV1"]

_BLOCKS = (  # (output channels at alpha 1.0, stride of the depthwise convolution)
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2),
    (512, 1), (512, 1), (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1),
)  # fmt: skip


class MobileNetV1(Backbone):
    """`alpha` is the width multiplier; of the 13 `blocks` the last may be left out.

    With 8 of them the last map is a sixteenth of the picture. Most weights of the whole network are in its last blocks,
    which know objects; what marks and textures look like is known by the first ones. At full width they are the
    original filters and cost a board no more memory than the whole network at half width.
    """

    activation: ClassVar[Activation] = Activation.relu6()

    def __init__(self, alpha: float = 0.5, blocks: int = len(_BLOCKS)) -> None:
        super().__init__()
        self.alpha = alpha
        self.stride = 2 * math.prod(stride for _, stride in _BLOCKS[:blocks])
        c = channels_at(alpha, 32)
        layers = [ConvNormActivation(3, c, 3, 2, activation=self.activation)]
        for width, stride in _BLOCKS[:blocks]:
            layers.append(ConvNormActivation(c, c, 3, stride, groups=c, activation=self.activation))
            layers.append(ConvNormActivation(c, c := channels_at(alpha, width), 1, activation=self.activation))
        self.layers = nn.Sequential(*layers)
        self.channels = c
        self.initialise()

    def forward(self, x: Tensor) -> Tensor:
        features: Tensor = self.layers(x)
        return features

    def load_pretrained(self, weights: PretrainedBackbone) -> None:
        """Copy weights of the same width (see slimming.narrowed), as many as there are blocks."""
        with torch.no_grad():
            for layer, source in zip(self._convolutions(), weights.layers[: len(self.layers)], strict=True):
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
        return tuple(folded(f"conv{i}", layer) for i, layer in enumerate(self._convolutions()))

    def _convolutions(self) -> Iterator[ConvNormActivation]:
        for layer in self.layers:
            assert isinstance(layer, ConvNormActivation)
            yield layer
