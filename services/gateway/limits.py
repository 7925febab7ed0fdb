"""ASGI middleware: bodies have a limit, requests are counted and timed, browsers are told to be careful."""

from __future__ import annotations

import time
from collections.abc import Mapping

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from services.common import metrics
from services.gateway.problems import problem

__all__ = ["BodyLimit", "RequestMetrics", "SafeHeaders"]

REQUESTS = metrics.counter("gateway_requests", "REST requests.", ("method", "route", "status"))
SECONDS = metrics.histogram("gateway_request_seconds", "Time to the first byte of the answer.", ("route",))


class BodyLimit:
    """Answers 413 to a body over a limit, declared or chunked, without reading it all."""

    def __init__(self, app: ASGIApp, limits: Mapping[str, tuple[str, int]]) -> None:
        """limits: end of a path -> which BOARDLOOP_…_LIMIT_BYTES holds for it, and the bytes; "" for all others."""
        self._app = app
        self._limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        end = next((end for end in self._limits if end and scope["path"].endswith(end)), "")
        name, limit = self._limits[end]
        words = f"The body is larger than {limit} bytes (BOARDLOOP_{name}_LIMIT_BYTES)."
        declared = dict(scope["headers"]).get(b"content-length", b"0")
        if declared.isdigit() and int(declared) > limit:
            answer = problem(413, "REQUEST_TOO_LARGE", words, "Send fewer or smaller files at once.", limit=str(limit))
            return await answer(scope, receive, send)
        await self._app(scope, _counted(receive, limit, words), send)


def _counted(receive: Receive, limit: int, words: str) -> Receive:
    received = 0

    async def counted() -> Message:
        nonlocal received
        message = await receive()
        received += len(message.get("body", b""))
        if received > limit:
            raise HTTPException(413, words)
        return message

    return counted


class SafeHeaders:
    """Tells browsers: no guessing of types, no foreign frames, no addresses to other sites."""

    HEADERS = (
        (b"x-content-type-options", b"nosniff"),
        (b"x-frame-options", b"SAMEORIGIN"),
        (b"referrer-policy", b"same-origin"),
    )

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def safer(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *self.HEADERS]
            await send(message)

        await self._app(scope, receive, safer)


class RequestMetrics:
    """Counts and times requests by route (not by path: ids would make endless series)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        start = time.perf_counter()

        async def counting(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", "unknown")
                REQUESTS.labels(scope["method"], route, str(message["status"])).inc()
                SECONDS.labels(route).observe(time.perf_counter() - start)
            await send(message)

        await self._app(scope, receive, counting)
