"""The backbones, one file each. A new one is a file, a line in BACKBONES and its name in config.Backbone.

PyTorch is loaded when the first one is made: the server reads STRIDE without it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from services.trainer.backbones.blocks import Backbone

__all__ = ["BACKBONES", "STRIDE"]

STRIDE = 32  # of the last map, unless a backbone says otherwise


def _mobilenet_v1(alpha: float, blocks: int = 13) -> Backbone:
    from services.trainer.backbones.mobilenet_v1 import MobileNetV1

    return MobileNetV1(alpha, blocks)


def _mobilenet_v2(alpha: float) -> Backbone:
    from services.trainer.backbones.mobilenet_v2 import MobileNetV2

    return MobileNetV2(alpha)


def _efficientnet_lite(variant: int) -> Backbone:
    from services.trainer.backbones.efficientnet_lite import EfficientNetLite

    return EfficientNetLite(variant)


def _resnet18(width: float) -> Backbone:
    from services.trainer.backbones.resnet18 import ResNet18

    return ResNet18(width)


def _darknet_slim(width: float) -> Backbone:
    from services.trainer.backbones.darknet_slim import DarknetSlim

    return DarknetSlim(width)


def _tiny_cnn() -> Backbone:
    from services.trainer.backbones.tiny_cnn import TinyCnn

    return TinyCnn()


BACKBONES: Mapping[str, Callable[[], Backbone]] = {
    **{f"mobilenet_v1_{alpha}": partial(_mobilenet_v1, alpha) for alpha in (0.25, 0.5, 0.75, 1.0)},
    "mobilenet_v1_1.0_cut8": partial(_mobilenet_v1, 1.0, blocks=8),
    **{f"mobilenet_v2_{alpha}": partial(_mobilenet_v2, alpha) for alpha in (0.35, 0.5, 0.75, 1.0)},
    **{f"efficientnet_lite{variant}": partial(_efficientnet_lite, variant) for variant in (0, 2)},
    **{f"resnet18_{width}": partial(_resnet18, width) for width in (0.25, 0.5, 1.0)},
    **{f"darknet_slim_{width}": partial(_darknet_slim, width) for width in (0.5, 1.0)},
    "tiny_cnn": _tiny_cnn,
}
