"""Who may use which topic, and the broker inside the all-in-one."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable
from typing import Literal

from services.common.broker_core import BrokerCore
from services.common.errors import Unavailable
from services.common.frames import FRAME_MAX
from services.common.logs import logger

__all__ = ["EmbeddedBroker", "may_access"]

log = logger(__name__)

Action = Literal["publish", "subscribe", "receive"]

BOARD = re.compile(r"([a-z2-7]{10})(?:\.pair)?")
SERVICE = re.compile(r"service\.[a-z][a-z0-9-]*")
MESSAGE_LIMIT = FRAME_MAX + 512  # a frame, its topic and MQTT's own bytes
STOP_SECONDS = 10.0


def may_access(username: str, topic_filter: str, action: Action) -> bool:
    """The rules of docs/protocol.md section 2, for `<board id>`, `<board id>.pair` and `service.<name>`.

    `topic_filter`: a topic for publish and receive, a filter for subscribe. All that a permitted filter matches may be
    received.
    """
    if SERVICE.fullmatch(username):
        return True
    board = BOARD.fullmatch(username)
    if board is None:
        return False
    own = f"bl/{board[1]}/"
    if action == "publish":
        wild = "+" in topic_filter or "#" in topic_filter
        return not wild and (topic_filter == own + "state" or topic_filter.startswith(own + "up/"))
    return topic_filter.startswith(own + "down/")


def client_id_fits(username: str, client_id: str) -> bool:
    """A board's client id is its user name, so that nobody can throw it out by taking its client id."""
    return bool(SERVICE.fullmatch(username)) or client_id == username


class EmbeddedBroker:
    """An MQTT 3.1.1 broker in a thread of its own. Nothing of it outlives stop(), retained messages neither."""

    def __init__(
        self,
        host: str,
        port: int,
        authenticate: Callable[[str, str], bool],
        message_limit: int = MESSAGE_LIMIT,
    ) -> None:
        """`port` 0 = a free one. `authenticate(user, password)` runs on worker threads; raising refuses the login."""
        self.host, self.port = host, port
        self._authenticate = authenticate
        self._limit = message_limit
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._core: BrokerCore | None = None
        self._started = threading.Event()
        self._failure: BaseException | None = None

    def start(self) -> None:
        """Returns when clients can connect; Unavailable when the address is taken."""
        self._started.clear()
        self._failure = None
        self._thread = threading.Thread(target=self._run, name="embedded-broker", daemon=True)
        self._thread.start()
        self._started.wait()
        if self._failure is not None:
            self._thread.join()
            self._thread = None
            message = f"The embedded broker cannot listen on {self.host}:{self.port} ({self._failure})."
            raise Unavailable("ADDRESS_IN_USE", message, fix="Set another port, or stop what uses this one.")
        log.info("broker_listening", host=self.host, port=self.port)

    def stop(self) -> None:
        """Ends all connections (last wills are not sent: nobody is left to read them) and the thread."""
        thread, self._thread = self._thread, None
        if thread is not None and self._loop is not None and self._core is not None:
            self._loop.call_soon_threadsafe(self._core.stopping.set)
            thread.join(STOP_SECONDS)

    def disconnect(self, username: str) -> None:
        """Ends the user's connections and forgets its sessions, before it returns. Its last will is sent."""
        if self._loop is not None and self._core is not None and self._thread is not None:
            asyncio.run_coroutine_threadsafe(self._core.end(username), self._loop).result(STOP_SECONDS)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            self._failure = error
            if self._started.is_set():
                log.error("broker_died", exc_info=error)
        finally:
            self._started.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._core = BrokerCore(self._authenticate, may_access, client_id_fits, self._limit)
        self.port = await self._core.listen(self.host, self.port)
        self._started.set()
        await self._core.run()
