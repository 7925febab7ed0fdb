"""Chunks in any order become records, within bounds."""

from __future__ import annotations

import random

import pytest

from services.collector.assembly import Assembler, Limits, Step
from services.common.captures import CaptureChunk
from services.common.frames import AckReason, FrameError

LIMITS = Limits(per_board=2, total_bytes=10_000, seconds=60)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def chunks_of(record: bytes, size: int, capture_id: bytes = b"\1" * 16) -> list[CaptureChunk]:
    count = -(-len(record) // size)
    return [
        CaptureChunk(capture_id, len(record), index, count, record[index * size : (index + 1) * size])
        for index in range(count)
    ]


@pytest.mark.parametrize("size", [1, 7, 99, 100, 101, 1000])
def test_any_order_and_repeats_give_the_record(size: int) -> None:
    rng = random.Random(size)
    record = rng.randbytes(1000)
    chunks = chunks_of(record, size)
    chunks += rng.sample(chunks, len(chunks) // 2)
    rng.shuffle(chunks)
    assembler = Assembler(LIMITS, Clock())
    complete = [p.record for p in (assembler.add("a", chunk) for chunk in chunks) if p.step is Step.COMPLETE]
    assert complete[0] == record


def test_the_last_chunk_lists_at_most_64_missing() -> None:
    chunks = chunks_of(bytes(1000), 10)
    assembler = Assembler(LIMITS, Clock())
    assert assembler.add("a", chunks[1]).step is Step.WAITING
    progress = assembler.add("a", chunks[-1])
    assert progress.missing == (0, *range(2, 65))


def test_boards_do_not_mix() -> None:
    assembler = Assembler(LIMITS, Clock())
    assembler.add("a", chunks_of(b"a" * 20, 10)[0])
    assert assembler.add("b", chunks_of(b"b" * 20, 10)[1]).step is Step.MISSING


def test_another_chunk_size_begins_anew() -> None:
    assembler = Assembler(LIMITS, Clock())
    record = bytes(range(100))
    assembler.add("a", chunks_of(record, 40)[0])
    steps = [assembler.add("a", chunk) for chunk in chunks_of(record, 50)]
    assert steps[-1].record == record
    assert len(assembler) == 0


def test_too_many_unfinished_captures_are_busy_until_they_expire() -> None:
    clock = Clock()
    assembler = Assembler(LIMITS, clock)
    for number in range(2):
        assembler.add("a", chunks_of(bytes(20), 10, bytes([number]) * 16)[0])
    third = chunks_of(bytes(20), 10, b"\7" * 16)
    with pytest.raises(FrameError) as refused:
        assembler.add("a", third[0])
    assert refused.value.ack is AckReason.BUSY
    assembler.add("b", third[0])
    clock.now += LIMITS.seconds
    assert assembler.add("a", third[0]).step is Step.WAITING
    assert len(assembler) == 1


def test_memory_is_bounded_over_all_boards() -> None:
    assembler = Assembler(LIMITS, Clock())
    assembler.add("a", chunks_of(bytes(9_000), 1000)[0])
    with pytest.raises(FrameError, match="9000 bytes"):
        assembler.add("b", chunks_of(bytes(2_000), 1000)[0])
    for chunk in chunks_of(bytes(9_000), 1000):
        assembler.add("a", chunk)
    assert assembler.add("b", chunks_of(bytes(2_000), 1000)[0]).step is Step.WAITING


def test_a_board_that_fills_the_memory_gives_way_to_others() -> None:
    assembler = Assembler(Limits(per_board=4, total_bytes=10_000, seconds=60), Clock())
    for number in range(3):
        assembler.add("greedy", chunks_of(bytes(3_000), 1000, bytes([number]) * 16)[0])
    record = bytes(5_000)
    first, *rest = chunks_of(record, 1000)
    assert assembler.add("other", first).step is Step.WAITING
    assert not assembler.knows("greedy", bytes(16)) and assembler.knows("greedy", b"\2" * 16)
    with pytest.raises(FrameError):
        assembler.add("greedy", chunks_of(bytes(3_000), 1000, b"\3" * 16)[0])  # nobody else has more than one
    assert [assembler.add("other", chunk) for chunk in rest][-1].record == record
