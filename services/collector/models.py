"""The collector's tables.

    projects 1 ── n labels
        │ 1
        ├── n captures            the JPEG lies in the object store under object_key
        └── n versions 1 ── n version_items (n ── 1 captures)
    boards                        the roster, and where each board's replay window stands

A capture is never removed from its table: deleted_at hides it, so that a board that sends it again hears DUPLICATE.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import JSON, BigInteger, Boolean, Float, ForeignKey, Index, Integer, String, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from services.common.database import UtcDateTime

__all__ = ["Base", "Board", "BoxRow", "Capture", "Label", "Project", "Version", "VersionItem"]


BoxRow = tuple[str, float, float, float, float]
"""label, x, y, width, height; JSON gives it back as a list."""


class Base(DeclarativeBase):
    """Metadata of the collector's schema."""


class Project(Base):
    """`revision` grows with every change of the project's captures, in the transaction that makes the change."""

    __tablename__ = "projects"

    id: Mapped[str] = mapped_column(String(12), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), unique=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    revision: Mapped[int] = mapped_column(BigInteger, default=0)
    labels: Mapped[list[Label]] = relationship(
        order_by="Label.position", cascade="all, delete-orphan", lazy="selectin", passive_deletes=True
    )


class Label(Base):
    """Labels keep the order in which they were given: it is the order of the model's outputs."""

    __tablename__ = "labels"

    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    position: Mapped[int] = mapped_column(Integer)


class Capture(Base):
    """One picture. `label` "" = not labelled, `board_id` "" = uploaded by a person.

    `boxes`: [label, x, y, width, height] each (collector.proto Box); `boxed`: they are all there is, be it none.
    """

    __tablename__ = "captures"
    __table_args__ = (
        Index("captures_newest", "project_id", "stored_at", "id"),
        Index("captures_by_label", "project_id", "label", "stored_at", "id"),
        Index("captures_by_board", "project_id", "board_id", "stored_at", "id"),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    board_id: Mapped[str] = mapped_column(String(10))
    label: Mapped[str] = mapped_column(String(32))
    width: Mapped[int] = mapped_column(Integer)
    height: Mapped[int] = mapped_column(Integer)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    object_key: Mapped[str] = mapped_column(Text)
    captured_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    stored_at: Mapped[datetime] = mapped_column(UtcDateTime)
    deleted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    boxes: Mapped[list[BoxRow]] = mapped_column(JSON, default=list)
    boxed: Mapped[bool] = mapped_column(Boolean, default=False)


class Board(Base):
    """A board as the deployer announced it. `record` is the sealed board record (docs/protocol.md section 8).

    `key_id` names the keys that last_session and last_sequence belong to: a board paired anew starts from zero.
    """

    __tablename__ = "boards"

    id: Mapped[str] = mapped_column(String(10), primary_key=True)
    record: Mapped[str] = mapped_column(Text)
    key_id: Mapped[str] = mapped_column(String(16))
    last_session: Mapped[int] = mapped_column(BigInteger, default=0)
    last_sequence: Mapped[int] = mapped_column(BigInteger, default=0)


class Version(Base):
    """An immutable data set version. `seed` is a u64, which SQL integers do not hold: kept as decimal text.

    `task`: 1 classification, 2 detection (collector.proto Task); label_counts are then of boxes.
    """

    __tablename__ = "versions"
    __table_args__ = (UniqueConstraint("project_id", "number"),)

    id: Mapped[str] = mapped_column(String(12), primary_key=True)
    project_id: Mapped[str] = mapped_column(ForeignKey("projects.id"))
    number: Mapped[int] = mapped_column(Integer)
    seed: Mapped[str] = mapped_column(String(20))
    validation_share: Mapped[float] = mapped_column(Float)
    labels: Mapped[list[str]] = mapped_column(JSON)
    train_count: Mapped[int] = mapped_column(Integer)
    validation_count: Mapped[int] = mapped_column(Integer)
    label_counts: Mapped[dict[str, int]] = mapped_column(JSON)
    sha256: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    task: Mapped[int] = mapped_column(Integer, default=1)
    background_count: Mapped[int] = mapped_column(Integer, default=0)


class VersionItem(Base):
    """One capture of a version with the label or the boxes and the split it had at that moment (split: 1 train, 2
    validation)."""

    __tablename__ = "version_items"
    __table_args__ = (Index("version_items_of_capture", "capture_id"),)

    version_id: Mapped[str] = mapped_column(ForeignKey("versions.id"), primary_key=True)
    capture_id: Mapped[str] = mapped_column(ForeignKey("captures.id"), primary_key=True)
    label: Mapped[str] = mapped_column(String(32))
    split: Mapped[int] = mapped_column(Integer)
    sha256: Mapped[str] = mapped_column(String(64))
    object_key: Mapped[str] = mapped_column(Text)
    boxes: Mapped[list[BoxRow]] = mapped_column(JSON, default=list)
