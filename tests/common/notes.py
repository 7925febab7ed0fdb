"""A small schema for test_database.py."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from services.common.database import UtcDateTime


class Base(DeclarativeBase):
    pass


class Note(Base):
    __tablename__ = "notes"

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(String(1_000_000), unique=True)
    made_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("notes.id"))
