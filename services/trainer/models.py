"""The trainer's tables.

    jobs 1 ── n job_epochs         what each epoch measured
      │ 1 ── n job_lines           the log
      └ 1 ── 0..1 models 1 ── n model_files     one converted file per target
                         1 ── n evaluations     on any data set version

Checkpoints, converted files and golden inputs lie in the object store; the tables hold their keys.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast

from sqlalchemy import JSON, BigInteger, Boolean, Float, ForeignKey, Index, Integer, String, Text, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from services.common.database import UtcDateTime
from services.trainer.config import HEADS, Pooling, Task, TrainingConfig

__all__ = ["Base", "EvaluationRun", "Job", "JobEpoch", "JobLine", "Model", "ModelFile"]


class Base(DeclarativeBase):
    """Metadata of the trainer's schema."""


class Job(Base):
    """`state` is a name of the proto's JobState without its prefix; `parameters` are resolved, as the proto's JSON."""

    __tablename__ = "jobs"
    __table_args__ = (Index("jobs_newest", "project_id", "created_at"),)

    id: Mapped[str] = mapped_column(String(12), primary_key=True)
    project_id: Mapped[str] = mapped_column(String(12))
    version_id: Mapped[str] = mapped_column(String(12))
    parameters: Mapped[dict[str, Any]] = mapped_column(JSON)
    state: Mapped[str] = mapped_column(String(16), index=True)
    priority: Mapped[int] = mapped_column(Integer, default=0, server_default=text("0"))
    stop_requested: Mapped[bool] = mapped_column(Boolean, default=False)
    progress: Mapped[float] = mapped_column(Float, default=0.0)
    seconds_left: Mapped[float] = mapped_column(Float, default=0.0)
    error: Mapped[str] = mapped_column(Text, default="")
    model_id: Mapped[str] = mapped_column(String(12), default="")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    epochs: Mapped[list[JobEpoch]] = relationship(order_by="JobEpoch.epoch", cascade="all, delete-orphan")


class JobEpoch(Base):
    """One row an epoch; a resumed job overwrites the epochs it repeats. `detection`: the proto's DetectionMetrics."""

    __tablename__ = "job_epochs"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    epoch: Mapped[int] = mapped_column(Integer, primary_key=True)
    train_loss: Mapped[float] = mapped_column(Float)
    validation_loss: Mapped[float] = mapped_column(Float)
    validation_accuracy: Mapped[float] = mapped_column(Float)
    learning_rate: Mapped[float] = mapped_column(Float)
    images_per_second: Mapped[float] = mapped_column(Float)
    detection: Mapped[dict[str, float]] = mapped_column(JSON, default=dict, server_default=text("'{}'"))


class JobLine(Base):
    """A line of the log, in the order of `id`."""

    __tablename__ = "job_lines"

    id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), index=True)
    line: Mapped[str] = mapped_column(Text)


class Model(Base):
    """A trained network; `evaluation` is Evaluation.to_dict(), or DetectionEvaluation's.

    `parameters`: the TrainingConfig in the checkpoint. `anchors`: (width, height) in cells of a yolo2, else none.
    """

    __tablename__ = "models"
    __table_args__ = (Index("models_newest", "project_id", "created_at"),)

    id: Mapped[str] = mapped_column(String(12), primary_key=True)
    project_id: Mapped[str] = mapped_column(String(12))
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id"), unique=True)
    version_id: Mapped[str] = mapped_column(String(12))
    name: Mapped[str] = mapped_column(String(128))
    labels: Mapped[list[str]] = mapped_column(JSON)
    backbone: Mapped[str] = mapped_column(String(32))
    input_size: Mapped[int] = mapped_column(Integer)
    evaluation: Mapped[dict[str, Any]] = mapped_column(JSON)
    parameters: Mapped[dict[str, Any]] = mapped_column(JSON)
    weights_source: Mapped[str] = mapped_column(Text)
    code_version: Mapped[str] = mapped_column(Text, default="", server_default=text("''"))
    anchors: Mapped[list[list[float]]] = mapped_column(JSON, default=list, server_default=text("'[]'"))
    checkpoint_key: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    files: Mapped[list[ModelFile]] = relationship(
        order_by="ModelFile.target", cascade="all, delete-orphan", lazy="selectin"
    )

    @property
    def head(self) -> str:
        """A name of services.trainer.config.HEADS; older versions had one head."""
        return str((self.parameters or {}).get("head") or TrainingConfig().head)

    @property
    def task(self) -> Task:
        return HEADS[self.head]

    @property
    def pooling(self) -> Pooling:
        """A classifier from before there was another averages."""
        return cast(Pooling, (self.parameters or {}).get("pooling") or TrainingConfig().pooling)

    @property
    def input_height(self) -> int:
        """`input_size` is the width; a model from before there were others is square."""
        return int((self.parameters or {}).get("input_height") or self.input_size)


class ModelFile(Base):
    """A converted file and what its simulator measured on the validation split; `fidelity` is Fidelity.to_json()."""

    __tablename__ = "model_files"

    model_id: Mapped[str] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"), primary_key=True)
    target: Mapped[str] = mapped_column(String(32), primary_key=True)
    format: Mapped[str] = mapped_column(String(32))
    file_name: Mapped[str] = mapped_column(String(128))
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    evaluation: Mapped[dict[str, Any]] = mapped_column(JSON)
    agreement: Mapped[float] = mapped_column(Float)
    ram_bytes: Mapped[int] = mapped_column(BigInteger)
    report: Mapped[dict[str, Any]] = mapped_column(JSON)
    fidelity: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict, server_default=text("'{}'"))
    object_key: Mapped[str] = mapped_column(Text)
    golden_key: Mapped[str] = mapped_column(Text)


class EvaluationRun(Base):
    """A model, float (`target` "") or converted, on a part of a data set version; `summary` is Summary.to_dict().

    `state` is a name of the proto's EvaluationState without its prefix. The answers lie in the object store.
    """

    __tablename__ = "evaluations"
    __table_args__ = (Index("evaluations_newest", "project_id", "created_at"),)

    id: Mapped[str] = mapped_column(String(12), primary_key=True)
    project_id: Mapped[str] = mapped_column(String(12))
    model_id: Mapped[str] = mapped_column(ForeignKey("models.id", ondelete="CASCADE"), index=True)
    version_id: Mapped[str] = mapped_column(String(12))
    target: Mapped[str] = mapped_column(String(32))
    part: Mapped[str] = mapped_column(String(16))
    confidence: Mapped[float] = mapped_column(Float, default=0.0)
    skip_unreadable: Mapped[bool] = mapped_column(default=False)
    state: Mapped[str] = mapped_column(String(16), index=True)
    progress: Mapped[float] = mapped_column(Float, default=0.0)
    seconds_left: Mapped[float] = mapped_column(Float, default=0.0)
    error: Mapped[str] = mapped_column(Text, default="")
    log: Mapped[list[str]] = mapped_column(JSON, default=list)
    summary: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    answers_key: Mapped[str] = mapped_column(Text, default="")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
