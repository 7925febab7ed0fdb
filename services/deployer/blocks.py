"""PULL -> BLOCK: pieces of a bundle, read once from the store for the whole fleet.

The bundle is read in segments; the newest used ones stay in memory, so 500 boards that pull the same release at about
the same time cost the store one read each segment.
"""

from __future__ import annotations

import threading
from collections import OrderedDict

from services.common.frames import AckReason, Block, BlockRequest, Frame, FrameError, Kind
from services.common.keys import BoardKeys
from services.common.objects import ObjectStore
from services.deployer.answers import Answers
from services.deployer.bundle import part_key
from services.deployer.rollouts import Rollouts
from services.deployer.sessions import BLOCK_MAX

__all__ = ["Blocks", "Segments"]

SEGMENT = 256 * 1024


class Segments:
    """Ranges of objects through a cache of at most `limit` bytes. Objects never change under their key."""

    def __init__(self, store: ObjectStore, limit: int) -> None:
        self._store = store
        self._limit = limit
        self._held = 0
        self._lock = threading.Lock()
        self._segments: OrderedDict[tuple[str, int], bytes] = OrderedDict()

    def read(self, key: str, offset: int, length: int) -> bytes:
        """`length` bytes, fewer at the object's end. NotFound, Unavailable."""
        end = offset + length
        first, last = offset // SEGMENT, (end - 1) // SEGMENT
        data = b"".join(self._segment(key, index) for index in range(first, last + 1))
        return data[offset - first * SEGMENT : end - first * SEGMENT]

    def _segment(self, key: str, index: int) -> bytes:
        with self._lock:
            found = self._segments.get((key, index))
            if found is not None:
                self._segments.move_to_end((key, index))
                return found
        data = self._store.read(key, index * SEGMENT, SEGMENT)
        with self._lock:
            if (key, index) not in self._segments:
                self._segments[key, index] = data
                self._held += len(data)
            while self._held > self._limit:
                self._held -= len(self._segments.popitem(last=False)[1])
        return data


class Blocks:
    """Answers PULL of the release that is desired on the asking board, and notes how far it is."""

    def __init__(self, store: ObjectStore, rollouts: Rollouts, answers: Answers, cache_bytes: int) -> None:
        self._segments = Segments(store, cache_bytes)
        self._rollouts = rollouts
        self._answers = answers

    def pull(self, board_id: str, frame: Frame, keys: BoardKeys) -> None:
        """FrameError MALFORMED: another release, or a range outside the part; a range over its end is cut there."""
        request = BlockRequest.parse(frame.plaintext)
        release_id = request.release_id.hex()
        desired = self._rollouts.desired(board_id)
        if desired is None or desired.release_id != release_id:
            raise FrameError(AckReason.MALFORMED, f"Release {release_id} is not desired on this board.")
        size = desired.sizes[request.part]
        if request.offset >= size or request.length > BLOCK_MAX:
            asked = f"{request.length} bytes at {request.offset} of {request.part.name}"
            raise FrameError(AckReason.MALFORMED, f"PULL of {asked}: it has {size} bytes, at most {BLOCK_MAX} at once.")
        data = self._segments.read(part_key(release_id, request.part), request.offset, request.length)
        block = Block(request.release_id, request.part, request.offset, data)
        self._answers.frame(board_id, Kind.BLOCK, block.pack(), keys, frame)
        before = sum(desired.sizes[: request.part])
        self._rollouts.progressed(board_id, release_id, (before + request.offset + len(data)) / sum(desired.sizes))
