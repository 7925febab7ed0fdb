"""Backbone and head put together, and written down as the converters' graph.

The input is x = u8/255, in [0, 1]: mean 0 and standard deviation 1 cost nothing on any chip, and zero padding is the
pixel value 0 exactly, while with mean 0.5 the padding of 127.5 has no exact uint8.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from services.common.errors import InvalidInput
from services.trainer.backbones import BACKBONES
from services.trainer.backbones.efficientnet_lite import EfficientNetLite, read_state
from services.trainer.backbones.mobilenet_v1 import MobileNetV1
from services.trainer.config import Backbone, Pooling
from services.trainer.graph import Graph, InputSpec
from services.trainer.heads.classifier import ClassifierHead
from services.trainer.slimming import for_input, narrowed
from services.trainer.weights import load_file

__all__ = ["INPUT_MEAN", "INPUT_STD", "Classifier", "input_spec", "load_imagenet", "normalised", "to_graph"]

INPUT_MEAN = 0.0
INPUT_STD = 1.0


class Classifier(nn.Module):
    """Normalised images (n, 3, h, w) to logits (n, classes)."""

    def __init__(self, backbone: Backbone, classes: int, dropout: float = 0.2, pooling: Pooling = "average") -> None:
        super().__init__()
        self.backbone = BACKBONES[backbone]()
        self.head = ClassifierHead(self.backbone.channels, classes, dropout, pooling)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.backbone(x))
        return logits


def load_imagenet(backbone: nn.Module, path: Path) -> None:
    """Start a backbone from a file of ImageNet weights: a TF-slim graph of a MobileNetV1 of its width or more, or a
    state dictionary (.pth) of its EfficientNet-Lite.

    InvalidInput for a file that is none, or of another network.
    """
    if isinstance(backbone, EfficientNetLite):
        backbone.load_pretrained(read_state(path), INPUT_MEAN, INPUT_STD)
    elif isinstance(backbone, MobileNetV1):
        backbone.load_pretrained(for_input(narrowed(load_file(path), backbone.alpha), INPUT_MEAN, INPUT_STD))
    else:
        raise InvalidInput(
            "WEIGHTS_OF_ANOTHER_NETWORK",
            f"{path.name} would be of a MobileNetV1 or an EfficientNet-Lite, the network is a "
            f"{type(backbone).__name__}.",
            fix='Choose a backbone with ImageNet weights, or weights "none" to train from random ones.',
        )


def normalised(pixels: Tensor) -> Tensor:
    """Pixels (n, 3, h, w), 0 to 255, to the network input, channels last in memory (1.5 to 2 times faster on CPUs)."""
    x = (pixels.float() / 255.0 - INPUT_MEAN) / INPUT_STD
    return x.contiguous(memory_format=torch.channels_last)


def to_graph(
    model: Classifier, labels: tuple[str, ...], input_size: int, input_height: int = 0, name: str = "classifier"
) -> Graph:
    """The trained network for the converters: batch normalisation folded, float32 numpy weights; it puts out logits.

    `input_size`: the width of the input, pixels; `input_height` 0: square.
    """
    height = input_height or input_size
    backbone, head = model.backbone, model.head
    pools = head.pools(height // backbone.stride, input_size // backbone.stride)
    layers = (*backbone.graph_layers(), *pools, *head.graph_layers())
    return Graph(name, input_spec(height, input_size), layers, labels)


def input_spec(height: int, width: int) -> InputSpec:
    """What every network of the trainer eats."""
    return InputSpec(3, height, width, (INPUT_MEAN,) * 3, (INPUT_STD,) * 3)
