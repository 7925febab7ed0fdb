"""The page Models and the page of a converted file's fidelity."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.browser import Tab
from tests.gateway.canned import BOARDS, converted
from tests.gateway.canned_detection import detect, detector
from tests.gateway.page_site import Site, keep, started


def test_a_detector_is_measured_by_map(tab: Tab, site: Site) -> None:
    trainer = site.world.trainer
    job = started(site, tab)
    trainer.advance(job, 9)
    detect(trainer.jobs[job])
    expect(tab.at("job-view")).to_contain_text("best mAP50 45.0 %")
    expect(tab.at("chart-map")).to_be_visible()
    expect(tab.at("chart-parts")).to_be_visible()
    expect(tab.at("chart").last).to_be_hidden()
    model = trainer.finish(job)
    detector(trainer.models[model])
    tab.go(f"/projects/{site.project}/models?model={model}")
    expect(tab.at("figures")).to_contain_text("mAP5062.5 %61.0 %")
    expect(tab.at("precisions")).to_contain_text("62.5 %30.0 %80.0 %70.0 %75.0 %93")
    expect(tab.at("precisions")).to_contain_text("—")
    expect(tab.at("model-release")).to_be_disabled()


def test_a_model_is_compared_downloaded_and_released(tab: Tab, site: Site) -> None:
    site.world.trainer.finish(started(site, tab))
    tab.at("nav-models").click()
    figures = tab.at("figures")
    for text in ("88.8 %", "87.5 %", "98.8 %", "850 KiB", "1.21 MiB"):
        expect(figures).to_contain_text(text)
    expect(tab.at("confusion").locator(".cell")).to_have_text(["41", "4", "5", "30", "41", "4", "6", "29"])
    with tab.page.expect_download() as download:
        tab.at("model-download").click()
        tab.at("download-k210-kmodel-v3").click()
    assert download.value.suggested_filename == "model.kmodel"
    with tab.page.expect_download() as package:
        tab.at("model-download").click()
        tab.at("download-k210-kmodel-v3-k210-zip").click()
    assert package.value.suggested_filename == "model-k210.zip"
    tab.at("model-release").click()
    tab.at("release-name").fill("spring")
    tab.choose("release-boards", "line 1 · k210")
    tab.page.keyboard.press("Escape")
    tab.at("release-submit").click()
    expect(tab.at("release").first).to_contain_text("spring")
    expect(tab.at("release").first).to_contain_text("line 1: Waiting")
    assert [one.board_id for one in next(reversed(site.world.deployer.releases.values())).boards] == [BOARDS[0]]


def test_a_converted_file_shows_how_faithfully_it_answers(tab: Tab, site: Site) -> None:
    model = site.world.trainer.finish(started(site, tab))
    tab.at("nav-models").click()
    tab.at("fidelity-k210-kmodel-v3").click()
    tab.page.wait_for_url(f"**/models/{model}/fidelity/k210-kmodel-v3")
    for text in ("88.8 %", "87.5 %", "98.8 %", "27.4 dB", "80"):
        expect(tab.at("fidelity-stats")).to_contain_text(text)
    expect(tab.at("chart-rows").locator("text")).to_have_count(2 * 28)
    expect(tab.at("fidelity").get_by_text("It falls most at conv7_dw.")).to_be_visible()
    expect(tab.at("chart-columns").locator("rect")).to_have_count(21)
    expect(tab.at("changed")).to_contain_text("functional · 71.0 %")
    expect(tab.at("changed")).to_contain_text("defective · 64.0 %")
    loaded = "picture => picture.complete && picture.naturalWidth"
    assert tab.at("changed").locator("img").evaluate(loaded) > 0
    expect(tab.at("fidelity-memory")).to_contain_text("1,239 KiB")
    expect(tab.at("fidelity-warnings")).to_contain_text("1048576")
    expect(tab.at("fidelity-off-accelerator")).to_contain_text("pool: the KPU")
    tab.at("to-model").click()
    expect(tab.at("model-view", id=model)).to_be_visible()


@pytest.mark.parametrize("width", [390, 1360])
def test_the_figures_fit_the_screen(tab: Tab, site: Site, width: int) -> None:
    model = site.world.trainer.finish(started(site, tab))
    tab.page.set_viewport_size({"width": width, "height": 844})
    tab.go(f"/projects/{site.project}/models/{model}/fidelity/k210-kmodel-v3")
    expect(tab.at("changed")).to_be_visible()
    assert tab.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    keep(tab, f"fidelity-{width}")


def test_a_file_without_figures_says_so(tab: Tab, site: Site) -> None:
    model = site.world.trainer.finish(started(site, tab))
    site.world.trainer.models[model].files[0].fidelity_json = "{}"
    tab.go(f"/projects/{site.project}/models/{model}/fidelity/k210-kmodel-v3")
    expect(tab.at("empty")).to_contain_text("Convert again.")
    tab.go(f"/projects/{site.project}/models/{model}/fidelity/web-onnx")
    expect(tab.at("empty")).to_contain_text("has no file for the target")


def test_a_model_is_converted_for_another_chip_or_told_why_not(tab: Tab, site: Site) -> None:
    model = site.world.trainer.finish(started(site, tab))
    tab.at("nav-models").click()
    tab.at("model-convert").click()
    expect(tab.at("convert-about")).to_contain_text("for boards with a V831")
    tab.choose("convert-target", "ONNX")
    expect(tab.at("convert-about")).to_contain_text("for the browser; to download")
    tab.at("convert-submit").click()
    expect(tab.at("convert-error")).to_have_text("Layer conv7_dw loses most. Allow more with max_accuracy_drop.")
    keep(tab, "convert-dialog")
    tab.at("convert-drop").fill("12.5")
    tab.at("convert-submit").click()
    tab.page.wait_for_url(f"**/models/{model}/fidelity/web-onnx")
    assert site.world.trainer.conversion.max_accuracy_drop == 0.125
    tab.at("to-model").click()
    expect(tab.at("figures")).to_contain_text("web-onnx")


def test_a_release_offers_what_boards_load(tab: Tab, site: Site) -> None:
    model = site.world.trainer.finish(started(site, tab))
    for target, form in (("web-onnx", "onnx"), ("v831-awnn-int8", "awnn_int8")):
        site.world.trainer.models[model].files.append(converted(target, form, "model.bin"))
    tab.at("nav-models").click()
    tab.at("model-release").click()
    tab.at("release-target").click()
    options = tab.page.get_by_role("option")
    expect(options).to_have_text(["k210-kmodel-v3 · model.kmodel", "v831-awnn-int8 · model.bin"])
    options.nth(1).click()
    tab.at("release-boards").click()
    expect(tab.page.get_by_role("option")).to_have_count(0)  # both boards are K210
