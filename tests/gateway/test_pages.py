"""What all pages have: they fit the screen, come back by themselves, and say what a service refused."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from services.common.errors import FailedPrecondition
from services.gateway.service import Gateway
from services.rpc.boardloop.collector.v1 import collector_pb2 as c
from tests.browser import Tab
from tests.gateway.canned import BOARDS
from tests.gateway.page_site import Site

ROOMS = ("datasets", "training", "models", "boards")


def test_labels_are_words_wherever_they_are_shown(tab: Tab, site: Site) -> None:
    label = '" innerHTML="<i id=evil>'
    request = c.CreateProjectRequest(name="Hostile", labels=["<b>x", label])
    project = site.world.collector.CreateProject(request, context=None).project
    tab.go(f"/projects/{project.id}/datasets")
    chip = tab.page.locator(".chip").nth(2)
    expect(chip).to_have_text(f"{label} 0")
    assert chip.get_attribute("data-testid") == f"filter-{label}" and tab.page.locator("#evil").count() == 0


def test_a_second_gateway_with_pages_is_refused(site: Site) -> None:
    with pytest.raises(FailedPrecondition, match="Another gateway with pages"):
        Gateway(site.gateway.settings)


def test_a_page_opened_while_the_collector_is_away_comes_back_by_itself(tab: Tab, site: Site) -> None:
    site.world.take("collector")
    tab.go(f"/projects/{site.project}/datasets")
    expect(tab.at("banner")).to_contain_text("data sets (collector)")
    site.world.bring("collector")
    expect(tab.at("capture").first).to_be_visible()


@pytest.mark.parametrize("width", [390, 1360])
def test_no_page_is_wider_than_the_screen(tab: Tab, site: Site, width: int) -> None:
    tab.page.set_viewport_size({"width": width, "height": 844})
    shown = {"datasets": "capture", "training": "train-start", "models": "empty", "boards": "board"}
    for room in ROOMS:
        tab.go(f"/projects/{site.project}/{room}")
        expect(tab.at(shown[room]).first).to_be_visible()
        assert tab.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, room
        expect(tab.at(f"{'tab' if width < 800 else 'nav'}-{room}")).to_be_visible()


def test_a_project_is_made(tab: Tab, site: Site) -> None:
    tab.go("/")
    tab.at("new-project").click()
    tab.at("project-name").fill("Screws <b>")
    tab.at("project-labels").fill("good\nbent\n\n")
    tab.at("project-create").click()
    expect(tab.page.get_by_text("No pictures yet")).to_be_visible()
    expect(tab.at("project-switcher")).to_contain_text("Screws <b>")
    made = next(one for one in site.world.collector.projects.values() if one.name == "Screws <b>")
    assert list(made.labels) == ["good", "bent"]


def test_what_a_service_refuses_is_said_in_words(tab: Tab) -> None:
    tab.go("/")
    tab.at("new-project").click()
    tab.at("project-create").click()
    expect(tab.page.get_by_text("name is empty. Give the project a name.")).to_be_visible()


def test_a_service_that_goes_and_comes_is_told_in_a_banner(tab: Tab, site: Site) -> None:
    tab.go(f"/projects/{site.project}/datasets")
    expect(tab.at("capture").first).to_be_visible()
    expect(tab.at("banner")).to_be_hidden()
    tab.may_fail = True
    site.world.take("collector")
    expect(tab.at("banner")).to_contain_text("Not reachable: data sets (collector).")
    expect(tab.at("capture").first).to_be_visible()
    site.world.bring("collector")
    expect(tab.at("banner")).to_be_hidden()
    capture = site.world.collector.press(BOARDS[0], "functional")
    expect(tab.at("capture").first).to_have_attribute("data-id", capture.id)


def test_language_and_theme_are_remembered(tab: Tab, site: Site) -> None:
    tab.go(f"/projects/{site.project}/datasets")
    expect(tab.at("nav-boards")).to_have_text("memoryBoards")
    tab.at("language").click()
    expect(tab.at("nav-boards")).to_have_text("memory开发板")
    before = tab.page.locator("html").get_attribute("data-theme")
    tab.at("theme").click()
    expect(tab.page.locator("html")).not_to_have_attribute("data-theme", str(before))
    after = str(tab.page.locator("html").get_attribute("data-theme"))
    tab.go("/account")
    expect(tab.page.locator("h1").first).to_have_text("账户")
    expect(tab.page.locator("html")).to_have_attribute("data-theme", after)
    expect(tab.page.locator("html")).to_have_attribute("lang", "zh")


def test_a_project_that_does_not_exist_is_told_so(tab: Tab) -> None:
    tab.go("/projects/ffffffffffff/models")
    expect(tab.at("empty")).to_contain_text("This project does not exist")
