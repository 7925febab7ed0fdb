"""One service as a process of its own: what `python -m services.<name>` does."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from types import FrameType
from typing import Protocol, TypeVar

from services.common.errors import BoardloopError
from services.common.logs import configure_logging, logger
from services.common.metrics import serve_metrics
from services.common.settings import CommonSettings

__all__ = ["Service", "StopSignal", "run_service"]

S = TypeVar("S", bound=CommonSettings)
ENDING = (signal.SIGTERM, signal.SIGINT)


class Service(Protocol):
    """What the collector, the trainer and the deployer have in common."""

    def start(self) -> int: ...

    def stop(self) -> None: ...


class StopSignal:
    """SIGTERM or Ctrl-C, from now on. To be made on the main thread.

    No threading.Event and no queue: a signal that comes after the main thread's last look for one and before it sleeps
    on a lock does not wake it. Python writes the number of each signal into the wake-up file as it comes, and a read
    from there returns whenever that was.
    """

    def __init__(self) -> None:
        self._came = False
        self._numbers, self._wakeup = socket.socketpair()
        self._wakeup.setblocking(False)
        signal.set_wakeup_fd(self._wakeup.fileno(), warn_on_full_buffer=False)
        for number in ENDING:
            signal.signal(number, self._handle)

    def wait(self) -> None:
        """Until one comes; at once when one has come."""
        while not self._came:
            self._came = self._numbers.recv(1)[0] in ENDING

    def _handle(self, number: int, frame: FrameType | None) -> None:
        """Nothing is left to do; as the handler of the process it keeps the wake-up file open."""


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
