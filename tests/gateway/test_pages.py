"""The pages in a real Chromium: they render, they move by themselves, and what people click arrives at the services."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import zxingcpp
from PIL import Image
from playwright.sync_api import Browser, Locator, expect

from services.common.errors import FailedPrecondition
from services.gateway.service import Gateway
from services.rpc.boardloop.collector.v1 import collector_pb2 as c
from services.rpc.boardloop.deployer.v1 import deployer_pb2 as d
from services.rpc.boardloop.trainer.v1 import trainer_pb2 as t
from tests.browser import Tab, open_tab
from tests.gateway.canned import BOARDS, World, cell_jpeg, converted
from tests.gateway.canned_detection import detect, detector
from tests.gateway.conftest import PASSWORD, make_token, settings_for

ROOMS = ("datasets", "training", "models", "boards")


@dataclass
class Site:
    """A running gateway with pages over canned services."""

    world: World
    gateway: Gateway
    project: str
    cookie: str = ""


def start_site(key: str, folder: Path) -> Site:
    world = World(key)
    project = world.collector.fill(100)
    world.deployer.fill(project)
    gateway = Gateway(settings_for(world, key, folder))
    gateway.start()
    return Site(world, gateway, project)


@pytest.fixture(scope="module")
def site(service_key: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = start_site(service_key, tmp_path_factory.mktemp("site"))
    make_token(site.gateway)
    site.cookie = site.gateway.accounts.login("admin", PASSWORD).token
    yield site
    site.gateway.stop()
    site.world.close()


@pytest.fixture
def tab(browser: Browser, site: Site) -> Iterator[Tab]:
    """Logged in; a test fails when its page reports an error or asks another host for something."""
    context = browser.new_context(viewport={"width": 1360, "height": 860}, locale="en-GB")
    context.add_cookies([{"name": "boardloop_session", "value": site.cookie, "url": site.gateway.url}])
    tab = open_tab(context, site.gateway.url)
    yield tab
    context.close()
    assert tab.silent(), tab.complaints


def test_the_first_login_leads_to_an_own_password_and_then_in(
    browser: Browser, service_key: str, tmp_path: Path
) -> None:
    site = start_site(service_key, tmp_path)
    context = browser.new_context(locale="en-GB")
    tab = open_tab(context, site.gateway.url)
    tab.go("/projects/0123456789ab/boards")
    tab.at("login-name").fill("admin")
    tab.at("login-password").fill("not the password")
    tab.at("login-submit").click()
    expect(tab.at("login-error")).to_have_text("Name or password is not right.")
    tab.at("login-password").fill(site.gateway.first_password or "")
    tab.at("login-submit").click()
    tab.page.wait_for_url("**/password")
    tab.at("password-current").fill(site.gateway.first_password or "")
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
    site.gateway.stop()
    site.world.close()


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


def test_a_new_capture_appears_by_itself(tab: Tab, site: Site) -> None:
    tab.go(f"/projects/{site.project}/datasets")
    expect(tab.at("capture")).to_have_count(72)
    capture = site.world.collector.press(BOARDS[0], "defective")
    expect(tab.at("capture").first).to_have_attribute("data-id", capture.id)
    tab.at("more").click()
    expect(tab.at("capture")).to_have_count(len(site.world.collector.captures))


def test_filters_show_counts_and_choose(tab: Tab, site: Site) -> None:
    tab.go(f"/projects/{site.project}/datasets")
    captures = list(site.world.collector.captures.values())
    some = [one for one in captures if one.label == "defective"]
    expect(tab.at("filter-defective")).to_contain_text(str(len(some)))
    tab.at("filter-defective").click()
    expect(tab.at("capture")).to_have_count(len(some))
    tab.choose("filter-board", f"{BOARDS[1]} · {sum(one.board_id == BOARDS[1] for one in captures)}")
    expect(tab.at("capture")).to_have_count(sum(one.board_id == BOARDS[1] for one in some))
    tab.at("filter-all").click()
    expect(tab.at("filter-all")).to_contain_text(str(len(site.world.collector.captures)))


def test_captures_are_relabelled_and_deleted(tab: Tab, site: Site) -> None:
    tab.go(f"/projects/{site.project}/datasets")
    tiles = tab.at("capture")
    first, second = (tiles.nth(place).get_attribute("data-id") or "" for place in (0, 1))
    tab.at("capture", id=first).click()
    tab.at("capture", id=second).click()
    expect(tab.at("selection")).to_contain_text("2 selected")
    tab.choose("relabel", "functional")
    expect(tab.at("selection")).to_be_hidden()
    expect(tab.at("capture", id=first)).to_contain_text("functional")
    assert site.world.collector.captures[second].label == "functional"
    tab.at("capture", id=second).click()
    tab.at("delete").click()
    tab.at("delete-confirm").click()
    expect(tab.at("capture", id=second)).to_have_count(0)
    assert second not in site.world.collector.captures


def test_a_capture_is_looked_at(tab: Tab, site: Site) -> None:
    tab.go(f"/projects/{site.project}/datasets")
    tab.at("capture").nth(2).hover()
    tab.at("zoom").nth(2).click()
    expect(tab.at("photo")).to_contain_text("224 × 224")
    expect(tab.at("selection")).to_be_hidden()


def test_files_are_uploaded_with_a_label(tab: Tab, site: Site) -> None:
    tab.go(f"/projects/{site.project}/datasets")
    tab.may_fail = True  # one of the files
    tab.at("upload").click()
    tab.choose("upload-label", "defective")
    files = [("a.jpg", cell_jpeg(7001, True)), ("same.jpg", cell_jpeg(7001, True)), ("no.jpg", b"GIF89a")]
    tab.at("upload-files").set_input_files(
        [{"name": name, "mimeType": "image/jpeg", "buffer": data} for name, data in files]
    )
    expect(tab.at("upload-state")).to_have_text("1 pictures stored, 1 were there already")
    expect(tab.at("upload-error")).to_have_text("no.jpg: The file is not a JPEG. Save it as JPEG.")
    uploaded = next(reversed(site.world.collector.captures.values()))
    assert (uploaded.label, uploaded.board_id) == ("defective", "")
    expect(tab.at("capture").first).to_have_attribute("data-id", uploaded.id)


def test_a_version_is_made_and_trained(tab: Tab, site: Site) -> None:
    tab.go(f"/projects/{site.project}/datasets")
    number = len(site.world.collector.versions) + 1
    tab.at("new-version").click()
    tab.at("version-share").fill("25")
    tab.at("version-create").click()
    expect(tab.at("version").first).to_contain_text(f"v{number}")
    assert site.world.collector.versions[0].validation_share == 0.25
    tab.at("version-train").first.click()
    expect(tab.page.get_by_text(f"Version {number} · ")).to_be_visible()
    tab.at("train-epochs").fill("6")
    tab.at("train-more").click()
    tab.at("train-drop").fill("3.5")
    tab.at("train-advanced").click()
    tab.at("train-dropout").fill("0.4")
    tab.at("train-balance_classes").click()
    count = len(site.world.trainer.jobs)
    tab.at("train-start").click()
    expect(tab.at("job")).to_have_count(count + 1)
    job = next(reversed(site.world.trainer.jobs.values()))
    assert (job.parameters.epochs, job.version_id) == (6, site.world.collector.versions[0].id)
    assert job.parameters.max_accuracy_drop == 0.035
    assert (job.parameters.dropout, job.parameters.balance_classes, job.parameters.ema) == (0.4, True, 0.99)


def test_a_training_goes_on_from_a_model_with_its_parameters(tab: Tab, site: Site) -> None:
    trained = started(site, tab)
    parameters = site.world.trainer.jobs[trained].parameters
    parameters.epochs, parameters.dropout, parameters.optimizer = 7, 0.35, "sgd"
    model = site.world.trainer.finish(trained)
    tab.go(f"/projects/{site.project}/models?model={model}")
    tab.at("model-train-on").click()
    expect(tab.at("train-epochs")).to_have_value("7")
    count = len(site.world.trainer.jobs)
    tab.at("train-start").click()
    expect(tab.at("job")).to_have_count(count + 1)
    asked = next(reversed(site.world.trainer.jobs.values())).parameters
    assert (asked.weights, asked.epochs, asked.dropout, asked.optimizer) == (f"model:{model}", 7, 0.35, "sgd")


def started(site: Site, tab: Tab) -> str:
    """A job that this tab looks at."""
    tab.go(f"/projects/{site.project}/training")
    count = len(site.world.trainer.jobs)
    tab.at("train-start").click()
    expect(tab.at("job")).to_have_count(count + 1)
    job = next(reversed(site.world.trainer.jobs))
    expect(tab.at("job-view")).to_contain_text(job)
    return job


def test_a_training_is_seen_live_until_its_model(tab: Tab, site: Site) -> None:
    job = started(site, tab)
    site.world.trainer.advance(job, 9)
    expect(tab.at("job-view")).to_contain_text("Epoch 9 / 15")
    expect(tab.at("job-log")).to_contain_text("epoch 9: loss")
    expect(tab.at("chart").locator("canvas")).to_have_count(2)
    model = site.world.trainer.finish(job)
    expect(tab.at("job-state", state="DONE")).to_be_visible()
    expect(tab.at("job-stop")).to_be_hidden()
    tab.at("job-model").click()
    expect(tab.at("model-view", id=model)).to_be_visible()


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


def test_the_form_has_the_defaults_of_the_version_s_task(tab: Tab, site: Site) -> None:
    versions = site.world.collector.versions
    for version in versions:
        version.task = c.TASK_DETECTION
    try:
        started(site, tab)
        asked = next(reversed(site.world.trainer.jobs.values())).parameters
        assert (asked.zoom, asked.weight_decay, asked.rotate, asked.head) == (0.35, 0.02, 0, "")
    finally:
        for version in versions:
            version.task = c.TASK_CLASSIFICATION


def test_a_waiting_training_shows_its_place_and_takes_a_priority(tab: Tab, site: Site) -> None:
    job = started(site, tab)
    expect(tab.at("job-view")).to_contain_text("place 1 in the queue")
    tab.choose("job-priority", "High")
    expect(tab.at("job-view")).to_contain_text("priority 10")
    assert site.world.trainer.jobs[job].priority == 10
    site.world.trainer.advance(job, 1)
    expect(tab.at("job-priority")).to_be_hidden()


def test_a_training_is_stopped_and_a_failed_one_resumed(tab: Tab, site: Site) -> None:
    job = started(site, tab)
    tab.at("job-stop").click()
    expect(tab.at("job-state", state="STOPPED")).to_be_visible()
    one = site.world.trainer.jobs[job]
    one.state, one.error = 6, "loss became NaN in epoch 3"
    expect(tab.at("job-error")).to_have_text("loss became NaN in epoch 3")
    tab.at("job-resume").click()
    expect(tab.at("job-state", state="QUEUED")).to_be_visible()
    expect(tab.at("job-error")).to_be_hidden()


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


def keep(tab: Tab, name: str) -> None:
    """A picture of the whole page for whoever writes the docs, in the folder that BOARDLOOP_SHOTS names."""
    if folder := os.environ.get("BOARDLOOP_SHOTS"):
        tab.page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


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


def test_boards_move_by_themselves(tab: Tab, site: Site) -> None:
    tab.go(f"/projects/{site.project}/boards")
    board = site.world.deployer.boards[BOARDS[1]]
    expect(tab.at("board", id=BOARDS[1], update="DOWNLOADING")).to_contain_text("put aside: 1")
    board.update_state, board.release_id = d.UPDATE_STATE_COMMITTED, board.desired_release_id
    expect(tab.at("board", id=BOARDS[1], update="COMMITTED")).to_contain_text("solar-cells-1")
    board.update_state, board.update_reason = d.UPDATE_STATE_FAILED, "GOLDEN_MISMATCH"
    expect(tab.at("board", id=BOARDS[1], update="FAILED")).to_contain_text("GOLDEN_MISMATCH")
    expect(tab.at("result")).to_have_count(8)
    site.world.deployer.results.insert(0, d.Result(board_id=BOARDS[0], top=1, score=0.91, milliseconds=40))
    expect(tab.at("result").first).to_contain_text("defective")


def test_a_board_is_paired_by_codes_that_a_camera_can_read(tab: Tab, site: Site) -> None:
    tab.go(f"/projects/{site.project}/boards")
    tab.at("pair").click()
    tab.at("wifi-ssid").fill("shop")
    tab.at("wifi-password").fill("secret-wifi")
    tab.at("wifi-show").click()
    assert seen_in(tab.at("wifi-qr")) == "WIFI:T:WPA;S:shop;P:secret-wifi;;"
    tab.at("pair-next").click()
    tab.at("board-name").fill("line 3")
    tab.at("pair-create").click()
    code = seen_in(tab.at("pair-qr"))
    expect(tab.at("pair-code")).to_have_text(code)
    expect(tab.at("pair-countdown")).to_contain_text("Valid for ")
    board = code.split(":")[2]
    expect(tab.at("board", id=board, state="PAIRING")).to_be_visible()
    site.world.deployer.boards[board].state = d.BOARD_STATE_ONLINE
    expect(tab.at("pair-done")).to_contain_text("line 3 is paired and online.")
    tab.at("pair-finish").click()
    expect(tab.at("pairing")).to_be_hidden()


def seen_in(picture: Locator) -> str:
    """What a camera reads from the screen."""
    picture.wait_for()
    codes = zxingcpp.read_barcodes(Image.open(io.BytesIO(picture.screenshot(animations="disabled"))))
    return str(codes[0].text)


def test_a_board_is_revoked(tab: Tab, site: Site) -> None:
    tab.go(f"/projects/{site.project}/boards")
    tab.at("board", id=BOARDS[0]).locator('[data-testid="revoke"]').click()
    tab.at("revoke-confirm").click()
    expect(tab.at("board", id=BOARDS[0], state="REVOKED")).to_be_visible()


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


def test_a_project_that_does_not_exist_is_told_so(tab: Tab) -> None:
    tab.go("/projects/ffffffffffff/models")
    expect(tab.at("empty")).to_contain_text("This project does not exist")


def test_a_click_takes_a_proposed_network_and_the_estimate_follows_the_form(tab: Tab, site: Site) -> None:
    tab.go(f"/projects/{site.project}/training")
    expect(tab.at("network")).to_have_count(3)
    expect(tab.at("network").first).to_contain_text("recommended")
    expect(tab.at("network").last).to_be_disabled()
    expect(tab.at("network").last).to_contain_text("1887436")
    tab.at("network").nth(1).click()
    expect(tab.at("network-estimate")).to_contain_text("MobileNetV1 0.25 · 160 × 160")
    tab.at("train-more").click()
    tab.at("train-input").click()
    tab.page.get_by_role("option", name="96 × 96").click()
    expect(tab.at("network-estimate")).to_contain_text("the KPU needs at least 4x4")
    tab.at("network").first.click()
    tab.at("train-start").click()
    expect(tab.at("job-view")).to_be_visible()
    asked = next(reversed(site.world.trainer.jobs.values())).parameters
    assert (asked.backbone, asked.input_size, asked.input_height) == ("mobilenet_v1_0.5", 224, 224)


def test_the_check_shows_problems_and_an_error_keeps_the_training_from_starting(tab: Tab, site: Site) -> None:
    trainer = site.world.trainer
    facts = {"most": "functional", "least": "defective", "ratio": "3.2"}
    warning = t.TrainingProblem(severity=t.SEVERITY_WARNING, code="imbalance", facts=facts)
    error = t.TrainingProblem(severity=t.SEVERITY_ERROR, code="of_tomorrow", message="It rains.", fix="Wait.")
    trainer.problems = [error, warning]
    tab.go(f"/projects/{site.project}/training")
    before = len(trainer.jobs)
    tab.at("train-start").click()
    expect(tab.at("problem")).to_have_count(2)
    expect(tab.at("problem").first).to_contain_text("It rains.")
    expect(tab.at("problem").last).to_contain_text("3.2 times as many of functional as of defective")
    expect(tab.at("preflight-counts")).to_contain_text("defective")
    assert len(trainer.jobs) == before
    trainer.problems = [warning]
    tab.at("train-check").click()
    expect(tab.at("problem")).to_have_count(1)
    tab.at("train-start").click()
    expect(tab.at("job")).to_have_count(before + 1)
    trainer.problems = []
