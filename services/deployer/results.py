"""Results: what boards' models say to the frames they see."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from services.common.database import Database
from services.common.errors import InvalidInput
from services.common.frames import AckReason, Frame, FrameError
from services.common.keys import BoardKeys
from services.deployer import models
from services.deployer.boards import Boards, find_board
from services.deployer.sessions import first_fault

__all__ = ["LIST_DEFAULT", "LIST_MAX", "ResultBody", "Results"]

LIST_DEFAULT, LIST_MAX = 100, 1000
KEPT_PER_BOARD = 10_000
PRUNE_EVERY = 500  # results, so that keeping the limit costs nothing noticeable

Logit = Annotated[FiniteFloat, Field(ge=-1e9, le=1e9)]


class ResultBody(BaseModel):
    """RESULT; `scores` are left alone, as they follow from the logits."""

    model_config = ConfigDict(strict=True)

    release: str = Field(pattern="^[0-9a-f]{32}$")
    logits: list[Logit] = Field(min_length=1, max_length=1000)
    frame: str = Field(pattern="^[0-9a-f]{16}$")
    ms: int = Field(0, ge=0, le=2**31)


class Results:
    """The newest 10,000 of each board."""

    def __init__(self, database: Database, boards: Boards) -> None:
        self._database = database
        self._boards = boards

    def add(self, board_id: str, frame: Frame, keys: BoardKeys) -> None:
        """FrameError MALFORMED. Nobody waits for an answer."""
        try:
            body = ResultBody.model_validate_json(frame.plaintext)
        except ValidationError as error:
            raise FrameError(AckReason.MALFORMED, f"RESULT is not understood: {first_fault(error)}") from error
        top, score = best(body.logits)
        with self._database.session() as session:
            row = models.Result(
                board_id=board_id,
                project_id=find_board(session, board_id).project_id,
                release_id=body.release,
                logits=body.logits,
                top=top,
                score=score,
                frame=body.frame,
                milliseconds=body.ms,
                received_at=self._boards.clock(),
            )
            session.add(row)
            session.flush()
            if row.id % PRUNE_EVERY == 0:
                _prune(session)

    def newest(self, project_id: str, board_id: str, limit: int) -> list[models.Result]:
        """Newest first. `board_id` "": all of the project. InvalidInput (BAD_LIMIT) above 1000."""
        if limit > LIST_MAX:
            raise InvalidInput("BAD_LIMIT", f"limit {limit} is over {LIST_MAX}.", fix="Ask for less.")
        query = select(models.Result).where(models.Result.project_id == project_id)
        if board_id:
            query = query.where(models.Result.board_id == board_id)
        query = query.order_by(models.Result.id.desc()).limit(limit or LIST_DEFAULT)
        with self._database.session(read_only=True) as session:
            return list(session.scalars(query))


def best(logits: list[float]) -> tuple[int, float]:
    """Index and softmax of the highest logit."""
    highest = max(logits)
    return logits.index(highest), 1 / sum(math.exp(logit - highest) for logit in logits)


def _prune(session: Session) -> None:
    rank = func.row_number().over(partition_by=models.Result.board_id, order_by=models.Result.id.desc())
    ranked = select(models.Result.id, rank.label("rank")).subquery()
    old = select(ranked.c.id).where(ranked.c.rank > KEPT_PER_BOARD)
    session.execute(delete(models.Result).where(models.Result.id.in_(old)))
