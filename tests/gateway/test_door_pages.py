"""Logging in and out, the account, and what a visitor may not do."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from services.gateway.service import Gateway
from services.gateway.settings import GatewaySettings
from tests.browser import Tab, open_tab
from tests.gateway.canned import World
from tests.gateway.conftest import PASSWORD
from tests.gateway.page_site import Site

ROOMS = ("datasets", "training", "models", "boards")


@pytest.fixture
def new_gateway(settings: GatewaySettings) -> Iterator[Gateway]:
    """New: nobody has logged in."""
    gateway = Gateway(settings)
    gateway.start()
    yield gateway
    gateway.stop()


def test_the_first_login_leads_to_an_own_password_and_then_in(
    browser: Browser, world: World, new_gateway: Gateway
) -> None:
    world.fill()
    context = browser.new_context(locale="en-GB")
    tab = open_tab(context, new_gateway.url)
    tab.go("/projects/0123456789ab/boards")
    tab.at("login-name").fill("admin")
    tab.at("login-password").fill("not the password")
    tab.at("login-submit").click()
    expect(tab.at("login-error")).to_have_text("Name or password is not right.")
    tab.at("login-password").fill(new_gateway.first_password or "")
    tab.at("login-submit").click()
    tab.page.wait_for_url("**/password")
    tab.at("password-current").fill(new_gateway.first_password or "")
    for mark, word in (("password-new", PASSWORD), ("password-repeat", PASSWORD + "x")):
        tab.at(mark).fill(word)
    tab.at("password-submit").click()
    expect(tab.at("password-error")).to_have_text("The two new passwords differ.")
    tab.at("password-repeat").fill(PASSWORD)
    tab.at("password-submit").click()
    expect(tab.at("project")).to_contain_text("Solar cells")
    tab.at("logout").click()
    tab.page.wait_for_url("**/login")
    context.close()


def test_without_a_login_every_page_leads_to_the_door_and_back(browser: Browser, site: Site) -> None:
    context = browser.new_context()
    tab = open_tab(context, site.gateway.url)
    for path in ("/", "/account", *(f"/projects/{site.project}/{room}" for room in ROOMS)):
        tab.go(path)
        assert tab.page.url == f"{site.gateway.url}/login?next={path}"
    context.close()


@pytest.mark.parametrize(
    "elsewhere", ["//evil.example/", "/%09/evil.example/", "/%5Cevil.example/", "/.//evil.example"]
)
def test_the_door_leads_to_no_other_site(browser: Browser, site: Site, elsewhere: str) -> None:
    context = browser.new_context()
    context.route(re.compile("^https?://evil"), lambda route: route.fulfill(body="elsewhere"))
    tab = open_tab(context, site.gateway.url)
    tab.go(f"/login?next={elsewhere}")
    tab.at("login-name").fill("admin")
    tab.at("login-password").fill(PASSWORD)
    tab.at("login-submit").click()
    tab.page.wait_for_url(lambda url: "/login" not in url)
    assert tab.page.url.startswith(f"{site.gateway.url}/")
    context.close()


def test_an_api_token_is_made_shown_once_and_revoked(tab: Tab, site: Site) -> None:
    tab.go("/account")
    tab.at("token-name").fill("robot")
    tab.at("token-create").click()
    token = tab.at("token-value").text_content() or ""
    assert site.gateway.accounts.bearer(token).name == "admin"
    tab.at("token-close").click()
    row = tab.page.locator(".version", has_text="robot")
    row.locator('[data-testid="token-revoke"]').click()
    expect(row).to_have_count(0)


def test_an_action_after_the_session_ended_leads_to_the_login(tab: Tab, site: Site, browser: Browser) -> None:
    cookie = site.gateway.accounts.login("admin", PASSWORD).token
    tab.page.context.add_cookies([{"name": "boardloop_session", "value": cookie, "url": site.gateway.url}])
    tab.go(f"/projects/{site.project}/datasets")
    tab.at("capture").first.wait_for()
    tab.may_fail = True
    site.gateway.accounts.logout(cookie)
    versions = len(site.world.collector.versions)
    tab.at("new-version").click()
    tab.at("version-create").click()
    tab.page.wait_for_url(re.compile(r"/login\?next=/projects/"))
    assert len(site.world.collector.versions) == versions
