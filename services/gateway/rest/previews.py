"""What a training would see of a project's pictures."""

from __future__ import annotations

from base64 import b64encode
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, Field

from services.gateway.context import Here
from services.gateway.rest.jobs import TrainingParameters
from services.gateway.rest.shapes import Id
from services.gateway.upstream import ask
from services.rpc.boardloop.collector.v1 import collector_pb2 as collector
from services.rpc.boardloop.trainer.v1 import trainer_pb2 as pb

__all__ = ["data_url", "router"]

router = APIRouter(prefix="/v1", tags=["jobs"])


class PreviewCreate(BaseModel):
    """Pictures of a version, or captures by name, and the parameters of the training."""

    version_id: Annotated[str, Field(max_length=64)] = ""
    capture_ids: Annotated[list[Id], Field(max_length=12, description="where no version is named")] = []
    parameters: TrainingParameters = TrainingParameters()
    pictures: int = Field(default=4, ge=1, le=12, description="of the version")
    variants: int = Field(default=3, ge=1, le=8, description="of each picture")
    seed: int = Field(default=0, ge=0, lt=2**63, description="the same seed gives the same variants")


class PreviewBox(BaseModel):
    """Edges as shares of the picture."""

    label: str
    left: float
    top: float
    right: float
    bottom: float


class PreviewVariant(BaseModel):
    """A picture at the network's input size."""

    jpeg_data_url: str
    boxes: list[PreviewBox]


class PreviewPicture(BaseModel):
    """One capture as it is and as the training would see it."""

    capture_id: str
    label: str
    original: PreviewVariant | None = Field(description="null when it cannot be read")
    variants: list[PreviewVariant]
    error: str = Field(description='why it cannot be read; "" = it can')


@router.post(
    "/projects/{project_id}/augmentation-preview", summary="Pictures of the project as a training would see them"
)
async def preview_augmentation(project_id: Id, body: PreviewCreate, context: Here) -> list[PreviewPicture]:
    await ask(context.upstream.projects.GetProject(collector.GetProjectRequest(project_id=project_id)))
    request = pb.PreviewAugmentationRequest(
        version_id=body.version_id,
        capture_ids=body.capture_ids,
        parameters=pb.TrainingParameters(**body.parameters.model_dump()),
        pictures=body.pictures,
        variants=body.variants,
        seed=body.seed,
        project_id=project_id,
    )
    answer = await ask(context.upstream.preview.PreviewAugmentation(request))
    return [
        PreviewPicture(
            capture_id=picture.capture_id,
            label=picture.label,
            original=_variant(picture.original) if picture.HasField("original") else None,
            variants=[_variant(variant) for variant in picture.variants],
            error=picture.error,
        )
        for picture in answer.pictures
    ]


def data_url(jpeg: bytes) -> str:
    """For the src of an <img>."""
    return f"data:image/jpeg;base64,{b64encode(jpeg).decode()}"


def _variant(variant: pb.PreviewVariant) -> PreviewVariant:
    boxes = [
        PreviewBox(label=box.label, left=box.left, top=box.top, right=box.right, bottom=box.bottom)
        for box in variant.boxes
    ]
    return PreviewVariant(jpeg_data_url=data_url(variant.jpeg), boxes=boxes)
