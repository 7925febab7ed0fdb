"""`python -m services.trainer`: the trainer alone; store, database and collector by BOARDLOOP_*."""

from __future__ import annotations

import signal
import threading

from services.common.logs import configure_logging
from services.common.metrics import serve_metrics
from services.trainer.service import Trainer
from services.trainer.settings import TrainerSettings


def main() -> None:
    """Runs until SIGTERM or SIGINT."""
    settings = TrainerSettings()
    configure_logging(settings.log_format)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    if settings.metrics_port:
        serve_metrics(settings.metrics_port)
    trainer = Trainer(settings)
    trainer.start()
    ended.wait()
    trainer.stop()


if __name__ == "__main__":
    main()
