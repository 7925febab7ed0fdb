from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest

from services.trainer.convert import convert
from services.trainer.graph import Activation, Add, Graph, MaxPool
from tests.trainer.convert.networks import classifier, conv, graph, pictures, small

RELU, NONE = Activation.relu(), Activation.none()


def residual(activation: Activation = RELU, size: tuple[int, int] = (32, 32)) -> Graph:
    """A stem, a pooling, one block of ResNet with a shortcut of its own and one without, a classifier."""
    return graph(
        conv("stem", (3, 8), activation=activation),
        MaxPool("pool"),
        conv("a1", (8, 16), stride=2, activation=activation),
        conv("a2", (16, 16), activation=NONE),
        replace(conv("a3", (8, 16), kernel=1, stride=2, activation=NONE), source="pool"),
        Add("sum_a", other="a2", activation=activation),
        conv("b1", (16, 16), activation=activation),
        conv("b2", (16, 16), activation=NONE),
        Add("sum_b", other="sum_a", activation=activation),
        *classifier(4, 16),
        size=size,
    )


@pytest.fixture(scope="session")
def images() -> npt.NDArray[np.uint8]:
    return pictures(8)[0]


@pytest.fixture(scope="session")
def residual_file(images: npt.NDArray[np.uint8]) -> bytes:
    """Every layer type there is, random weights. Input 3 x 32 x 32, four outputs."""
    return convert(residual(), "v831-awnn-int8", images).data


@pytest.fixture(scope="session")
def small_file(images: npt.NDArray[np.uint8]) -> bytes:
    """Depthwise layers and ReLU6, random weights. Input 3 x 32 x 32, four outputs."""
    return convert(small(), "v831-awnn-int8", images).data
