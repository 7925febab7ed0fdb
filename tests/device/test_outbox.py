"""What the board does with every reason of docs/protocol.md section 5."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from services.common.frames import CaptureChunk, Frame, Kind
from tests.device.bundle import SIGNER
from tests.device.conftest import TestBoard


@pytest.fixture
def paired(board: TestBoard) -> TestBoard:
    board.pair(SIGNER)
    return board


def once(reason: str) -> Callable[[CaptureChunk, Frame], str | None]:
    """Says it to the first chunk only."""
    said: list[str] = []

    def judge(chunk: CaptureChunk, frame: Frame) -> str | None:
        if said:
            return None
        said.append(reason)
        return reason

    return judge


def capture_frames(board: TestBoard) -> list[tuple[int, int, int]]:
    """(session, sequence, index) of every CAPTURE that came."""
    frames = [frame for frame in board.server.frames if frame.kind is Kind.CAPTURE]
    return [(f.session, f.sequence, CaptureChunk.parse(f.plaintext).index) for f in frames]


def test_stored_and_duplicate_empty_the_outbox(paired: TestBoard) -> None:
    paired.run(PRESSES="short")
    [record] = paired.server.records
    (paired.root / "outbox" / "00000001.blc").write_bytes(record)  # as if power went before it was removed
    out = paired.run()
    assert paired.server.acks[-1] == "DUPLICATE"
    assert "Stored 1, 0 waiting" in out
    assert not list((paired.root / "outbox").iterdir())


@pytest.mark.parametrize("reason", ["REPLAYED", "BAD_MAC"])
def test_says_hello_again_then_sends_again(paired: TestBoard, reason: str) -> None:
    paired.server.judge = once(reason)
    paired.run(PRESSES="short", SPEED=4)
    assert paired.server.seqs == paired.confirmed
    sessions = {session for session, _, _ in capture_frames(paired)}
    assert len(sessions) == len(paired.server.hellos) == 2


def test_sends_missing_chunks_again_and_no_others(paired: TestBoard) -> None:
    lost: list[int] = []

    def lose_two(frame: Frame) -> bool:
        if frame.kind is not Kind.CAPTURE:
            return False
        index = CaptureChunk.parse(frame.plaintext).index
        if index in (1, 3) and index not in lost:
            lost.append(index)
            return True
        return False

    paired.server.drop = lose_two
    paired.run(PRESSES="short", JPEG=9000)
    assert [index for _, _, index in capture_frames(paired)] == [0, 1, 2, 3, 4, 1, 3]
    assert paired.server.seqs == paired.confirmed


def test_asks_again_with_the_last_chunk_when_no_answer_comes(paired: TestBoard) -> None:
    lost: list[Frame] = []

    def lose_first(frame: Frame) -> bool:
        if frame.kind is Kind.CAPTURE and CaptureChunk.parse(frame.plaintext).index == 2 and not lost:
            lost.append(frame)
            return True
        return False

    paired.server.drop = lose_first
    paired.run(PRESSES="short", SPEED=4)
    assert [(sequence, index) for _, sequence, index in capture_frames(paired)] == [(2, 0), (3, 1), (4, 2), (5, 2)]


@pytest.mark.parametrize("reason", ["MALFORMED", "TOO_LARGE", "NOT_JPEG", "UNKNOWN_LABEL"])
def test_puts_aside_what_the_server_will_never_take(paired: TestBoard, reason: str) -> None:
    paired.run(UNTIL="online")
    paired.server.judge = once(reason)
    out = paired.run(PRESSES="short,short")
    first, second = paired.confirmed
    assert paired.server.seqs == [second]
    [aside] = (paired.root / "rejected").iterdir()
    assert aside.name == f"{first:08}-{reason}.blc"
    assert aside.read_bytes().startswith(b"BLC1")
    assert paired.server.reports[-1]["rejected"] == 1
    expected = (
        f"Put aside {first}: no label functional" if reason == "UNKNOWN_LABEL" else f"Put aside {first}: {reason}"
    )
    assert expected in out
    paired.run(UNTIL="online")
    assert paired.server.reports[-1]["rejected"] == 1, "also counted after a restart"


@pytest.mark.parametrize(("reason", "seconds"), [("STORAGE_FULL", 30), ("BUSY", 5), ("UNAVAILABLE", 5)])
def test_keeps_it_and_tries_again_later(paired: TestBoard, reason: str, seconds: float) -> None:
    speed, said = 10, []

    def judge(chunk: CaptureChunk, frame: Frame) -> str | None:
        if not said and chunk.index == chunk.count - 1:
            said.append(time.monotonic())
            return reason
        if len(said) == 1:
            if chunk.index < chunk.count - 1:
                return None
            said.append(time.monotonic())
        return None

    paired.server.judge = judge
    out = paired.run(PRESSES="short", SPEED=speed)
    assert f"Server says {reason}, 1 waiting" in out
    assert paired.server.seqs == paired.confirmed
    assert said[1] - said[0] >= seconds / speed


def test_an_unknown_board_says_so_and_goes_on_trying(paired: TestBoard) -> None:
    paired.server.judge = once("UNKNOWN_BOARD")
    out = paired.run(PRESSES="short", SPEED=100)
    assert "The server does not know this board" in out
    assert paired.server.seqs == paired.confirmed


def test_a_refused_report_costs_no_capture(paired: TestBoard) -> None:
    """MALFORMED without an id is tied to what it answers by session and sequence, not to the capture on its way."""

    def refuse_reports(frame: Frame) -> bool:
        if frame.kind is Kind.REPORT:
            paired.server.ack("MALFORMED", "", frame)
        return False

    paired.server.drop = refuse_reports
    paired.run(PRESSES="short,short", SPEED=10)
    assert paired.server.seqs == paired.confirmed
    assert len(paired.confirmed) == 2


def test_what_anybody_on_the_wire_can_provoke_puts_no_capture_aside(paired: TestBoard) -> None:
    """The collector's answer to bytes that are no frame names no capture, session or sequence, and can be replayed."""
    provoked: list[Frame] = []

    def garble(frame: Frame) -> bool:
        if frame.kind is not Kind.CAPTURE or len(provoked) == 8:
            return False
        provoked.append(frame)
        paired.server.ack(("MALFORMED", "TOO_LARGE")[len(provoked) % 2], "", None)
        return True

    paired.server.drop = garble
    paired.run(PRESSES="short", SPEED=20)
    assert len(provoked) == 8 and not list((paired.root / "rejected").iterdir())
    assert paired.server.seqs == paired.confirmed and len(paired.confirmed) == 1


def test_a_damaged_record_is_put_aside_not_sent_for_ever(paired: TestBoard) -> None:
    (paired.root / "outbox").mkdir()
    (paired.root / "outbox" / "00000005.blc").write_bytes(bytes(3000))
    out = paired.run(PRESSES="short")
    assert "Put aside 5: DAMAGED" in out
    assert paired.confirmed == [6] == paired.server.seqs


def test_a_full_storage_refuses_the_press_with_words(paired: TestBoard) -> None:
    out = paired.run(PRESSES="short", FREE=30000)
    assert "Storage full, capture not taken, 0 waiting" in out
    assert "Saved" not in out


def test_more_captures_than_names_held_in_memory(paired: TestBoard) -> None:
    paired.run(UNTIL="pressed", PRESSES="short," * 150, JPEG=500, online=False)
    paired.run()
    assert len(paired.confirmed) == 150
    assert paired.server.seqs == paired.confirmed
