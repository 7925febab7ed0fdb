"""Evaluations in SQL, their answers in the object store, and a bell that rings at every change of one.

object store   evaluations/<id>.jsonl.gz    Answers.pack()
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import defer

from services.common.database import Database
from services.common.errors import FailedPrecondition, NotFound
from services.common.objects import ObjectStore
from services.trainer.evaluation.answers import Answers
from services.trainer.models import EvaluationRun
from services.trainer.store import Changes

__all__ = ["ENDED", "RESUMABLE", "RUNNING", "EvaluationStore"]

RUNNING = ("QUEUED", "FETCHING", "EVALUATING")
ENDED = ("DONE", "FAILED", "STOPPED", "INTERRUPTED")
RESUMABLE = ("FAILED", "STOPPED", "INTERRUPTED")
_LOG_LINES = 50


class EvaluationStore:
    """Every change is committed before the bell rings."""

    def __init__(self, database: Database, objects: ObjectStore) -> None:
        self._database = database
        self._objects = objects
        self.changes = Changes()

    def create(
        self,
        project_id: str,
        model_id: str,
        version_id: str,
        target: str,
        part: str,
        confidence: float,
        skip_unreadable: bool = False,
    ) -> EvaluationRun:
        run = EvaluationRun(
            id=secrets.token_hex(6),
            project_id=project_id,
            model_id=model_id,
            version_id=version_id,
            target=target,
            part=part,
            confidence=confidence,
            skip_unreadable=skip_unreadable,
            state="QUEUED",
            created_at=datetime.now(UTC),
        )
        with self._database.session() as session:
            session.add(run)
        return self.get(run.id)

    def get(self, evaluation_id: str) -> EvaluationRun:
        """NotFound."""
        with self._database.session(read_only=True) as session:
            run = session.get(EvaluationRun, evaluation_id)
            if run is None:
                raise NotFound("EVALUATION_NOT_FOUND", f"There is no evaluation {evaluation_id!r}.")
            return run

    def find(self, project_id: str = "", model_id: str = "") -> list[EvaluationRun]:
        """Of a project or a model, newest first."""
        query = select(EvaluationRun).order_by(EvaluationRun.created_at.desc(), EvaluationRun.id)
        if project_id:
            query = query.where(EvaluationRun.project_id == project_id)
        if model_id:
            query = query.where(EvaluationRun.model_id == model_id)
        with self._database.session(read_only=True) as session:
            return [*session.scalars(query)]

    def in_states(self, *states: str) -> list[str]:
        """Ids, oldest first."""
        query = select(EvaluationRun.id).where(EvaluationRun.state.in_(states))
        with self._database.session(read_only=True) as session:
            return [*session.scalars(query.order_by(EvaluationRun.created_at, EvaluationRun.id))]

    def change(self, evaluation_id: str, *, only_in: tuple[str, ...] = (), line: str = "", **fields: Any) -> bool:
        """Set columns and add a line to the log, at once; False when it is in none of the states `only_in`."""
        query = select(EvaluationRun).where(EvaluationRun.id == evaluation_id).with_for_update()
        with self._database.session() as session:
            run = session.scalar(query.options(defer(EvaluationRun.summary)))
            if run is None or (only_in and run.state not in only_in):
                return False
            for name, value in fields.items():
                setattr(run, name, value)
            if line:
                run.log = [*run.log, line][-_LOG_LINES:]
        self.changes.ring(evaluation_id)
        return True

    def keep(self, evaluation_id: str, answers: bytes, summary: dict[str, Any], line: str) -> None:
        """The evaluation is done: `answers` is Answers.pack(), `summary` Summary.to_dict()."""
        key = f"evaluations/{evaluation_id}.jsonl.gz"
        self._objects.put(key, answers)
        done: dict[str, Any] = {"state": "DONE", "progress": 1.0, "seconds_left": 0.0, "ended_at": datetime.now(UTC)}
        self.change(evaluation_id, line=line, answers_key=key, summary=summary, **done)

    def answers(self, evaluation_id: str) -> Answers:
        """FailedPrecondition while there are none."""
        run = self.get(evaluation_id)
        if not run.answers_key:
            raise FailedPrecondition(
                "EVALUATION_NOT_DONE",
                f"Evaluation {evaluation_id} is {run.state}: it has no answers yet.",
                fix="Wait until it is done, or resume it.",
            )
        return Answers.parse(self._objects.get(run.answers_key))
