"""The backbones, one file each. A new one is a file, a line in BACKBONES and its name in config.Backbone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from services.trainer.backbones.blocks import STRIDE, Backbone
from services.trainer.backbones.darknet_slim import DarknetSlim
from services.trainer.backbones.mobilenet_v1 import MobileNetV1
from services.trainer.backbones.mobilenet_v2 import MobileNetV2
from services.trainer.backbones.resnet18 import ResNet18
from services.trainer.backbones.tiny_cnn import TinyCnn

__all__ = ["BACKBONES", "STRIDE", "Backbone"]

BACKBONES: Mapping[str, Callable[[], Backbone]] = {
    **{f"mobilenet_v1_{alpha}": partial(MobileNetV1, alpha) for alpha in (0.25, 0.5, 0.75, 1.0)},
    "mobilenet_v1_1.0_cut8": partial(MobileNetV1, 1.0, blocks=8),
    **{f"mobilenet_v2_{alpha}": partial(MobileNetV2, alpha) for alpha in (0.35, 0.5, 0.75, 1.0)},
    **{f"resnet18_{width}": partial(ResNet18, width) for width in (0.25, 0.5, 1.0)},
    **{f"darknet_slim_{width}": partial(DarknetSlim, width) for width in (0.5, 1.0)},
    "tiny_cnn": TinyCnn,
}
