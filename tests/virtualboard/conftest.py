"""Virtual boards that run small programs of the tests, over the real port, in the real MicroPython."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from services.virtualboard import Profile, VirtualBoard, VirtualBoards
from tests.device.conftest import Broker, make_broker
from tests.device.fake_server import FakeServer

HEAD = """
import sys
from main import pick_port
port = pick_port()
"""
Maker = Callable[..., VirtualBoard]


@pytest.fixture
def boards(tmp_path: Path) -> Iterator[VirtualBoards]:
    with VirtualBoards(tmp_path / "boards") as running:
        yield running


@pytest.fixture
def board_with(boards: VirtualBoards, tmp_path: Path) -> Maker:
    """board_with(program, profile=None, cable=False): a running board whose program has `port` ready."""

    def make(program: str, profile: Profile | None = None, *, cable: bool = False) -> VirtualBoard:
        number = len(boards.boards)
        path = tmp_path / f"program_{number}.py"
        path.write_text(HEAD + textwrap.dedent(program))
        board = boards.add(f"board-{number}", profile, cable=cable, program=path)
        board.start()
        return board

    return make


@pytest.fixture(scope="session")
def photo() -> bytes:
    """A JPEG of 300 x 300 px with something on it: a gradient."""
    return jpeg(Image.linear_gradient("L").resize((300, 300)).convert("RGB"))


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    folder = tmp_path / "broker"
    folder.mkdir()
    broker = make_broker(folder)
    yield broker
    broker.stop()


@pytest.fixture
def server(broker: Broker) -> Iterator[FakeServer]:
    with FakeServer(broker.port) as server:
        yield server


def jpeg(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    picture.save(out, "JPEG")
    return out.getvalue()
