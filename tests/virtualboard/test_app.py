"""The real program of the boards on virtual ones, against the device tests' small server and a real mosquitto."""

from __future__ import annotations

import pytest

from services.virtualboard import Profile, VirtualBoard, VirtualBoards, camera
from tests.device.fake_server import FakeServer


@pytest.fixture
def board(boards: VirtualBoards, server: FakeServer) -> VirtualBoard:
    """Paired by the code before its camera, online, the wheel on its first label."""
    board = boards.add("solar-1", Profile(wifi=("home", "secret")), cable=True)
    board.look_at(camera.qr_picture("WIFI:T:WPA;S:home;P:secret;;"))
    board.start()
    board.wait_shown("Show the pairing code")
    board.look_at(camera.qr_picture(server.code))
    board.wait_shown("Label: functional", timeout=30)
    return board


def test_codes_before_the_camera_pair_the_board_and_a_press_becomes_a_capture(
    board: VirtualBoard, server: FakeServer, photo: bytes
) -> None:
    assert not server.pairing
    board.snap(photo)
    board.wait_shown("Saved 1 functional")
    server.wait(lambda: len(server.stored) == 1)
    record = next(iter(server.stored.values()))
    assert record.jpeg == camera.capture(photo)
    assert record.metadata.label == "functional"
    board.press("long")
    board.wait_shown("Label: defective")
    board.snap(photo)
    server.wait(lambda: len(server.stored) == 2)
    assert [record.metadata.label for record in server.stored.values()] == ["functional", "defective"]


def test_a_board_killed_between_capture_and_ack_sends_it_after_the_restart(
    board: VirtualBoard, server: FakeServer, photo: bytes
) -> None:
    board.unplug()
    board.snap(photo)
    board.wait_shown("Saved 1 functional")
    board.kill()
    assert server.stored == {}
    board.plug()
    board.start()
    server.wait(lambda: server.seqs == [1], 30)


def test_a_link_cut_in_the_middle_of_a_chunk_loses_nothing(
    board: VirtualBoard, server: FakeServer, photo: bytes
) -> None:
    board.unplug(after=2500)
    board.snap(photo)
    board.wait_shown("Offline", timeout=30)
    assert not board.plugged and server.stored == {}
    board.plug()
    server.wait(lambda: server.seqs == [1], 30)
    assert next(iter(server.stored.values())).jpeg == camera.capture(photo)


def test_a_half_duplex_board_pairs_and_delivers(boards: VirtualBoards, server: FakeServer, photo: bytes) -> None:
    board = boards.add("esp8285", Profile(half_duplex=True, chunk=1920, block=1920))
    board.look_at(camera.qr_picture(server.code))
    board.start()
    server.wait(lambda: bool(server.reports), 30)
    server.announce_project()  # the one before it came while the board sent its report, and was lost
    board.wait_shown("Label: functional")
    board.snap(photo)
    server.wait(lambda: server.seqs == [1], 30)


def test_the_server_hears_at_once_that_the_outbox_is_empty_again(
    board: VirtualBoard, server: FakeServer, photo: bytes
) -> None:
    server.wait(lambda: bool(server.reports))
    board.unplug()
    board.snap(photo)
    board.snap(photo)
    board.plug()
    server.wait(lambda: len(server.stored) == 2)
    server.wait(lambda: [report["outbox"] for report in server.reports][-2:] == [2, 0])
