"""One running Boardloop for each module: everything embedded, a project, and virtual boards in real MicroPython."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.allinone import AllInOne
from services.virtualboard import VirtualBoards
from tests.e2e.loop import Person, first_login, settings_in


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("loop")


@pytest.fixture(scope="module")
def boardloop(folder: Path) -> Iterator[AllInOne]:
    running = AllInOne(settings_in(folder / "data"))
    try:
        running.start()
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="module")
def person(boardloop: AllInOne) -> Iterator[Person]:
    with first_login(boardloop.url, boardloop.first_password) as client:
        yield Person.with_project(client)


@pytest.fixture(scope="module")
def fleet(folder: Path, boardloop: AllInOne) -> Iterator[VirtualBoards]:
    with VirtualBoards(folder / "boards") as boards:
        yield boards
