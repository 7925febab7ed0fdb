"""One service as a process of its own: what `python -m services.<name>` does."""

from __future__ import annotations

import signal
from collections.abc import Callable
from queue import SimpleQueue
from typing import Protocol, TypeVar

from services.common.errors import BoardloopError
from services.common.logs import configure_logging, logger
from services.common.metrics import serve_metrics
from services.common.settings import CommonSettings

__all__ = ["Service", "StopSignal", "run_service"]

S = TypeVar("S", bound=CommonSettings)


class Service(Protocol):
    """What the collector, the trainer and the deployer have in common."""

    def start(self) -> int: ...

    def stop(self) -> None: ...


class StopSignal:
    """SIGTERM or Ctrl-C, from now on.

    No threading.Event: a handler that sets it while the main thread is about to wait for it waits for a lock which that
    thread holds, for ever. The `put` of a SimpleQueue may interrupt itself.
    """

    def __init__(self) -> None:
        self._asked: SimpleQueue[None] = SimpleQueue()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._asked.put(None))

    def wait(self) -> None:
        """Until one comes; at once when one has come."""
        self._asked.put(self._asked.get())


def run_service(name: str, settings_of: Callable[[], S], build: Callable[[S], Service]) -> None:
    """Runs until SIGTERM or SIGINT. A service that cannot start is one log line and exit status 1."""
    stopped = StopSignal()
    configure_logging()
    try:
        settings = settings_of()
        configure_logging(settings.log_format)
        stop_metrics = serve_metrics(settings.metrics_port)
        service = build(settings)
        service.start()
    except BoardloopError as error:
        logger(name).error(f"{name}_not_started", reason=error.reason, detail=str(error))
        raise SystemExit(1) from error
    stopped.wait()
    service.stop()
    stop_metrics()
