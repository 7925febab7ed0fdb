"""Data set versions: which captures, with which labels and split, frozen for good."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from services.collector.models import Capture, Project, Version, VersionItem
from services.collector.projects import new_id, project_or_raise, touch
from services.collector.splits import digest, split
from services.common.database import Database
from services.common.errors import FailedPrecondition, Internal, InvalidInput, NotFound
from services.common.logs import logger
from services.common.objects import ObjectStore
from services.common.rpc import to_timestamp
from services.rpc.boardloop.collector.v1 import collector_pb2 as pb

__all__ = ["Datasets"]

log = logger("collector.datasets")

LEAST_PER_LABEL = 2  # one to train with, one to validate with
UNLABELLED = ""


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
    )


class Datasets:
    """Thread-safe; versions are only ever added."""

    def __init__(self, database: Database, store: ObjectStore) -> None:
        self._database = database
        self._store = store

    def create(self, project_id: str, seed: int, validation_share: float) -> pb.DatasetVersion:
        """Freezes every labelled capture of the project; those without a label are left out, and the log says how many.

        Raises InvalidInput BAD_SHARE, NotFound, FailedPrecondition NO_LABELS or TOO_FEW_CAPTURES.
        """
        if not 0 < validation_share < 1:
            raise InvalidInput(
                "BAD_SHARE", f"validation_share {validation_share} is not between 0 and 1", fix="0.2 is usual."
            )
        with self._database.session() as session:
            touch(session, project_id)
            project = project_or_raise(session, project_id)
            captures = self._labelled(session, project)
            grouped = {name: {c.id: c.sha256 for c in found} for name, found in captures.items() if name != UNLABELLED}
            splits = split(grouped, seed, validation_share)
            rows = [row for name in grouped for row in captures[name]]
            version = self._freeze(session, project, seed, validation_share, rows, splits)
            message = _message(version)
        log.info(
            "version_created",
            project=project_id,
            version=message.id,
            number=message.number,
            captures=len(splits),
            unlabelled_left_out=len(captures[UNLABELLED]),
        )
        return message

    @staticmethod
    def _labelled(session: Session, project: Project) -> dict[str, list[Capture]]:
        """Captures by label, "" included, labels in the project's order. Raises FailedPrecondition."""
        captures: dict[str, list[Capture]] = {label.name: [] for label in project.labels}
        if not captures:
            raise FailedPrecondition(
                "NO_LABELS",
                f"project {project.name!r} has no labels",
                fix="Give the project labels and label captures.",
            )
        captures[UNLABELLED] = []
        query = select(Capture).where(Capture.project_id == project.id, Capture.deleted_at.is_(None))
        for row in session.scalars(query.order_by(Capture.id)):
            captures[row.label].append(row)
        few = [
            f"{name!r} has {len(found)}"
            for name, found in captures.items()
            if name != UNLABELLED and len(found) < LEAST_PER_LABEL
        ]
        if few:
            raise FailedPrecondition(
                "TOO_FEW_CAPTURES",
                f"each label of project {project.name!r} needs {LEAST_PER_LABEL} captures, label {' and '.join(few)}; "
                f"{len(captures[UNLABELLED])} captures without a label do not count",
                fix="Take or label more captures, or remove the label from the project.",
            )
        return captures

    @staticmethod
    def _freeze(
        session: Session,
        project: Project,
        seed: int,
        share: float,
        rows: Sequence[Capture],
        splits: dict[str, pb.Split.ValueType],
    ) -> Version:
        labels = [label.name for label in project.labels]
        number = session.scalar(select(func.max(Version.number)).where(Version.project_id == project.id)) or 0
        validating = sum(1 for side in splits.values() if side == pb.SPLIT_VALIDATION)
        version = Version(
            id=new_id(),
            project_id=project.id,
            number=number + 1,
            seed=str(seed),
            validation_share=share,
            labels=labels,
            train_count=len(rows) - validating,
            validation_count=validating,
            label_counts={label: sum(1 for row in rows if row.label == label) for label in labels},
            sha256=digest(labels, [(row.id, row.label, int(splits[row.id]), row.sha256) for row in rows]),
            created_at=datetime.now(UTC),
        )
        session.add(version)
        session.flush()
        items = [
            {
                "version_id": version.id,
                "capture_id": row.id,
                "label": row.label,
                "split": int(splits[row.id]),
                "sha256": row.sha256,
                "object_key": row.object_key,
            }
            for row in rows
        ]
        session.execute(insert(VersionItem), items)
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

    def stream(self, version_id: str) -> Iterator[pb.StreamVersionResponse]:
        """Every item with its JPEG, by content. Internal OBJECT_CORRUPT when an object is not what was stored."""
        with self._database.session(read_only=True) as session:
            _version_or_raise(session, version_id)
            query = select(VersionItem, Capture.board_id).join(Capture, Capture.id == VersionItem.capture_id)
            query = query.where(VersionItem.version_id == version_id)
            query = query.order_by(VersionItem.sha256, VersionItem.capture_id)  # the same pictures, the same training
            items = [(i.capture_id, i.label, i.split, i.sha256, i.object_key, b) for i, b in session.execute(query)]
        for capture_id, label, side, sha256, key, board_id in items:
            yield pb.StreamVersionResponse(
                capture_id=capture_id,
                label=label,
                split=pb.SPLIT_VALIDATION if side == pb.SPLIT_VALIDATION else pb.SPLIT_TRAIN,
                sha256=sha256,
                jpeg=self._read(capture_id, key, sha256),
                board_id=board_id,
            )

    def _read(self, capture_id: str, key: str, sha256: str) -> bytes:
        try:
            jpeg = self._store.get(key)
        except NotFound:
            jpeg = b""
        if hashlib.sha256(jpeg).hexdigest() != sha256:
            raise Internal(
                "OBJECT_CORRUPT",
                f"object {key!r} of capture {capture_id} is {'changed' if jpeg else 'missing'}",
                fix="Bring the object back from a backup, or make a new version without the capture.",
            )
        return jpeg


def _version_or_raise(session: Session, version_id: str) -> Version:
    version = session.get(Version, version_id)
    if version is None:
        raise NotFound("VERSION_NOT_FOUND", f"there is no data set version {version_id!r}", fix="List the versions.")
    return version
