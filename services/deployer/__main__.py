"""`python -m services.deployer`: the deployer alone; broker, store and database by BOARDLOOP_*."""

from __future__ import annotations

import signal
import threading

from services.common.logs import configure_logging
from services.common.metrics import serve_metrics
from services.deployer.service import Deployer
from services.deployer.settings import DeployerSettings


def main() -> None:
    """Runs until SIGTERM or SIGINT."""
    settings = DeployerSettings()
    configure_logging(settings.log_format)
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    stop_metrics = serve_metrics(settings.metrics_port)
    deployer = Deployer(settings)
    deployer.start()
    ended.wait()
    deployer.stop()
    stop_metrics()


if __name__ == "__main__":
    main()
