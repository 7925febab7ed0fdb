"""Small networks and pictures for the converter tests."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from services.trainer.graph import (
    Activation,
    Conv,
    FullyConnected,
    GlobalAveragePool,
    Graph,
    InputSpec,
    Layer,
    MaxPool,
    Softmax,
)

SHAPES = ("disc", "square", "triangle", "cross")


def conv(
    name: str,
    channels: tuple[int, int],
    kernel: int = 3,
    stride: int = 1,
    depthwise: bool = False,
    activation: Activation | None = None,
    seed: int = 0,
) -> Conv:
    """He-initialised; `channels` is (in, out)."""
    rng = np.random.default_rng([seed, *name.encode()])
    into = 1 if depthwise else channels[0]
    weight = rng.normal(size=(channels[1], into, kernel, kernel)) * np.sqrt(2 / (into * kernel * kernel))
    return Conv(
        name,
        weight.astype(np.float32),
        (0.1 * rng.normal(size=channels[1])).astype(np.float32),
        stride,
        kernel // 2,
        depthwise,
        activation or Activation.relu6(),
    )


def classifier(classes: int, channels: int, seed: int = 0) -> tuple[Layer, ...]:
    rng = np.random.default_rng([seed, classes, channels])
    weight = (rng.normal(size=(classes, channels)) / np.sqrt(channels)).astype(np.float32)
    return GlobalAveragePool("average"), FullyConnected("classes", weight, np.zeros(classes, np.float32))


def graph(*layers: Layer, size: tuple[int, int] = (32, 32), mean: float = 0.5, std: float = 0.5) -> Graph:
    spec = InputSpec(3, *size, (mean,) * 3, (std,) * 3)
    return Graph("net", spec, layers)


def small(activation: Activation | None = None, **sizes: tuple[int, int]) -> Graph:
    """A little MobileNetV1: 3x3 stride 2, depthwise + 1x1, depthwise stride 2 + 1x1, average, classifier, softmax."""
    act = activation or Activation.relu6()
    return graph(
        conv("stem", (3, 16), stride=2, activation=act),
        conv("dw1", (16, 16), depthwise=True, activation=act),
        conv("pw1", (16, 32), kernel=1, activation=act),
        conv("dw2", (32, 32), stride=2, depthwise=True, activation=act),
        conv("pw2", (32, 48), kernel=1, activation=act),
        *classifier(len(SHAPES), 48),
        Softmax("softmax"),
        **sizes,
    )


def pooled() -> Graph:
    """Every pooling there is: fused, behind a depthwise layer, behind a stride, first in the network."""
    return graph(
        MaxPool("first"),
        conv("a", (3, 8)),
        MaxPool("fused"),
        conv("dw", (8, 8), depthwise=True, activation=Activation.relu()),
        MaxPool("behind_depthwise"),
        conv("b", (8, 8), stride=2),
        MaxPool("behind_stride"),
        conv("dw_stride", (8, 8), stride=2, depthwise=True),
        size=(256, 384),
    )


def pictures(count: int, size: int = 32, seed: int = 0) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Coloured shapes on noise: images (n, 3, size, size) and labels (n,), indices of SHAPES."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, len(SHAPES), count)
    images = np.stack([_picture(SHAPES[label], size, rng) for label in labels])
    return images, labels


def _picture(shape: str, size: int, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    back, fore = rng.integers(0, 110, 3), rng.integers(140, 256, 3)
    image = Image.new("RGB", (size, size), tuple(back.tolist()))
    draw = ImageDraw.Draw(image)
    radius = rng.uniform(0.22, 0.4) * size
    x, y = rng.uniform(radius, size - radius, 2)
    colour = tuple(fore.tolist())
    box = (x - radius, y - radius, x + radius, y + radius)
    if shape == "disc":
        draw.ellipse(box, fill=colour)
    elif shape == "square":
        draw.rectangle(box, fill=colour)
    elif shape == "triangle":
        draw.polygon([(x, box[1]), (box[0], box[3]), (box[2], box[3])], fill=colour)
    else:
        arm = radius / 4
        draw.rectangle((box[0], y - arm, box[2], y + arm), fill=colour)
        draw.rectangle((x - arm, box[1], x + arm, box[3]), fill=colour)
    pixels = np.asarray(image, np.int16).transpose(2, 0, 1) + rng.normal(0, 12, (3, size, size)).astype(np.int16)
    return np.clip(pixels, 0, 255).astype(np.uint8)


def train(network: Graph, steps: int = 250, seed: int = 0) -> Graph:
    """A few seconds of Adam on `pictures`, without batch normalisation; the network must end with logits or softmax."""
    import torch
    import torch.nn.functional as F

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # maps this small only lose time to more
    images, labels = pictures(1024, network.input.width, seed=100 + seed)
    torch.manual_seed(seed)
    x = (torch.from_numpy(images).float() / 255 - network.input.mean[0]) / network.input.std[0]
    y = torch.from_numpy(labels)
    weights = {
        layer.name: [torch.tensor(a, requires_grad=True) for a in (layer.weight, layer.bias)]
        for layer in network.layers
        if isinstance(layer, Conv | FullyConnected)
    }
    optimiser = torch.optim.Adam([t for pair in weights.values() for t in pair], lr=4e-3)
    for _ in range(steps):
        batch = torch.randint(0, len(x), (48,))
        z = x[batch]
        for layer in network.layers:
            if isinstance(layer, Conv):
                groups = layer.weight.shape[0] if layer.depthwise else 1
                z = F.conv2d(z, *weights[layer.name], stride=layer.stride, padding=layer.padding, groups=groups)
                z = F.leaky_relu(z, layer.activation.slope) if layer.activation.kind == "leaky" else F.relu6(z)
            elif isinstance(layer, GlobalAveragePool):
                z = z.mean((2, 3))
            elif isinstance(layer, FullyConnected):
                z = F.linear(z, *weights[layer.name])
        loss = F.cross_entropy(z, y[batch])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    torch.set_num_threads(threads)

    def trained(layer: Layer) -> Layer:
        if isinstance(layer, Conv | FullyConnected):
            weight, bias = (t.detach().numpy().copy() for t in weights[layer.name])
            return replace(layer, weight=weight, bias=bias)
        return layer

    return replace(network, layers=tuple(trained(layer) for layer in network.layers), labels=SHAPES)
