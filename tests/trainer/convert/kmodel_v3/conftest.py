from __future__ import annotations

import numpy as np
import pytest

from services.trainer.convert import convert
from services.trainer.graph import Activation, FullyConnected, GlobalAveragePool
from tests.trainer.convert.kmodel_v3.residual_networks import mobilenet_v2
from tests.trainer.convert.networks import conv, graph, pictures, small


@pytest.fixture(scope="session")
def small_file() -> bytes:
    """A converted network of random weights: five KPU layers, dequantise, average. Input 3 x 32 x 32."""
    return convert(small(), "k210-kmodel-v3", pictures(8)[0]).data


@pytest.fixture(scope="session")
def residual_file() -> bytes:
    """Thirteen KPU layers, three of which read two maps side by side. Input 3 x 32 x 32."""
    return convert(mobilenet_v2(4), "k210-kmodel-v3", pictures(8)[0]).data


@pytest.fixture(scope="session")
def cpu_file() -> bytes:
    """One KPU layer, then average and fully connected layers on the CPU. Input 3 x 32 x 32."""
    rng = np.random.default_rng(3)
    layers = [
        FullyConnected(name, rng.normal(size=size).astype(np.float32), np.zeros(size[0], np.float32), act)
        for name, size, act in (("hidden", (6, 8), Activation.relu6()), ("out", (3, 6), Activation.none()))
    ]
    network = graph(conv("stem", (3, 8), stride=2), GlobalAveragePool("average"), layers[0], layers[1])
    return convert(network, "k210-kmodel-v3", pictures(8)[0]).data
