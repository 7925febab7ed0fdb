"""Every error Boardloop raises on purpose.

    BoardloopError                 grpc status           HTTP
    ├── InvalidInput               INVALID_ARGUMENT      422   what was sent cannot be right: a frame, a field
    │   └── UnsupportedModel       INVALID_ARGUMENT      422   a network or model file the chip cannot run
    ├── Unauthenticated            UNAUTHENTICATED       401   no login, a wrong password, a bad MAC
    ├── PermissionDenied           PERMISSION_DENIED     403   logged in, and not allowed
    ├── NotFound                   NOT_FOUND             404   no such project, capture, model, board …
    ├── AlreadyExists              ALREADY_EXISTS        409   the name is taken
    ├── FailedPrecondition         FAILED_PRECONDITION   409   right request, wrong moment: a job that has ended, say
    ├── StorageFull                RESOURCE_EXHAUSTED    507   the disk or bucket takes no more
    ├── TooManyRequests            RESOURCE_EXHAUSTED    429   slow down
    ├── DeadlineExceeded           DEADLINE_EXCEEDED     504   a service answered too late
    ├── Unavailable                UNAVAILABLE           503   a broker, store, database or service is away; try again
    └── Internal                   INTERNAL              500   our bug; the log has the trace

`reason` is a stable UPPER_SNAKE word for programs, `message` says to a person what went wrong and with which file or
field, `fix` says what to do next. They travel as google.rpc.ErrorInfo (gRPC) and as the one JSON shape of REST.
"""

from __future__ import annotations

from typing import ClassVar

import grpc

__all__ = [
    "AlreadyExists",
    "BoardloopError",
    "DeadlineExceeded",
    "FailedPrecondition",
    "Internal",
    "InvalidInput",
    "NotFound",
    "PermissionDenied",
    "StorageFull",
    "TooManyRequests",
    "Unauthenticated",
    "Unavailable",
    "UnsupportedModel",
]


class BoardloopError(Exception):
    """Root of the tree. Raise a subclass: it fixes the gRPC status and the HTTP status."""

    grpc_status: ClassVar[grpc.StatusCode] = grpc.StatusCode.UNKNOWN
    http_status: ClassVar[int] = 500

    def __init__(self, reason: str, message: str, *, fix: str = "", **metadata: str) -> None:
        """`reason`: UPPER_SNAKE, at most 63 characters. `metadata`: short facts for programs (ids, limits, offsets)."""
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.fix = fix
        self.metadata = metadata

    def __str__(self) -> str:
        return f"{self.message} {self.fix}".rstrip()


class InvalidInput(BoardloopError):
    """What was sent cannot be right, whenever it is sent."""

    grpc_status = grpc.StatusCode.INVALID_ARGUMENT
    http_status = 422


class UnsupportedModel(InvalidInput):
    """A network or a model file that the target chip cannot run; names the layer or the byte offset."""


class Unauthenticated(BoardloopError):
    """No login, a wrong password, a token that is not known, a bad MAC."""

    grpc_status = grpc.StatusCode.UNAUTHENTICATED
    http_status = 401


class PermissionDenied(BoardloopError):
    """Known, and not allowed."""

    grpc_status = grpc.StatusCode.PERMISSION_DENIED
    http_status = 403


class NotFound(BoardloopError):
    """No such thing."""

    grpc_status = grpc.StatusCode.NOT_FOUND
    http_status = 404


class AlreadyExists(BoardloopError):
    """The name is taken."""

    grpc_status = grpc.StatusCode.ALREADY_EXISTS
    http_status = 409


class FailedPrecondition(BoardloopError):
    """A right request at the wrong moment."""

    grpc_status = grpc.StatusCode.FAILED_PRECONDITION
    http_status = 409


class StorageFull(BoardloopError):
    """The disk or the bucket takes no more; everything stored before is intact."""

    grpc_status = grpc.StatusCode.RESOURCE_EXHAUSTED
    http_status = 507


class TooManyRequests(BoardloopError):
    """Slow down."""

    grpc_status = grpc.StatusCode.RESOURCE_EXHAUSTED
    http_status = 429


class DeadlineExceeded(BoardloopError):
    """A service answered too late."""

    grpc_status = grpc.StatusCode.DEADLINE_EXCEEDED
    http_status = 504


class Unavailable(BoardloopError):
    """A broker, store, database or service is away; the same request may succeed later."""

    grpc_status = grpc.StatusCode.UNAVAILABLE
    http_status = 503


class Internal(BoardloopError):
    """Our bug."""

    grpc_status = grpc.StatusCode.INTERNAL
    http_status = 500
