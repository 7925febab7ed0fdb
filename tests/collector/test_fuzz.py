"""Two thousand mutated frames: none ends the ingest, each is answered, and nothing wrong is stored."""

from __future__ import annotations

import random
import struct
from hashlib import sha256

import pytest

from services.common.captures import CaptureChunk
from services.common.frames import AckReason
from tests.collector.boards import Ack, WireBoard, make_jpeg
from tests.collector.conftest import World, hashes

FRAMES = 1000  # of each kind
WINDOW = 50  # frames on their way at once: fewer than the queue of a worker holds
JPEG = make_jpeg(1, 24, 24)


def mutated(data: bytes, rng: random.Random) -> bytes:
    """Some bytes flipped, cut out, put in, doubled or cut off."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        at, length = rng.randrange(len(changed) + 1), rng.choice((1, 2, 16, 100))
        match rng.randrange(5):
            case 0:
                changed[at : at + 1] = rng.randbytes(1)
            case 1:
                del changed[at : at + length]
            case 2:
                changed[at:at] = rng.randbytes(length)
            case 3:
                changed[at:at] = changed[at : at + length]
            case 4:
                del changed[at:]
    return bytes(changed)


def answers_to(board: WireBoard, frames: list[bytes]) -> list[Ack]:
    """Each frame of one chunk has exactly one answer."""
    found = []
    for start in range(0, len(frames), WINDOW):
        window = frames[start : start + WINDOW]
        for frame in window:
            board.publish(frame)
        found += [board.answer() for _ in window]
    return found


def test_frames_changed_on_the_way_are_all_refused(world: World) -> None:
    board, rng = world.board(), random.Random(2026)
    record = board.press("functional", JPEG)
    frame = board.seal(CaptureChunk(record.capture_id, len(record.pack()), 0, 1, record.pack()).pack())
    frames = [bad for bad in (mutated(frame, rng) for _ in range(FRAMES)) if bad != frame]
    reasons = {ack.reason for ack in answers_to(board, frames)}
    assert reasons <= {AckReason.BAD_MAC, AckReason.MALFORMED}
    assert world.stored() == {}
    board.publish(frame)
    assert board.answer().reason is AckReason.STORED
    assert world.stored() == hashes(record)


@pytest.mark.parametrize("what", ["chunk", "record"])
def test_a_board_that_sends_nonsense_under_good_keys_stores_nothing_wrong(world: World, what: str) -> None:
    board, rng = world.board(), random.Random(what)
    sent: dict[str, str] = {}
    for number in range(1, FRAMES // 2 + 1):
        record = board.press("functional", JPEG).pack()
        if what == "record":
            record = mutated(record, rng)
        capture_id = sha256(record).digest()[:16]
        plaintext = struct.pack(">16sIHH", capture_id, len(record), 0, 1) + record
        board.publish(board.seal(mutated(plaintext, rng) if what == "chunk" else plaintext))
        sent[capture_id.hex()] = sha256(record[6 + int.from_bytes(record[4:6], "big") :]).hexdigest()
        if number % WINDOW == 0:  # a good one: its answer shows that all before it are dealt with
            good = board.press("functional", JPEG)
            assert board.deliver(good) is AckReason.STORED
            sent |= hashes(good)
    stored = world.stored()
    assert stored.items() <= sent.items()
    assert len(stored) < len(sent)
