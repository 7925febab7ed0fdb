"""Puts the chunks of captures together, within bounds. Pure logic: no clock, no lock, no I/O of its own.

    record   |<---------------------- total bytes ---------------------->|
    chunks   |  index 0  |  index 1  |  index 2  |  …  |  index count-1  |
              stride      stride      stride            1 … stride bytes

Every chunk but the last has the same length (the stride), so any single chunk tells where all of them lie, and a chunk
may come first, last or twice. One Assembler serves the boards of one worker: it is not thread-safe.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from services.common.captures import CaptureChunk
from services.common.frames import AckReason, FrameError

__all__ = ["MISSING_LISTED", "Assembler", "Limits", "Progress", "Step"]

MISSING_LISTED = 64  # docs/protocol.md section 5


@dataclass(frozen=True)
class Limits:
    """per_board: unfinished captures of one board; total_bytes: memory of all of them; seconds: how long an unfinished
    capture is kept after its latest chunk."""

    per_board: int
    total_bytes: int
    seconds: float


class Step(Enum):
    """What the chunk led to."""

    WAITING = "more chunks are on their way"
    MISSING = "the last chunk is here and others are not"
    COMPLETE = "the whole record is here"


@dataclass(frozen=True)
class Progress:
    """`record` is set for COMPLETE, `missing` (at most 64 indices, ascending) for MISSING."""

    step: Step
    record: bytes = b""
    missing: tuple[int, ...] = ()


@dataclass
class _Unfinished:
    total: int
    count: int
    stride: int
    touched: float
    data: bytearray = field(init=False)
    have: bytearray = field(init=False)

    def __post_init__(self) -> None:
        self.data = bytearray(self.total)
        self.have = bytearray(self.count)

    def put(self, chunk: CaptureChunk) -> None:
        start = chunk.index * self.stride
        self.data[start : start + len(chunk.data)] = chunk.data
        self.have[chunk.index] = 1


def stride_of(chunk: CaptureChunk) -> int:
    """The length of every chunk but the last, in bytes; CaptureChunk.parse has seen that the numbers fit together."""
    others = chunk.count - 1
    return (chunk.total - len(chunk.data)) // others if others and chunk.index == others else len(chunk.data)


class Assembler:
    """Holds the unfinished captures of some boards.

    `clock` gives seconds that only grow (time.monotonic).
    """

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self.limits = limits
        self._clock = clock
        self._unfinished: OrderedDict[tuple[str, bytes], _Unfinished] = OrderedDict()  # least lately touched first
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._unfinished)

    def knows(self, board: str, capture_id: bytes) -> bool:
        """Whether some chunk of this capture is already here."""
        return (board, capture_id) in self._unfinished

    def add(self, board: str, chunk: CaptureChunk) -> Progress:
        """Takes a chunk that CaptureChunk.parse accepted. FrameError BUSY when it begins a capture over the bounds."""
        stride = stride_of(chunk)
        if chunk.count == 1:
            self._drop((board, chunk.capture_id))
            return Progress(Step.COMPLETE, record=chunk.data)
        key = (board, chunk.capture_id)
        entry = self._unfinished.get(key)
        if entry is None or (entry.total, entry.count, entry.stride) != (chunk.total, chunk.count, stride):
            entry = self._begin(key, chunk, stride)  # other numbers: the board began anew with another chunk size
        entry.put(chunk)
        entry.touched = self._clock()
        self._unfinished.move_to_end(key)
        return self._progress(key, entry, chunk)

    def _progress(self, key: tuple[str, bytes], entry: _Unfinished, chunk: CaptureChunk) -> Progress:
        if 0 not in entry.have:
            self._drop(key)
            return Progress(Step.COMPLETE, record=bytes(entry.data))
        if chunk.index < chunk.count - 1:
            return Progress(Step.WAITING)
        missing: list[int] = []
        index = entry.have.find(0)
        while index >= 0 and len(missing) < MISSING_LISTED:
            missing.append(index)
            index = entry.have.find(0, index + 1)
        return Progress(Step.MISSING, missing=tuple(missing))

    def _begin(self, key: tuple[str, bytes], chunk: CaptureChunk, stride: int) -> _Unfinished:
        self._drop(key)
        self._expire()
        board = key[0]
        unfinished = sum(1 for owner, _ in self._unfinished if owner == board)
        if unfinished >= self.limits.per_board:
            raise FrameError(AckReason.BUSY, f"{unfinished} captures of this board are unfinished")
        while self._bytes + chunk.total > self.limits.total_bytes:
            if self._make_room(board):
                continue
            raise FrameError(AckReason.BUSY, f"unfinished captures of all boards hold {self._bytes} bytes")
        entry = _Unfinished(chunk.total, chunk.count, stride, self._clock())
        self._unfinished[key] = entry
        self._bytes += chunk.total
        return entry

    def _make_room(self, board: str) -> bool:
        """Drops the least lately touched capture of the board that holds the most, if that is another than `board` and
        has more of them: a board sends one after the other, so who fills the memory with many gives way."""
        held: Counter[str] = Counter()
        for (owner, _), entry in self._unfinished.items():
            held[owner] += entry.total
        for owner, _ in held.most_common():
            theirs = [key for key in self._unfinished if key[0] == owner]
            if owner != board and len(theirs) > 1:
                self._drop(theirs[0])
                return True
        return False

    def _expire(self) -> None:
        oldest_allowed = self._clock() - self.limits.seconds
        while self._unfinished:
            key, entry = next(iter(self._unfinished.items()))
            if entry.touched > oldest_allowed:
                return
            self._drop(key)

    def _drop(self, key: tuple[str, bytes]) -> None:
        entry = self._unfinished.pop(key, None)
        if entry is not None:
            self._bytes -= entry.total
