"""What a model was trained on from, through all generations."""

from __future__ import annotations

from services.trainer.models import Model
from services.trainer.parameters import MODEL
from services.trainer.registry import Registry
from services.trainer.store import JobStore

__all__ = ["lineage", "started_from"]


def lineage(registry: Registry, jobs: JobStore, model_id: str) -> list[Model]:
    """The model itself, the one it was trained on from, and so on; NotFound for the first one only."""
    models = [registry.get(model_id)]
    while (weights := started_from(jobs, models[-1])).startswith(MODEL):
        models.append(registry.get(weights.removeprefix(MODEL)))
    return models


def started_from(jobs: JobStore, model: Model) -> str:
    """The job's parameter `weights`."""
    return str(jobs.get(model.job_id).parameters.get("weights", ""))
