"""What every request and page may use: one object per running gateway."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request
from starlette.requests import HTTPConnection

from services.gateway.accounts import Accounts
from services.gateway.limiter import LoginLimiter
from services.gateway.qr import QrShelf
from services.gateway.settings import GatewaySettings
from services.gateway.upstream import Upstream

if TYPE_CHECKING:
    from services.gateway.live import Live

__all__ = ["Context", "Here", "context_of"]


@dataclass(frozen=True)
class Context:
    """Lives as long as the server's event loop; reaches requests by ASGI's lifespan state."""

    settings: GatewaySettings
    accounts: Accounts
    upstream: Upstream
    live: Live
    limiter: LoginLimiter
    qr: QrShelf


def context_of(connection: HTTPConnection) -> Context:
    """The context of the gateway that serves this request."""
    context = connection.state.context
    assert isinstance(context, Context)
    return context


def _here(request: Request) -> Context:
    return context_of(request)


Here = Annotated[Context, Depends(_here)]
