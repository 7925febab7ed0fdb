"""`boardloop board`: boards from the command line. Pairing and captures go to the device tests' small server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.common.errors import InvalidInput
from services.virtualboard import camera, run_boards
from services.virtualboard.__main__ import main
from tests.device.fake_server import FakeServer


@pytest.fixture
def pictures(tmp_path: Path, photo: bytes) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(photo)
    (folder / "b.png").write_bytes(camera.qr_picture("second"))
    (folder / "notes.txt").write_text("no picture")
    return folder


def test_a_board_is_paired_and_takes_the_pictures_one_by_one(
    tmp_path: Path,
    pictures: Path,
    server: FakeServer,
    photo: bytes,
) -> None:
    said: list[str] = []

    def typed() -> Iterator[str]:
        yield "\n"
        server.wait(lambda: len(server.stored) == 1)
        yield "n\n"
        yield "\n"
        server.wait(lambda: len(server.stored) == 2)
        yield "what\n"
        yield "q\n"
        raise AssertionError("q did not end it")

    run_boards(tmp_path / "boards", pictures, pairing=[server.code], commands=typed(), out=said.append)
    jpegs = [record.jpeg for record in server.stored.values()]
    assert jpegs == [camera.capture(photo), camera.capture(camera.qr_picture("second"))]
    assert "board-1 sees b.png" in said
    assert any(text.startswith("board-1: Saved 1") for text in said)
    run_boards(tmp_path / "boards", pictures, commands=["q"], out=said.append)  # paired: needs no code


def test_too_few_codes_are_told_before_a_board_starts(tmp_path: Path, pictures: Path) -> None:
    with pytest.raises(InvalidInput, match="3 boards are not paired yet") as caught:
        run_boards(tmp_path / "boards", pictures, count=3, pairing=["BL1:127.0.0.1:x:y"], commands=[])
    assert caught.value.reason == "CODES_MISSING"
    assert not (tmp_path / "boards" / "board-1" / "log.txt").exists()


def test_a_folder_without_pictures_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--folder", str(tmp_path / "boards"), "--pictures", str(tmp_path)]) == 1
    assert "has no JPEG or PNG picture" in capsys.readouterr().err
