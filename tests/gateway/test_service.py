"""The gateway as a server: first start, restart, ports, liveness, metrics."""

from __future__ import annotations

import socket

import httpx
import pytest

from services.common.errors import InvalidInput, Unavailable
from services.gateway.service import Gateway
from services.gateway.settings import GatewaySettings
from tests.gateway.conftest import Door


def test_the_password_is_made_on_the_first_start_only(settings: GatewaySettings) -> None:
    first = Gateway(settings, pages=False)
    assert first.first_password
    first.stop()
    second = Gateway(settings, pages=False)
    assert second.first_password is None
    second.stop()


def test_a_taken_port_is_told(settings: GatewaySettings) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        gateway = Gateway(settings.model_copy(update={"port": taken.getsockname()[1]}), pages=False)
        with pytest.raises(Unavailable, match="cannot listen on"):
            gateway.start()
        gateway.stop()


def test_liveness_and_metrics_need_no_login(door: Door) -> None:
    door.nobody.get("/projects")
    assert httpx.get(f"{door.gateway.url}/healthz").json() == {"status": "ok"}
    metrics = httpx.get(f"{door.gateway.url}/metrics").text
    assert 'boardloop_gateway_requests_total{method="GET",route="/v1/projects",status="401"}' in metrics


def test_browsers_are_told_to_be_careful(door: Door) -> None:
    for path in ("/healthz", "/api/v1/nothing"):
        headers = httpx.get(door.gateway.url + path).headers
        assert (headers["x-content-type-options"], headers["x-frame-options"]) == ("nosniff", "SAMEORIGIN")


@pytest.mark.parametrize("origin", ["loop.example", "ftp://loop.example"])
def test_a_public_origin_needs_its_scheme(settings: GatewaySettings, origin: str) -> None:
    with pytest.raises(InvalidInput, match=r"BOARDLOOP_PUBLIC_ORIGIN: .*must begin with http"):
        GatewaySettings.model_validate(settings.model_dump() | {"public_origin": origin})
