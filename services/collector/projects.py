"""Projects and their labels."""

from __future__ import annotations

import secrets
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from sqlalchemy import bindparam, func, select, update
from sqlalchemy.orm import Session

from services.collector.models import Capture, Label, Project
from services.common.database import Database
from services.common.errors import AlreadyExists, FailedPrecondition, InvalidInput, NotFound
from services.common.rpc import to_timestamp
from services.rpc.boardloop.collector.v1 import collector_pb2 as pb

__all__ = ["Projects", "check_label", "new_id", "project_or_raise", "touch"]

TOUCH = (
    update(Project.__table__)  # type: ignore[arg-type]
    .where(Project.id == bindparam("project"))
    .values(revision=Project.revision + 1)
)
NAME_LENGTH, LABEL_LENGTH, LABELS = 64, 32, 100  # collector.proto CreateProjectRequest


def new_id() -> str:
    """12 hex characters: 48 random bits."""
    return secrets.token_hex(6)


def project_or_raise(session: Session, project_id: str) -> Project:
    """The project, or NotFound PROJECT_NOT_FOUND."""
    project = session.get(Project, project_id)
    if project is None:
        raise NotFound("PROJECT_NOT_FOUND", f"there is no project {project_id!r}", fix="List the projects.")
    return project


def touch(session: Session, project_id: str) -> None:
    """Counts the project's revision up. As the first statement of a transaction it also takes the project's row lock,
    so that changes of one project happen one after the other in both databases."""
    session.connection().execute(TOUCH, {"project": project_id})


def check_label(project: Project, label: str) -> None:
    """InvalidInput UNKNOWN_LABEL unless the project has the label or it is "" (not labelled)."""
    known = [entry.name for entry in project.labels]
    if label and label not in known:
        raise InvalidInput(
            "UNKNOWN_LABEL",
            f"project {project.name!r} has no label {label!r}; it has {', '.join(known) or 'none'}",
            fix="Add the label to the project first.",
        )


def _checked_labels(labels: Sequence[str]) -> list[str]:
    if len(labels) > LABELS:
        raise InvalidInput("TOO_MANY_LABELS", f"{len(labels)} labels, at most {LABELS}", fix="Use fewer labels.")
    for label in labels:
        if not 1 <= len(label) <= LABEL_LENGTH or label != label.strip() or not label.isprintable():
            raise InvalidInput(
                "BAD_LABEL",
                f"label {label!r} is not 1 to {LABEL_LENGTH} printable characters without spaces around",
                fix="Change the label.",
            )
    if len(set(labels)) != len(labels):
        raise InvalidInput("DUPLICATE_LABEL", f"a label is given twice: {list(labels)}", fix="Give each label once.")
    return list(labels)


def _message(project: Project) -> pb.Project:
    return pb.Project(
        id=project.id,
        name=project.name,
        labels=[label.name for label in project.labels],
        created_at=to_timestamp(project.created_at),
    )


def _boxes(session: Session, project: Project, labels: set[str]) -> Counter[str]:
    """How many boxes have one of the labels. Boxes are JSON, which the two databases do not search alike."""
    query = select(Capture.boxes).where(
        Capture.project_id == project.id, Capture.boxed.is_(True), Capture.deleted_at.is_(None)
    )
    return Counter(box[0] for boxes in session.scalars(query) for box in boxes if box[0] in labels)


class Projects:
    """Every method is one transaction. `changed` is called with the project's id after its name or labels changed."""

    def __init__(self, database: Database, changed: Callable[[str], None] = lambda project_id: None) -> None:
        self._database = database
        self.changed = changed
        self._labels: dict[str, tuple[str, ...]] = {}
        self._lock = threading.Lock()

    def create(self, name: str, labels: Sequence[str]) -> pb.Project:
        """Raises InvalidInput, or AlreadyExists PROJECT_EXISTS when the name is taken."""
        name = name.strip()
        if not 1 <= len(name) <= NAME_LENGTH or not name.isprintable():
            raise InvalidInput(
                "BAD_PROJECT_NAME", f"name {name!r} is not 1 to {NAME_LENGTH} printable characters", fix="Change it."
            )
        wanted = _checked_labels(labels)
        with self._lock, self._database.session() as session:
            if session.scalar(select(Project.id).where(Project.name == name)) is not None:
                raise AlreadyExists(
                    "PROJECT_EXISTS", f"there is a project {name!r} already", fix="Choose another name."
                )
            project = Project(id=new_id(), name=name, created_at=datetime.now(UTC), revision=0)
            project.labels = [Label(name=label, position=index) for index, label in enumerate(wanted)]
            session.add(project)
            session.flush()
            message = _message(project)
        self.changed(message.id)
        return message

    def get(self, project_id: str) -> pb.Project:
        """Raises NotFound."""
        with self._database.session(read_only=True) as session:
            return _message(project_or_raise(session, project_id))

    def list(self) -> Sequence[pb.Project]:
        """By name."""
        with self._database.session(read_only=True) as session:
            return [_message(project) for project in session.scalars(select(Project).order_by(Project.name))]

    def set_labels(self, project_id: str, labels: Sequence[str]) -> pb.Project:
        """Replaces the labels. FailedPrecondition LABEL_IN_USE when a label that captures or boxes use would go."""
        wanted = _checked_labels(labels)
        with self._lock, self._database.session() as session:
            touch(session, project_id)
            project = project_or_raise(session, project_id)
            gone = {label.name for label in project.labels} - set(wanted)
            self._refuse_used(session, project, gone)
            by_name = {label.name: label for label in project.labels}
            for index, name in enumerate(wanted):
                entry = by_name.setdefault(name, Label(name=name))
                entry.position = index
            project.labels = [by_name[name] for name in wanted]
            session.flush()
            message = _message(project)
            self._labels.pop(project_id, None)
        self.changed(project_id)
        return message

    @staticmethod
    def _refuse_used(session: Session, project: Project, gone: set[str]) -> None:
        query = (
            select(Capture.label, func.count())
            .where(Capture.project_id == project.id, Capture.label.in_(gone), Capture.deleted_at.is_(None))
            .group_by(Capture.label)
        )
        used = [(label, f"{count} captures") for label, count in session.execute(query)] if gone else []
        used += [(label, f"{count} boxes") for label, count in _boxes(session, project, gone).items()] if gone else []
        if used:
            listed = ", ".join(f"{label} ({count})" for label, count in sorted(used))
            raise FailedPrecondition(
                "LABEL_IN_USE",
                f"project {project.name!r} uses {listed}",
                fix="Give those captures and boxes another label first, or keep the label.",
            )

    def labels(self, project_id: str) -> tuple[str, ...] | None:
        """The project's labels in order, from memory after the first call; None when there is no such project."""
        with self._lock:
            known = self._labels.get(project_id)
            if known is None:
                with self._database.session(read_only=True) as session:
                    project = session.get(Project, project_id)
                    if project is None:
                        return None
                    known = self._labels[project_id] = tuple(label.name for label in project.labels)
            return known
