"""Chromium for tests: the browser, and a tab that remembers everything it complained about."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect, sync_playwright

__all__ = ["PATIENCE", "Tab", "open_tab"]

CHROMIUM = shutil.which("chromium")
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
PATIENCE = 20_000  # milliseconds: a busy machine is slow, and a passing test never waits for it


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("no chromium on PATH: install it with `apt-get install --no-install-recommends chromium`")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@dataclass
class Tab:
    """A page, and everything it complained about."""

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)
    may_fail: bool = False  # requests may fail: a service is away, say

    def silent(self) -> bool:
        """Nothing went wrong in the browser but what the test itself brought about."""
        return not [one for one in self.complaints if not (self.may_fail and one.startswith("Failed to load resource"))]

    def at(self, mark: str, **attributes: str) -> Locator:
        """Elements with this data-testid."""
        more = "".join(f'[data-{name}="{value}"]' for name, value in attributes.items())
        return self.page.locator(f'[data-testid="{mark}"]{more}')

    def go(self, path: str) -> None:
        self.page.goto(self.url + path)

    def choose(self, mark: str, option: str) -> None:
        """Picks an option of a select."""
        self.at(mark).click()
        self.page.get_by_role("option", name=option, exact=True).click()


def open_tab(context: BrowserContext, url: str) -> Tab:
    """A new tab for pages below `url`; asking any other host is a complaint."""
    expect.set_options(timeout=PATIENCE)
    context.set_default_timeout(PATIENCE)
    tab = Tab(context.new_page(), url)
    tab.page.on("pageerror", lambda error: tab.complaints.append(f"script: {error}"))
    tab.page.on("console", lambda line: tab.complaints.append(line.text) if line.type == "error" else None)
    tab.page.on(
        "request",
        lambda request: (
            None if request.url.startswith((url, "data:")) else tab.complaints.append(f"asks {request.url}")
        ),
    )
    return tab
