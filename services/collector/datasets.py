"""Data set versions: which captures, with which labels or boxes and split, frozen for good."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import cast

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from services.collector.boxes import box_messages
from services.collector.choosing import Item, boxed, labelled
from services.collector.models import Capture, Project, Version, VersionItem
from services.collector.projects import new_id, project_or_raise, touch
from services.collector.splits import detection_digest, digest
from services.common.database import Database
from services.common.errors import Internal, InvalidInput, NotFound
from services.common.logs import logger
from services.common.objects import ObjectStore
from services.common.rpc import to_timestamp
from services.rpc.boardloop.collector.v1 import collector_pb2 as pb

__all__ = ["Datasets"]

log = logger("collector.datasets")


def _message(row: Version) -> pb.DatasetVersion:
    return pb.DatasetVersion(
        id=row.id,
        project_id=row.project_id,
        number=row.number,
        seed=int(row.seed),
        validation_share=row.validation_share,
        labels=row.labels,
        train_count=row.train_count,
        validation_count=row.validation_count,
        sha256=row.sha256,
        created_at=to_timestamp(row.created_at),
        label_counts=[pb.LabelCount(label=label, count=row.label_counts[label]) for label in row.labels],
        task=cast(pb.Task.ValueType, row.task),
        background_count=row.background_count,
    )


class Datasets:
    """Thread-safe; versions are only ever added."""

    def __init__(self, database: Database, store: ObjectStore) -> None:
        self._database = database
        self._store = store

    def create(
        self,
        project_id: str,
        seed: int,
        validation_share: float,
        task: pb.Task.ValueType = pb.TASK_CLASSIFICATION,
    ) -> pb.DatasetVersion:
        """Freezes every labelled capture of the project, or every boxed one for detection; the others are left out, and
        the log says how many.

        Raises InvalidInput BAD_SHARE or BAD_TASK, NotFound, FailedPrecondition NO_LABELS, TOO_FEW_CAPTURES or NO_BOXES.
        """
        if task not in (pb.TASK_CLASSIFICATION, pb.TASK_DETECTION):
            raise InvalidInput("BAD_TASK", f"task {task} is none of ours", fix="Use CLASSIFICATION or DETECTION.")
        if not 0 < validation_share < 1:
            raise InvalidInput(
                "BAD_SHARE", f"validation_share {validation_share} is not between 0 and 1", fix="0.2 is usual."
            )
        with self._database.session() as session:
            touch(session, project_id)
            project = project_or_raise(session, project_id)
            choose = boxed if task == pb.TASK_DETECTION else labelled
            chosen = choose(session, project, seed, validation_share)
            version = self._freeze(session, project, seed, validation_share, task, chosen.items)
            message = _message(version)
        log.info(
            "version_created",
            project=project_id,
            version=message.id,
            number=message.number,
            captures=len(chosen.items),
            task=pb.Task.Name(task),
            left_out=chosen.left_out,
        )
        return message

    @staticmethod
    def _freeze(
        session: Session, project: Project, seed: int, share: float, task: pb.Task.ValueType, items: Sequence[Item]
    ) -> Version:
        labels = [label.name for label in project.labels]
        number = session.scalar(select(func.max(Version.number)).where(Version.project_id == project.id)) or 0
        validating = sum(item.split == pb.SPLIT_VALIDATION for item in items)
        detection = task == pb.TASK_DETECTION
        counted = Counter(
            [box[0] for item in items for box in item.boxes] if detection else [item.label for item in items]
        )
        version = Version(
            id=new_id(),
            project_id=project.id,
            number=number + 1,
            seed=str(seed),
            validation_share=share,
            labels=labels,
            train_count=len(items) - validating,
            validation_count=validating,
            label_counts={label: counted[label] for label in labels},
            sha256=_digest(task, labels, items),
            created_at=datetime.now(UTC),
            task=int(task),
            background_count=sum(not item.boxes for item in items) if detection else 0,
        )
        session.add(version)
        session.flush()
        session.execute(insert(VersionItem), [{"version_id": version.id} | vars(item) for item in items])
        return version

    def get(self, version_id: str) -> pb.DatasetVersion:
        """Raises NotFound VERSION_NOT_FOUND."""
        with self._database.session(read_only=True) as session:
            return _message(_version_or_raise(session, version_id))

    def list(self, project_id: str) -> list[pb.DatasetVersion]:
        """Newest first. Raises NotFound PROJECT_NOT_FOUND."""
        with self._database.session(read_only=True) as session:
            project_or_raise(session, project_id)
            query = select(Version).where(Version.project_id == project_id).order_by(Version.number.desc())
            return [_message(row) for row in session.scalars(query)]

    def stream(self, version_id: str, damaged_too: bool = False) -> Iterator[pb.StreamVersionResponse]:
        """Every item with its JPEG, by content. Internal OBJECT_CORRUPT when an object is not what was stored.

        With `damaged_too` such an item comes with an empty JPEG instead.
        """
        with self._database.session(read_only=True) as session:
            _version_or_raise(session, version_id)
            query = select(VersionItem, Capture.board_id).join(Capture, Capture.id == VersionItem.capture_id)
            query = query.where(VersionItem.version_id == version_id)
            query = query.order_by(VersionItem.sha256, VersionItem.capture_id)  # the same pictures, the same training
            items = [
                (i.capture_id, i.label, i.split, i.sha256, i.object_key, i.boxes, board)
                for i, board in session.execute(query)
            ]
        for capture_id, label, side, sha256, key, boxes, board_id in items:
            yield pb.StreamVersionResponse(
                capture_id=capture_id,
                label=label,
                split=pb.SPLIT_VALIDATION if side == pb.SPLIT_VALIDATION else pb.SPLIT_TRAIN,
                sha256=sha256,
                jpeg=self._read(capture_id, key, sha256, damaged_too),
                board_id=board_id,
                boxes=box_messages(boxes),
            )

    def _read(self, capture_id: str, key: str, sha256: str, damaged_too: bool) -> bytes:
        try:
            jpeg = self._store.get(key)
        except NotFound:
            jpeg = b""
        if hashlib.sha256(jpeg).hexdigest() != sha256:
            if damaged_too:
                return b""
            raise Internal(
                "OBJECT_CORRUPT",
                f"object {key!r} of capture {capture_id} is {'changed' if jpeg else 'missing'}",
                fix="Bring the object back from a backup, or make a new version without the capture.",
            )
        return jpeg


def _digest(task: pb.Task.ValueType, labels: Sequence[str], items: Sequence[Item]) -> str:
    if task == pb.TASK_DETECTION:
        return detection_digest(labels, [(item.capture_id, item.boxes, item.split, item.sha256) for item in items])
    return digest(labels, [(item.capture_id, item.label, item.split, item.sha256) for item in items])


def _version_or_raise(session: Session, version_id: str) -> Version:
    version = session.get(Version, version_id)
    if version is None:
        raise NotFound("VERSION_NOT_FOUND", f"there is no data set version {version_id!r}", fix="List the versions.")
    return version
