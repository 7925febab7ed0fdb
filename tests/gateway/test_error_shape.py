"""One error shape everywhere: walks every route of the API with everything that can go wrong."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from services.gateway.api import build_api
from services.gateway.settings import GatewaySettings
from tests.gateway.canned import World
from tests.gateway.conftest import Door

API = build_api(GatewaySettings()).openapi()
ROUTES = [(method.upper(), path) for path, methods in API["paths"].items() for method in methods]
OWN = ("/account", "/qr/")  # answered by the gateway itself, without a service


def sent_to(path: str) -> str:
    """The path with plausible ids, below /v1."""
    return re.sub(r"\{\w+\}", "0123456789ab", path).removeprefix("/v1")


def asked_of(operation: dict[str, Any]) -> dict[str, str]:
    """A word for each query parameter that must be there."""
    wanted = [one for one in operation.get("parameters", ()) if one["in"] == "query" and one["required"]]
    return {one["name"]: "word" for one in wanted}


def shape(answer: httpx.Response) -> dict[str, object]:
    """The error, after a check of its shape."""
    assert answer.headers["content-type"] == "application/json", answer.text
    assert list(answer.json()) == ["error"]
    error = answer.json()["error"]
    assert list(error) == ["reason", "message", "fix", "metadata"]
    assert re.fullmatch(r"[A-Z][A-Z0-9_]{1,62}", error["reason"])
    assert len(error["message"]) > 10
    assert all(isinstance(value, str) for value in error["metadata"].values())
    return dict(error)


def test_the_walk_meets_every_resource() -> None:
    assert len(ROUTES) >= 40
    tags = {tag for methods in API["paths"].values() for one in methods.values() for tag in one["tags"]}
    assert tags == {tag["name"] for tag in API["tags"]}


@pytest.mark.parametrize("path", sorted(API["paths"]))
def test_every_operation_is_described(path: str) -> None:
    for operation in API["paths"][path].values():
        assert operation["summary"] and {"401", "4XX", "5XX"} <= set(operation["responses"])
        for status in ("401", "4XX", "5XX"):
            content = operation["responses"][status]["content"]["application/json"]
            assert content["schema"]["$ref"].endswith("/ErrorBody")


def test_every_route_but_login_wants_a_login(door: Door) -> None:
    for method, path in ROUTES:
        if path == "/v1/account/login":
            continue
        answer = door.nobody.request(method, sent_to(path))
        assert (answer.status_code, shape(answer)["reason"]) == (401, "LOGIN_REQUIRED"), (method, path)


def test_an_empty_body_names_its_field(door: Door) -> None:
    walked = 0
    for method, path in ROUTES:
        if "requestBody" in API["paths"][path][method.lower()]:
            answer = door.admin.request(method, sent_to(path))
            error = shape(answer)
            assert (answer.status_code, error["reason"]) == (422, "INVALID_REQUEST"), (method, path)
            assert str(error["metadata"]).startswith("{'field': 'body"), (method, path)
            walked += 1
    assert walked >= 15


def test_a_wrong_method_names_the_right_ones(door: Door) -> None:
    for path, methods in API["paths"].items():
        answer = door.admin.patch(sent_to(path))
        assert answer.status_code == 405
        allowed = shape(answer)["metadata"]
        assert {method.upper() for method in methods} <= set(allowed["allow"].split(", "))  # type: ignore[index]


@pytest.mark.parametrize("path", ["/nothing", "/projects/0123456789ab/nothing", "/captures"])
def test_an_unknown_route_is_told_so(door: Door, path: str) -> None:
    answer = door.admin.get(path)
    assert (answer.status_code, shape(answer)["reason"]) == (404, "UNKNOWN_ROUTE")


def test_a_path_that_is_no_id_is_refused_before_any_service_hears_of_it(door: Door) -> None:
    answer = door.admin.get("/projects/NO-ID!")
    assert (answer.status_code, shape(answer)["metadata"]) == (422, {"field": "path.project_id"})


def test_a_service_that_is_away_is_named_by_every_route(door: Door, world: World) -> None:
    for name in ("collector", "trainer", "deployer"):
        world.take(name)
    for method, path in ROUTES:
        operation = API["paths"][path][method.lower()]
        if "requestBody" in operation or method == "DELETE" or path == "/v1/status":
            continue
        if sent_to(path).startswith(OWN):
            continue
        answer = door.admin.request(method, sent_to(path), params=asked_of(operation))
        assert answer.status_code == 503, (method, path)
        assert shape(answer)["fix"], (method, path)


def test_what_a_service_says_arrives_whole(door: Door) -> None:
    answer = door.admin.get("/jobs/0123456789ab")
    assert answer.status_code == 404
    assert shape(answer) == {
        "reason": "UNKNOWN_JOB",
        "message": "There is no job 0123456789ab.",
        "fix": "List the jobs.",
        "metadata": {"job": "0123456789ab"},
    }


def test_our_own_mistake_tells_nothing_of_the_inside(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> None:
        raise RuntimeError("a secret of the inside")

    monkeypatch.setattr(door.gateway.accounts, "tokens", broken)
    answer = door.admin.get("/account/tokens")
    assert (answer.status_code, shape(answer)["reason"]) == (500, "INTERNAL")
    assert "secret of the inside" not in answer.text
