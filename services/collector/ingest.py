"""From a frame on bl/<board>/up/capture to a stored capture and its ACK.

    bus thread ──> queue of the board's worker ──> worker                          ──> committer ──> ACK
                   full: BUSY                      verify, replay check, assemble      for all that wait:
                                                   record, label, JPEG check     then rows in a transaction
                                                   object written, fsynced       folders fsynced

A board always goes to the same worker, so its frames are handled in order. The ACK comes after the row is committed,
the row after the object is durable: what is cut off in between leaves at most an object without a row, and the board
sends again.
"""

from __future__ import annotations

import hashlib
import queue
import threading
import time
import zlib
from collections import OrderedDict
from datetime import UTC, datetime

from services.collector.answers import Answers
from services.collector.assembly import Assembler, Limits, Step
from services.collector.boards import BoardEntry, Roster
from services.collector.captures import Captures, NewCapture, object_key
from services.collector.committer import Committer, Pending
from services.collector.pictures import check_jpeg
from services.collector.projects import Projects
from services.collector.settings import CollectorSettings
from services.common import topics
from services.common.captures import CaptureChunk, CaptureRecord
from services.common.errors import BoardloopError, InvalidInput, StorageFull, Unavailable
from services.common.frames import AckReason, Frame, FrameError, Kind, ReplayWindow, open_frame
from services.common.logs import logger
from services.common.mqtt import MqttMessage
from services.common.objects import ObjectStore

__all__ = ["Ingest"]

log = logger("collector.ingest")

REMEMBERED = 1024  # captures per worker whose last chunk is answered from memory when it comes again


class Ingest:
    """Bus handler `receive` and the threads behind it."""

    def __init__(
        self,
        settings: CollectorSettings,
        roster: Roster,
        projects: Projects,
        captures: Captures,
        store: ObjectStore,
        answers: Answers,
    ) -> None:
        self._roster, self._answers = roster, answers
        self._committer = Committer(captures, store)
        self._stopping = False
        self._workers = [
            _Worker(settings, roster, projects, captures, store, answers, self._committer, number)
            for number in range(settings.ingest_workers)
        ]

    def start(self) -> None:
        self._committer.start()
        for worker in self._workers:
            worker.thread.start()

    def stop(self) -> None:
        """Takes no more frames; ends after every frame taken so far has had its answer."""
        self._stopping = True
        for worker in self._workers:
            worker.frames.put(None)
        for worker in self._workers:
            worker.thread.join()
        self._committer.stop()

    def receive(self, message: MqttMessage) -> None:
        """Takes a message of bl/+/up/capture; never blocks."""
        if self._stopping:
            return
        board_id = topics.board_of(message.topic)
        worker = self._workers[zlib.crc32(board_id.encode()) % len(self._workers)]
        try:
            worker.frames.put_nowait((board_id, message.payload))
        except queue.Full:
            board = self._roster.find(board_id)
            if board is not None:
                self._answers.ack(board, (0, 0), AckReason.BUSY, detail="frames arrive faster than they are stored")


class _Worker:
    """One thread, some boards: their replay windows and their unfinished captures need no lock."""

    def __init__(
        self,
        settings: CollectorSettings,
        roster: Roster,
        projects: Projects,
        captures: Captures,
        store: ObjectStore,
        answers: Answers,
        committer: Committer,
        number: int,
    ) -> None:
        self._settings, self._roster, self._projects = settings, roster, projects
        self._captures, self._store, self._answers, self._committer = captures, store, answers, committer
        limits = Limits(
            per_board=settings.unfinished_per_board,
            total_bytes=max(settings.unfinished_max_bytes // settings.ingest_workers, settings.capture_max_bytes),
            seconds=settings.unfinished_seconds,
        )
        self._assembler = Assembler(limits, time.monotonic)
        self._windows: dict[str, tuple[str, ReplayWindow]] = {}
        self._storing: set[tuple[str, str]] = set()  # handed to the committer, not answered yet
        self._stored: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._lock = threading.Lock()  # the committer's thread moves captures from _storing to _stored
        self.frames: queue.Queue[tuple[str, bytes] | None] = queue.Queue(settings.ingest_queue)
        self.thread = threading.Thread(target=self._run, name=f"collector-ingest-{number}", daemon=True)

    def _run(self) -> None:
        while (item := self.frames.get()) is not None:
            try:
                self._frame(*item)
            except Exception:  # our bug; the board keeps the capture and the worker its other boards
                log.exception("frame_failed", board=item[0])

    def _frame(self, board_id: str, data: bytes) -> None:
        board = self._roster.find(board_id)
        if board is None:
            self._answers.refuse(board_id, AckReason.UNKNOWN_BOARD, "no such board on the roster")
            return
        try:
            frame = open_frame(data, board.up_enc, board.up_mac, uplink=True)
        except FrameError as error:
            self._answers.ack(board, (0, 0), error.ack, detail=str(error))
            return
        mark = (frame.session, frame.sequence)
        tied = frame.plaintext[:16].hex() if frame.kind is Kind.CAPTURE and len(frame.plaintext) >= 16 else ""
        try:
            self._capture(board, frame, mark)
        except FrameError as error:
            self._answers.ack(board, mark, error.ack, tied, detail=str(error))
            if error.ack is AckReason.UNKNOWN_BOARD:
                self._answers.show(board_id, error.ack)
        except BoardloopError as error:
            self._answers.ack(board, mark, _reason(error), tied, detail=str(error))
        except Exception as error:
            log.exception("frame_failed", board=board_id, capture=tied)
            self._answers.ack(board, mark, AckReason.UNAVAILABLE, tied, detail=repr(error))

    def _capture(self, board: BoardEntry, frame: Frame, mark: tuple[int, int]) -> None:
        """Handles a frame that is the board's own. Raises FrameError or BoardloopError for what must be refused."""
        if not board.active:
            raise FrameError(AckReason.UNKNOWN_BOARD, "the board is revoked")
        if frame.kind is not Kind.CAPTURE:
            raise FrameError(AckReason.MALFORMED, f"a {frame.kind.name} frame on the capture topic")
        if not self._window(board).accept(*mark):
            raise FrameError(AckReason.REPLAYED, f"{mark} is not above {self._window(board).last}")
        chunk = CaptureChunk.parse(frame.plaintext, self._settings.capture_max_bytes)
        if self._known(board, chunk, mark):
            return
        progress = self._assembler.add(board.board_id, chunk)
        if progress.step is Step.MISSING:
            self._answers.ack(board, mark, AckReason.MISSING, chunk.capture_id.hex(), missing=progress.missing)
        elif progress.step is Step.COMPLETE:
            self._store_record(board, mark, chunk.capture_id, progress.record)

    def _window(self, board: BoardEntry) -> ReplayWindow:
        key_id, window = self._windows.get(board.board_id, ("", None))
        if window is None or key_id != board.key_id:
            window = ReplayWindow(self._roster.last(board.board_id))
            self._windows[board.board_id] = (board.key_id, window)
        return window

    def _known(self, board: BoardEntry, chunk: CaptureChunk, mark: tuple[int, int]) -> bool:
        """Whether the capture is stored or about to be. The last chunk of a stored one is what a board sends again
        after its ACK was lost: DUPLICATE, and no need to send the rest."""
        key = (board.board_id, chunk.capture_id.hex())
        with self._lock:
            if key in self._storing:
                return True
            stored = key in self._stored
        last = chunk.index == chunk.count - 1
        if not stored and last and chunk.count > 1 and not self._assembler.knows(board.board_id, chunk.capture_id):
            stored = self._captures.is_stored(*key)
        if stored and last:
            self._answers.ack(board, mark, AckReason.DUPLICATE, key[1])
        return stored

    def _store_record(self, board: BoardEntry, mark: tuple[int, int], sent_id: bytes, data: bytes) -> None:
        record = CaptureRecord.parse(data)
        if record.capture_id != sent_id:
            raise FrameError(AckReason.MALFORMED, f"the record's id is {record.capture_id.hex()}, not the one sent")
        labels = self._projects.labels(board.project_id)
        if labels is None:
            raise FrameError(AckReason.UNKNOWN_BOARD, f"the board's project {board.project_id} does not exist here")
        label = record.metadata.label
        if label and label not in labels:
            raise FrameError(AckReason.UNKNOWN_LABEL, f"the project has no label {label!r}")
        size = check_jpeg(record.jpeg, self._settings.capture_max_pixels)
        capture_id = sent_id.hex()
        new = NewCapture(
            capture_id=capture_id,
            project_id=board.project_id,
            board_id=board.board_id,
            label=label,
            width=size.width,
            height=size.height,
            size_bytes=len(record.jpeg),
            sha256=hashlib.sha256(record.jpeg).hexdigest(),
            object_key=object_key(board.project_id, board.board_id, capture_id),
            captured_at=datetime.fromtimestamp(record.metadata.at, UTC) if record.metadata.at else None,
            key_id=board.key_id,
            frame=mark,
        )
        self._store.stage(new.object_key, record.jpeg)
        key = (board.board_id, capture_id)
        with self._lock:
            self._storing.add(key)
        self._committer.submit(Pending(new, lambda reason, detail: self._done(board, new, reason, detail)))

    def _done(self, board: BoardEntry, new: NewCapture, reason: AckReason, detail: str) -> None:
        key = (new.board_id, new.capture_id)
        with self._lock:
            self._storing.discard(key)
            if reason in (AckReason.STORED, AckReason.DUPLICATE):
                self._stored[key] = None
                if len(self._stored) > REMEMBERED:
                    self._stored.popitem(last=False)
        self._answers.ack(board, new.frame, reason, new.capture_id, detail=detail)


def _reason(error: BoardloopError) -> AckReason:
    """The board's word for an error that is not of the frame itself."""
    if isinstance(error, StorageFull):
        return AckReason.STORAGE_FULL
    if isinstance(error, InvalidInput) and error.reason in (AckReason.NOT_JPEG, AckReason.TOO_LARGE):
        return AckReason(error.reason)
    if not isinstance(error, Unavailable):
        log.error("unexpected_error", reason=error.reason, detail=str(error))
    return AckReason.UNAVAILABLE
