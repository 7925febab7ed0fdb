"""The queue of evaluations: one thread beside the trainings, with one child process at a time."""

from __future__ import annotations

import errno
import queue
import shutil
import threading
from datetime import UTC, datetime
from typing import Any

from services.common.errors import BoardloopError, FailedPrecondition
from services.common.logs import logger
from services.common.metrics import counter
from services.trainer.children import ChildKilled
from services.trainer.evaluation.runner import Runner
from services.trainer.evaluation.store import RESUMABLE, RUNNING, EvaluationStore
from services.trainer.models import EvaluationRun
from services.trainer.pipeline import Run

__all__ = ["Evaluations"]

log = logger("trainer.evaluations")
_COUNTED = counter("trainer_evaluations", "Evaluations that ended, by state.", ("state",))
_JOIN_SECONDS = 10.0
_INTERRUPTED = "The server ended while the evaluation was running. Resume it: it goes on after the last answer."


class Evaluations:
    """Starts, stops and resumes evaluations; `start` marks what an earlier process left, and queues what waited."""

    def __init__(self, store: EvaluationStore, runner: Runner) -> None:
        self._store = store
        self._runner = runner
        self._queue: queue.Queue[str | None] = queue.Queue()
        self._thread: threading.Thread | None = None
        self._run: Run | None = None
        self._lock = threading.Lock()
        self._closing = False

    def start(self) -> None:
        for evaluation_id in self._store.in_states("FETCHING", "EVALUATING"):
            self._end(evaluation_id, "INTERRUPTED", _INTERRUPTED)
        for evaluation_id in self._store.in_states("QUEUED"):
            self._queue.put(evaluation_id)
        self._thread = threading.Thread(target=self._serve, name="evaluations", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Kill the child, mark its evaluation INTERRUPTED and wait for the thread."""
        with self._lock:
            self._closing = True
            if self._run is not None:
                self._run.kill()
        self._queue.put(None)
        if self._thread is not None:
            self._thread.join(_JOIN_SECONDS)

    def submit(self, run: EvaluationRun) -> None:
        """Queue what the store has created."""
        self._queue.put(run.id)

    def ask_stop(self, evaluation_id: str) -> None:
        """End it; what is answered is kept for a resumption. FailedPrecondition when it has ended."""
        run = self._store.get(evaluation_id)
        if self._store.change(evaluation_id, only_in=("QUEUED",), state="STOPPED", ended_at=datetime.now(UTC)):
            return
        if run.state not in RUNNING:
            raise FailedPrecondition(
                "EVALUATION_ENDED", f"Evaluation {evaluation_id} is {run.state}.", fix="There is nothing to stop."
            )
        with self._lock:
            if self._run is not None and self._run.job_id == evaluation_id:
                self._run.stop_asked.set()
                self._run.kill()

    def resume(self, evaluation_id: str) -> None:
        """Queue a FAILED, STOPPED or INTERRUPTED one again. FailedPrecondition in any other state."""
        run = self._store.get(evaluation_id)
        again = {"state": "QUEUED", "error": "", "ended_at": None}
        if not self._store.change(evaluation_id, only_in=RESUMABLE, line="Resumed.", **again):
            raise FailedPrecondition(
                "EVALUATION_NOT_RESUMABLE",
                f"Evaluation {evaluation_id} is {run.state}; only one that failed or was broken off can be resumed.",
                fix="Start a new evaluation.",
            )
        self._queue.put(evaluation_id)

    def _serve(self) -> None:
        while (evaluation_id := self._queue.get()) is not None:
            with self._lock:
                if self._closing:
                    return  # stays QUEUED for the next start
                run = self._run = Run(evaluation_id)
            try:
                self._work(run)
            except Exception:  # the database is away, say; the next start marks it INTERRUPTED
                log.exception("evaluation_lost", evaluation=evaluation_id)
            finally:
                with self._lock:
                    self._run = None

    def _work(self, run: Run) -> None:
        if self._store.get(run.job_id).state != "QUEUED":
            return  # stopped while it waited
        log.info("evaluation_started", evaluation=run.job_id)
        try:
            self._runner.work(run)
        except Exception as error:
            self._end(run.job_id, *_outcome(error, run))
        else:
            shutil.rmtree(self._runner.folder(run.job_id), ignore_errors=True)
            _COUNTED.labels("DONE").inc()
            log.info("evaluation_ended", evaluation=run.job_id, state="DONE")

    def _end(self, evaluation_id: str, state: str, error: str) -> None:
        ended: dict[str, Any] = {"seconds_left": 0.0, "ended_at": datetime.now(UTC)}
        self._store.change(evaluation_id, state=state, error=error, line=error or "Stopped.", **ended)
        _COUNTED.labels(state).inc()
        log.warning("evaluation_ended", evaluation=evaluation_id, state=state, error=error)


def _outcome(error: Exception, run: Run) -> tuple[str, str]:
    """Its last state and what a person reads about it."""
    if run.stop_asked.is_set():
        return "STOPPED", ""
    if run.killed.is_set():
        return "INTERRUPTED", _INTERRUPTED
    if isinstance(error, BoardloopError):
        return "INTERRUPTED" if isinstance(error, ChildKilled) else "FAILED", str(error)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "FAILED", f"The disk is full at {error.filename}. Free space in BOARDLOOP_DATA_DIR, then resume it."
    log.error("evaluation_failed", evaluation=run.job_id, exc_info=error)
    return "FAILED", f"A fault of the trainer itself ({type(error).__name__}: {error}); the log has the trace."
