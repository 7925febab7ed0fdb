"""The queue of jobs: `concurrent_jobs` threads, each with the tasks of one job at a time.

The queue is the QUEUED jobs of the store: highest priority first, then first come. What is put into `_queue` only wakes
a thread, which takes the first job there is then.
"""

from __future__ import annotations

import errno
import queue
import threading
from datetime import UTC, datetime
from typing import Any

from services.common.errors import BoardloopError, FailedPrecondition, InvalidInput
from services.common.logs import logger
from services.common.metrics import counter
from services.trainer.children import ChildKilled
from services.trainer.models import Job
from services.trainer.pipeline import Aborted, Pipeline, Run
from services.trainer.store import WAITING_FOR_A_PERSON, JobStore

__all__ = ["Jobs"]

log = logger("trainer.jobs")
ENDED = counter("trainer_jobs", "Training jobs that ended, by state.", ("state",))
MAX_PRIORITY = 100
_JOIN_SECONDS = 10.0
_INTERRUPTED = "The server ended while the job was running. Resume it: it goes on after the last finished epoch."


class Jobs:
    """Starts, stops and resumes jobs. `start` marks what an earlier process left and queues what it had not begun."""

    def __init__(self, store: JobStore, pipeline: Pipeline, concurrent: int) -> None:
        self._store = store
        self._pipeline = pipeline
        self._concurrent = concurrent
        self._queue: queue.Queue[bool] = queue.Queue()  # True: a job may be waiting; False: the thread ends
        self._threads: list[threading.Thread] = []
        self._runs: dict[str, Run] = {}
        self._lock = threading.Lock()
        self._closing = False

    def start(self) -> None:
        """Begin to work. Jobs that were running are INTERRUPTED now, queued ones keep their place."""
        for job_id in self._store.in_states("FETCHING", "TRAINING", "CONVERTING"):
            self._end(job_id, "INTERRUPTED", _INTERRUPTED)
        for _ in self._store.queue():
            self._queue.put(True)
        for index in range(self._concurrent):
            thread = threading.Thread(target=self._serve, name=f"job-{index}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """Kill the children, mark their jobs INTERRUPTED and wait for the threads."""
        with self._lock:
            self._closing = True
            runs = list(self._runs.values())
        for run in runs:
            run.kill()
        for _ in self._threads:
            self._queue.put(False)
        for thread in self._threads:
            thread.join(_JOIN_SECONDS)  # a download of weights cannot be broken off; its thread ends with the process

    def submit(self, project_id: str, version_id: str, parameters: dict[str, Any], priority: int = 0) -> Job:
        """Queue a new job. InvalidInput for a priority out of range."""
        job = self._store.create(project_id, version_id, parameters, _checked(priority))
        self._queue.put(True)
        return job

    def prioritise(self, job_id: str, priority: int) -> Job:
        """Move a QUEUED job in the queue. InvalidInput, NotFound; FailedPrecondition once it has begun."""
        before = self._store.get(job_id)
        if not self._store.change(job_id, only_in=("QUEUED",), priority=_checked(priority)):
            raise FailedPrecondition(
                "JOB_NOT_QUEUED",
                f"Job {job_id} is {before.state}: only a queued job has a place in the queue.",
                fix="Stop the running job and start it again later, if another one is to go first.",
            )
        self._tell_queue()
        return self._store.get(job_id)

    def ask_stop(self, job_id: str) -> Job:
        """End the job early and keep its best epoch. FailedPrecondition when there is no training to end."""
        job = self._store.get(job_id)
        if self._store.change(job_id, only_in=("QUEUED",), state="STOPPED", ended_at=datetime.now(UTC)):
            return self._store.get(job_id)
        line = "Asked to stop."
        if not self._store.change(job_id, only_in=("FETCHING", "TRAINING"), line=line, stop_requested=True):
            raise FailedPrecondition(
                "JOB_NOT_STOPPABLE",
                f"Job {job_id} is {job.state}: there is no training to stop.",
                fix="Only queued, fetching and training jobs can be stopped.",
            )
        with self._lock:
            run = self._runs.get(job_id)
        if run is not None:
            run.stop()
        return self._store.get(job_id)

    def resume(self, job_id: str) -> Job:
        """Queue a FAILED or INTERRUPTED job again. FailedPrecondition in any other state."""
        job = self._store.get(job_id)
        again = {"state": "QUEUED", "error": "", "ended_at": None, "stop_requested": False}
        if not self._store.change(job_id, only_in=WAITING_FOR_A_PERSON, line="Resumed.", **again):
            raise FailedPrecondition(
                "JOB_NOT_RESUMABLE",
                f"Job {job_id} is {job.state}; only FAILED and INTERRUPTED jobs can be resumed.",
                fix="Start a new job with the same parameters.",
            )
        self._queue.put(True)
        return self._store.get(job_id)

    def _next(self) -> Run | None:
        """The first queued job that no other thread has taken, as a run; None when there is none left."""
        with self._lock:
            if self._closing:
                return None  # the jobs stay QUEUED for the next start
            job_id = next((job_id for job_id in self._store.queue() if job_id not in self._runs), None)
            if job_id is None:
                return None
            run = self._runs[job_id] = Run(job_id)
        return run

    def _tell_queue(self) -> None:
        """Whoever watches a queued job sees its new place."""
        for job_id in self._store.queue():
            self._store.changes.ring(job_id)

    def _serve(self) -> None:
        while self._queue.get():
            try:
                run = self._next()
            except Exception:  # the database is away, say; whoever asks for a job then wakes a thread
                log.exception("queue_unreadable")
                continue
            if run is None:
                continue
            job_id = run.job_id
            try:
                self._work(run)
            except Exception:  # the database is away, say; the next start marks the job INTERRUPTED
                log.exception("job_lost", job=job_id)
            finally:
                with self._lock:
                    del self._runs[job_id]
                self._queue.put(True)  # it may have been resumed before it was out of the way

    def _work(self, run: Run) -> None:
        if self._store.get(run.job_id).state != "QUEUED":
            return  # stopped while it waited
        log.info("job_started", job=run.job_id)
        self._tell_queue()
        try:
            state = self._pipeline.work(run)
        except Exception as error:
            self._end(run.job_id, *_outcome(error, run))
        else:
            self._store.change(run.job_id, state=state, progress=1.0, seconds_left=0.0, ended_at=datetime.now(UTC))
            ENDED.labels(state).inc()
            log.info("job_ended", job=run.job_id, state=state)

    def _end(self, job_id: str, state: str, error: str) -> None:
        now = datetime.now(UTC)
        self._store.change(job_id, state=state, error=error, seconds_left=0.0, ended_at=now, line=error)
        ENDED.labels(state).inc()
        log.warning("job_ended", job=job_id, state=state, error=error)


def _checked(priority: int) -> int:
    if abs(priority) > MAX_PRIORITY:
        raise InvalidInput(
            "BAD_PRIORITY",
            f"The priority {priority} is not from -{MAX_PRIORITY} to {MAX_PRIORITY}.",
            fix="0 is that of any job; a higher one goes first.",
        )
    return priority


def _outcome(error: Exception, run: Run) -> tuple[str, str]:
    """The job's last state and what a person reads about it."""
    if run.killed.is_set():
        return "INTERRUPTED", _INTERRUPTED
    if isinstance(error, Aborted):
        return "STOPPED", ""
    if isinstance(error, BoardloopError):
        return "INTERRUPTED" if isinstance(error, ChildKilled) else "FAILED", str(error)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "FAILED", f"The disk is full at {error.filename}. Free space in BOARDLOOP_DATA_DIR, then resume the job."
    log.error("job_failed", job=run.job_id, exc_info=error)
    return "FAILED", f"A fault of the trainer itself ({type(error).__name__}: {error}); the log has the trace."
