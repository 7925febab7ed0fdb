"""`python -m services.collector`: the collector alone; its peers, broker, store and database by BOARDLOOP_*."""

from __future__ import annotations

from services.collector.service import Collector
from services.collector.settings import CollectorSettings
from services.common.process import run_service


def main() -> None:
    run_service("collector", CollectorSettings, Collector)


if __name__ == "__main__":
    main()
