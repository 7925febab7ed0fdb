"""“Try it” in a real Chromium, over a real trainer with a small trained model."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from PIL import Image
from playwright.sync_api import Browser, expect

from services.allinone import AllInOne
from tests.browser import Tab
from tests.gateway.canned import LABELS, TARGET, cell_jpeg
from tests.gateway.conftest import signed_in
from tests.gateway.test_real_services import created, wait_for

SMALL = {"weights": "none", "epochs": 1, "input_size": 128, "batch_size": 4, "backbone": "mobilenet_v1_0.25"}
LOSSY = {"max_accuracy_drop": 1.0}  # one epoch on twelve pictures: any accuracy will do


@pytest.fixture(scope="module")
def model(api: httpx.Client) -> Any:
    """Trained and converted, of a project with twelve captures."""
    project = created(api.post("/projects", json={"name": "Cells", "labels": LABELS}))["id"]
    for label in LABELS:
        files = [("files", (f"{seed}.jpg", cell_jpeg(seed, label == LABELS[1]))) for seed in range(6)]
        created(api.post(f"/projects/{project}/captures", files=files, data={"label": label}))
    version = created(api.post(f"/projects/{project}/versions", json={"validation_share": 0.3}))["id"]
    body = {"version_id": version, "parameters": SMALL | LOSSY}
    job = created(api.post(f"/projects/{project}/jobs", json=body))["id"]
    ended = wait_for(lambda: (now := api.get(f"/jobs/{job}").json())["ended_at"] and now)
    assert ended["state"] == "DONE", ended["error"]
    return api.get(f"/models/{ended['model_id']}").json()


@pytest.fixture
def tab(browser: Browser, loop: AllInOne, model: Any) -> Iterator[Tab]:
    assert loop.gateway is not None
    with signed_in(browser, loop.gateway) as tab:
        tab.go(f"/projects/{model['project_id']}/models")
        yield tab


def chosen(tab: Tab, name: str, content: bytes) -> None:
    tab.at("try-file").set_input_files({"name": name, "mimeType": "image/jpeg", "buffer": content})


def saved(picture: Image.Image, form: str = "PNG") -> bytes:
    out = io.BytesIO()
    picture.save(out, form)
    return out.getvalue()


def test_a_picture_is_answered_by_both_networks_as_the_api_says(tab: Tab, api: httpx.Client, model: Any) -> None:
    picture = cell_jpeg(77, True, 300)
    chosen(tab, "new.jpg", picture)
    expect(tab.at("try-time")).to_have_count(2)
    for target in ("float", TARGET):
        answer = api.post(f"/models/{model['id']}/predict?target={target}", files={"file": picture}).json()
        first = tab.at("try-answer", target=target).locator('[data-testid="try-score"]').first
        expect(first).to_have_text(f"{answer['label']}{answer['scores'][answer['label']] * 100:.1f} %")
    expect(tab.at("try-input")).to_have_count(1)
    assert tab.at("try-input").evaluate("image => [image.naturalWidth, image.naturalHeight]") == [128, 128]


def test_a_network_can_be_left_out_but_not_the_last_one(tab: Tab) -> None:
    chosen(tab, "new.jpg", cell_jpeg(78, False))
    expect(tab.at("try-answer")).to_have_count(2)
    for _ in range(2):
        tab.at("try-target", target=TARGET).click()
    expect(tab.at("try-answer")).to_have_count(2)
    for target in ("float", TARGET):
        tab.at("try-target", target=target).click()
    expect(tab.at("try-answer")).to_have_count(1)
    expect(tab.at("try-answer")).to_have_attribute("data-target", TARGET)


def test_a_capture_of_the_data_set_is_tried_with_its_label(tab: Tab) -> None:
    expect(tab.at("try-capture")).to_have_count(12)
    tab.at("try-capture").first.click()
    expect(tab.at("try-truth")).to_have_text("labelled “defective” in the data set")
    expect(tab.at("try-score")).to_have_count(4)


def test_a_dropped_picture_is_tried(tab: Tab) -> None:
    expect(tab.at("try-invite")).to_be_visible()
    expect(tab.at("try-photo-button")).to_be_hidden()  # a desktop has no camera to point at things
    tab.page.evaluate(
        """async (address) => {
          const data = new DataTransfer();
          data.items.add(new File([await (await fetch(address)).blob()], "dropped.jpg"));
          const drop = new DragEvent("drop", { bubbles: true, dataTransfer: data });
          document.querySelector("[data-trial]").dispatchEvent(drop);
        }""",
        tab.at("try-capture").first.locator("img").get_attribute("src"),
    )
    expect(tab.at("try-input")).to_have_attribute("alt", "dropped.jpg")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is no whole JPEG or PNG picture"),
        (b"GIF89a" + bytes(90), "save other kinds (HEIC, WebP) as JPEG first"),
        (cell_jpeg(1, True)[:900], "Send it again if it was cut off"),
        (saved(Image.new("1", (8000, 8000))), "at most 16 MiB, 32 million pixels"),
        (b"\xff\xd8" + bytes(17 << 20), "is too large"),
    ],
    ids=["empty", "another kind", "cut off", "64 million pixels", "17 MiB"],
)
def test_bad_input_is_told_with_the_way_out_and_the_next_picture_goes_well(
    tab: Tab, content: bytes, words: str
) -> None:
    tab.may_fail = True
    chosen(tab, "<b>bad</b>.jpg", content)
    expect(tab.at("try-error")).to_contain_text("“<b>bad</b>.jpg”")
    expect(tab.at("try-error")).to_contain_text(words)
    chosen(tab, "good.jpg", cell_jpeg(79, False))
    expect(tab.at("try-time")).to_have_count(2)
    expect(tab.at("try-error")).to_be_hidden()


def test_answers_stay_when_the_page_is_drawn_anew(tab: Tab, model: Any) -> None:
    """As it is whenever a model of the project comes or changes."""
    chosen(tab, "new.jpg", cell_jpeg(80, True))
    expect(tab.at("try-time")).to_have_count(2)
    tab.at("try-target", target=TARGET).click()
    before = tab.at("try-score").all_text_contents()
    tab.page.evaluate("document.querySelector('[data-trial]').dataset.old = ''")
    tab.at("model", id=model["id"]).click()
    expect(tab.page.locator("[data-trial]:not([data-old])")).to_be_visible()
    expect(tab.at("try-answer")).to_have_count(1)
    assert tab.at("try-score").all_text_contents() == before
    expect(tab.at("try-input")).to_have_attribute("alt", "new.jpg")


def test_a_login_that_has_ended_is_told_in_the_readers_language(browser: Browser, loop: AllInOne, model: Any) -> None:
    assert loop.gateway is not None
    with signed_in(browser, loop.gateway, locale="zh-CN") as tab:
        tab.may_fail = True
        tab.go(f"/projects/{model['project_id']}/models")
        expect(tab.at("try-invite")).to_be_visible()
        tab.page.context.clear_cookies()
        chosen(tab, "new.jpg", cell_jpeg(81, True))
        expect(tab.at("try-error")).to_have_text("登录已失效。请刷新页面。")


def test_a_phone_takes_a_photo_and_nothing_is_wider_than_its_screen(
    browser: Browser, loop: AllInOne, model: Any
) -> None:
    assert loop.gateway is not None
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    with signed_in(browser, loop.gateway, **phone) as tab:
        tab.go(f"/projects/{model['project_id']}/models")
        expect(tab.at("try-photo-button")).to_be_visible()
        expect(tab.at("try-photo")).to_have_attribute("capture", "environment")
        with tab.page.expect_file_chooser() as chooser:
            tab.at("try-photo-button").click()
        chooser.value.set_files({"name": "photo.jpg", "mimeType": "image/jpeg", "buffer": cell_jpeg(5, True)})
        expect(tab.at("try-time")).to_have_count(2)
        assert tab.page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "PICTURE_BROKEN"),
        (cell_jpeg(1, True)[:900], "PICTURE_BROKEN"),
        (saved(Image.new("1", (8000, 8000))), "PICTURE_TOO_LARGE"),
        (bytes(40 << 20), "PICTURE_TOO_LARGE"),
    ],
    ids=["empty", "cut off", "64 million pixels", "40 MiB"],
)
def test_the_api_refuses_bad_input_with_the_way_out(api: httpx.Client, model: Any, content: bytes, reason: str) -> None:
    answer = api.post(f"/models/{model['id']}/predict", files={"file": ("a.jpg", content)})
    error = answer.json()["error"]
    assert (answer.status_code, error["reason"]) == (422, reason)
    assert error["fix"] and "BytesIO" not in error["message"]
