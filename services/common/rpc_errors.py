"""How the error tree travels over gRPC: google.rpc.Status with one ErrorInfo (domain "boardloop")."""

from __future__ import annotations

from typing import Any

import grpc
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from services.common import errors
from services.common.errors import BoardloopError, DeadlineExceeded, Internal, Unavailable

__all__ = ["DOMAIN", "from_rpc_error", "to_status"]

DOMAIN = "boardloop"
STATUS_KEY = "grpc-status-details-bin"
MESSAGE_LIMIT = 1500  # characters; gRPC's headers take 8 KiB in all, and the message is in them twice
CLASSES: dict[str, type[BoardloopError]] = {name: getattr(errors, name) for name in errors.__all__}
BY_STATUS: dict[grpc.StatusCode, type[BoardloopError]] = {}
for _class in CLASSES.values():
    BY_STATUS.setdefault(_class.grpc_status, _class)


def to_status(error: BoardloopError) -> Any:
    """The grpc.Status for context.abort_with_status."""
    name = next(cls.__name__ for cls in type(error).__mro__ if cls.__name__ in CLASSES)
    facts = {"class": name, "fix": error.fix} | {f"m.{key}": str(value) for key, value in error.metadata.items()}
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=facts)
    status = status_pb2.Status(code=error.grpc_status.value[0], message=error.message[:MESSAGE_LIMIT])
    status.details.add().Pack(info)
    return rpc_status.to_status(status)


def from_rpc_error(error: grpc.RpcError, target: str) -> BoardloopError:
    """Ours again, with reason, message, fix and metadata; also for failures that no service of ours reported.

    `target`: the address called, for the message when nobody answered there.
    """
    info, message = _error_info(error)
    if info is not None:
        facts = dict(info.metadata)
        kind = CLASSES.get(facts.get("class", "")) or BY_STATUS.get(_code(error), Internal)
        metadata = {key[2:]: value for key, value in facts.items() if key.startswith("m.")}
        return kind(info.reason, message, fix=facts.get("fix", ""), **metadata)
    code, details = _code(error), str(getattr(error, "details", lambda: "")() or "")
    if code is grpc.StatusCode.UNAVAILABLE:
        return Unavailable("SERVICE_UNAVAILABLE", f"The service at {target} does not answer.", fix="See that it runs.")
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        fix = "Try again, or raise BOARDLOOP_RPC_DEADLINE_SECONDS."
        return DeadlineExceeded("DEADLINE_EXCEEDED", f"The service at {target} answered too late.", fix=fix)
    if code is grpc.StatusCode.CANCELLED:
        return Unavailable("CANCELLED", f"The call to {target} was cancelled.")
    kind = BY_STATUS.get(code, Internal)
    return kind(f"GRPC_{code.name}", f"The service at {target} answered {code.name}: {details}")


def _code(error: grpc.RpcError) -> grpc.StatusCode:
    code = error.code() if hasattr(error, "code") else None
    return code if isinstance(code, grpc.StatusCode) else grpc.StatusCode.UNKNOWN


def _error_info(error: grpc.RpcError) -> tuple[error_details_pb2.ErrorInfo | None, str]:
    """The ErrorInfo of our domain and the status message, from the trailing metadata of a sync or aio call."""
    trailing: Any = error.trailing_metadata() if hasattr(error, "trailing_metadata") else None
    for key, value in trailing or ():
        if key == STATUS_KEY:
            status = status_pb2.Status.FromString(value)
            for detail in status.details:
                info = error_details_pb2.ErrorInfo()
                if detail.Unpack(info) and info.domain == DOMAIN:
                    return info, status.message
    return None, ""
