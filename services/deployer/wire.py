"""Rows as messages of boardloop.deployer.v1."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.common.database import Database
from services.common.rpc import to_timestamp
from services.deployer import models
from services.deployer.boards import Boards, find_board
from services.deployer.presence import Presence
from services.deployer.releases import find_release
from services.deployer.rollouts import Rollouts
from services.rpc.boardloop.deployer.v1 import deployer_pb2 as pb

__all__ = ["Wire", "result_message"]


class Wire:
    """Reads rows and adds what only this process knows: who is online, how far a download is."""

    def __init__(self, database: Database, boards: Boards, presence: Presence, rollouts: Rollouts) -> None:
        self._database = database
        self._boards = boards
        self._presence = presence
        self._rollouts = rollouts

    def board(self, board_id: str) -> pb.Board:
        """NotFound (UNKNOWN_BOARD)."""
        with self._database.session(read_only=True) as session:
            row = find_board(session, board_id)
            pairing = session.get(models.Pairing, board_id)
            update = session.get(models.Update, (row.desired_release_id, board_id))
        return self._board(row, pairing, update)

    def boards(self, project_id: str) -> list[pb.Board]:
        """By age; of all projects when `project_id` is ""."""
        query = (
            select(models.Board, models.Pairing, models.Update)
            .outerjoin(models.Pairing, models.Pairing.board_id == models.Board.id)
            .outerjoin(
                models.Update,
                (models.Update.board_id == models.Board.id)
                & (models.Update.release_id == models.Board.desired_release_id),
            )
            .order_by(models.Board.created_at, models.Board.id)
        )
        if project_id:
            query = query.where(models.Board.project_id == project_id)
        with self._database.session(read_only=True) as session:
            rows = session.execute(query).all()
        return [self._board(*row) for row in rows]

    def release(self, release_id: str) -> pb.Release:
        """NotFound (UNKNOWN_RELEASE)."""
        with self._database.session(read_only=True) as session:
            return _release(session, find_release(session, release_id))

    def releases(self, project_id: str) -> list[pb.Release]:
        """Newest first."""
        query = select(models.Release).where(models.Release.project_id == project_id)
        with self._database.session(read_only=True) as session:
            rows = session.scalars(query.order_by(models.Release.counter.desc())).all()
            return [_release(session, row) for row in rows]

    def _board(self, row: models.Board, pairing: models.Pairing | None, update: models.Update | None) -> pb.Board:
        message = pb.Board(
            id=row.id,
            project_id=row.project_id,
            name=row.name,
            board_type=row.board_type,
            state=self._state(row, pairing),
            hardware=row.hardware,
            firmware=row.firmware,
            release_id=row.release_id,
            desired_release_id=row.desired_release_id,
            outbox=row.outbox,
            rejected=row.rejected,
            created_at=to_timestamp(row.created_at),
        )
        seen = self._presence.last_seen(row.id) or row.last_seen_at
        if seen is not None:
            message.last_seen_at.CopyFrom(to_timestamp(seen))
        if update is not None:
            message.update_state = update_state(update.state)
            message.update_reason = update.reason
            done = update.state in ("VERIFYING", "TRYING", "COMMITTED")
            message.update_progress = 1.0 if done else self._rollouts.progress(row.id, update.release_id)
        return message

    def _state(self, row: models.Board, pairing: models.Pairing | None) -> pb.BoardState.ValueType:
        if row.revoked:
            return pb.BOARD_STATE_REVOKED
        if row.secret is None or (pairing is not None and self._boards.clock() < pairing.expires_at):
            return pb.BOARD_STATE_PAIRING
        return pb.BOARD_STATE_ONLINE if self._presence.online(row.id) else pb.BOARD_STATE_OFFLINE


def update_state(name: str) -> pb.UpdateState.ValueType:
    return pb.UpdateState.Value(f"UPDATE_STATE_{name}")


def result_message(row: models.Result) -> pb.Result:
    return pb.Result(
        board_id=row.board_id,
        release_id=row.release_id,
        logits=row.logits,
        top=row.top,
        score=row.score,
        frame=row.frame,
        milliseconds=row.milliseconds,
        received_at=to_timestamp(row.received_at),
    )


def _release(session: Session, row: models.Release) -> pb.Release:
    updates = session.scalars(
        select(models.Update).where(models.Update.release_id == row.id).order_by(models.Update.board_id)
    )
    return pb.Release(
        id=row.id,
        project_id=row.project_id,
        model_id=row.model_id,
        target=row.target,
        name=row.name,
        counter=row.counter,
        state=pb.ReleaseState.Value(f"RELEASE_STATE_{row.state}"),
        payload_bytes=row.payload_bytes,
        created_at=to_timestamp(row.created_at),
        boards=[
            pb.BoardUpdate(board_id=one.board_id, state=update_state(one.state), reason=one.reason) for one in updates
        ],
    )
