"""Jobs in SQL, and a bell that rings at every change of one."""

from __future__ import annotations

import secrets
import threading
from collections import defaultdict
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import selectinload

from services.common.database import Database
from services.common.errors import NotFound
from services.trainer.models import Job, JobEpoch, JobLine

__all__ = ["ACTIVE", "ENDED", "WAITING_FOR_A_PERSON", "Changes", "JobStore"]

ACTIVE = ("QUEUED", "FETCHING", "TRAINING", "CONVERTING")
ENDED = ("DONE", "FAILED", "STOPPED", "INTERRUPTED")
WAITING_FOR_A_PERSON = ("FAILED", "INTERRUPTED")  # ResumeJob goes on with these
LOG_LINES = 200


class Changes:
    """Counts the changes of each job; a watcher waits for the count to move."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._counts: dict[str, int] = defaultdict(int)

    def ring(self, job_id: str) -> None:
        with self._changed:
            self._counts[job_id] += 1
            self._changed.notify_all()

    def count(self, job_id: str) -> int:
        with self._changed:
            return self._counts[job_id]

    def wait(self, job_id: str, seen: int, timeout: float) -> int:
        """The count once it differs from `seen`, or after `timeout` seconds whatever it is."""
        with self._changed:
            self._changed.wait_for(lambda: self._counts[job_id] != seen, timeout)
            return self._counts[job_id]


class JobStore:
    """Every change is committed before the bell rings."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.changes = Changes()

    def create(self, project_id: str, version_id: str, parameters: dict[str, Any], priority: int = 0) -> Job:
        job = Job(
            id=secrets.token_hex(6),
            project_id=project_id,
            version_id=version_id,
            parameters=parameters,
            state="QUEUED",
            priority=priority,
            stop_requested=False,
            progress=0.0,
            seconds_left=0.0,
            error="",
            model_id="",
            created_at=datetime.now(UTC),
        )
        with self._database.session() as session:
            session.add(job)
        return self.get(job.id)

    def get(self, job_id: str) -> Job:
        """The job with its epochs; NotFound."""
        with self._database.session(read_only=True) as session:
            job = session.get(Job, job_id, options=[selectinload(Job.epochs)])
            if job is None:
                raise NotFound("JOB_NOT_FOUND", f"There is no training job {job_id!r}.")
            return job

    def of_project(self, project_id: str) -> list[Job]:
        """Newest first, with their epochs."""
        query = select(Job).where(Job.project_id == project_id).order_by(Job.created_at.desc(), Job.id)
        with self._database.session(read_only=True) as session:
            return list(session.scalars(query.options(selectinload(Job.epochs))))

    def queue(self) -> list[str]:
        """Ids of the queued jobs in the order in which they begin."""
        query = select(Job.id).where(Job.state == "QUEUED").order_by(Job.priority.desc(), Job.created_at, Job.id)
        with self._database.session(read_only=True) as session:
            return list(session.scalars(query))

    def in_states(self, *states: str) -> list[str]:
        """Ids, oldest first."""
        query = select(Job.id).where(Job.state.in_(states)).order_by(Job.created_at, Job.id)
        with self._database.session(read_only=True) as session:
            return list(session.scalars(query))

    def log(self, job_id: str) -> list[str]:
        """The last 200 lines."""
        query = select(JobLine.line).where(JobLine.job_id == job_id).order_by(JobLine.id.desc()).limit(LOG_LINES)
        with self._database.session(read_only=True) as session:
            return list(session.scalars(query))[::-1]

    def change(self, job_id: str, *, only_in: tuple[str, ...] = (), line: str = "", **fields: Any) -> bool:
        """Set columns and add a line to the log, at once; False when the job is in none of the states `only_in`."""
        query = update(Job).where(Job.id == job_id)
        if only_in:
            query = query.where(Job.state.in_(only_in))
        with self._database.session() as session:
            found = session.execute(query.values(**fields)) if fields else None
            if found is not None and not found.rowcount:  # type: ignore[attr-defined]
                return False
            if line:
                session.add(JobLine(job_id=job_id, line=line))
                self._trim(session, job_id)
        self.changes.ring(job_id)
        return True

    def add_epoch(self, job_id: str, line: str, progress: float, seconds_left: float, **measured: Any) -> None:
        """Keep what an epoch measured (the columns of JobEpoch); an epoch done again replaces the former."""
        with self._database.session() as session:
            session.merge(JobEpoch(job_id=job_id, **measured))
            session.add(JobLine(job_id=job_id, line=line))
            session.execute(update(Job).where(Job.id == job_id).values(progress=progress, seconds_left=seconds_left))
        self.changes.ring(job_id)

    def _trim(self, session: Any, job_id: str) -> None:
        last = session.scalar(select(func.max(JobLine.id)).where(JobLine.job_id == job_id))
        if last is not None:
            kept = select(JobLine.id).where(JobLine.job_id == job_id).order_by(JobLine.id.desc()).limit(10 * LOG_LINES)
            session.execute(delete(JobLine).where(JobLine.job_id == job_id, JobLine.id.not_in(kept)))
