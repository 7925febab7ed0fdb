from __future__ import annotations

import pytest

from services.common.errors import FailedPrecondition, Unavailable
from services.trainer.convert.kmodel_v5.compiler import compile
from services.trainer.convert.kmodel_v5.environment import VERSIONS, environment
from tests.trainer.convert.networks import pictures, small


def nncase(version: str) -> str:
    """`version`, when it can be had on this machine: the first use installs it."""
    try:
        environment(version)
    except (FailedPrecondition, Unavailable) as error:
        pytest.skip(f"no nncase {version}: {error}")
    return version


@pytest.fixture(scope="session", params=sorted(VERSIONS))
def version(request: pytest.FixtureRequest) -> str:
    return nncase(request.param)


@pytest.fixture(scope="session")
def newest() -> str:
    return nncase("1.9")


@pytest.fixture(scope="session")
def file(newest: str) -> bytes:
    """A network of random weights by nncase 1.9: six KPU layers, one average. Input 3 x 32 x 32, output 4."""
    return compile(small(), pictures(8)[0], version=newest).data
