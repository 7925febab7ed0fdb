"""Networks with everything TinyMaix can run, and random ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from services.trainer.graph import (
    Activation,
    Add,
    FullyConnected,
    GlobalAveragePool,
    Graph,
    InputSpec,
    Layer,
    Softmax,
)
from tests.trainer.convert.networks import conv

ACTS = (Activation.none(), Activation.relu(), Activation.relu6())


def full(name: str, inputs: int, outputs: int, activation: Activation | None = None) -> FullyConnected:
    rng = np.random.default_rng([inputs, outputs])
    weight = (rng.normal(size=(outputs, inputs)) / np.sqrt(inputs)).astype(np.float32)
    return FullyConnected(name, weight, rng.normal(size=outputs).astype(np.float32), activation or Activation.none())


def residual(activation: Activation | None = None) -> Graph:
    """Two residual additions in a row, the first with an activation, and one whose operand is two layers older."""
    act = activation or Activation.relu()
    layers = (
        conv("stem", (3, 8), stride=2, activation=act),
        conv("a", (8, 8), activation=Activation.none()),
        Add("sum1", "stem", act),
        conv("up", (8, 16), kernel=1, activation=act),
        conv("dw", (16, 16), depthwise=True, activation=act),
        conv("down", (16, 8), kernel=1, activation=Activation.none()),
        Add("sum2", "sum1"),
        Add("sum3", "a"),
        GlobalAveragePool("average"),
        full("hidden", 8, 12, act),
        full("classes", 12, 5),
        Softmax("softmax"),
    )
    return Graph("residual", InputSpec(3, 20, 24, (0.0,) * 3, (1.0,) * 3), layers)


def random_net(seed: int, acts: tuple[Activation, ...] = ACTS) -> Graph:
    """Three to seven layers: odd sizes, all strides and paddings, additions, a map or a vector at the end."""
    rng = np.random.default_rng(seed)
    channels, height, width = 3, int(rng.integers(9, 20)), int(rng.integers(9, 20))
    mean = tuple(rng.choice([0.0, 0.2, 0.5], 3).tolist())
    spec = InputSpec(3, height, width, mean, tuple(rng.uniform(0.2, 1.0, 3).tolist()))
    layers: list[Layer] = []
    for i in range(int(rng.integers(3, 7))):
        act = acts[int(rng.integers(len(acts)))]
        depthwise = i > 0 and bool(rng.integers(2))
        kernel = int(rng.choice([3, 5] if depthwise else [1, 2, 3, 5]))
        out = channels if depthwise else int(rng.integers(1, 13))
        layer = conv(f"c{i}", (channels, out), kernel, int(rng.integers(1, 3)), depthwise, act, seed)
        layer = replace(layer, padding=int(rng.integers(0, kernel)), weight=layer.weight * rng.uniform(0.5, 2))
        shape = Graph("net", spec, (*layers, layer))
        if min(height, width) <= kernel or min(shape.shapes()[-1][1:]) < 2:
            break
        layers.append(layer)
        channels, height, width = shape.shapes()[-1]
        if rng.integers(2):
            same = replace(conv(f"s{i}", (channels, channels), 3, 1, False, Activation.none(), seed), padding=1)
            layers += [same, Add(f"add{i}", layers[-1].name, acts[int(rng.integers(len(acts)))])]
    ending = int(rng.integers(4))
    if ending == 1:
        layers += [GlobalAveragePool("average")]
    elif ending == 2:
        layers += [GlobalAveragePool("average"), full("classes", channels, 7)]
    elif ending == 3:
        layers += [full("hidden", channels * height * width, 9, Activation.relu()), full("classes", 9, 4)]
    return Graph(f"net{seed}", spec, tuple(layers))


def noise(graph: Graph, count: int, seed: int = 0) -> np.ndarray:
    """Smooth random pictures, uint8 (n, c, h, w)."""
    rng = np.random.default_rng(seed)
    spec = graph.input
    coarse = rng.integers(0, 256, (count, spec.channels, spec.height // 4 + 1, spec.width // 4 + 1))
    fine = coarse.repeat(4, 2).repeat(4, 3)[:, :, : spec.height, : spec.width] + rng.integers(-20, 20, (count, 1, 1, 1))
    return np.clip(fine, 0, 255).astype(np.uint8)
