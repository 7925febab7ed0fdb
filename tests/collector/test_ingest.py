"""From a board's frames to stored captures, over a real broker."""

from __future__ import annotations

import queue
import random
from hashlib import sha256

import pytest

from services.common import topics
from services.common.captures import CaptureRecord
from services.common.frames import AckReason, Kind
from services.rpc.boardloop.collector.v1 import collector_pb2 as pb
from tests.collector.boards import ANSWER_SECONDS, WireBoard, make_jpeg
from tests.collector.conftest import World, hashes


def test_a_press_is_stored_and_acknowledged(world: World) -> None:
    board = world.board()
    record = board.press("functional", make_jpeg(1, 224, 160))
    assert board.deliver(record) is AckReason.STORED
    assert world.stored() == hashes(record)
    assert world.collector is not None
    capture = world.collector.captures.get(record.capture_id.hex())
    assert (capture.board_id, capture.project_id, capture.label) == (board.board_id, world.project, "functional")
    assert (capture.width, capture.height, capture.size_bytes) == (224, 160, len(record.jpeg))
    assert capture.captured_at.seconds == record.metadata.at


def test_the_ack_answers_the_frame_that_completed_the_capture(world: World) -> None:
    board = world.board()
    board.session = 9
    record = board.press()
    board.send(record)
    ack = board.answer()
    assert (ack.capture_id, ack.session, ack.sequence) == (record.capture_id.hex(), 9, board.sequence)


def test_a_capture_sent_again_is_a_duplicate(world: World) -> None:
    board = world.board()
    record = board.press()
    assert [board.deliver(record) for _ in range(3)] == [AckReason.STORED, AckReason.DUPLICATE, AckReason.DUPLICATE]
    assert world.stored() == hashes(record)


@pytest.mark.parametrize("restarted", [False, True])
def test_the_last_chunk_alone_asks_for_the_answer_again(world: World, restarted: bool) -> None:
    board = world.board()
    record = board.press()
    board.deliver(record)
    if restarted:
        world.stop()
        world.start()
    board.publish(board.seal(board.chunks(record.pack(), record.capture_id)[-1].pack()))
    assert board.answer().reason is AckReason.DUPLICATE


def test_missing_chunks_are_listed_and_then_enough(world: World) -> None:
    board = world.board()
    record = board.press(jpeg=make_jpeg(2, 160, 160))
    chunks = [chunk.pack() for chunk in board.chunks(record.pack(), record.capture_id, 512)]
    for index, chunk in enumerate(chunks):
        if index not in (1, 4):
            board.publish(board.seal(chunk))
    ack = board.answer()
    assert (ack.reason, ack.missing, ack.capture_id) == (AckReason.MISSING, [1, 4], record.capture_id.hex())
    for index in (1, 4):
        board.publish(board.seal(chunks[index]))
    assert board.answer().reason is AckReason.STORED
    assert world.stored() == hashes(record)


def test_chunks_of_twenty_boards_interleave(world: World) -> None:
    rng = random.Random(20)
    boards = [world.board() for _ in range(20)]
    records = [board.press("functional") for board in boards]
    chunks = [
        (board, chunk)
        for board, record in zip(boards, records, strict=True)
        for chunk in board.chunks(record.pack(), record.capture_id, 700)
    ]
    rng.shuffle(chunks)
    for board, chunk in chunks:
        board.publish(board.seal(chunk.pack()))
    for board, record in zip(boards, records, strict=True):
        while (ack := board.answer()).reason is AckReason.MISSING:
            assert ack.capture_id == record.capture_id.hex()
        assert ack.reason is AckReason.STORED
    assert world.stored() == hashes(*records)


def test_the_same_picture_on_two_boards_is_two_captures(world: World) -> None:
    first, second = world.board(), world.board()
    records = [board.press("functional", make_jpeg(5)) for board in (first, second)]
    assert records[0].capture_id == records[1].capture_id
    assert [board.deliver(record) for board, record in zip((first, second), records, strict=True)] == [
        AckReason.STORED,
        AckReason.STORED,
    ]
    assert len(world.stored()) == 2


def test_a_deleted_capture_does_not_come_back(world: World) -> None:
    board = world.board()
    record = board.press()
    board.deliver(record)
    assert world.collector is not None
    world.collector.captures.delete([record.capture_id.hex()])
    assert board.deliver(record) is AckReason.DUPLICATE
    assert world.collector.browser.count(world.project).total == 0
    assert not [path for path in (world.settings.data_dir / "objects").rglob("*.jpg")]


def test_a_restarted_collector_goes_on(world: World) -> None:
    board = world.board()
    first, second = board.press(), board.press()
    replayed = board.seal(board.chunks(first.pack(), first.capture_id, 60_000)[0].pack())
    board.publish(replayed)
    assert board.answer().reason is AckReason.STORED
    world.stop()
    world.start()
    board.publish(replayed)
    assert board.answer().reason is AckReason.REPLAYED
    assert board.deliver(second) is AckReason.STORED
    assert world.stored() == hashes(first, second)


def test_new_keys_begin_a_new_count(world: World) -> None:
    board = world.board()
    board.session = 50
    first = board.press()
    board.deliver(first)
    board.detached = True
    again = WireBoard(world.bus, world.project, board_id=board.board_id).enrol(world.service_key)
    again.presses = 1
    second = again.press()
    assert again.deliver(second) is AckReason.STORED
    world.stop()
    world.start()
    third = again.press()
    assert again.deliver(third) is AckReason.STORED
    assert world.stored() == hashes(first, second, third)


def test_boards_learn_the_labels(world: World) -> None:
    board = world.board()
    world.projects.set_labels(world.project, ["functional", "defective", "unclear"])
    assert board.projects.get(timeout=ANSWER_SECONDS) == {
        "project": "cells",
        "labels": ["functional", "defective", "unclear"],
    }
    late = WireBoard(world.bus, world.project, board_id=board.board_id, secret=board.secret)
    assert late.projects.get(timeout=ANSWER_SECONDS)["labels"] == ["functional", "defective", "unclear"]
    assert board.deliver(board.press("unclear")) is AckReason.STORED


def test_a_removed_board_loses_its_project(world: World) -> None:
    board = world.board()
    gone: queue.Queue[bytes] = queue.Queue()
    world.bus.subscribe(topics.down(board.board_id, Kind.PROJECT), lambda message: gone.put(message.payload))
    gone.get(timeout=ANSWER_SECONDS)
    world.bus.publish(topics.record(board.board_id), b"", qos=1, retain=True)
    assert gone.get(timeout=ANSWER_SECONDS) == b""


def test_captures_of_two_projects_stay_apart(world: World) -> None:
    board = world.board()
    other = world.projects.create("leaves", ["healthy"])
    world.boards.append(stranger := WireBoard(world.bus, other.id))
    stranger.enrol(world.service_key)
    assert stranger.deliver(stranger.press("functional")) is AckReason.UNKNOWN_LABEL
    assert stranger.deliver(stranger.press("healthy")) is AckReason.STORED
    assert board.deliver(board.press("functional")) is AckReason.STORED
    assert world.collector is not None
    page = world.collector.browser.page(pb.ListCapturesRequest(filter=pb.CaptureFilter(project_id=other.id)))
    assert [capture.label for capture in page.captures] == ["healthy"]


def test_a_large_capture_comes_in_large_chunks(world: World) -> None:
    board = world.board()
    record = CaptureRecord(board.press().metadata, make_jpeg(6, 900, 900, 95))
    assert len(record.jpeg) > 500_000
    assert board.deliver(record, 60_000) is AckReason.STORED
    assert world.stored() == {record.capture_id.hex(): sha256(record.jpeg).hexdigest()}
