from __future__ import annotations

import pytest

from services.common.errors import FailedPrecondition, Unavailable
from services.trainer.convert.kmodel_v5.environment import VERSIONS, environment


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
