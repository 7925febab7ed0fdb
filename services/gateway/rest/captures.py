"""Captures: pictures from boards and uploads, their labels and counts."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Query, Response, UploadFile
from pydantic import BaseModel, Field

from services.gateway.context import Here
from services.gateway.rest.shapes import Id, LabelName, Many, Public, Responses, Time
from services.gateway.upstream import ask
from services.rpc.boardloop.collector.v1 import collector_pb2 as pb

__all__ = ["router"]

router = APIRouter(prefix="/v1", tags=["captures"])

# A capture id is a hash of the picture: what it names never changes.
FOREVER = {"Cache-Control": "private, max-age=31536000, immutable"}
JPEG: Responses = {200: {"content": {"image/jpeg": {}}, "description": "The picture"}}
CaptureIds = Annotated[list[Id], Field(min_length=1, max_length=1000)]


class BoxPublic(Public):
    """An object in a picture; x and y: upper left corner. All four are shares of the upright picture, 0 to 1."""

    label: LabelName
    x: float
    y: float
    width: float
    height: float


class CapturePublic(Public):
    """A picture with its label and its boxes."""

    id: str
    project_id: str
    board_id: str = Field(description="empty: uploaded by a person")
    label: str = Field(description="empty: not labelled")
    width: int
    height: int
    size_bytes: int
    captured_at: Time
    stored_at: Time
    boxes: Many[BoxPublic]
    boxed: bool = Field(description="somebody said which boxes there are, be it none")


class CapturePage(Public):
    """A part of the list, newest first."""

    captures: Many[CapturePublic]
    next_page_token: str = Field(description="give it as page_token; empty: no more")


class CaptureFilter(BaseModel):
    """Query parameters of the list."""

    label: LabelName | None = Field(default=None, description="only this label; empty string: the unlabelled ones")
    board_id: str = Field(default="", description="only this board")
    boxed: bool | None = Field(default=None, description="only those whose boxes are drawn, or are not")
    page_size: int = Field(default=100, ge=1, le=500)
    page_token: str = ""


class LabelCount(Public):
    """Captures with one label."""

    label: str = Field(description="empty: not labelled")
    count: int


class BoardCount(Public):
    """Captures of one board."""

    board_id: str = Field(description="empty: uploaded by people")
    count: int


class CaptureCounts(Public):
    """Counts of a project; `revision` grows with every change, so poll this before reading lists again."""

    total: int
    labels: Many[LabelCount]
    boards: Many[BoardCount]
    revision: int
    boxed: int = Field(description="captures whose boxes are drawn, background among them")


class CaptureUploaded(Public):
    """Outcome for one file, in the order sent."""

    capture: CapturePublic
    duplicate: bool = Field(description="the same picture with the same label was there already")


class LabelUpdate(BaseModel):
    """Captures and the label they get; empty string takes the label away."""

    capture_ids: CaptureIds
    label: LabelName


class BoxesUpdate(BaseModel):
    """All boxes of one capture; an empty list says that there is nothing on it: background."""

    boxes: Annotated[list[BoxPublic], Field(max_length=500)]


class CapturesDelete(BaseModel):
    """Captures to delete."""

    capture_ids: CaptureIds


class Changed(BaseModel):
    """How many captures changed."""

    changed: int


@router.get("/projects/{project_id}/captures", summary="List captures, newest first")
async def list_captures(project_id: Id, query: Annotated[CaptureFilter, Query()], context: Here) -> CapturePage:
    chosen = pb.CaptureFilter(project_id=project_id, label=query.label, board_id=query.board_id, boxed=query.boxed)
    request = pb.ListCapturesRequest(filter=chosen, page_size=query.page_size, page_token=query.page_token)
    return CapturePage.of(await ask(context.upstream.captures.ListCaptures(request)))


@router.get("/projects/{project_id}/captures/counts", summary="Counts per label and board")
async def count_captures(project_id: Id, context: Here) -> CaptureCounts:
    request = pb.CountCapturesRequest(project_id=project_id)
    return CaptureCounts.of(await ask(context.upstream.captures.CountCaptures(request)))


@router.post("/projects/{project_id}/captures", status_code=201, summary="Upload JPEG files")
async def upload_captures(
    project_id: Id, files: list[UploadFile], context: Here, label: Annotated[LabelName, Form()] = ""
) -> list[CaptureUploaded]:
    uploaded = []
    for file in files:
        request = pb.UploadCaptureRequest(project_id=project_id, label=label, jpeg=await file.read())
        uploaded.append(CaptureUploaded.of(await ask(context.upstream.captures.UploadCapture(request))))
    return uploaded


@router.get("/captures/{capture_id}", summary="One capture")
async def get_capture(capture_id: Id, context: Here) -> CapturePublic:
    request = pb.GetCaptureRequest(capture_id=capture_id)
    return CapturePublic.of((await ask(context.upstream.captures.GetCapture(request))).capture)


@router.get(
    "/captures/{capture_id}/image", summary="The JPEG as it was stored", responses=JPEG, response_class=Response
)
async def image(capture_id: Id, context: Here) -> Response:
    return await _picture(context, capture_id, 0)


@router.get("/captures/{capture_id}/thumbnail", summary="A small JPEG", responses=JPEG, response_class=Response)
async def thumbnail(
    capture_id: Id,
    context: Here,
    size: Annotated[int, Query(ge=16, le=512, description="longest side in pixels")] = 192,
) -> Response:
    return await _picture(context, capture_id, size)


async def _picture(context: Here, capture_id: str, size: int) -> Response:
    request = pb.GetImageRequest(capture_id=capture_id, thumbnail_size=size)
    answer = await ask(context.upstream.captures.GetImage(request))
    return Response(answer.jpeg, media_type="image/jpeg", headers=FOREVER)


@router.put("/captures/{capture_id}/boxes", summary="Replace the boxes of a capture")
async def set_boxes(capture_id: Id, body: BoxesUpdate, context: Here) -> CapturePublic:
    boxes = [pb.Box(**box.model_dump()) for box in body.boxes]
    request = pb.SetBoxesRequest(capture_id=capture_id, boxes=boxes)
    return CapturePublic.of((await ask(context.upstream.captures.SetBoxes(request))).capture)


@router.delete("/captures/{capture_id}/boxes", summary="Take the boxes away: nobody has said which there are")
async def delete_boxes(capture_id: Id, context: Here) -> CapturePublic:
    request = pb.SetBoxesRequest(capture_id=capture_id, unboxed=True)
    return CapturePublic.of((await ask(context.upstream.captures.SetBoxes(request))).capture)


@router.post("/captures/label", summary="Label captures")
async def set_label(body: LabelUpdate, context: Here) -> Changed:
    request = pb.SetLabelRequest(capture_ids=body.capture_ids, label=body.label)
    return Changed(changed=(await ask(context.upstream.captures.SetLabel(request))).changed)


@router.post("/captures/delete", summary="Delete captures")
async def delete_captures(body: CapturesDelete, context: Here) -> Changed:
    request = pb.DeleteCapturesRequest(capture_ids=body.capture_ids)
    return Changed(changed=(await ask(context.upstream.captures.DeleteCaptures(request))).deleted)
