"""Projects: what a data set, its boards and its models belong to."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, Field

from services.gateway.context import Here
from services.gateway.rest.shapes import Id, LabelName, Many, Public, Time
from services.gateway.upstream import ask
from services.rpc.boardloop.collector.v1 import collector_pb2 as pb

__all__ = ["router"]

router = APIRouter(prefix="/v1/projects", tags=["projects"])

Labels = Annotated[list[LabelName], Field(max_length=100, examples=[["functional", "defective"]])]


class ProjectPublic(Public):
    """A project."""

    id: str
    name: str
    labels: Many[str]
    created_at: Time


class ProjectCreate(BaseModel):
    """A new project: its name is free, its labels are the classes a model will tell apart."""

    name: str = Field(min_length=1, max_length=64)
    labels: Labels


class LabelsUpdate(BaseModel):
    """All labels of the project, in order; one that captures use cannot be left out."""

    labels: Labels


@router.get("", summary="All projects")
async def list_projects(context: Here) -> list[ProjectPublic]:
    answer = await ask(context.upstream.projects.ListProjects(pb.ListProjectsRequest()))
    return ProjectPublic.all_of(answer.projects)


@router.post("", status_code=201, summary="Create a project")
async def create_project(body: ProjectCreate, context: Here) -> ProjectPublic:
    request = pb.CreateProjectRequest(name=body.name, labels=body.labels)
    return ProjectPublic.of((await ask(context.upstream.projects.CreateProject(request))).project)


@router.get("/{project_id}", summary="One project")
async def get_project(project_id: Id, context: Here) -> ProjectPublic:
    request = pb.GetProjectRequest(project_id=project_id)
    return ProjectPublic.of((await ask(context.upstream.projects.GetProject(request))).project)


@router.put("/{project_id}/labels", summary="Set the labels")
async def set_labels(project_id: Id, body: LabelsUpdate, context: Here) -> ProjectPublic:
    request = pb.SetLabelsRequest(project_id=project_id, labels=body.labels)
    return ProjectPublic.of((await ask(context.upstream.projects.SetLabels(request))).project)
