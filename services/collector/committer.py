"""Group commit: one fsync of a folder and one database transaction for all captures that wait at that moment."""

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
    """One thread. While a transaction is flushed to disk the next batch gathers, so batches grow with the load."""

    def __init__(self, captures: Captures, store: ObjectStore) -> None:
        self._captures, self._store = captures, store
        self._queue: queue.SimpleQueue[Pending | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="collector-commit", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Ends after everything that was submitted has been committed and answered."""
        self._queue.put(None)
        self._thread.join()

    def submit(self, pending: Pending) -> None:
        """Answers later, on the committer's thread."""
        self._queue.put(pending)

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            batch = [first]
            ended = False
            while len(batch) < BATCH and not self._queue.empty():
                more = self._queue.get()
                if more is None:
                    ended = True
                    break
                batch.append(more)
            self._commit(batch)
            if ended:
                return

    def _commit(self, batch: list[Pending]) -> None:
        COMMITS.inc()
        COMMITTED.inc(len(batch))
        detail = ""
        try:
            self._store.settle([pending.new.object_key for pending in batch])
            reasons = self._captures.store_batch([pending.new for pending in batch])
        except StorageFull as error:
            reasons, detail = [AckReason.STORAGE_FULL] * len(batch), str(error)
        except BoardloopError as error:
            reasons, detail = [AckReason.UNAVAILABLE] * len(batch), str(error)
        except Exception as error:  # our bug; the boards keep their captures, the log has the trace
            log.exception("captures_not_stored", captures=[pending.new.capture_id for pending in batch])
            reasons, detail = [AckReason.UNAVAILABLE] * len(batch), repr(error)
        for pending, reason in zip(batch, reasons, strict=True):
            try:
                if reason in (AckReason.DUPLICATE, AckReason.UNKNOWN_LABEL):
                    self._captures.discard_object(pending.new)
                pending.done(reason, detail)
            except Exception:
                log.exception("answer_failed", capture=pending.new.capture_id)
