"""The one shape of every error of the REST API.

{"error": {"reason": "UNKNOWN_LABEL", "message": "…", "fix": "…", "metadata": {"label": "…"}}}
"""

from __future__ import annotations

import errno
import tempfile
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.routing import compile_path

from services.common.errors import BoardloopError
from services.common.logs import logger

__all__ = ["ERRORS", "ErrorBody", "ErrorDetail", "install", "problem"]

log = logger("gateway")


class ErrorDetail(BaseModel):
    """What went wrong, for a program and for a person."""

    reason: str = Field(description="stable UPPER_SNAKE word", examples=["UNKNOWN_LABEL"])
    message: str = Field(description="what went wrong, with the field or file")
    fix: str = Field(description="what to do about it; may be empty")
    metadata: dict[str, str] = Field(description="short facts for programs: ids, limits")


class ErrorBody(BaseModel):
    """Body of every answer with a status of 400 and above."""

    error: ErrorDetail


ERRORS: dict[int | str, dict[str, Any]] = {
    401: {"model": ErrorBody, "description": "No login, or it has ended"},
    "4XX": {"model": ErrorBody, "description": "The request cannot be done as it stands"},
    "5XX": {"model": ErrorBody, "description": "A service is away, full or broken"},
}

OF_STATUS = {
    400: ("BAD_REQUEST", "Compare the request with the API's description at /api/v1/openapi.json."),
    404: ("UNKNOWN_ROUTE", "The routes are listed at /api/v1/openapi.json."),
    405: ("METHOD_NOT_ALLOWED", "Use one of the methods in metadata.allow."),
    413: ("REQUEST_TOO_LARGE", "Send fewer or smaller files at once."),
}


def problem(status: int, reason: str, message: str, fix: str = "", **metadata: str) -> JSONResponse:
    """An answer in the one shape."""
    body = ErrorBody(error=ErrorDetail(reason=reason, message=message, fix=fix, metadata=metadata))
    headers = {"Retry-After": metadata["retry_after_seconds"]} if "retry_after_seconds" in metadata else None
    return JSONResponse(body.model_dump(), status, headers)


def install(app: FastAPI) -> None:
    """Gives every error of `app` the one shape."""
    app.add_exception_handler(BoardloopError, _boardloop)
    app.add_exception_handler(RequestValidationError, _validation)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(OSError, _disk)
    app.add_exception_handler(Exception, _unexpected)


async def _boardloop(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, BoardloopError)
    return problem(error.http_status, error.reason, error.message, error.fix, **error.metadata)


async def _validation(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    field = ".".join(str(part) for part in first["loc"])
    return problem(422, "INVALID_REQUEST", f"{field}: {first['msg']}.", f"Correct {field}.", field=field)


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    reason, fix = OF_STATUS.get(error.status_code, ("HTTP_ERROR", ""))
    metadata = {"allow": _methods(request)} if error.status_code == 405 else {}
    message = (
        error.detail if error.status_code in (400, 413) else f"{request.method} {request.url.path}: {error.detail}."
    )
    return problem(error.status_code, reason, message, fix, **metadata)


def _methods(request: Request) -> str:
    """Every method of this path: Starlette itself names only those of the first route that has it."""
    paths = request.app.openapi()["paths"]
    path = request.url.path.removeprefix(request.scope.get("root_path", ""))
    found = [methods for template, methods in paths.items() if compile_path(template)[0].match(path)]
    return ", ".join(sorted({method.upper() for methods in found for method in methods}))


async def _disk(_: Request, error: Exception) -> JSONResponse:
    """A temporary folder that takes no more while a body is received or an archive is packed."""
    if not isinstance(error, OSError) or error.errno not in (errno.ENOSPC, errno.EDQUOT):
        raise error
    folder = tempfile.gettempdir()
    log.error("disk full", folder=folder, error=repr(error))
    return problem(
        507,
        "STORAGE_FULL",
        f"The disk of the gateway's temporary folder {folder} is full.",
        "Free space there, or start the gateway with TMPDIR set to a folder with room.",
    )


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    log.error("request failed", method=request.method, path=request.url.path, error=repr(error))
    return problem(
        500,
        "INTERNAL",
        f"{request.method} {request.url.path} failed by our mistake.",
        "The gateway's log has the trace.",
    )
