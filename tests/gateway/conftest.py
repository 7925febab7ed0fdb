"""A gateway over the canned services, with somebody logged in."""

from __future__ import annotations

import secrets
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from argon2 import PasswordHasher
from playwright.sync_api import Browser

from services.allinone import AllInOne, AllInOneSettings
from services.gateway import accounts
from services.gateway.service import Gateway
from services.gateway.settings import GatewaySettings
from tests.browser import Tab, open_tab
from tests.gateway.canned import World
from tests.gateway.page_site import Site

PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def quick_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords of tests need no defence against years of guessing."""
    monkeypatch.setattr(accounts, "HASHER", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


@pytest.fixture(scope="session")
def service_key() -> str:
    return urlsafe_b64encode(secrets.token_bytes(32)).decode()


@pytest.fixture
def world(service_key: str) -> Iterator[World]:
    world = World(service_key)
    yield world
    world.close()


def settings_for(world: World, key: str, folder: Path, **more: object) -> GatewaySettings:
    """Settings of a gateway over `world` at a free port."""
    addresses = {f"{name}_address": f"127.0.0.1:{port}" for name, port in world.ports.items()}
    fields = {"data_dir": folder, "service_key": key, "port": 0, "rpc_deadline_seconds": 10.0, **addresses, **more}
    return GatewaySettings.model_validate(fields)


@pytest.fixture
def settings(world: World, service_key: str, tmp_path: Path) -> GatewaySettings:
    return settings_for(world, service_key, tmp_path)


@pytest.fixture
def gateway(settings: GatewaySettings) -> Iterator[Gateway]:
    gateway = Gateway(settings, pages=False)
    gateway.start()
    yield gateway
    gateway.stop()


@dataclass
class Door:
    """The REST API as nobody, and as `admin` with an API token."""

    gateway: Gateway
    nobody: httpx.Client
    admin: httpx.Client


def make_token(gateway: Gateway) -> str:
    """Chooses a password for `admin` and makes an API token."""
    assert gateway.first_password is not None
    principal = gateway.accounts.login("admin", gateway.first_password).principal
    gateway.accounts.change_password(principal, gateway.first_password, PASSWORD)
    return gateway.accounts.create_token(principal, "tests").token


@pytest.fixture
def door(gateway: Gateway) -> Iterator[Door]:
    base = f"{gateway.url}/api/v1"
    bearer = {"Authorization": f"Bearer {make_token(gateway)}"}
    with httpx.Client(base_url=base) as nobody, httpx.Client(base_url=base, headers=bearer) as admin:
        yield Door(gateway, nobody, admin)


@contextmanager
def serving(world: World, key: str, folder: Path) -> Iterator[Gateway]:
    """A gateway over the canned services, its password set."""
    gateway = Gateway(settings_for(world, key, folder))
    gateway.start()
    make_token(gateway)
    yield gateway
    gateway.stop()


@contextmanager
def signed_in(browser: Browser, gateway: Gateway, **device: Any) -> Iterator[Tab]:
    """Logged in; the test fails when its page reports an error or asks another host for something."""
    desktop: dict[str, Any] = {"viewport": {"width": 1360, "height": 900}, "locale": "en-GB"}
    context = browser.new_context(**desktop | device)
    cookie = gateway.accounts.login("admin", PASSWORD).token
    context.add_cookies([{"name": "boardloop_session", "value": cookie, "url": gateway.url}])
    tab = open_tab(context, gateway.url)
    yield tab
    context.close()
    assert tab.silent(), tab.complaints


@pytest.fixture(scope="module")
def site(service_key: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One for all tests of a module: the next ones see what a test did."""
    world = World(service_key)
    project = world.fill()
    with serving(world, service_key, tmp_path_factory.mktemp("site")) as gateway:
        yield Site(world, gateway, project)
    world.close()


@pytest.fixture
def tab(browser: Browser, site: Site) -> Iterator[Tab]:
    with signed_in(browser, site.gateway) as tab:
        yield tab


@pytest.fixture(scope="module")
def loop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AllInOne]:
    """Every service for real, with the embedded broker."""
    folder = tmp_path_factory.mktemp("loop")
    settings = AllInOneSettings(data_dir=folder, mqtt_host="127.0.0.1", mqtt_port=0, port=0, board_host="127.0.0.1")
    loop = AllInOne(settings)
    loop.start()
    yield loop
    loop.stop()


@pytest.fixture(scope="module")
def api(loop: AllInOne) -> Iterator[httpx.Client]:
    """Its REST API, with somebody logged in."""
    assert loop.gateway is not None
    bearer = {"Authorization": f"Bearer {make_token(loop.gateway)}"}
    with httpx.Client(base_url=f"{loop.url}/api/v1", headers=bearer, timeout=60) as api:
        yield api
