"""The pre-flight check of a training."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import BeforeValidator, Field

from services.gateway.context import Here
from services.gateway.rest.jobs import JobCreate, TrainingParameters
from services.gateway.rest.networks import NetworkEstimate
from services.gateway.rest.shapes import Id, Many, Public, enum_words
from services.gateway.upstream import ask
from services.rpc.boardloop.trainer.v1 import trainer_pb2 as pb

__all__ = ["CHECK_SECONDS", "router"]

router = APIRouter(prefix="/v1", tags=["jobs"])

CHECK_SECONDS = 120.0  # pictures are decoded, and some steps of a large network are timed

Severity = Annotated[Literal["NONE", "NOTE", "WARNING", "ERROR"], enum_words(pb.Severity, "SEVERITY_")]


class TrainingProblem(Public):
    """Something that a person should know, and what to do about it."""

    severity: Severity = Field(description="an ERROR keeps the training from starting")
    code: str
    message: str
    fix: str
    facts: Annotated[dict[str, str], BeforeValidator(dict)]
    capture_ids: Many[str] = Field(description="at most 20")


class ParameterNote(Public):
    """A parameter with its sentence."""

    name: str
    value: str
    sentence: str


class SplitCount(Public):
    """Pictures, or boxes of a detection, that were looked at."""

    label: str
    train: int
    validation: int


class TrainingCheck(Public):
    """What can be said about a training before it starts."""

    parameters: TrainingParameters
    notes: Many[ParameterNote]
    labels: Many[SplitCount]
    problems: Many[TrainingProblem] = Field(description="errors first")
    pictures: int
    examined: int = Field(description="decoded for this check")
    images_per_second: float = Field(description="0 = not known")
    seconds: float = Field(description="estimate for all epochs; 0 = not known")
    measured_in_job: bool = Field(description="the speed is an earlier job's; else a few steps' just now")
    network: NetworkEstimate
    disk_needed_bytes: int
    disk_free_bytes: int


@router.post("/projects/{project_id}/jobs/check", summary="What stands in the way of a training, before it starts")
async def check_training(project_id: Id, body: JobCreate, context: Here) -> TrainingCheck:
    parameters = pb.TrainingParameters(**body.parameters.model_dump())
    request = pb.CheckTrainingRequest(project_id=project_id, version_id=body.version_id, parameters=parameters)
    return TrainingCheck.of(await ask(context.upstream.training.CheckTraining(request, timeout=CHECK_SECONDS)))
