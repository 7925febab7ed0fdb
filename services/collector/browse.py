"""Pages of captures and the numbers above them."""

from __future__ import annotations

import base64
import threading
from datetime import datetime

from sqlalchemy import ColumnElement, and_, func, or_, select
from sqlalchemy.orm import Session

from services.collector.captures import capture_message
from services.collector.models import Capture
from services.collector.projects import project_or_raise
from services.common.database import Database
from services.common.errors import InvalidInput
from services.rpc.boardloop.collector.v1 import collector_pb2 as pb

__all__ = ["Browser"]

PAGE, LARGEST_PAGE = 100, 500  # collector.proto ListCapturesRequest


def encode_token(stored_at: datetime, capture_id: str) -> str:
    """The place after this capture, as opaque text."""
    return base64.urlsafe_b64encode(f"{stored_at.isoformat()} {capture_id}".encode()).decode()


def decode_token(token: str) -> tuple[datetime, str]:
    """Raises InvalidInput BAD_PAGE_TOKEN."""
    try:
        stored_at, capture_id = base64.urlsafe_b64decode(token.encode()).decode().split(" ")
        moment = datetime.fromisoformat(stored_at)
        if moment.tzinfo is None or "\0" in capture_id:
            raise ValueError(token)
        return moment, capture_id
    except ValueError as error:
        raise InvalidInput(
            "BAD_PAGE_TOKEN", f"page_token {token!r} is not one of ours", fix="Start again without a page_token."
        ) from error


def _conditions(chosen: pb.CaptureFilter) -> list[ColumnElement[bool]]:
    conditions = [Capture.project_id == chosen.project_id, Capture.deleted_at.is_(None)]
    if chosen.HasField("label"):
        conditions.append(Capture.label == chosen.label)
    if chosen.board_id:
        conditions.append(Capture.board_id == chosen.board_id)
    if chosen.HasField("boxed"):
        conditions.append(Capture.boxed.is_(chosen.boxed))
    return conditions


class Browser:
    """Reads only. Counts are kept per project until its revision changes, so that polling costs one row."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._counts: dict[str, pb.CountCapturesResponse] = {}
        self._lock = threading.Lock()

    def page(self, request: pb.ListCapturesRequest) -> pb.ListCapturesResponse:
        """Newest first, by keyset (stored_at, id): a page is found in the index however far down it is."""
        size = request.page_size or PAGE
        if size > LARGEST_PAGE:
            raise InvalidInput(
                "BAD_PAGE_SIZE", f"page_size {size} is over {LARGEST_PAGE}", fix=f"Use 1 to {LARGEST_PAGE}."
            )
        conditions = _conditions(request.filter)
        if request.page_token:
            stored_at, capture_id = decode_token(request.page_token)
            same_moment = and_(Capture.stored_at == stored_at, Capture.id < capture_id)
            conditions.append(or_(Capture.stored_at < stored_at, same_moment))
        query = select(Capture).where(*conditions).order_by(Capture.stored_at.desc(), Capture.id.desc()).limit(size + 1)
        with self._database.session(read_only=True) as session:
            project_or_raise(session, request.filter.project_id)
            rows = list(session.scalars(query))
            more, rows = len(rows) > size, rows[:size]
            return pb.ListCapturesResponse(
                captures=[capture_message(row) for row in rows],
                next_page_token=encode_token(rows[-1].stored_at, rows[-1].id) if more else "",
            )

    def count(self, project_id: str) -> pb.CountCapturesResponse:
        """Counts per label (every label of the project, and "" when some are not labelled) and per board, and of the
        boxed."""
        with self._database.session(read_only=True) as session:
            project = project_or_raise(session, project_id)
            with self._lock:
                known = self._counts.get(project_id)
            if known is not None and known.revision == project.revision:
                return known
            counted = self._count(session, project_id, [label.name for label in project.labels])
            counted.revision = project.revision  # read before the counts: at worst the next poll counts again
        with self._lock:
            self._counts[project_id] = counted
        return counted

    @staticmethod
    def _count(session: Session, project_id: str, labels: list[str]) -> pb.CountCapturesResponse:
        query = (
            select(Capture.label, Capture.board_id, Capture.boxed, func.count())
            .where(Capture.project_id == project_id, Capture.deleted_at.is_(None))
            .group_by(Capture.label, Capture.board_id, Capture.boxed)
        )
        by_label: dict[str, int] = dict.fromkeys(labels, 0)
        by_board: dict[str, int] = {}
        boxed = 0
        for label, board_id, is_boxed, count in session.execute(query):
            by_label[label] = by_label.get(label, 0) + count
            by_board[board_id] = by_board.get(board_id, 0) + count
            boxed += count if is_boxed else 0
        return pb.CountCapturesResponse(
            total=sum(by_label.values()),
            labels=[pb.LabelCount(label=label, count=count) for label, count in by_label.items()],
            boards=[pb.BoardCount(board_id=board, count=count) for board, count in sorted(by_board.items())],
            boxed=boxed,
        )
