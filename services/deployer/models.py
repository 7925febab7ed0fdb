"""The deployer's tables.

    boards 1 ── 0..1 pairings     an open pairing code and how far a board came with it
        │ 1
        ├── n results
        └── n updates n ── 1 releases     one row per board and release it was meant for

Secrets and content keys are sealed (vault.py); the parts of a bundle lie in the object store under releases/<id>/.
"""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from services.common.database import UtcDateTime

__all__ = ["Base", "Board", "Pairing", "Release", "Result", "Update"]


class Base(DeclarativeBase):
    """Metadata of the deployer's schema."""


class Board(Base):
    """`secret`: S, sealed; None before the first pairing has ended and after revocation. `session`: the last given."""

    __tablename__ = "boards"

    id: Mapped[str] = mapped_column(String(10), primary_key=True)
    project_id: Mapped[str] = mapped_column(String(64), index=True)
    name: Mapped[str] = mapped_column(String(64))
    board_type: Mapped[str] = mapped_column(String(32))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    revoked: Mapped[bool] = mapped_column(Boolean, default=False)
    secret: Mapped[bytes | None] = mapped_column(LargeBinary)
    hardware: Mapped[str] = mapped_column(String(16), default="")
    firmware: Mapped[str] = mapped_column(String(64), default="")
    session: Mapped[int] = mapped_column(BigInteger, default=0)
    release_id: Mapped[str] = mapped_column(String(32), default="")
    desired_release_id: Mapped[str] = mapped_column(String(32), default="")
    outbox: Mapped[int] = mapped_column(BigInteger, default=0)
    rejected: Mapped[int] = mapped_column(BigInteger, default=0)
    last_seen_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class Pairing(Base):
    """`secret`: P, sealed. `hardware`: of the first board that said HELLO under P, "" before.

    `renewed`: sealed JSON list of the S handed out under this code, newest last; the first one heard of wins.
    """

    __tablename__ = "pairings"

    board_id: Mapped[str] = mapped_column(ForeignKey("boards.id", ondelete="CASCADE"), primary_key=True)
    secret: Mapped[bytes] = mapped_column(LargeBinary)
    server_nonce: Mapped[bytes] = mapped_column(LargeBinary)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    hardware: Mapped[str] = mapped_column(String(16), default="")
    renewed: Mapped[bytes | None] = mapped_column(LargeBinary)


class Release(Base):
    """`content_key`: sealed. `state`: a name of ReleaseState without its prefix."""

    __tablename__ = "releases"
    __table_args__ = (UniqueConstraint("project_id", "counter"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    project_id: Mapped[str] = mapped_column(String(64))
    model_id: Mapped[str] = mapped_column(String(64))
    target: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(64))
    board_type: Mapped[str] = mapped_column(String(32))
    counter: Mapped[int] = mapped_column(BigInteger)
    state: Mapped[str] = mapped_column(String(32))
    manifest_bytes: Mapped[int] = mapped_column(BigInteger)
    payload_bytes: Mapped[int] = mapped_column(BigInteger)
    content_key: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Update(Base):
    """How far one board is with one release. `state`: a name of UpdateState without its prefix."""

    __tablename__ = "updates"

    release_id: Mapped[str] = mapped_column(ForeignKey("releases.id"), primary_key=True)
    board_id: Mapped[str] = mapped_column(ForeignKey("boards.id"), primary_key=True, index=True)
    state: Mapped[str] = mapped_column(String(32))
    reason: Mapped[str] = mapped_column(String(40), default="")


class Result(Base):
    """What a board's model said to one frame."""

    __tablename__ = "results"
    __table_args__ = (Index("results_of_project", "project_id", "id"), Index("results_of_board", "board_id", "id"))

    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True)
    board_id: Mapped[str] = mapped_column(ForeignKey("boards.id"))
    project_id: Mapped[str] = mapped_column(String(64))
    release_id: Mapped[str] = mapped_column(String(32))
    logits: Mapped[list[float]] = mapped_column(JSON)
    top: Mapped[int] = mapped_column(Integer)
    score: Mapped[float] = mapped_column(Float)
    frame: Mapped[str] = mapped_column(String(16))
    milliseconds: Mapped[int] = mapped_column(BigInteger)
    received_at: Mapped[datetime] = mapped_column(UtcDateTime)
