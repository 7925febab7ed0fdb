"""Who gets in, and what a foreign web page cannot do with somebody's cookie."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from services.gateway.service import Gateway
from services.gateway.settings import GatewaySettings
from tests.gateway.conftest import PASSWORD, Door, make_token

OURS = {"X-Boardloop": "1"}


def login(client: httpx.Client, password: str = PASSWORD, **headers: str) -> httpx.Response:
    return client.post("/account/login", json={"name": "admin", "password": password}, headers=headers)


def reason(answer: httpx.Response) -> str:
    return str(answer.json()["error"]["reason"])


def test_login_gives_a_cookie_that_scripts_and_other_sites_do_not_get(door: Door) -> None:
    cookie = login(door.nobody).headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=lax" in cookie and "Secure" not in cookie
    assert door.nobody.get("/account").json() == {"name": "admin", "must_change_password": False}


def test_a_one_time_password_only_allows_choosing_another(gateway: Gateway) -> None:
    with httpx.Client(base_url=f"{gateway.url}/api/v1", headers=OURS) as client:
        assert login(client, gateway.first_password or "").json()["must_change_password"] is True
        for answer in (client.get("/projects"), client.post("/account/tokens", json={"name": "x"})):
            assert (answer.status_code, reason(answer)) == (403, "PASSWORD_CHANGE_REQUIRED")
        change = {"current_password": gateway.first_password, "new_password": PASSWORD}
        assert client.post("/account/password", json=change).status_code == 204
        assert client.get("/projects").status_code == 200


def test_logging_out_ends_the_session_on_the_server(door: Door) -> None:
    login(door.nobody)
    cookie = door.nobody.cookies["boardloop_session"]
    assert door.nobody.post("/account/logout", headers=OURS).status_code == 204
    answer = door.nobody.get("/projects", headers={"Cookie": f"boardloop_session={cookie}"})
    assert (answer.status_code, reason(answer)) == (401, "LOGIN_REQUIRED")


@pytest.mark.parametrize("token", ["nonsense", "blt_wrong"])
def test_an_unknown_token_is_refused(door: Door, token: str) -> None:
    answer = door.nobody.get("/projects", headers={"Authorization": f"Bearer {token}"})
    assert (answer.status_code, reason(answer)) == (401, "UNKNOWN_TOKEN")


def test_a_token_is_shown_once_and_revoked_at_once(door: Door) -> None:
    made = door.admin.post("/account/tokens", json={"name": "export"}).json()
    bearer = {"Authorization": f"Bearer {made['token']}"}
    assert door.nobody.get("/projects", headers=bearer).status_code == 200
    listed = door.admin.get("/account/tokens").json()
    assert [token["name"] for token in listed] == ["tests", "export"] and "token" not in listed[1]
    assert door.admin.delete(f"/account/tokens/{made['id']}").status_code == 204
    assert door.nobody.get("/projects", headers=bearer).status_code == 401


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 403),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null", **OURS}, 403),
        ({"Origin": "https://evil.example", **OURS}, 403),
        (OURS, 201),
    ],
)
def test_a_change_by_cookie_must_come_from_our_pages(door: Door, headers: dict[str, str], status: int) -> None:
    login(door.nobody)
    body = {"name": "cells", "labels": ["a", "b"]}
    assert door.nobody.post("/projects", json=body, headers=headers).status_code == status


def test_our_own_origin_may_change_things(door: Door) -> None:
    login(door.nobody)
    body = {"name": "cells", "labels": ["a", "b"]}
    assert door.nobody.post("/projects", json=body, headers={"Origin": door.gateway.url}).status_code == 201


def test_a_foreign_page_cannot_log_somebody_in(door: Door) -> None:
    answer = login(door.nobody, Origin="https://evil.example")
    assert (answer.status_code, reason(answer)) == (403, "CROSS_ORIGIN")


def test_guessing_passwords_is_braked(door: Door) -> None:
    answers = [login(door.nobody, "wrong password") for _ in range(9)]
    assert [answer.status_code for answer in answers] == [401] * 8 + [429]
    assert int(answers[-1].headers["retry-after"]) > 0
    assert login(door.nobody).status_code == 429, "the right password waits too, or guessing would go on"


def test_guessing_the_present_password_is_braked(door: Door) -> None:
    body = {"current_password": "wrong password", "new_password": "another good one"}
    answers = [door.admin.post("/account/password", json=body) for _ in range(9)]
    assert [answer.status_code for answer in answers] == [403] * 8 + [429]


@pytest.fixture
def small(settings: GatewaySettings) -> Iterator[httpx.Client]:
    """A gateway that takes bodies up to 1 MiB, behind https."""
    origin = {"public_origin": "https://loop.example", "upload_limit_bytes": 1024 * 1024}
    gateway = Gateway(settings.model_copy(update=origin), pages=False)
    gateway.start()
    bearer = {"Authorization": f"Bearer {make_token(gateway)}"}
    with httpx.Client(base_url=f"{gateway.url}/api/v1", headers=bearer) as client:
        yield client
    gateway.stop()


def test_behind_https_cookies_are_secure_and_the_public_origin_counts(small: httpx.Client) -> None:
    assert "Secure" in login(small, Origin="https://loop.example").headers["set-cookie"]


def test_a_body_over_the_limit_is_refused_declared_or_chunked(small: httpx.Client) -> None:
    big = b"x" * (1024 * 1024 + 1)
    declared = small.post("/projects", content=big, headers={"Content-Type": "application/json"})
    chunked = small.post("/projects", content=iter([big[:900_000], big[900_000:]]))
    upload = small.post("/projects/0123456789ab/captures", files={"files": ("a.jpg", big)})
    for answer in (declared, chunked, upload):
        assert (answer.status_code, reason(answer)) == (413, "REQUEST_TOO_LARGE")
