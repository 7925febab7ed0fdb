"""The gateway that the tests of the pages look at, and what several of them do with it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import expect

from services.gateway.service import Gateway
from tests.browser import Tab
from tests.gateway.canned import World


@dataclass
class Site:
    """A running gateway with pages over canned services."""

    world: World
    gateway: Gateway
    project: str


def started(site: Site, tab: Tab) -> str:
    """A job with the form's defaults that this tab looks at."""
    tab.go(f"/projects/{site.project}/training")
    return start(site, tab)


def start(site: Site, tab: Tab) -> str:
    """Starts what the form says; the job, once this tab looks at it and at no earlier one."""
    count = len(site.world.trainer.jobs)
    tab.at("train-start").click()
    expect(tab.at("job")).to_have_count(count + 1)
    job = next(reversed(site.world.trainer.jobs))
    expect(tab.at("job-view")).to_contain_text(job)
    return job


def keep(tab: Tab, name: str) -> None:
    """A picture of the whole page for whoever writes the docs, in the folder that BOARDLOOP_SHOTS names."""
    if folder := os.environ.get("BOARDLOOP_SHOTS"):
        tab.page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)
