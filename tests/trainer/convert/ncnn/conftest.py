from __future__ import annotations

import pytest

from services.trainer.convert import ConvertedModel, convert
from services.trainer.graph import Graph
from tests.trainer.convert.networks import pictures, small, train


@pytest.fixture(scope="session")
def trained() -> Graph:
    """A few seconds of training; eats pixels in [0, 1]."""
    return train(small(mean=0.0, std=1.0))  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def fp16(trained: Graph) -> ConvertedModel:
    return convert(trained, "linux-ncnn-fp16", pictures(32)[0])


@pytest.fixture(scope="session")
def int8(trained: Graph) -> ConvertedModel:
    return convert(trained, "linux-ncnn-int8", pictures(32)[0])
