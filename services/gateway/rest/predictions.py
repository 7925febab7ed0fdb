"""What a model says of one picture."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, UploadFile
from pydantic import BaseModel, Field

from services.common.errors import InvalidInput
from services.gateway.context import Here
from services.gateway.qr import data_url
from services.gateway.rest.models import FLOAT, TargetId
from services.gateway.rest.shapes import Id, Public
from services.gateway.upstream import ask
from services.rpc.boardloop.trainer.v1 import trainer_pb2 as pb

__all__ = ["PICTURE_BYTES", "router"]

router = APIRouter(prefix="/v1", tags=["models"])

PICTURE_BYTES = 16 * 1024 * 1024  # as the trainer takes; a picture twice as large fits no message to it


class FoundObject(Public):
    """What a detector found; the edges are shares of the picture's width and height."""

    label: str
    confidence: float
    left: float
    top: float
    right: float
    bottom: float


class PredictionPublic(BaseModel):
    """What the model says of one picture."""

    label: str = Field(description='the best one; "" when a detector finds nothing')
    scores: dict[str, float] = Field(description="softmax per label; empty of a detector")
    logits: list[float]
    objects: list[FoundObject] = Field(description="of a detector, surest first")
    seconds: float = Field(description="of the network, or of the file's simulator, on this server; not of a board")
    input_data_url: str = Field(description='the picture as the network sees it, a PNG; "" without show_input')


@router.post("/models/{model_id}/predict", summary="Classify one JPEG or PNG, or find what is in it")
async def predict(
    model_id: Id,
    file: UploadFile,
    context: Here,
    target: Annotated[TargetId, Query(description="float, or a converted file by its simulator")] = FLOAT,
    confidence: Annotated[float, Query(ge=0.01, le=1, description="a detector's objects are surer than this")] = 0.5,
    show_input: Annotated[bool, Query(description="fill input_data_url")] = False,
) -> PredictionPublic:
    picture = await _read(file)
    model = (await ask(context.upstream.models.GetModel(pb.GetModelRequest(model_id=model_id)))).model
    request = pb.PredictRequest(
        model_id=model_id, target="" if target == FLOAT else target, jpeg=picture, confidence=confidence,
        show_input=show_input,
    )  # fmt: skip
    answer = await ask(context.upstream.models.Predict(request))
    objects = FoundObject.all_of(answer.objects)
    scores = dict(zip(model.labels, answer.scores, strict=True)) if model.task != "detection" else {}
    best = max(scores, key=scores.__getitem__) if scores else next((one.label for one in objects), "")
    return PredictionPublic(
        label=best, scores=scores, logits=list(answer.logits), objects=objects, seconds=answer.seconds,
        input_data_url=data_url(answer.input_png) if answer.input_png else "",
    )  # fmt: skip


async def _read(file: UploadFile) -> bytes:
    """InvalidInput for more than the trainer would take."""
    if (file.size or 0) > PICTURE_BYTES:
        raise InvalidInput(
            "PICTURE_TOO_LARGE",
            f"{file.filename} is too large: {file.size} bytes, the limit is {PICTURE_BYTES}.",
            fix="Send a smaller picture.",
            limit=str(PICTURE_BYTES),
        )
    return await file.read()
