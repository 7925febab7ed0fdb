"""`python -m services.collector`: the collector alone; broker, store and database by BOARDLOOP_*."""

from __future__ import annotations

import signal
import threading

from services.collector.service import Collector
from services.collector.settings import CollectorSettings
from services.common.errors import BoardloopError
from services.common.logs import configure_logging, logger
from services.common.metrics import serve_metrics


def main() -> None:
    """Runs until SIGTERM or SIGINT."""
    settings = CollectorSettings()
    configure_logging(settings.log_format)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    if settings.metrics_port:
        serve_metrics(settings.metrics_port)
    try:
        collector = Collector(settings)
        collector.start()
    except BoardloopError as error:
        logger("collector").error("collector_not_started", reason=error.reason, detail=str(error))
        raise SystemExit(1) from error
    ended.wait()
    collector.stop()


if __name__ == "__main__":
    main()
