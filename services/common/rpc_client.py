"""Channels to other services: each call carries the token and a deadline, and failed calls raise our errors."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Iterator
from typing import Any, TypeVar

import grpc
import grpc.aio
from pydantic import SecretStr

from services.common.keys import service_token
from services.common.rpc_errors import from_rpc_error

__all__ = ["MAX_MESSAGE_BYTES", "TOKEN_KEY", "call", "open_aio_channel", "open_channel"]

T = TypeVar("T")

TOKEN_KEY = "x-boardloop-token"
MAX_MESSAGE_BYTES = 32 * 1024 * 1024
OPTIONS = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.max_reconnect_backoff_ms", 5000),  # a service that restarts is found again soon
]


def open_channel(address: str, service_key: str | SecretStr, deadline: float = 30.0) -> grpc.Channel:
    """A channel whose stubs raise BoardloopError, from the call or while a stream is read.

    `deadline`: seconds, for calls made without `timeout=`. Connects at the first call; close() it in the end.
    """
    channel = grpc.insecure_channel(address, options=OPTIONS)
    return grpc.intercept_channel(channel, _SyncRules(address, service_token(service_key), deadline))


def open_aio_channel(address: str, service_key: str | SecretStr, deadline: float = 30.0) -> grpc.aio.Channel:
    """The same for asyncio: `await stub.Method(request)` and `async for` raise BoardloopError. Unary requests only."""
    rules = (address, service_token(service_key), deadline)
    return grpc.aio.insecure_channel(address, options=OPTIONS, interceptors=[_AioUnary(*rules), _AioStream(*rules)])


async def call(awaitable: Awaitable[T]) -> T:
    """Awaits a call of any asyncio stub and raises BoardloopError where it raised AioRpcError."""
    try:
        return await awaitable
    except grpc.aio.AioRpcError as error:
        raise from_rpc_error(error, "the other side") from error


class _Rules:
    def __init__(self, address: str, token: str, deadline: float) -> None:
        self._address = address
        self._token = token
        self._deadline = deadline

    def _metadata(self, metadata: Any) -> list[tuple[str, Any]]:
        return [*(metadata or ()), (TOKEN_KEY, self._token)]

    def _timeout(self, timeout: float | None) -> float:
        return self._deadline if timeout is None else timeout


class _Details(grpc.ClientCallDetails):
    """A call's details with our timeout and metadata."""

    def __init__(self, details: Any, timeout: float, metadata: list[tuple[str, Any]]) -> None:
        self.method = details.method
        self.timeout = timeout
        self.metadata = tuple(metadata)
        self.credentials = details.credentials
        self.wait_for_ready = details.wait_for_ready
        self.compression = details.compression


class _Outcome:
    """A call (a future, an iterator or both) that raises our errors; everything else is the call's own."""

    def __init__(self, inner: Any, address: str) -> None:
        self._inner = inner
        self._address = address

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def result(self, timeout: float | None = None) -> Any:
        try:
            return self._inner.result(timeout)
        except grpc.RpcError as error:
            raise from_rpc_error(error, self._address) from error

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            return next(self._inner)
        except grpc.RpcError as error:
            raise from_rpc_error(error, self._address) from error


class _SyncRules(
    _Rules,
    grpc.UnaryUnaryClientInterceptor,
    grpc.UnaryStreamClientInterceptor,
    grpc.StreamUnaryClientInterceptor,
    grpc.StreamStreamClientInterceptor,
):
    def _intercept(self, continuation: Any, details: Any, request: Any) -> Any:
        ours = _Details(details, self._timeout(details.timeout), self._metadata(details.metadata))
        return _Outcome(continuation(ours, request), self._address)

    intercept_unary_unary: Any = _intercept
    intercept_unary_stream: Any = _intercept
    intercept_stream_unary: Any = _intercept
    intercept_stream_stream: Any = _intercept


class _AioRules(_Rules):
    def _details(self, details: Any) -> Any:
        metadata = grpc.aio.Metadata(*self._metadata(details.metadata))
        return details._replace(timeout=self._timeout(details.timeout), metadata=metadata)


class _AioUnary(_AioRules, grpc.aio.UnaryUnaryClientInterceptor):
    async def intercept_unary_unary(self, continuation: Any, details: Any, request: Any) -> Any:
        made = await continuation(self._details(details), request)
        try:
            return await made
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error, self._address) from error


class _AioStream(_AioRules, grpc.aio.UnaryStreamClientInterceptor):
    async def intercept_unary_stream(self, continuation: Any, details: Any, request: Any) -> Any:
        made = await continuation(self._details(details), request)
        return self._translated(made)

    async def _translated(self, made: Any) -> AsyncIterator[Any]:
        try:
            async for response in made:
                yield response
        except grpc.aio.AioRpcError as error:
            raise from_rpc_error(error, self._address) from error
        finally:
            made.cancel()  # no effect on a call that has ended
