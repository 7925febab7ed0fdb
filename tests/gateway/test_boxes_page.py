"""The box editor in a real Chromium: what the mouse and the keys do arrives at the collector."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, expect

from services.gateway.service import Gateway
from services.rpc.boardloop.collector.v1 import collector_pb2 as c
from tests.browser import Tab
from tests.gateway.archives.making import pack, yolo
from tests.gateway.canned import World
from tests.gateway.conftest import serving, signed_in

PROJECT = "0123456789ab"


@pytest.fixture(scope="module")
def world(service_key: str) -> Iterator[World]:
    world = World(service_key)
    world.collector.fill(6)
    yield world
    world.close()


@pytest.fixture(scope="module")
def gateway(world: World, service_key: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with serving(world, service_key, tmp_path_factory.mktemp("boxes")) as gateway:
        yield gateway


@pytest.fixture
def tab(browser: Browser, gateway: Gateway) -> Iterator[Tab]:
    with signed_in(browser, gateway) as tab:
        yield tab


def edit(tab: Tab, world: World) -> c.Capture:
    """The editor with a new picture, the project's newest."""
    capture = world.collector.press("", "")
    tab.go(f"/projects/{PROJECT}/boxes")
    expect(tab.at("box-stage", id=capture.id)).to_be_visible()
    expect(tab.at("box-state")).to_have_text("No boxes drawn yet")
    return capture


def drag(tab: Tab, *points: tuple[float, float], mark: Locator | None = None) -> None:
    """Presses at the first point and moves to the others; shares of the stage, or of `mark`."""
    area = (mark or tab.at("box-stage")).bounding_box()
    assert area is not None
    places = [(area["x"] + x * area["width"], area["y"] + y * area["height"]) for x, y in points]
    tab.page.mouse.move(*places[0])
    tab.page.mouse.down()
    for place in places[1:]:
        tab.page.mouse.move(*place, steps=4)
    tab.page.mouse.up()


def stored(world: World, capture: c.Capture) -> list[tuple[str, float, float, float, float]]:
    boxes = world.collector.captures[capture.id].boxes
    return [(b.label, *(round(v, 2) for v in (b.x, b.y, b.width, b.height))) for b in boxes]  # type: ignore[misc]


def test_a_box_is_drawn_with_the_mouse_and_stored(tab: Tab, world: World) -> None:
    capture = edit(tab, world)
    drag(tab, (0.8, 0.7), (0.2, 0.3))
    expect(tab.at("box-state")).to_have_text("Boxes: 1")
    assert stored(world, capture) == [("functional", 0.2, 0.3, 0.6, 0.4)]
    tab.go(f"/projects/{PROJECT}/boxes?capture={capture.id}")
    expect(tab.at("box")).to_have_text("functional")


def test_a_box_is_moved_resized_labelled_deleted_and_all_is_undone(tab: Tab, world: World) -> None:
    capture = edit(tab, world)
    drag(tab, (0.2, 0.2), (0.4, 0.4))
    drag(tab, (0.3, 0.3), (0.5, 0.6))
    expect(tab.at("box-state")).to_have_text("Boxes: 1")
    drag(tab, (0.6, 0.7), (0.9, 2.0))  # the lower right grip, out of the picture
    tab.page.keyboard.press("2")
    expect(tab.at("box")).to_have_text("defective")
    expect(tab.at("box-state")).to_have_text("Boxes: 1")
    assert stored(world, capture) == [("defective", 0.4, 0.5, 0.5, 0.5)]
    tab.page.keyboard.press("Delete")
    expect(tab.at("box-state")).to_have_text("Nothing on it: background")
    for _ in range(5):
        tab.page.keyboard.press("Control+z")
    expect(tab.at("box-state")).to_have_text("No boxes drawn yet")
    assert not world.collector.captures[capture.id].boxed
    for _ in range(4):
        tab.page.keyboard.press("Control+y")
    expect(tab.at("box-state")).to_have_text("Boxes: 1")
    assert stored(world, capture) == [("defective", 0.4, 0.5, 0.5, 0.5)]


def test_nothing_here_makes_a_background_and_the_arrows_lead_on(tab: Tab, world: World) -> None:
    older = world.collector.press("", "")
    capture = edit(tab, world)
    tab.at("box-nothing").click()
    expect(tab.at("box-state")).to_have_text("Nothing on it: background")
    assert world.collector.captures[capture.id].boxed and stored(world, capture) == []
    tab.page.keyboard.press("ArrowRight")
    expect(tab.at("box-stage", id=older.id)).to_be_visible()
    expect(tab.at("box-state")).to_have_text("No boxes drawn yet")
    tab.page.keyboard.press("ArrowLeft")
    expect(tab.at("box-stage", id=capture.id)).to_be_visible()


def test_a_click_draws_nothing_and_shift_draws_within_a_box(tab: Tab, world: World) -> None:
    capture = edit(tab, world)
    drag(tab, (0.5, 0.5), (0.5, 0.5))
    assert not world.collector.captures[capture.id].boxed
    drag(tab, (0.1, 0.1), (0.9, 0.9))
    tab.page.keyboard.down("Shift")
    drag(tab, (0.4, 0.4), (0.6, 0.6))
    tab.page.keyboard.up("Shift")
    expect(tab.at("box-state")).to_have_text("Boxes: 2")
    assert stored(world, capture)[1] == ("functional", 0.4, 0.4, 0.2, 0.2)


def test_a_label_is_added_in_the_editor(tab: Tab, world: World) -> None:
    capture = edit(tab, world)
    tab.at("box-new-label").fill("crack <b>")
    tab.page.keyboard.press("Enter")
    expect(tab.at("box-label-crack <b>")).to_have_class("chip on")
    drag(tab, (0.1, 0.1), (0.3, 0.3))
    expect(tab.at("box-state")).to_have_text("Boxes: 1")
    assert stored(world, capture)[0][0] == "crack <b>"
    world.collector.projects[PROJECT].labels[:] = ["functional", "defective"]


def test_what_cannot_be_saved_is_said(tab: Tab, world: World) -> None:
    capture = edit(tab, world)
    del world.collector.captures[capture.id]
    tab.may_fail = True
    drag(tab, (0.1, 0.1), (0.3, 0.3))
    expect(tab.at("box-state")).to_contain_text(f"Not saved. There is no capture {capture.id}")


def test_tiles_show_boxes_filters_choose_and_the_editor_opens(tab: Tab, world: World) -> None:
    capture = world.collector.press("", "")
    box = c.Box(label="defective", x=0.25, y=0.25, width=0.5, height=0.5)
    world.collector.SetBoxes(c.SetBoxesRequest(capture_id=capture.id, boxes=[box]), None)
    drawn = sum(one.boxed for one in world.collector.captures.values())
    tab.go(f"/projects/{PROJECT}/datasets")
    expect(tab.at("capture", id=capture.id).locator("rect")).to_have_attribute("width", "112.00")
    tab.choose("filter-boxed", f"Boxes drawn · {drawn}")
    expect(tab.at("capture")).to_have_count(drawn)
    tab.at("capture", id=capture.id).hover()
    tab.at("capture", id=capture.id).locator('[data-testid="zoom"]').click()
    tab.at("photo-boxes").click()
    tab.page.wait_for_url(f"**/boxes?boxed=true&capture={capture.id}")
    expect(tab.at("box")).to_have_text("defective")


def test_a_zip_is_imported_and_the_page_reports_every_loss(tab: Tab, world: World, tmp_path: Path) -> None:
    files = yolo(2) | {"set/images/train/bad.jpg": b"\xff\xd8", "set/labels/train/bad.txt": ""}
    archive = tmp_path / "set.zip"
    archive.write_bytes(pack(files).getvalue())
    tab.go(f"/projects/{PROJECT}/datasets")
    tab.at("upload").click()
    tab.at("upload-archive").set_input_files(archive)
    expect(tab.at("upload-state")).to_contain_text("yolo: 2 pictures imported with 2 boxes, 0 were there already, 1 ")
    expect(tab.at("upload-lines")).to_contain_text("set/images/train/bad.jpg the picture cannot be used")
    assert {one.boxes[0].label for one in list(world.collector.captures.values())[-2:]} == {"cat", "dog"}
    archive.write_bytes(b"no zip")
    tab.may_fail = True
    tab.at("upload-archive").set_input_files(archive)
    expect(tab.at("upload-error")).to_contain_text("set.zip: the file is no zip archive")


def test_a_version_for_detection_is_made(tab: Tab, world: World) -> None:
    tab.go(f"/projects/{PROJECT}/datasets")
    tab.at("new-version").click()
    tab.choose("version-task", "Detection: the pictures with boxes")
    tab.at("version-create").click()
    expect(tab.at("version").first).to_contain_text("detection")
    assert world.collector.versions[0].task == c.TASK_DETECTION
    expect(tab.at("version-coco").first).to_have_attribute(
        "href", f"/api/v1/versions/{world.collector.versions[0].id}/archive?form=coco"
    )
