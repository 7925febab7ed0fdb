"""The gateway as one ASGI app and one server, for the cluster and for the all-in-one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Response
from fastapi.staticfiles import StaticFiles
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from services.common.database import Database, database_url
from services.common.errors import Unavailable
from services.common.logs import logger
from services.gateway.accounts import Accounts
from services.gateway.api import build_api
from services.gateway.context import Context
from services.gateway.limiter import LoginLimiter
from services.gateway.limits import SafeHeaders
from services.gateway.live import Live
from services.gateway.pages import mount_pages
from services.gateway.qr import QrShelf
from services.gateway.settings import GatewaySettings
from services.gateway.upstream import Upstream

__all__ = ["MIGRATIONS", "Gateway"]

log = logger("gateway")
HERE = Path(__file__).parent
MIGRATIONS = HERE / "migrations"
START_SECONDS = 30.0
STOP_SECONDS = 5  # open pages keep their connection; nobody waits longer for them


class Gateway:
    """The only door for people.

    `run()` serves in the calling thread until `stop()`; `start()` serves in a thread of its own and returns once the
    port is open. NiceGUI keeps its state per process: one gateway at a time
    in a process; one after another is fine.
    """

    def __init__(self, settings: GatewaySettings, *, pages: bool = True) -> None:
        """Migrates the database and creates `admin` on the very first start. `pages=False`: REST only."""
        self.settings = settings
        self._database = Database(database_url(settings, "gateway"), "gateway")
        self._database.migrate(MIGRATIONS)
        self.accounts = Accounts(self._database, settings.session_lifetime)
        self.first_password: str | None = self.accounts.create_first_user()
        self.app = self._build(pages)
        config = uvicorn.Config(
            self.app,
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,
            timeout_graceful_shutdown=STOP_SECONDS,
        )
        self._server = uvicorn.Server(config)
        self._ready = threading.Event()
        self._thread: threading.Thread | None = None
        self.port = settings.port

    @property
    def url(self) -> str:
        """Where people find it; an address for all interfaces is shown as localhost."""
        host = "localhost" if self.settings.host in ("0.0.0.0", "::") else self.settings.host
        return f"http://{host}:{self.port}"

    def run(self) -> None:
        """Serves until `stop()` or, in the main thread, until SIGINT or SIGTERM."""
        asyncio.run(self._serve())

    def start(self) -> int:
        """Serves in a thread. Returns the port. Raises Unavailable GATEWAY_NOT_STARTED when it cannot listen."""
        self._thread = threading.Thread(target=self._run_quietly, name="gateway", daemon=True)
        self._thread.start()
        if not self._ready.wait(START_SECONDS) or not self._server.started:
            raise Unavailable(
                "GATEWAY_NOT_STARTED",
                f"The web page cannot listen on {self.settings.host}:{self.settings.port}.",
                fix="See the log; another program may use the port: set BOARDLOOP_PORT.",
            )
        return self.port

    def stop(self) -> None:
        """Ends the server, its thread and the database connections."""
        self._server.should_exit = True
        if self._thread is not None:
            self._thread.join(START_SECONDS)
        self._database.close()

    def _run_quietly(self) -> None:
        try:
            self.run()
        except SystemExit:  # uvicorn's way to say that the port is taken; the log has the reason
            log.error("gateway cannot listen", host=self.settings.host, port=self.settings.port)
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        announce = asyncio.create_task(self._announce())
        try:
            await self._server.serve()
        finally:
            announce.cancel()

    async def _announce(self) -> None:
        while not self._server.started:
            await asyncio.sleep(0.02)
        self.port = self._server.servers[0].sockets[0].getsockname()[1]
        log.info("gateway listens", url=self.url)
        self._ready.set()

    @asynccontextmanager
    async def _lifespan(self, _: FastAPI) -> AsyncIterator[dict[str, Context]]:
        upstream = Upstream(self.settings)
        context = Context(self.settings, self.accounts, upstream, Live(upstream), LoginLimiter(), QrShelf())
        try:
            yield {"context": context}
        finally:
            await upstream.close()

    def _build(self, pages: bool) -> FastAPI:
        app = FastAPI(lifespan=self._lifespan, openapi_url=None)
        app.add_middleware(SafeHeaders)
        app.mount("/api", build_api(self.settings))
        app.mount("/static", StaticFiles(directory=HERE / "static"))
        app.add_api_route("/healthz", _healthz)
        app.add_api_route("/metrics", _metrics)
        if pages:
            mount_pages(app)
        return app


async def _healthz() -> dict[str, str]:
    """Alive; which services answer is at /api/v1/status."""
    return {"status": "ok"}


async def _metrics() -> Response:
    """Prometheus."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
