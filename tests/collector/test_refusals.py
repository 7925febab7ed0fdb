"""Every bad input has its answer and its log line, and leaves what was stored before intact."""

from __future__ import annotations

import hmac
import json
import random
import secrets
import struct
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator, MutableMapping
from hashlib import sha256
from typing import Any

import pytest
from prometheus_client import REGISTRY

from services.common import topics
from services.common.captures import CaptureChunk, CaptureRecord
from services.common.frames import FRAME_MAX, AckReason, Kind, seal_downlink
from services.common.keys import new_secret
from tests.collector.boards import ANSWER_SECONDS, WireBoard, make_jpeg
from tests.collector.conftest import World, hashes

Logs = list[MutableMapping[str, Any]]
JPEG = make_jpeg(1, 32, 32)
HEADER, IV_END, MAC = 12, 28, 32  # docs/protocol.md section 3


def one_chunk(board: WireBoard, record: bytes, capture_id: bytes | None = None) -> bytes:
    """The frame of a record that fits into one chunk, whatever the record is."""
    known = CaptureRecord.parse(record).capture_id if capture_id is None else capture_id
    return board.seal(CaptureChunk(known, len(record), 0, 1, record).pack())


def good(board: WireBoard) -> bytes:
    return one_chunk(board, board.press(jpeg=JPEG).pack())


def record_of(metadata: bytes, jpeg: bytes = JPEG) -> bytes:
    return b"BLC1" + struct.pack(">H", len(metadata)) + metadata + jpeg


def metadata(**changes: object) -> bytes:
    return json.dumps({"seq": 1, "label": "", "at": 0, "w": 1, "h": 1} | changes).encode()


def flipped(frame: bytes, offset: int) -> bytes:
    return frame[:offset] + bytes([frame[offset] ^ 1]) + frame[offset + 1 :]


def of_any_id(record: bytes) -> Callable[[WireBoard], bytes]:
    """With the id that belongs to it, so that only the record itself is wrong."""
    return lambda board: one_chunk(board, record, sha256(record).digest()[:16])


def chunk_of(total: int, index: int, count: int, size: int) -> Callable[[WireBoard], bytes]:
    return lambda board: board.seal(struct.pack(">16sIHH", b"\1" * 16, total, index, count) + bytes(size))


def strange_keys(board: WireBoard) -> bytes:
    return WireBoard(board.bus, "", board.board_id, new_secret()).seal(b"x" * 40)


def down_frame(board: WireBoard) -> bytes:
    return seal_downlink(Kind.ACK, b"x" * 40, board.keys.up_enc, board.keys.up_mac, board.session, 1_000)


def bad_padding(board: WireBoard) -> bytes:
    """The MAC is right and the decrypted last block does not end as PKCS#7 says."""
    frame = good(board)[: -MAC - 16]
    return frame + hmac.digest(board.keys.up_mac, frame, "sha256")


BAD: dict[str, tuple[AckReason, Callable[[WireBoard], bytes]]] = {
    "empty": (AckReason.MALFORMED, lambda board: b""),
    "noise": (AckReason.MALFORMED, lambda board: random.Random(1).randbytes(300)),
    "another magic": (AckReason.MALFORMED, lambda board: b"XY" + good(board)[2:]),
    "another version": (AckReason.MALFORMED, lambda board: flipped(good(board), 2)),
    "a header changed": (AckReason.BAD_MAC, lambda board: flipped(good(board), 11)),
    "an IV changed": (AckReason.BAD_MAC, lambda board: flipped(good(board), 12)),
    "a ciphertext changed": (AckReason.BAD_MAC, lambda board: flipped(good(board), 28)),
    "a MAC changed": (AckReason.BAD_MAC, lambda board: flipped(good(board), -1 + len(good(board)))),
    "a kind changed": (AckReason.BAD_MAC, lambda board: flipped(good(board), 3)),
    "other keys": (AckReason.BAD_MAC, strange_keys),
    "a wrong padding": (AckReason.BAD_MAC, bad_padding),
    "a frame of the other direction": (AckReason.MALFORMED, down_frame),
    "a frame of another topic": (AckReason.MALFORMED, lambda board: board.seal(b"{}", Kind.REPORT)),
    "a frame over the limit": (AckReason.TOO_LARGE, lambda board: bytes(FRAME_MAX + 12)),
    "no chunk": (AckReason.MALFORMED, lambda board: board.seal(b"")),
    "a chunk without data": (AckReason.MALFORMED, chunk_of(10, 0, 1, 0)),
    "an index over the count": (AckReason.MALFORMED, chunk_of(20, 2, 2, 10)),
    "a count of none": (AckReason.MALFORMED, chunk_of(20, 0, 0, 10)),
    "a chunk larger than the whole": (AckReason.MALFORMED, chunk_of(5, 0, 1, 10)),
    "chunks that do not add up": (AckReason.MALFORMED, chunk_of(100, 0, 3, 10)),
    "a record over the limit": (AckReason.TOO_LARGE, chunk_of(4 * 1024 * 1024 + 1, 0, 3000, 1920)),
    "a record of 4 GiB": (AckReason.TOO_LARGE, chunk_of(2**32 - 1, 0, 2**16 - 1, 65_000)),
    "an id of something else": (AckReason.MALFORMED, lambda b: one_chunk(b, b.press(jpeg=JPEG).pack(), b"\7" * 16)),
    "no record": (AckReason.MALFORMED, of_any_id(b"hello")),
    "another record's magic": (AckReason.MALFORMED, of_any_id(b"BLC2" + record_of(metadata())[4:])),
    "metadata longer than the record": (AckReason.MALFORMED, of_any_id(b"BLC1\xff\xff{}")),
    "metadata that is no JSON": (AckReason.MALFORMED, of_any_id(record_of(b"{seq: 1}"))),
    "metadata that is a list": (AckReason.MALFORMED, of_any_id(record_of(b"[1]"))),
    "metadata nested too deep": (AckReason.MALFORMED, of_any_id(record_of(b"[" * 30_000))),
    "a time that is text": (AckReason.MALFORMED, of_any_id(record_of(metadata(at="now")))),
    "a time after all times": (AckReason.MALFORMED, of_any_id(record_of(metadata(at=10**30)))),
    "a label that is a number": (AckReason.MALFORMED, of_any_id(record_of(metadata(label=7)))),
    "no label": (AckReason.MALFORMED, of_any_id(record_of(b'{"seq": 1, "at": 0, "w": 1, "h": 1}'))),
    "an unknown label": (AckReason.UNKNOWN_LABEL, of_any_id(record_of(metadata(label="unheard of")))),
    "a label of another case": (AckReason.UNKNOWN_LABEL, of_any_id(record_of(metadata(label="Functional")))),
    "a label with a NUL": (AckReason.UNKNOWN_LABEL, of_any_id(record_of(metadata(label="functional\0")))),
    "no picture": (AckReason.NOT_JPEG, of_any_id(record_of(metadata(), b""))),
    "a PNG": (AckReason.NOT_JPEG, of_any_id(record_of(metadata(), b"\x89PNG\r\n\x1a\n" + bytes(100)))),
    "only the start of a JPEG": (AckReason.NOT_JPEG, of_any_id(record_of(metadata(), b"\xff\xd8\xff\xe0"))),
    "half a JPEG": (AckReason.NOT_JPEG, of_any_id(record_of(metadata(), JPEG[: len(JPEG) // 2]))),
}


class Kept:
    """A board, and every record that must be stored in the end: those and no others."""

    def __init__(self, world: World) -> None:
        self.world, self.board = world, world.board()
        self.records: list[CaptureRecord] = []

    def store(self, label: str = "functional") -> None:
        self.records.append(self.board.press(label))
        assert self.board.deliver(self.records[-1]) is AckReason.STORED

    def check(self) -> None:
        assert self.world.stored() == hashes(*self.records)
        assert len(list((self.world.settings.data_dir / "objects").rglob("*.jpg"))) == len(self.records)


@pytest.fixture
def kept(world: World, logs: Logs) -> Iterator[Kept]:
    """A capture stored before the test and one stored after it: both are there and whole, and nothing else is."""
    kept = Kept(world)
    kept.store()
    yield kept
    kept.store()
    kept.check()


def count_of(reason: AckReason) -> float:
    return REGISTRY.get_sample_value("boardloop_collector_answers_total", {"reason": reason.value}) or 0.0


def refusals(logs: Logs, reason: AckReason) -> list[MutableMapping[str, Any]]:
    return [line for line in list(logs) if line["event"] == "capture_refused" and line["reason"] == reason.value]


def test_each_bad_input_has_its_answer_its_log_line_and_its_count(kept: Kept, logs: Logs) -> None:
    board = kept.board
    for name, (reason, make) in BAD.items():
        counted = count_of(reason)
        logs.clear()
        board.publish(make(board))
        assert (name, board.answer().reason) == (name, reason)
        assert [(line["board"], bool(line["detail"])) for line in refusals(logs, reason)] == [(board.board_id, True)], (
            name
        )
        assert count_of(reason) == counted + 1
    assert board.acks.empty()


def test_a_frame_cut_anywhere_is_refused(kept: Kept) -> None:
    board = kept.board
    frame = good(board)
    edges = {
        0,
        1,
        2,
        3,
        4,
        8,
        HEADER,
        IV_END,
        IV_END + 16,
        76,
        len(frame) - MAC - 16,
        len(frame) - MAC,
        len(frame) - 16,
    }
    cuts = sorted({cut for edge in edges for cut in (edge - 1, edge, edge + 1) if 0 <= cut < len(frame)})
    for cut in cuts:
        board.publish(frame[:cut])
    reasons = [board.answer().reason for _ in cuts]
    whole_blocks = [cut >= 76 and (cut - 76) % 16 == 0 for cut in cuts]
    assert reasons == [AckReason.BAD_MAC if whole else AckReason.MALFORMED for whole in whole_blocks]


def test_a_replayed_frame_is_refused_whatever_it_was(kept: Kept, logs: Logs) -> None:
    board = kept.board
    record = board.press()
    frames = [board.seal(chunk.pack()) for chunk in board.chunks(record.pack(), record.capture_id, 800)]
    for frame in [*frames, *frames]:
        board.publish(frame)
    answers = [board.answer() for _ in range(len(frames) + 1)]
    assert [ack.reason for ack in answers if ack.reason is not AckReason.STORED] == [AckReason.REPLAYED] * len(frames)
    assert {ack.capture_id for ack in answers} == {record.capture_id.hex()}
    assert len(refusals(logs, AckReason.REPLAYED)) == len(frames)
    kept.records.append(record)


def test_an_older_session_is_refused(kept: Kept) -> None:
    board = kept.board
    board.session = 2
    kept.store()
    board.session, sequence, board.sequence = 1, board.sequence, 1_000
    board.publish(good(board))
    assert board.answer().reason is AckReason.REPLAYED
    board.session, board.sequence = 2, sequence


def test_an_unknown_board_is_told_in_the_clear(kept: Kept, logs: Logs) -> None:
    stranger = kept.world.board(enrolled=False)
    stranger.publish(good(stranger))
    assert stranger.refusals.get(timeout=ANSWER_SECONDS) == {"reason": "UNKNOWN_BOARD"}
    assert [line["board"] for line in refusals(logs, AckReason.UNKNOWN_BOARD)] == [stranger.board_id]
    assert stranger.acks.empty()


@pytest.mark.parametrize("removed", [False, True])
def test_a_revoked_or_removed_board_is_refused(kept: Kept, logs: Logs, removed: bool) -> None:
    board = kept.world.board()
    first = board.press()
    assert board.deliver(first) is AckReason.STORED
    kept.records.append(first)
    token = b"" if removed else board.record_token(kept.world.service_key, active=False)
    kept.world.bus.publish(topics.record(board.board_id), token, qos=1, retain=True)
    board.publish(good(board))
    assert board.refusals.get(timeout=ANSWER_SECONDS) == {"reason": "UNKNOWN_BOARD"}
    assert [line["board"] for line in refusals(logs, AckReason.UNKNOWN_BOARD)] == [board.board_id]
    if not removed:
        assert board.answer().reason is AckReason.UNKNOWN_BOARD


def test_a_board_record_of_another_service_key_is_ignored(kept: Kept, logs: Logs) -> None:
    stranger = kept.world.board(enrolled=False)
    other_key = urlsafe_b64encode(secrets.token_bytes(32)).decode()
    for token in (stranger.record_token(other_key), b"noise"):
        kept.world.bus.publish(topics.record(stranger.board_id), token, qos=1, retain=True)
    stranger.publish(good(stranger))
    assert stranger.refusals.get(timeout=ANSWER_SECONDS) == {"reason": "UNKNOWN_BOARD"}
    assert [line["board"] for line in logs if line["event"] == "board_record_refused"] == [stranger.board_id] * 2


def test_too_many_unfinished_captures_are_busy(kept: Kept, logs: Logs) -> None:
    board, allowed = kept.board, kept.world.settings.unfinished_per_board
    records = [board.press() for _ in range(allowed + 1)]
    firsts = [board.chunks(record.pack(), record.capture_id, 800)[0] for record in records]
    for chunk in firsts:
        board.publish(board.seal(chunk.pack()))
    ack = board.answer()
    assert (ack.reason, ack.capture_id) == (AckReason.BUSY, records[-1].capture_id.hex())
    assert refusals(logs, AckReason.BUSY)[0]["board"] == board.board_id
    for record in records[:allowed]:
        for chunk in board.chunks(record.pack(), record.capture_id, 800)[1:]:
            board.publish(board.seal(chunk.pack()))
        assert board.answer().reason is AckReason.STORED
    assert board.deliver(records[-1]) is AckReason.STORED
    kept.records += records


def test_a_picture_over_the_limit_of_pixels_is_too_large(make_world: Callable[..., World]) -> None:
    world = make_world(capture_max_pixels=64 * 64)
    board = world.board()
    assert board.deliver(board.press(jpeg=make_jpeg(1, 64, 65))) is AckReason.TOO_LARGE
    small = board.press(jpeg=make_jpeg(1, 64, 64))
    assert board.deliver(small) is AckReason.STORED
    assert world.stored() == hashes(small)


def test_a_board_of_a_project_that_does_not_exist_is_refused(kept: Kept, logs: Logs) -> None:
    board = WireBoard(kept.world.bus, "0" * 12)
    kept.world.boards.append(board)
    board.enrol(kept.world.service_key, active=False)
    kept.world.bus.publish(
        topics.record(board.board_id), board.record_token(kept.world.service_key), qos=1, retain=True
    )
    board.publish(good(board))
    assert board.answer().reason is AckReason.UNKNOWN_BOARD
    assert "project 000000000000" in refusals(logs, AckReason.UNKNOWN_BOARD)[0]["detail"]
