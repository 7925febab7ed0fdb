"""docs/api.md names every route with its summary, and no other."""

from __future__ import annotations

import re

from services.gateway.api import build_api
from services.gateway.settings import GatewaySettings
from tests.conftest import ROOT

ROW = re.compile(r"^\| (\w+) \| `(GET|POST|PUT|DELETE) (/[^`]*)` \| (.+) \|$", re.MULTILINE)


def test_every_route_is_documented_and_no_other() -> None:
    paths = build_api(GatewaySettings()).openapi()["paths"]
    routes = {
        (one["tags"][0], method.upper(), path.removeprefix("/v1"), one["summary"])
        for path, methods in paths.items()
        for method, one in methods.items()
    }
    assert set(ROW.findall((ROOT / "docs" / "api.md").read_text())) == routes
