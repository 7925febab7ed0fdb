"""Data set versions: frozen lists of labelled or boxed captures with their split."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from services.gateway.context import Here
from services.gateway.rest.captures import LabelCount
from services.gateway.rest.shapes import Id, Many, Public, Time, enum_words
from services.gateway.upstream import ask
from services.rpc.boardloop.collector.v1 import collector_pb2 as pb

__all__ = ["router"]

router = APIRouter(prefix="/v1", tags=["versions"])


class VersionPublic(Public):
    """A version: it never changes."""

    id: str
    project_id: str
    number: int
    seed: int
    validation_share: float
    labels: Many[str]
    train_count: int
    validation_count: int
    sha256: str = Field(description="equal content, equal hash")
    created_at: Time
    label_counts: Many[LabelCount] = Field(description="pictures; boxes of a version for detection")
    task: Annotated[str, enum_words(pb.Task, "TASK_")] = Field(description="CLASSIFICATION or DETECTION")
    background_count: int = Field(description="of a version for detection: pictures without any box")


class VersionCreate(BaseModel):
    """How to split: the same seed over the same captures gives the same version."""

    seed: int = Field(default=1, ge=0, lt=2**63)
    validation_share: float = Field(default=0.2, gt=0, lt=1)
    task: Literal["CLASSIFICATION", "DETECTION"] = Field(
        default="CLASSIFICATION", description="what is frozen: the labelled captures, or the boxed ones"
    )


@router.post("/projects/{project_id}/versions", status_code=201, summary="Freeze the labelled or the boxed captures")
async def create_version(project_id: Id, body: VersionCreate, context: Here) -> VersionPublic:
    request = pb.CreateVersionRequest(
        project_id=project_id,
        seed=body.seed,
        validation_share=body.validation_share,
        task=pb.Task.Value(f"TASK_{body.task}"),
    )
    return VersionPublic.of((await ask(context.upstream.datasets.CreateVersion(request))).version)


@router.get("/projects/{project_id}/versions", summary="Versions, newest first")
async def list_versions(project_id: Id, context: Here) -> list[VersionPublic]:
    request = pb.ListVersionsRequest(project_id=project_id)
    return VersionPublic.all_of((await ask(context.upstream.datasets.ListVersions(request))).versions)


@router.get("/versions/{version_id}", summary="One version")
async def get_version(version_id: Id, context: Here) -> VersionPublic:
    request = pb.GetVersionRequest(version_id=version_id)
    return VersionPublic.of((await ask(context.upstream.datasets.GetVersion(request))).version)
