"""Group commit: one fsync of a folder and one database transaction for all captures that wait at that moment.

While one batch waits for the disk the next one gathers, so batches grow with the load. (Measured: the fsync and the
transaction in two overlapping threads are no faster, and fsync three times as often.)
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass

from services.collector.captures import Captures, NewCapture
from services.common.errors import BoardloopError, StorageFull
from services.common.frames import AckReason
from services.common.logs import logger
from services.common.metrics import counter
from services.common.objects import ObjectStore

__all__ = ["Committer", "Pending"]

log = logger("collector.ingest")

BATCH = 128
COMMITS = counter("collector_commits", "Database transactions that stored captures.")
COMMITTED = counter("collector_committed", "Captures in them: divide by the transactions for the size of a batch.")


@dataclass(frozen=True)
class Pending:
    """A verified capture whose object is staged; `done` is told what became of it: reason, detail for the log."""

    new: NewCapture
    done: Callable[[AckReason, str], None]


class Committer:
    """Answers every capture that is submitted, in order, on a thread of its own."""

    def __init__(self, captures: Captures, store: ObjectStore) -> None:
        self._captures, self._store = captures, store
        self._queue: queue.SimpleQueue[Pending | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="collector-commit", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def submit(self, pending: Pending) -> None:
        """Returns at once."""
        self._queue.put(pending)

    def stop(self) -> None:
        """Ends after everything that was submitted has been committed and answered."""
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            batch: list[Pending] = [first]
            ended = False
            while len(batch) < BATCH and not self._queue.empty() and not ended:
                more = self._queue.get()
                if more is None:
                    ended = True
                else:
                    batch.append(more)
            self._commit(batch)
            if ended:
                return

    def _commit(self, batch: list[Pending]) -> None:
        COMMITS.inc()
        COMMITTED.inc(len(batch))
        try:
            self._store.settle([pending.new.object_key for pending in batch])
            reasons = self._captures.store_batch([pending.new for pending in batch])
        except Exception as error:
            self._refuse(batch, error)
            return
        for pending, reason in zip(batch, reasons, strict=True):
            if reason in (AckReason.DUPLICATE, AckReason.UNKNOWN_LABEL):
                self._discard(pending)
            self._answer(pending, reason, "")

    def _refuse(self, batch: list[Pending], error: Exception) -> None:
        """The boards keep their captures and try again."""
        if not isinstance(error, BoardloopError):  # our bug
            log.error("captures_not_stored", captures=[pending.new.capture_id for pending in batch], exc_info=error)
        reason = AckReason.STORAGE_FULL if isinstance(error, StorageFull) else AckReason.UNAVAILABLE
        for pending in batch:
            self._answer(pending, reason, str(error))

    def _discard(self, pending: Pending) -> None:
        try:
            self._captures.discard_object(pending.new)
        except BoardloopError as error:
            log.warning("object_not_discarded", key=pending.new.object_key, detail=str(error))

    @staticmethod
    def _answer(pending: Pending, reason: AckReason, detail: str) -> None:
        try:
            pending.done(reason, detail)
        except Exception as error:
            log.error("answer_failed", capture=pending.new.capture_id, exc_info=error)
