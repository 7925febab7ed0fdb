"""gRPC between the services: one server with the house rules, and channels that keep them."""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, NoReturn

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from pydantic import SecretStr

from services.common import metrics
from services.common.errors import BoardloopError, FailedPrecondition, Internal, Unauthenticated, Unavailable
from services.common.keys import service_token
from services.common.logs import logger
from services.common.rpc_client import MAX_MESSAGE_BYTES, TOKEN_KEY, call, open_aio_channel, open_channel
from services.common.rpc_errors import to_status

__all__ = ["RpcServer", "call", "from_timestamp", "open_aio_channel", "open_channel", "to_timestamp"]

log = logger(__name__)

OPEN_TO_ALL = ("/grpc.health.v1.Health/", "/grpc.reflection.")
NEVER = 10 * 365 * 24 * 3600.0  # seconds; gRPC reports a call without a deadline as one in the far future
OPTIONS = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.so_reuseport", 0),  # else two servers on one port would share its calls without a word
]

CALLS = metrics.counter("rpc_calls", "Calls answered, by method and gRPC status.", ("method", "code"))
SECONDS = metrics.histogram("rpc_seconds", "Time to answer a call.", ("method",))

Register = Callable[[Any, grpc.Server], None]
Behavior = Callable[[Any, grpc.ServicerContext], Any]


def to_timestamp(moment: datetime) -> Timestamp:
    """From an aware datetime."""
    stamp = Timestamp()
    stamp.FromDatetime(moment.astimezone(UTC))
    return stamp


def from_timestamp(stamp: Timestamp) -> datetime:
    """An aware datetime in UTC, to the microsecond."""
    return stamp.ToDatetime(UTC)


class RpcServer:
    """Answers calls in threads. Methods raise BoardloopError; anything else is Internal, and the trace is in the log.

    Every call must carry the service token and a deadline, except health and reflection, which are open.
    """

    def __init__(self, service: str, address: str, service_key: str | SecretStr, workers: int = 16) -> None:
        """`address`: host:port, port 0 = a free one. `workers`: calls answered at once; streams hold one each."""
        self.service = service
        self.address = address
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix=f"rpc-{service}")
        rules = _HouseRules(service_token(service_key))
        self._server = grpc.server(self._pool, interceptors=[rules], options=OPTIONS)
        self._names = [health.SERVICE_NAME, reflection.SERVICE_NAME]
        self._health = health.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)

    def add(self, register: Register, servicer: object, full_name: str) -> None:
        """`register`: the generated add_…Servicer_to_server. `full_name`: "boardloop.collector.v1.CaptureService"."""
        register(servicer, self._server)
        self._names.append(full_name)

    def start(self) -> int:
        """Begins to answer; returns the port. Unavailable when the address is taken."""
        reflection.enable_server_reflection(self._names, self._server)
        try:
            port = self._server.add_insecure_port(self.address)
        except RuntimeError as error:
            fix = f"Set BOARDLOOP_GRPC_ADDRESS of the {self.service} to a free port, or stop what uses this one."
            raise Unavailable(
                "ADDRESS_IN_USE", f"The {self.service} cannot listen on {self.address}.", fix=fix
            ) from error
        self._server.start()
        for name in ("", *self._names):
            self._health.set(name, health_pb2.HealthCheckResponse.SERVING)
        log.info("rpc_listening", service=self.service, port=port)
        return port

    def stop(self, grace: float = 2.0) -> None:
        """Takes no new calls, gives those under way `grace` seconds, and returns when all have ended."""
        self._health.enter_graceful_shutdown()
        self._server.stop(grace).wait()
        self._pool.shutdown(wait=True)


class _HouseRules(grpc.ServerInterceptor):
    """Token, deadline, errors, log line and figures of every call."""

    def __init__(self, token: str) -> None:
        self._token = token

    def intercept_service(self, continuation: Any, handler_call_details: grpc.HandlerCallDetails) -> Any:
        handler, method = continuation(handler_call_details), handler_call_details.method
        if handler is None or method.startswith(OPEN_TO_ALL):
            return handler
        sides = (handler.request_streaming, handler.response_streaming)
        kind = "_".join("stream" if streaming else "unary" for streaming in sides)
        wrap = self._streamed if handler.response_streaming else self._single
        build: Any = getattr(grpc, f"{kind}_rpc_method_handler")
        return build(
            wrap(getattr(handler, kind), method),
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )

    def _single(self, behavior: Behavior, method: str) -> Behavior:
        def answer(request: Any, context: grpc.ServicerContext) -> Any:
            begun = time.perf_counter()
            try:
                self._admit(context)
                response = behavior(request, context)
            except Exception as error:
                _fail(error, method, begun, context)
            _account(method, "OK", begun)
            return response

        return answer

    def _streamed(self, behavior: Behavior, method: str) -> Behavior:
        def answer(request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
            begun = time.perf_counter()
            try:
                self._admit(context)
                yield from behavior(request, context)
            except GeneratorExit:
                _account(method, "CANCELLED", begun)
                raise
            except Exception as error:
                _fail(error, method, begun, context)
            _account(method, "OK", begun)

        return answer

    def _admit(self, context: grpc.ServicerContext) -> None:
        shown = next((str(value) for key, value in context.invocation_metadata() if key == TOKEN_KEY), "")
        if not hmac.compare_digest(shown.encode(), self._token.encode()):
            fix = "Give all services the same BOARDLOOP_SERVICE_KEY."
            raise Unauthenticated(
                "BAD_SERVICE_TOKEN", "The call does not carry this Boardloop's service token.", fix=fix
            )
        remaining = context.time_remaining()
        if remaining is None or remaining > NEVER:
            raise FailedPrecondition("DEADLINE_REQUIRED", "The call has no deadline.", fix="Set a timeout on the call.")


def _fail(error: Exception, method: str, begun: float, context: grpc.ServicerContext) -> NoReturn:
    """Ends the call with the status of the error."""
    if isinstance(error, grpc.RpcError) or not context.is_active():
        _account(method, "CANCELLED", begun)  # the caller went away, or its deadline is over: nobody reads an answer
        context.abort(grpc.StatusCode.CANCELLED, "the caller is gone")
    if not isinstance(error, BoardloopError):
        log.error("rpc_bug", method=method, exc_info=error)
        message = f"{method.rpartition('/')[2]} failed by a bug of the service ({type(error).__name__})."
        error = Internal("INTERNAL", message, fix="The service's log has the trace.")
    _account(method, error.grpc_status.name, begun, reason=error.reason, message=error.message)
    context.abort_with_status(to_status(error))
    raise AssertionError("abort_with_status returned")


def _account(method: str, code: str, begun: float, **facts: str) -> None:
    seconds = time.perf_counter() - begun
    CALLS.labels(method, code).inc()
    SECONDS.labels(method).observe(seconds)
    write = log.debug if code == "OK" else log.info
    write("rpc", method=method, code=code, ms=round(seconds * 1000, 1), **facts)
