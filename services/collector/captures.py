"""Captures: storing them in batches, and everything a person does with them afterwards."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import insert, or_, select, update
from sqlalchemy.orm import Session

from services.collector.boards import remember_frames
from services.collector.boxes import box_messages, checked_boxes
from services.collector.models import BoxRow, Capture, Label, VersionItem
from services.collector.projects import check_label, project_or_raise, touch
from services.common.database import Database
from services.common.errors import InvalidInput, NotFound
from services.common.frames import AckReason
from services.common.objects import ObjectStore
from services.common.rpc import to_timestamp
from services.rpc.boardloop.collector.v1 import collector_pb2 as pb

__all__ = ["Captures", "NewCapture", "capture_message", "object_key"]

INSERT = insert(Capture.__table__)  # type: ignore[arg-type]
IDS_AT_ONCE = 500  # SQLite builds of Debian 12 take 32,766 bound values a statement; a page takes at most this many


@dataclass(frozen=True)
class NewCapture:
    """A verified picture whose object is already in the store. `frame`: (session, sequence) of the frame that completed
    it; board_id, key_id and frame are "" "" (0, 0) for an upload. `boxes`: None = not boxed; only uploads bring any."""

    capture_id: str
    project_id: str
    board_id: str
    label: str
    width: int
    height: int
    size_bytes: int
    sha256: str
    object_key: str
    captured_at: datetime | None
    key_id: str = ""
    frame: tuple[int, int] = (0, 0)
    boxes: Sequence[pb.Box] | None = None

    @property
    def other_id(self) -> str:
        """The id it gets when another board's capture has the very same record: a press is a press, on either board."""
        return hashlib.sha256(f"{self.capture_id} {self.board_id} {self.project_id}".encode()).hexdigest()[:32]


def object_key(project_id: str, board_id: str, capture_id: str) -> str:
    """Where the JPEG of a capture lies: one folder per project, so that one fsync serves all its boards."""
    return f"captures/{project_id}/{capture_id}.{board_id or 'upload'}.jpg"


def capture_message(row: Capture) -> pb.Capture:
    return pb.Capture(
        id=row.id,
        project_id=row.project_id,
        board_id=row.board_id,
        label=row.label,
        width=row.width,
        height=row.height,
        size_bytes=row.size_bytes,
        captured_at=to_timestamp(row.captured_at) if row.captured_at else None,
        stored_at=to_timestamp(row.stored_at),
        boxes=box_messages(row.boxes),
        boxed=row.boxed,
    )


def _row(new: NewCapture, capture_id: str, stored_at: datetime) -> dict[str, object]:
    names = ["project_id", "board_id", "label", "width", "height", "size_bytes", "sha256", "object_key", "captured_at"]
    none = {"boxes": [], "boxed": False}
    return {"id": capture_id, "stored_at": stored_at} | none | {name: getattr(new, name) for name in names}


class Captures:
    """Thread-safe; every method is one transaction."""

    def __init__(self, database: Database, store: ObjectStore) -> None:
        self._database = database
        self._store = store
        self._upload_or_delete = threading.Lock()  # a deletion must not take what an upload just brought back

    def store_batch(self, batch: Sequence[NewCapture]) -> list[AckReason]:
        """One transaction for all of them: STORED, DUPLICATE or UNKNOWN_LABEL for each, in order.

        Raises StorageFull or Unavailable, and then nothing of the batch is stored.
        """
        with self._database.session() as session:
            for project_id in sorted({new.project_id for new in batch}):
                touch(session, project_id)
            owners, labels = self._owners(session, batch), self._labels(session, batch)
            now = datetime.now(UTC)
            answers, rows = [], []
            for new in batch:
                capture_id = self._free_id(owners, new)
                if capture_id is None:
                    answers.append(AckReason.DUPLICATE)
                elif new.label and (new.project_id, new.label) not in labels:
                    answers.append(AckReason.UNKNOWN_LABEL)
                else:
                    owners[capture_id] = new.board_id
                    rows.append(_row(new, capture_id, now))
                    answers.append(AckReason.STORED)
            if rows:
                session.connection().execute(INSERT, rows)
            latest = {new.board_id: new for new in batch if new.board_id}
            remember_frames(session, ((new.board_id, new.key_id, new.frame) for new in latest.values()))
        return answers

    @staticmethod
    def _owners(session: Session, batch: Sequence[NewCapture]) -> dict[str, str]:
        ids = {id_ for new in batch for id_ in (new.capture_id, new.other_id)}
        return dict(session.connection().execute(select(Capture.id, Capture.board_id).where(Capture.id.in_(ids))).all())

    @staticmethod
    def _labels(session: Session, batch: Sequence[NewCapture]) -> set[tuple[str, str]]:
        projects = {new.project_id for new in batch}
        query = select(Label.project_id, Label.name).where(Label.project_id.in_(projects))
        return {(project, name) for project, name in session.connection().execute(query)}

    @staticmethod
    def _free_id(owners: dict[str, str], new: NewCapture) -> str | None:
        for capture_id in (new.capture_id, new.other_id):
            if capture_id not in owners:
                return capture_id
            if owners[capture_id] == new.board_id:
                return None
        return None

    def discard_object(self, new: NewCapture) -> None:
        """Takes away the object of a capture that did not get a row, unless the row that has it needs it: a board that
        sends a deleted capture again must not bring the picture back."""
        with self._upload_or_delete:
            with self._database.session(read_only=True) as session:
                held = select(VersionItem.capture_id)
                needed = or_(Capture.deleted_at.is_(None), Capture.id.in_(held))
                ids = Capture.id.in_((new.capture_id, new.other_id))
                query = select(Capture.id).where(ids, Capture.object_key == new.object_key, needed)
                if session.scalar(query) is not None:
                    return
            self._store.delete(new.object_key)

    def is_stored(self, board_id: str, capture_id: str) -> bool:
        """Whether this board's capture is stored, deleted ones included."""
        with self._database.session(read_only=True) as session:
            query = select(Capture.id).where(Capture.id == capture_id, Capture.board_id == board_id)
            return session.scalar(query) is not None

    def upload(self, new: NewCapture, jpeg: bytes) -> tuple[pb.Capture, bool]:
        """Stores a person's picture; (capture, duplicate). A deleted one comes back; a duplicate that is not boxed
        takes the new one's boxes, one that is keeps its own.

        InvalidInput UNKNOWN_LABEL, and what boxes.checked_boxes raises.
        """
        with self._upload_or_delete:
            with self._database.session() as session:
                boxes = _checked(session, new)
                row = session.get(Capture, new.capture_id)
                if row is not None and row.deleted_at is None:
                    if boxes is not None and not row.boxed:
                        touch(session, new.project_id)
                        row.boxes, row.boxed = boxes, True
                        session.flush()
                    return capture_message(row), True
            self._store.put(new.object_key, jpeg)
            with self._database.session() as session:
                touch(session, new.project_id)
                boxes = _checked(session, new)
                row = session.get(Capture, new.capture_id)
                if row is None:
                    row = Capture(**_row(new, new.capture_id, datetime.now(UTC)))
                    session.add(row)
                row.deleted_at, row.label = None, new.label
                row.boxes, row.boxed = boxes or [], boxes is not None
                session.flush()
                return capture_message(row), False

    def get(self, capture_id: str) -> pb.Capture:
        """Raises NotFound CAPTURE_NOT_FOUND."""
        with self._database.session(read_only=True) as session:
            return capture_message(_present(session, [capture_id])[0])

    def object_of(self, capture_id: str) -> str:
        """The capture's object key; NotFound CAPTURE_NOT_FOUND."""
        with self._database.session(read_only=True) as session:
            return _present(session, [capture_id])[0].object_key

    def set_label(self, capture_ids: Sequence[str], label: str) -> int:
        """Gives all the label ("" takes it away); how many had another one. NotFound or InvalidInput: none changes."""
        with self._database.session() as session:
            for project_id in _projects_of(session, capture_ids):
                touch(session, project_id)
                check_label(project_or_raise(session, project_id), label)
            changed = [row for row in _present(session, capture_ids) if row.label != label]
            for row in changed:
                row.label = label
            return len(changed)

    def set_boxes(self, capture_id: str, boxes: Sequence[pb.Box] | None) -> pb.Capture:
        """Replaces the capture's boxes: [] = there is nothing on it, None = nobody has said.

        NotFound CAPTURE_NOT_FOUND, and what boxes.checked_boxes raises.
        """
        with self._database.session() as session:
            for project_id in _projects_of(session, [capture_id]):
                touch(session, project_id)
            row = _present(session, [capture_id])[0]
            labels = [label.name for label in project_or_raise(session, row.project_id).labels]
            row.boxes = checked_boxes(boxes or [], labels, row.width, row.height)
            row.boxed = boxes is not None
            session.flush()
            return capture_message(row)

    def delete(self, capture_ids: Sequence[str]) -> int:
        """Hides the captures; how many were there. Objects go too, except those that a version holds."""
        with self._upload_or_delete:
            with self._database.session() as session:
                for project_id in _projects_of(session, capture_ids):
                    touch(session, project_id)
                ids = list(dict.fromkeys(capture_ids))
                held: set[str] = set()
                keys: dict[str, str] = {}
                for part in _parts(ids):
                    query = select(Capture.id, Capture.object_key).where(
                        Capture.id.in_(part), Capture.deleted_at.is_(None)
                    )
                    keys.update(session.execute(query).all())
                    held.update(session.scalars(select(VersionItem.capture_id).where(VersionItem.capture_id.in_(part))))
                    hide = update(Capture).where(Capture.id.in_(part), Capture.deleted_at.is_(None))
                    session.execute(hide.values(deleted_at=datetime.now(UTC)))
            for capture_id, key in keys.items():
                if capture_id not in held:
                    self._store.delete(key)
            return len(keys)


def _checked(session: Session, new: NewCapture) -> list[BoxRow] | None:
    """The boxes of an upload as rows, its label looked at as well."""
    project = project_or_raise(session, new.project_id)
    check_label(project, new.label)
    if new.boxes is None:
        return None
    return checked_boxes(new.boxes, [label.name for label in project.labels], new.width, new.height)


def _parts(ids: Sequence[str]) -> Iterable[Sequence[str]]:
    return (ids[start : start + IDS_AT_ONCE] for start in range(0, len(ids), IDS_AT_ONCE))


def _projects_of(session: Session, capture_ids: Sequence[str]) -> list[str]:
    """Sorted, so that two transactions lock the same projects in the same order."""
    found: set[str] = set()
    for part in _parts(capture_ids):
        found.update(session.scalars(select(Capture.project_id).where(Capture.id.in_(part)).distinct()))
    return sorted(found)


def _present(session: Session, capture_ids: Sequence[str]) -> list[Capture]:
    """The captures, without those that are deleted; NotFound names the first that is absent."""
    if not capture_ids:
        raise InvalidInput("NO_CAPTURES", "capture_ids is empty", fix="Name at least one capture.")
    rows: dict[str, Capture] = {}
    for part in _parts(capture_ids):
        query = select(Capture).where(Capture.id.in_(part), Capture.deleted_at.is_(None))
        rows.update((row.id, row) for row in session.scalars(query))
    for capture_id in capture_ids:
        if capture_id not in rows:
            raise NotFound("CAPTURE_NOT_FOUND", f"there is no capture {capture_id!r}", fix="List the captures.")
    return list(rows.values())
