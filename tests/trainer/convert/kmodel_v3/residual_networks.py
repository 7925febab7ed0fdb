"""Networks with residual connections, for the tests of this folder."""

from __future__ import annotations

from dataclasses import replace

from services.trainer.graph import Activation, Add, Graph, Layer
from tests.trainer.convert.networks import classifier, conv, graph

NONE, RELU, RELU6 = Activation.none(), Activation.relu(), Activation.relu6()


def inverted(name: str, channels: tuple[int, int], stride: int = 1, expand: int = 4) -> list[Layer]:
    """MobileNetV2's block: expand, depthwise, project; added to its input where the shapes are the same."""
    into, out = channels
    wide = into * expand
    layers: list[Layer] = [
        conv(f"{name}.expand", (into, wide), kernel=1, activation=RELU6),
        conv(f"{name}.depthwise", (wide, wide), stride=stride, depthwise=True, activation=RELU6),
        conv(f"{name}.project", (wide, out), kernel=1, activation=NONE),
    ]
    return layers


def mobilenet_v2(channels: int = 8, **sizes: tuple[int, int]) -> Graph:
    """Two additions in a row, a stride inside a block, one addition behind it."""
    return graph(
        conv("stem", (3, channels), stride=2, activation=RELU6),
        *inverted("first", (channels, channels)),
        Add("first.add", other="stem"),
        *inverted("second", (channels, channels)),
        Add("second.add", other="first.add"),
        *inverted("third", (channels, 12), stride=2),
        *inverted("fourth", (12, 12)),
        Add("fourth.add", other="third.project"),
        conv("last", (12, 32), kernel=1, activation=RELU6),
        *classifier(4, 32),
        **sizes,
    )


def resnet(activation: Activation = RELU, **sizes: tuple[int, int]) -> Graph:
    """ResNet's basic blocks: 3x3 convolutions, a 1x1 shortcut with stride 2, the activation behind the addition."""
    return graph(
        conv("stem", (3, 8), stride=2, activation=activation),
        conv("a.1", (8, 8), activation=activation),
        conv("a.2", (8, 8), activation=NONE),
        Add("a.add", other="stem", activation=activation),
        conv("b.1", (8, 16), stride=2, activation=activation),
        conv("b.2", (16, 16), activation=NONE),
        shortcut("b.shortcut", (8, 16), "a.add"),
        Add("b.add", other="b.2", activation=activation),
        *classifier(4, 16),
        **sizes,
    )


def shortcut(name: str, channels: tuple[int, int], source: str) -> Layer:
    return replace(conv(name, channels, kernel=1, stride=2, activation=NONE), source=source)
