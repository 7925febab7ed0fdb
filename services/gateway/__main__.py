"""`python -m services.gateway`: the gateway alone, as in the cluster."""

from __future__ import annotations

import sys

from services.common.errors import BoardloopError
from services.common.logs import configure_logging, logger
from services.gateway.accounts import ADMIN
from services.gateway.service import Gateway
from services.gateway.settings import GatewaySettings


def main() -> None:
    """Serves until SIGTERM. With `--reset-admin-password` it only prints a new one-time password."""
    configure_logging()
    try:
        settings = GatewaySettings()
        configure_logging(settings.log_format)
        gateway = Gateway(settings)
    except BoardloopError as error:
        logger("gateway").error("gateway_not_started", reason=error.reason, detail=str(error))
        raise SystemExit(1) from error
    if "--reset-admin-password" in sys.argv[1:]:
        print(f"One-time password of {ADMIN}: {gateway.accounts.reset_password(ADMIN)}")
        return
    if gateway.first_password is not None:
        print(f"First start. Log in as {ADMIN} with the one-time password {gateway.first_password}", flush=True)
    try:
        gateway.run()
    finally:
        gateway.stop()


if __name__ == "__main__":
    main()
