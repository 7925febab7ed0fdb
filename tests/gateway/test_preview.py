"""The preview of augmentation, over REST and in the training form."""

from __future__ import annotations

import io
from base64 import b64decode
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, expect

from services.gateway.service import Gateway
from services.rpc.boardloop.collector.v1 import collector_pb2 as c
from tests.browser import Tab, open_tab
from tests.gateway.canned import World
from tests.gateway.conftest import PASSWORD, Door, make_token, settings_for


def pixels(variant: dict[str, object]) -> np.ndarray:
    data = b64decode(str(variant["jpeg_data_url"]).removeprefix("data:image/jpeg;base64,"))
    return np.asarray(Image.open(io.BytesIO(data))).astype(int)


OFF = {"flip_horizontal": False, "rotate": 0, "shift": 0, "zoom": 0, "brightness": 0, "contrast": 0, "input_size": 96}


def asked(door: Door, project: str, **body: object) -> list[dict[str, object]]:
    answer = door.admin.post(f"/projects/{project}/augmentation-preview", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


def test_pictures_come_as_they_are_and_changed(door: Door, world: World) -> None:
    project = world.collector.fill(6)
    version = world.collector.versions[0].id
    parameters = OFF | {"flip_vertical": True, "flip_vertical_probability": 1}
    for picture in asked(door, project, version_id=version, pictures=2, variants=1, parameters=parameters):
        original, flipped = pixels(picture["original"]), pixels(picture["variants"][0])  # type: ignore[arg-type, index]
        assert original.shape == (96, 96, 3) and np.abs(flipped[::-1] - original).mean() < 3
    first, again = (asked(door, project, version_id=version, seed=5) for _ in range(2))
    assert first == again != asked(door, project, version_id=version, seed=6)


def test_mixup_shows_one_picture_through_another(door: Door, world: World) -> None:
    project = world.collector.fill(6)
    parameters = OFF | {"mixup": 1, "mixup_probability": 1}
    version = world.collector.versions[0].id
    one, other = asked(door, project, version_id=version, pictures=2, variants=8, parameters=parameters)
    first, second = pixels(one["original"]), pixels(other["original"])  # type: ignore[arg-type]
    apart, shares = second - first, []
    assert np.abs(apart).mean() > 3
    for variant in one["variants"]:  # type: ignore[attr-defined]
        moved = pixels(variant) - first
        shares.append((moved * apart).sum() / (apart**2).sum())
        assert np.abs(moved - shares[-1] * apart).mean() < 3  # JPEG's own
    assert min(shares) > -0.05 and max(shares) < 1.05 and max(shares) > 0.3


def test_boxes_follow_and_an_unreadable_picture_is_named(door: Door, world: World) -> None:
    project = world.collector.fill(2)
    boxed = world.collector.press("abcdefgh23", "")
    boxed.boxed = True
    boxed.boxes.append(c.Box(label="defective", x=0.1, y=0.2, width=0.3, height=0.4))
    broken = world.collector.press("abcdefgh23", "", jpeg=b"\xff\xd8 no picture")
    parameters = OFF | {"colour": 0, "flip_vertical": True, "flip_vertical_probability": 1}
    good, bad = asked(door, project, capture_ids=[boxed.id, broken.id], variants=1, parameters=parameters)
    [box] = good["variants"][0]["boxes"]  # type: ignore[index]
    assert [round(box[edge], 3) for edge in ("left", "top", "right", "bottom")] == [0.1, 0.4, 0.4, 0.8]
    assert broken.id in str(bad["error"]) and bad["original"] is None and bad["variants"] == []


def test_what_cannot_be_shown_is_refused_in_words(door: Door, world: World) -> None:
    project = world.collector.fill(2)
    path = f"/projects/{project}/augmentation-preview"
    assert door.admin.post(path, json={}).json()["error"]["reason"] == "PREVIEW_EMPTY"
    version = {"version_id": world.collector.versions[0].id, "parameters": {"blur": 5, "input_size": 320}}
    assert door.admin.post(path, json=version | {"parameters": {"blur": 6}}).status_code == 422
    assert door.admin.post(path, json=version | {"variants": 9}).status_code == 422


def test_the_input_need_not_be_square(door: Door, world: World) -> None:
    project = world.collector.fill(2)
    body = {"version_id": world.collector.versions[0].id, "parameters": OFF | {"input_height": 160}}
    for picture in asked(door, project, **body):
        assert {pixels(one).shape for one in (picture["original"], *picture["variants"])} == {(160, 96, 3)}  # type: ignore[arg-type, misc]


def test_pictures_of_another_project_are_refused(door: Door, world: World) -> None:
    world.collector.fill(2)
    version, capture = world.collector.versions[0].id, next(iter(world.collector.captures))
    other = door.admin.post("/projects", json={"name": "other", "labels": ["a", "b"]}).json()["id"]
    for body in ({"version_id": version}, {"capture_ids": [capture]}):
        answer = door.admin.post(f"/projects/{other}/augmentation-preview", json=body)
        assert answer.status_code == 409 and answer.json()["error"]["reason"] == "PICTURES_OF_ANOTHER_PROJECT"


@pytest.fixture
def page(world: World, service_key: str, tmp_path_factory: pytest.TempPathFactory, browser: Browser) -> Iterator[Tab]:
    gateway = Gateway(settings_for(world, service_key, tmp_path_factory.mktemp("gateway")))
    gateway.start()
    make_token(gateway)
    cookie = gateway.accounts.login("admin", PASSWORD).token
    context = browser.new_context(viewport={"width": 1360, "height": 900}, locale="en-GB")
    context.add_cookies([{"name": "boardloop_session", "value": cookie, "url": gateway.url}])
    tab = open_tab(context, gateway.url)
    yield tab
    context.close()
    gateway.stop()
    assert tab.silent(), tab.complaints


def test_the_form_shows_a_grid_that_follows_its_sliders(page: Tab, world: World) -> None:
    project = world.collector.fill(6)
    page.go(f"/projects/{project}/training")
    page.at("train-changes").click()
    page.at("preview").click()
    expect(page.at("preview-original")).to_have_count(3)
    expect(page.at("preview-variant")).to_have_count(9)
    image = page.at("preview-variant").first.locator("img")
    before = image.get_attribute("src") or ""
    page.at("train-rotate").click(position={"x": 60, "y": 8})
    expect(image).not_to_have_attribute("src", before)
    brighter = image.get_attribute("src") or ""
    page.at("preview").click()
    expect(image).not_to_have_attribute("src", brighter)
