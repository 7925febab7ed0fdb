"""Evaluations and model cards in a real Chromium."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from services.gateway.service import Gateway
from services.rpc.boardloop.trainer.v1 import trainer_pb2 as t
from tests.browser import Tab
from tests.gateway.canned import TARGET, World
from tests.gateway.canned_evaluations import classified, detected
from tests.gateway.conftest import serving, signed_in

PROJECT = "0123456789ab"


@pytest.fixture(scope="module")
def world(service_key: str) -> Iterator[World]:
    world = World(service_key)
    world.collector.fill(100)
    request = t.StartJobRequest(project_id=PROJECT, version_id="000000000001")
    world.trainer.finish(world.trainer.StartJob(request, None).job.id)
    yield world
    world.close()


@pytest.fixture(scope="module")
def gateway(world: World, service_key: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    with serving(world, service_key, tmp_path_factory.mktemp("evaluations")) as gateway:
        yield gateway


@pytest.fixture
def tab(browser: Browser, gateway: Gateway) -> Iterator[Tab]:
    with signed_in(browser, gateway) as tab:
        yield tab


def made(world: World, target: str = "") -> str:
    request = t.StartEvaluationRequest(model_id="0000000000a1", version_id="000000000001", target=target)
    return world.trainer.StartEvaluation(request, None).evaluation.id


def test_an_evaluation_is_started_watched_and_shown(tab: Tab, world: World) -> None:
    tab.go(f"/projects/{PROJECT}/models")
    tab.at("evaluate").click()
    tab.choose("evaluate-target", TARGET)
    tab.choose("evaluate-part", "all pictures")
    tab.at("evaluate-skip").click()
    tab.at("evaluate-start").click()
    expect(tab.at("evaluation-progress")).to_have_attribute("data-state", "QUEUED")
    job = next(reversed(world.trainer.evaluations.values()))
    assert (job.target, job.part, job.version_id) == (TARGET, "all", "000000000001") and job.skip_unreadable
    job.state = t.EVALUATION_STATE_EVALUATING
    expect(tab.at("evaluation-progress")).to_have_attribute("data-state", "EVALUATING")
    tab.at("evaluation-stop").click()
    tab.at("evaluation-resume").click()
    expect(tab.at("evaluation-progress")).to_have_attribute("data-state", "QUEUED")
    world.trainer.end(job.id, classified())
    expect(tab.at("evaluation-stats")).to_contain_text("Pictures wholly right")
    expect(tab.at("evaluation-notes")).to_contain_text("trained on 5 of these 80 pictures")
    expect(tab.at("chart-curves").locator("polyline")).to_have_count(2)
    expect(tab.at("evaluation-subsets").locator("tr.finding").first).to_be_visible()
    tab.at("to-model").click()
    expect(tab.at("evaluation-row", id=job.id)).to_contain_text("v1, all pictures")


def test_a_cell_of_the_matrix_filters_the_pictures(tab: Tab, world: World) -> None:
    evaluation = made(world)
    world.trainer.end(evaluation, classified())
    confusion = world.trainer.evaluations[evaluation].figures.confusion
    tab.go(f"/projects/{PROJECT}/evaluations/{evaluation}")
    expect(tab.at("outcome", right="true")).to_have_count(0)  # the wrong ones first
    tab.at("evaluation-matrix").locator('[data-truth="1"][data-predicted="0"]').click()
    expect(tab.at("cell")).to_have_text("truth defective, answer functional")
    expect(tab.at("outcome")).to_have_count(confusion[2])
    expect(tab.at("outcome").first).to_contain_text("truth: defective")
    tab.at("show-right").click()
    expect(tab.at("gallery-count")).to_have_text("0 pictures")
    tab.at("cell-clear").click()
    expect(tab.at("gallery-count")).to_have_text(f"{confusion[0] + confusion[3]} pictures")


def test_a_row_of_where_it_fails_filters_the_pictures(tab: Tab, world: World) -> None:
    evaluation = made(world)
    world.trainer.end(evaluation, classified())
    subset = world.trainer.evaluations[evaluation].figures.subsets[0]
    tab.go(f"/projects/{PROJECT}/evaluations/{evaluation}")
    tab.at("evaluation-subsets").locator('[data-subset="0"]').click()
    expect(tab.at("subset")).to_contain_text(subset.name)
    expect(tab.at("gallery-count")).to_have_text(f"{subset.count} pictures")
    tab.at("cell-clear").click()
    expect(tab.at("gallery-count")).to_have_text("80 pictures")


def test_objects_are_drawn_as_found_missed_and_confused(tab: Tab, world: World) -> None:
    evaluation = made(world)
    world.trainer.end(evaluation, detected())
    figures = world.trainer.evaluations[evaluation].figures
    tab.go(f"/projects/{PROJECT}/evaluations/{evaluation}")
    expect(tab.at("evaluation-stats")).to_contain_text("mAP50-95")
    tab.at("show-all").click()
    expect(tab.at("outcome")).to_have_count(30)
    gallery = tab.at("gallery")
    for tone, count in (
        ("rect.truth", figures.found_boxes),
        ("rect.found", figures.found_boxes),
        ("rect.error", figures.missed_boxes + 2 * figures.confused_boxes + figures.false_boxes),
    ):
        expect(gallery.locator(tone)).to_have_count(count)
    tab.at("show-missed").click()
    expect(tab.at("show-missed")).to_have_class(re.compile(r"\bon\b"))  # the tiles come with it
    expect(tab.at("outcome").first).to_contain_text("missed")
    tab.at("outcome").first.click()
    expect(tab.at("outcome-large").locator("rect.error").first).to_be_visible()


def test_two_evaluations_stand_side_by_side(tab: Tab, world: World) -> None:
    first, second = made(world), made(world, TARGET)
    world.trainer.end(first, classified(1))
    world.trainer.end(second, classified(2))
    tab.go(f"/projects/{PROJECT}/evaluations/{second}")
    tab.at("compare").click()
    tab.at("compare-with", id=first).click()
    expect(tab.at("first")).to_contain_text("First: Float network on v1")
    expect(tab.at("second")).to_contain_text(f"Second: {TARGET} on v1")
    expect(tab.at("broken").locator(".shot")).to_have_count(2)


def test_a_model_has_its_card(tab: Tab, world: World) -> None:
    tab.go(f"/projects/{PROJECT}/models")
    facts = tab.at("card-facts")
    expect(facts).to_contain_text("git 0123456789ab")
    expect(facts).to_contain_text("solar-cells-1 ← solar-cells-0 (imagenet)")
    with tab.page.expect_download() as download:
        tab.at("card-md").click()
    assert download.value.suggested_filename == "model-0000000000a1.md"


def test_an_unknown_evaluation_is_told(tab: Tab) -> None:
    tab.go(f"/projects/{PROJECT}/evaluations/ffffffffffff")
    expect(tab.at("empty")).to_contain_text("no evaluation 'ffffffffffff'")


@pytest.mark.parametrize("width", [390, 1360])
def test_the_page_fits_the_screen(tab: Tab, world: World, width: int) -> None:
    evaluation = made(world)
    world.trainer.end(evaluation, detected())
    tab.page.set_viewport_size({"width": width, "height": 844})
    tab.go(f"/projects/{PROJECT}/evaluations/{evaluation}")
    expect(tab.at("outcome").first).to_be_visible()
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= width
