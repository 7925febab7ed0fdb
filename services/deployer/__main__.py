"""`python -m services.deployer`: the deployer alone; its peers, broker, store and database by BOARDLOOP_*."""

from __future__ import annotations

from services.common.process import run_service
from services.deployer.service import Deployer
from services.deployer.settings import DeployerSettings


def main() -> None:
    run_service("deployer", DeployerSettings, Deployer)


if __name__ == "__main__":
    main()
