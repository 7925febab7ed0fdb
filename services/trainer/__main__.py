"""`python -m services.trainer`: the trainer alone; its peers, broker, store and database by BOARDLOOP_*."""

from __future__ import annotations

from services.common.process import run_service
from services.trainer.service import Trainer
from services.trainer.settings import TrainerSettings


def main() -> None:
    run_service("trainer", TrainerSettings, Trainer)


if __name__ == "__main__":
    main()
