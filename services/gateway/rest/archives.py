"""Archives: a zip of labelled pictures in, a data set version as a zip out."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import IO, Annotated, Literal

from fastapi import APIRouter, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field
from starlette.datastructures import UploadFile

from services.gateway.archives.exporting import export
from services.gateway.archives.importing import import_archive
from services.gateway.context import Here
from services.gateway.rest.shapes import Id, Many, Public, Responses
from services.gateway.upstream import ask
from services.rpc.boardloop.collector.v1 import collector_pb2 as pb

__all__ = ["router"]

router = APIRouter(prefix="/v1")

EXPORT_SECONDS = 3600.0
BLOCK = 1024 * 1024
# Described by hand, because a declared body is read before the login is looked at: gigabytes from anybody.
FILE = {"type": "object", "required": ["file"], "properties": {"file": {"type": "string", "format": "binary"}}}
BODY = {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": FILE}}}}
ZIP: Responses = {200: {"content": {"application/zip": {}}, "description": "The archive"}}


class ImportLine(BaseModel):
    """What became of one file."""

    kind: Literal["REFUSED", "CLIPPED", "KEPT", "NOTE"]
    file: str
    text: str


class ImportReport(Public):
    """pictures = imported + duplicates + refused, unless `stopped` says why the rest was not tried."""

    form: str = Field(description='"yolo", "coco", "voc" or "folders", told by the content')
    pictures: int
    imported: int
    duplicates: int = Field(description="the same picture with the same label was there already")
    refused: int
    boxes: int = Field(description="of the imported pictures")
    background: int = Field(description="imported pictures with nothing on them")
    not_boxed: int = Field(description="imported pictures of which the archive does not say what is on them")
    labels_added: Many[str]
    lines: list[ImportLine] = Field(description="every picture that was refused or changed, with the reason")
    more_lines: int = Field(description="how many more lines there would be")
    stopped: str = Field(description="why the rest was not tried: a service was away, the disk is full")


@router.post(
    "/projects/{project_id}/archives", status_code=201, summary="Import a zip: YOLO, COCO, VOC, folders",
    tags=["captures"], openapi_extra=BODY,
)  # fmt: skip
async def import_pictures(project_id: Id, request: Request, context: Here) -> ImportReport:
    async with request.form(max_files=1, max_fields=1) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            missing = {"type": "missing", "loc": ("body", "file"), "msg": "Field required", "input": None}
            raise RequestValidationError([missing])
        report = await import_archive(context.upstream, project_id, file.file)
    lines = [ImportLine(kind=line.kind, file=line.file, text=line.text) for line in report.lines]
    return ImportReport(**(vars(report) | {"lines": lines}))


@router.get(
    "/versions/{version_id}/archive", summary="Download as a zip: YOLO, COCO, VOC, folders", responses=ZIP,
    response_class=StreamingResponse, tags=["versions"],
)  # fmt: skip
async def export_version(
    version_id: Id,
    context: Here,
    form: Annotated[
        Literal["yolo", "coco", "voc", "folders"] | None,
        Query(description="default: yolo for detection, folders for classification"),
    ] = None,
) -> StreamingResponse:
    version = (await ask(context.upstream.datasets.GetVersion(pb.GetVersionRequest(version_id=version_id)))).version
    form = form or ("yolo" if version.task == pb.TASK_DETECTION else "folders")
    request = pb.StreamVersionRequest(version_id=version_id)
    out = tempfile.TemporaryFile()  # noqa: SIM115 (the answer closes it)
    try:
        await export(version, context.upstream.datasets.StreamVersion(request, timeout=EXPORT_SECONDS), form, out)
    except BaseException:
        out.close()
        raise
    headers = {
        "Content-Disposition": f'attachment; filename="version-{version.number}-{form}.zip"',
        "Content-Length": str(out.tell()),
    }
    return StreamingResponse(_blocks(out), media_type="application/zip", headers=headers)


def _blocks(out: IO[bytes]) -> Iterator[bytes]:
    with out:
        out.seek(0)
        while block := out.read(BLOCK):
            yield block
