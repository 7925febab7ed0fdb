"""Pictures that people upload."""

from __future__ import annotations

import hashlib

from services.collector.captures import Captures, NewCapture, object_key
from services.collector.pictures import check_jpeg
from services.collector.settings import CollectorSettings
from services.common.errors import InvalidInput
from services.rpc.boardloop.collector.v1 import collector_pb2 as pb

__all__ = ["upload", "upload_id"]


def upload_id(project_id: str, label: str, jpeg: bytes) -> str:
    """The same picture with the same label in the same project has the same id: 32 hex characters.

    A person's picture has no capture record (docs/protocol.md section 4); these three stand in for it.
    """
    hasher = hashlib.sha256(f"upload {project_id} {len(label)} {label} ".encode())
    hasher.update(jpeg)
    return hasher.hexdigest()[:32]


def upload(
    captures: Captures, settings: CollectorSettings, request: pb.UploadCaptureRequest
) -> pb.UploadCaptureResponse:
    """InvalidInput TOO_LARGE, NOT_JPEG, UNKNOWN_LABEL, BAD_BOX, TOO_MANY_BOXES; NotFound PROJECT_NOT_FOUND;
    StorageFull; Unavailable."""
    jpeg = request.jpeg
    if len(jpeg) > settings.upload_max_bytes:
        raise InvalidInput(
            "TOO_LARGE",
            f"the picture has {len(jpeg)} bytes, the limit is {settings.upload_max_bytes}",
            fix="Send a smaller one, or raise BOARDLOOP_UPLOAD_MAX_BYTES.",
        )
    size = check_jpeg(jpeg, settings.capture_max_pixels)
    capture_id = upload_id(request.project_id, request.label, jpeg)
    new = NewCapture(
        capture_id=capture_id,
        project_id=request.project_id,
        board_id="",
        label=request.label,
        width=size.width,
        height=size.height,
        size_bytes=len(jpeg),
        sha256=hashlib.sha256(jpeg).hexdigest(),
        object_key=object_key(request.project_id, "", capture_id),
        captured_at=None,
        boxes=request.boxes if request.boxed or request.boxes else None,
    )
    capture, duplicate = captures.upload(new, jpeg)
    return pb.UploadCaptureResponse(capture=capture, duplicate=duplicate)
