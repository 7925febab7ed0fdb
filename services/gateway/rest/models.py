"""The model registry: metrics, files, conversion."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Query
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field, model_validator

from services.common.errors import Internal, NotFound
from services.common.fidelity import Fidelity
from services.gateway.context import Context, Here
from services.gateway.rest.shapes import Id, Many, Public, Responses, Time, absent_as_null
from services.gateway.upstream import ask
from services.rpc.boardloop.trainer.v1 import trainer_pb2 as pb

__all__ = ["FLOAT", "TargetId", "fidelity_of", "router"]

router = APIRouter(prefix="/v1", tags=["models"])

FLOAT = "float"  # the float checkpoint, where a route wants a target
TargetId = Annotated[str, Field(max_length=64, pattern=r"^[A-Za-z0-9_.-]+$")]
DOWNLOAD_SECONDS = 300.0
CONVERT_SECONDS = 900.0
FILE: Responses = {200: {"content": {"application/octet-stream": {}}, "description": "The file"}}


class ClassMetrics(Public):
    """Figures of one label."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int = Field(description="pictures; objects of a detection")
    ap50: float | None = Field(description="of a detection; null: no picture shows the label")
    ap50_95: float | None

    @model_validator(mode="before")
    @classmethod
    def _absent(cls, message: Any) -> Any:
        return absent_as_null(message, "ap50", "ap50_95")


class Evaluation(Public):
    """Figures over the whole validation split."""

    images: int
    accuracy: float
    confusion: Many[int] = Field(description="labels x labels; row = truth, column = predicted")
    classes: Many[ClassMetrics]
    wrong_capture_ids: Many[str]
    mean_average_precision: float = Field(description="mAP50 of a detection, else 0")
    mean_average_precision_50_95: float


class ConvertedFile(Public):
    """The model as a chip runs it; the figures come from the chip's simulator."""

    target: str
    format: str
    file_name: str
    size_bytes: int
    sha256: str
    evaluation: Evaluation
    agreement: float = Field(description="share of images with the float model's answer")
    ram_bytes: int = Field(description="estimate on the board")
    report_json: str = Field(description="the converter's report: layers, memory, warnings")
    packages: Many[str] = Field(description="kinds of package that the file comes in")


class ModelPublic(Public):
    """A trained model."""

    id: str
    project_id: str
    job_id: str
    version_id: str
    name: str
    labels: Many[str]
    backbone: str
    input_size: int = Field(description="width of the input, pixels")
    input_height: int
    evaluation: Evaluation
    files: Many[ConvertedFile]
    weights_source: str
    created_at: Time
    task: str = Field(description='"classification" or "detection"')
    head: str
    anchors: Many[float] = Field(description="of a yolo2: width, height, width, height … in cells of its last map")


class TargetPublic(Public):
    """A chip and file format a model can be converted for."""

    id: str
    title: str
    description: str
    board_type: str = Field(description='"k210", "v831", "linux", "mcu" or "web"')
    format: str
    packages: Many[str] = Field(description="kinds of package that its files come in")
    heads: Many[str] = Field(description="whose answers the programs of its boards read")


class ConversionCreate(BaseModel):
    """The target to convert for, and what the conversion may do."""

    target: TargetId
    max_accuracy_drop: float | None = Field(
        default=None, ge=0, le=1, description="a conversion that costs more accuracy is refused; null = 0.03"
    )
    allow_oversize: bool = Field(default=False, description="convert also what a full firmware has no memory for")
    weight_range: Literal["max", "mse"] = Field(default="max", description="mse clips outliers of the weights")


@router.get("/targets", summary="Conversion targets")
async def list_targets(context: Here) -> list[TargetPublic]:
    return TargetPublic.all_of((await ask(context.upstream.models.ListTargets(pb.ListTargetsRequest()))).targets)


@router.get("/projects/{project_id}/models", summary="Models, newest first")
async def list_models(project_id: Id, context: Here) -> list[ModelPublic]:
    request = pb.ListModelsRequest(project_id=project_id)
    return ModelPublic.all_of((await ask(context.upstream.models.ListModels(request))).models)


@router.get("/models/{model_id}", summary="One model")
async def get_model(model_id: Id, context: Here) -> ModelPublic:
    return ModelPublic.of(await _model(context, model_id))


@router.get(
    "/models/{model_id}/files/{target}", summary='Download; target "float" is the checkpoint', responses=FILE,
    response_class=StreamingResponse,
)  # fmt: skip
async def download(model_id: Id, target: TargetId, context: Here) -> StreamingResponse:
    return await _streamed(
        context, pb.DownloadModelRequest(model_id=model_id, target="" if target == FLOAT else target)
    )


@router.get(
    "/models/{model_id}/files/{target}/packages/{kind}", summary="Download packed for a board", responses=FILE,
    response_class=StreamingResponse,
)  # fmt: skip
async def download_package(
    model_id: Id,
    target: TargetId,
    kind: Annotated[str, Path(max_length=64, description="one of the file's `packages`")],
    context: Here,
    address: Annotated[int, Query(ge=0, lt=2**32, description="in the flash, of a kfpkg; 0 = 0x300000")] = 0,
) -> StreamingResponse:
    request = pb.DownloadModelRequest(model_id=model_id, target=target, package=kind, flash_address=address)
    return await _streamed(context, request)


async def _streamed(context: Context, request: pb.DownloadModelRequest) -> StreamingResponse:
    blocks = aiter(context.upstream.models.DownloadModel(request, timeout=DOWNLOAD_SECONDS))
    first = await anext(blocks, None)  # an error must come before the status line
    if first is None:
        raise Internal(
            "EMPTY_DOWNLOAD", f"The trainer sent nothing for model {request.model_id} and target {request.target}."
        )
    headers = {
        "Content-Disposition": f'attachment; filename="{_plain(first.file_name)}"',
        "Content-Length": str(first.size_bytes),
    }
    return StreamingResponse(_bytes(first, blocks), media_type="application/octet-stream", headers=headers)


@router.get("/models/{model_id}/files/{target}/fidelity", summary="How faithfully the file answers")
async def fidelity(model_id: Id, target: TargetId, context: Here) -> Fidelity:
    return fidelity_of(await _model(context, model_id), target)


@router.post("/models/{model_id}/convert", status_code=201, summary="Convert for another target")
async def convert(model_id: Id, body: ConversionCreate, context: Here) -> ConvertedFile:
    request = pb.ConvertModelRequest(model_id=model_id, **body.model_dump())
    answer = await ask(context.upstream.models.ConvertModel(request, timeout=CONVERT_SECONDS))
    return ConvertedFile.of(answer.file)


def fidelity_of(model: pb.Model, target: str) -> Fidelity:
    """NotFound: the model has no file for the target, or one of an older version that nobody compared."""
    for file in model.files:
        if file.target == target:
            values = json.loads(file.fidelity_json or "{}")
            if values:
                return Fidelity.from_json(values)
            raise NotFound(
                "NOT_COMPARED", f"The file for {target} was never compared with the float model.", fix="Convert again."
            )
    raise NotFound(
        "FILE_NOT_FOUND",
        f"Model {model.id} has no file for the target {target!r}.",
        fix="Convert the model for that target first.",
    )


async def _model(context: Context, model_id: str) -> pb.Model:
    return (await ask(context.upstream.models.GetModel(pb.GetModelRequest(model_id=model_id)))).model


async def _bytes(
    first: pb.DownloadModelResponse, rest: AsyncIterator[pb.DownloadModelResponse]
) -> AsyncIterator[bytes]:
    yield first.data
    async for block in rest:
        yield block.data


def _plain(name: str) -> str:
    """A file name that fits a header: no quotes, no control characters, ASCII."""
    return "".join(letter if letter.isascii() and (letter.isalnum() or letter in "._-") else "_" for letter in name)
