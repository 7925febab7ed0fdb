"""What goes into a data set version: the captures for each task, and on which side each stands."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from services.collector.models import BoxRow, Capture, Project
from services.collector.splits import detection_split, split
from services.common.errors import FailedPrecondition
from services.rpc.boardloop.collector.v1 import collector_pb2 as pb

__all__ = ["Choice", "Item", "boxed", "labelled"]

LEAST = 2  # captures of each label, pictures with boxes: one to train with, one to validate with
UNLABELLED = ""


@dataclass(frozen=True)
class Item:
    """One row of version_items without its version; `label` "" and sorted boxes for detection, no boxes else."""

    capture_id: str
    label: str
    split: int
    sha256: str
    object_key: str
    boxes: list[BoxRow]


@dataclass(frozen=True)
class Choice:
    """The items of a version, and how many captures of the project have no place in it."""

    items: list[Item]
    left_out: int


def labelled(session: Session, project: Project, seed: int, share: float) -> Choice:
    """For classification: every labelled capture. FailedPrecondition NO_LABELS or TOO_FEW_CAPTURES."""
    captures = _by_label(session, project)
    left_out = len(captures.pop(UNLABELLED))
    grouped = {name: {row.id: row.sha256 for row in rows} for name, rows in captures.items()}
    splits = split(grouped, seed, share)
    return Choice([_item(row, row.label, splits, []) for rows in captures.values() for row in rows], left_out)


def boxed(session: Session, project: Project, seed: int, share: float) -> Choice:
    """For detection: every boxed capture, background too. FailedPrecondition NO_BOXES or TOO_FEW_CAPTURES."""
    present = _present(session, project)
    rows = [row for row in present if row.boxed]
    with_boxes = {row.id: row.sha256 for row in rows if row.boxes}
    background = {row.id: row.sha256 for row in rows if not row.boxes}
    left_out, pictures = len(present) - len(rows), len(set(with_boxes.values()))
    if pictures < LEAST:
        raise FailedPrecondition(
            "TOO_FEW_CAPTURES" if pictures else "NO_BOXES",
            f"project {project.name!r} has {pictures} different pictures with boxes, a version for detection needs "
            f"{LEAST}: one to train with, one to validate with; {len(background)} are marked as background, {left_out} "
            "are not boxed",
            fix="Draw boxes on more captures.",
        )
    splits = detection_split(with_boxes, background, seed, share)
    return Choice([_item(row, "", splits, sorted(row.boxes)) for row in rows], left_out)


def _item(row: Capture, label: str, splits: dict[str, pb.Split.ValueType], boxes: list[BoxRow]) -> Item:
    return Item(row.id, label, int(splits[row.id]), row.sha256, row.object_key, boxes)


def _present(session: Session, project: Project) -> list[Capture]:
    query = select(Capture).where(Capture.project_id == project.id, Capture.deleted_at.is_(None))
    return list(session.scalars(query.order_by(Capture.id)))


def _by_label(session: Session, project: Project) -> dict[str, list[Capture]]:
    """Captures by label, "" included, labels in the project's order. Raises FailedPrecondition."""
    captures: dict[str, list[Capture]] = {label.name: [] for label in project.labels}
    if not captures:
        raise FailedPrecondition(
            "NO_LABELS", f"project {project.name!r} has no labels", fix="Give the project labels and label captures."
        )
    captures[UNLABELLED] = []
    for row in _present(session, project):
        captures[row.label].append(row)
    few = [f"{name!r} has {len(rows)}" for name, rows in captures.items() if name != UNLABELLED and len(rows) < LEAST]
    if few:
        raise FailedPrecondition(
            "TOO_FEW_CAPTURES",
            f"each label of project {project.name!r} needs {LEAST} captures, label {' and '.join(few)}; "
            f"{len(captures[UNLABELLED])} captures without a label do not count",
            fix="Take or label more captures, or remove the label from the project.",
        )
    return captures
