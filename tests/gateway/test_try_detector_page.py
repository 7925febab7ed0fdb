"""“Try it” of a detector in a real Chromium: boxes, and the slider over their confidence."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, expect

from services.rpc.boardloop.trainer.v1 import trainer_pb2 as t
from tests.browser import Tab
from tests.gateway.canned import LABELS, World, cell_jpeg
from tests.gateway.canned_detection import detector
from tests.gateway.conftest import serving, signed_in

FOUND = (
    t.FoundObject(label=LABELS[0], confidence=0.9, left=0.25, top=0.25, right=0.5, bottom=0.75),
    t.FoundObject(label=LABELS[1], confidence=0.3, left=0.6, top=0.0, right=1.0, bottom=0.4),
)


@pytest.fixture
def tab(browser: Browser, world: World, service_key: str, tmp_path: Path) -> Iterator[Tab]:
    """The page of a detector whose two networks find the same."""
    project, out = world.collector.fill(9), io.BytesIO()
    job = world.trainer.StartJob(t.StartJobRequest(project_id=project, version_id="000000000001"), context=None).job
    detector(world.trainer.models[world.trainer.finish(job.id)])
    Image.open(io.BytesIO(cell_jpeg(1, True))).save(out, "PNG")
    world.trainer.prediction = t.PredictResponse(objects=FOUND, seconds=0.012, input_png=out.getvalue())
    with serving(world, service_key, tmp_path) as gateway, signed_in(browser, gateway) as tab:
        tab.go(f"/projects/{project}/models")
        tab.at("try-capture").first.click()
        yield tab


def test_what_a_board_would_show_is_drawn_in_the_picture(tab: Tab) -> None:
    expect(tab.at("try-box")).to_have_text(["functional 90.0 %"] * 2)
    assert tab.at("try-time").first.inner_text() == "12 ms"
    frame, box = (tab.at(mark).first.bounding_box() for mark in ("try-input", "try-box"))
    assert frame is not None and box is not None
    assert box["x"] - frame["x"] == pytest.approx(frame["width"] / 4, abs=1)
    assert (box["width"], box["height"]) == pytest.approx((frame["width"] / 4, frame["height"] / 2), abs=1)


def test_the_slider_shows_more_and_less_without_asking_again(tab: Tab, world: World) -> None:
    expect(tab.at("try-box")).to_have_count(2)
    world.take("trainer")
    tab.at("try-confidence").fill("0.25")
    expect(tab.at("try-box")).to_have_text(["functional 90.0 %", "defective 30.0 %"] * 2)
    tab.at("try-confidence").fill("0.95")
    expect(tab.at("try-nothing")).to_have_count(2)
