"""What a new user does, in Chromium against the running loop: from the first login to a model that runs on two boards.

With BOARDLOOP_SCREENSHOTS=<folder> it leaves pictures of every page there, of more (drawn) cells and a full training:
docs/pictures is made this way.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Locator, expect

from services.allinone import AllInOne
from services.client import Client
from services.trainer.settings import TrainerSettings
from services.trainer.weights import default_weights
from services.virtualboard import Profile, VirtualBoard, VirtualBoards
from tests.browser import Tab, open_tab
from tests.e2e.loop import PASSWORD, SECONDS, TRAINING_SECONDS, Person, Station, uploaded
from tests.e2e.pictures import LABELS, cell

WIFI = ("Line hall", "solar; cells 2026")
PATIENCE = SECONDS * 1000
TARGET = "k210-kmodel-v3"
KMODEL_V3 = b"\x03\x00\x00\x00"
AT_A_TIME = 10
PHONE = {"width": 390, "height": 844}
Picture = tuple[str, bytes]
"""Label and PNG."""


@dataclass
class Scene:
    """How big the walk is: quick as a test, full when its pictures are wanted."""

    shots: Path | None = field(default_factory=lambda: _folder("BOARDLOOP_SCREENSHOTS"))
    cache: Path = field(default_factory=lambda: TrainerSettings().cache_dir)

    @property
    def weights(self) -> str:
        return "ImageNet weights" if default_weights(self.cache).is_file() else "Random weights"

    def pictures(self) -> tuple[list[Picture], list[Picture]]:
        """What is pressed, and what is only classified in the end."""
        count = 120 if self.shots else 10
        pairs = [(label, cell(label, n)) for n in range(count + 4) for label in [LABELS[n % 2]]]
        return pairs[:count], pairs[count:]


def _folder(variable: str) -> Path | None:
    return Path(os.environ[variable]) if os.environ.get(variable) else None


@dataclass
class Walk:
    """The person at the browser, with two boards on the table."""

    tab: Tab
    boardloop: AllInOne
    fleet: VirtualBoards
    scene: Scene
    project: str = ""
    stations: list[Station] = field(default_factory=list)

    def room(self, name: str) -> None:
        """By the navigation, as a person goes; marks the page, so that a reload would be noticed."""
        self.tab.at(f"nav-{name}").click()
        self.tab.page.wait_for_url(re.compile(f"/{name}$"))
        self.tab.page.evaluate("window.neverReloaded = true")

    def check_not_reloaded(self) -> None:
        assert self.tab.page.evaluate("window.neverReloaded === true"), "the page was loaded again"

    def shot(self, name: str) -> None:
        """A picture of the page for the README, when they are wanted."""
        if self.scene.shots is not None:
            self.tab.page.wait_for_load_state("networkidle")
            self.tab.page.wait_for_timeout(600)  # charts and dialogs fade in
            self.tab.page.screenshot(path=self.scene.shots / f"{name}.png")


@pytest.fixture
def walk(browser: Browser, boardloop: AllInOne, fleet: VirtualBoards) -> Iterator[Walk]:
    context = browser.new_context(viewport={"width": 1440, "height": 900}, locale="en-GB")
    tab = open_tab(context, boardloop.url)
    context.set_default_timeout(PATIENCE)
    expect.set_options(timeout=PATIENCE)
    yield Walk(tab, boardloop, fleet, Scene())
    context.close()
    assert tab.silent(), tab.complaints


def test_from_the_first_login_to_a_model_that_runs_on_two_boards(walk: Walk) -> None:
    log_in(walk)
    make_project(walk)
    for name in ("line 1", "line 2"):
        pair(walk, name)
    pressed, fresh = walk.scene.pictures()
    captures_appear(walk, pressed)
    filter_by_label(walk, pressed)
    make_version(walk)
    train(walk)
    compare_model(walk)
    release(walk)
    classify(walk, fresh)
    in_chinese_and_on_a_phone(walk)


def log_in(walk: Walk) -> None:
    tab, one_time = walk.tab, walk.boardloop.first_password or ""
    tab.go("/")
    tab.page.wait_for_url(re.compile("/login"))
    walk.shot("login")
    tab.at("login-name").fill("admin")
    tab.at("login-password").fill(one_time)
    tab.at("login-submit").click()
    tab.page.wait_for_url("**/password")
    tab.at("password-current").fill(one_time)
    tab.at("password-new").fill(PASSWORD)
    tab.at("password-repeat").fill(PASSWORD)
    tab.at("password-submit").click()
    expect(tab.at("empty")).to_be_visible()


def make_project(walk: Walk) -> None:
    tab = walk.tab
    tab.at("new-project").click()
    tab.at("project-name").fill("Solar cells")
    tab.at("project-labels").fill("\n".join(LABELS))
    tab.at("project-create").click()
    tab.page.wait_for_url("**/projects/*/datasets")
    walk.project = tab.page.url.split("/")[-2]
    expect(tab.at("filter-defective")).to_contain_text("0")


def pair(walk: Walk, name: str) -> None:
    """The board's camera sees what stands on the screen, pixel by pixel; nothing is typed into it."""
    tab = walk.tab
    board = walk.fleet.add(name.replace(" ", "-"), Profile(wifi=WIFI))
    walk.room("boards")
    tab.at("pair").click()
    ssid, password = WIFI
    tab.at("wifi-ssid").fill(ssid)
    tab.at("wifi-password").fill(password)
    tab.at("wifi-show").click()
    board.look_at(on_screen(tab.at("wifi-qr")))
    board.start()
    board.wait_shown("Show the pairing code", SECONDS)
    tab.at("pair-next").click()
    tab.at("board-name").fill(name)
    tab.at("pair-create").click()
    code = on_screen(tab.at("pair-qr"))
    if walk.stations:
        walk.shot("pairing")
    board.look_at(code)
    expect(tab.at("pair-done")).to_contain_text(name)
    tab.at("pair-finish").click()
    expect(tab.at("board", state="ONLINE")).to_have_count(len(walk.stations) + 1)
    walk.check_not_reloaded()
    board.wait_shown("Label:", SECONDS)
    walk.stations.append(Station(board_id(tab, name), board))


def on_screen(code: Locator) -> bytes:
    """PNG of what stands there on the screen."""
    code.wait_for()
    return code.screenshot(animations="disabled")


def board_id(tab: Tab, name: str) -> str:
    return str(tab.at("board").filter(has_text=name).get_attribute("data-id"))


def captures_appear(walk: Walk, pressed: list[Picture]) -> None:
    tab = walk.tab
    walk.room("datasets")
    expect(tab.at("empty")).to_be_visible()
    first, second = walk.stations
    half = len(pressed) // 2
    press_all(first.board, pressed[:1])
    expect(tab.at("capture")).to_have_count(1)
    with ThreadPoolExecutor() as pool:
        work = [
            pool.submit(press_all, first.board, pressed[1:half]),
            pool.submit(press_all, second.board, pressed[half:]),
        ]
        for task in work:
            task.result()
    expect(tab.at("filter-all")).to_contain_text(str(len(pressed)))
    expect(tab.at("capture")).to_have_count(min(len(pressed), 72))
    walk.check_not_reloaded()
    picture = tab.at("capture").first.locator("img")
    tab.page.wait_for_function("image => image.complete && image.naturalWidth > 0", arg=picture.element_handle())
    walk.shot("datasets")


def press_all(board: VirtualBoard, pictures: list[Picture]) -> None:
    """A label after the other, some of each at a time: nobody turns the wheel for every picture."""
    for start in range(0, len(pictures), AT_A_TIME):
        for label in LABELS:
            some = [picture for known, picture in pictures[start : start + AT_A_TIME] if known == label]
            Person.press(Station("", board), label, some)


def filter_by_label(walk: Walk, pressed: list[Picture]) -> None:
    tab = walk.tab
    defective = sum(label == "defective" for label, _ in pressed)
    tab.at("filter-defective").click()
    expect(tab.at("capture")).to_have_count(min(defective, 72))
    expect(tab.at("capture").first).to_contain_text("defective")
    tab.at("capture").first.hover()
    tab.at("zoom").first.click()
    expect(tab.at("photo")).to_contain_text("224 × 224")
    tab.page.keyboard.press("Escape")
    expect(tab.at("photo")).to_be_hidden()
    tab.at("filter-all").click()
    expect(tab.at("capture")).to_have_count(min(len(pressed), 72))


def make_version(walk: Walk) -> None:
    tab = walk.tab
    if walk.scene.shots is None:  # more to learn from, without pressing for it
        before = tab.at("capture").count()
        uploaded(walk.boardloop.url, walk.project, 36)
        expect(tab.at("capture")).to_have_count(before + 36)
    tab.at("new-version").click()
    tab.at("version-share").fill("25")
    tab.at("version-create").click()
    expect(tab.at("version")).to_contain_text("v1")
    walk.check_not_reloaded()
    tab.at("version-train").click()
    tab.page.wait_for_url(re.compile("/training.version="))


def train(walk: Walk) -> None:
    """State, curves, progress and log move while the page only lies there."""
    tab = walk.tab
    tab.page.evaluate("window.neverReloaded = true")
    tab.choose("train-weights", walk.scene.weights)
    epochs = 15 if walk.scene.shots else 12
    tab.at("train-epochs").fill(str(epochs))
    tab.at("train-start").click()
    view = tab.at("job-view")
    expect(view).to_contain_text(re.compile(rf"Epoch [1-9] / {epochs}"))
    log, curves, bar = tab.at("job-log").inner_text(), drawn(tab), progress(tab)
    expect(tab.at("job-log")).not_to_have_text(log)
    expect(view).to_contain_text(f"Epoch {epochs} / {epochs}", timeout=TRAINING_SECONDS * 1000)
    tab.page.wait_for_timeout(400)  # the curve's own animation
    assert drawn(tab) != curves
    assert progress(tab) > bar
    expect(tab.at("job-state", state="DONE")).to_be_visible(timeout=TRAINING_SECONDS * 1000)
    expect(view).to_contain_text("100%")
    walk.check_not_reloaded()
    walk.shot("training")
    tab.at("job-model").click()
    expect(tab.at("model-view")).to_be_visible()


def drawn(tab: Tab) -> list[str]:
    """The pixels of both charts."""
    return [str(pixels) for pixels in tab.page.locator("canvas").evaluate_all("all => all.map(one => one.toDataURL())")]


def progress(tab: Tab) -> float:
    bar = tab.page.locator("section:has([data-testid=job-state]) .bar > div").first
    return float(re.findall(r"width:\s*([\d.]+)%", str(bar.get_attribute("style")))[0])


def compare_model(walk: Walk) -> None:
    """What the page shows is what the API says; the file is a kmodel of version 3."""
    tab = walk.tab
    with Client.login(walk.boardloop.url, "admin", PASSWORD, "walk") as client:
        model = client.get(f"/models/{tab.at('model-view').get_attribute('data-id')}")
    file = next(file for file in model["files"] if file["target"] == TARGET)
    for share in (model["evaluation"]["accuracy"], file["evaluation"]["accuracy"], file["agreement"]):
        expect(tab.at("figures")).to_contain_text(f"{share * 100:.1f} %")
    cells_shown = [int(text) for text in tab.at("confusion").locator(".cell").all_inner_texts()]
    assert cells_shown == [*model["evaluation"]["confusion"], *file["evaluation"]["confusion"]]
    assert sum(cells_shown) == 2 * model["evaluation"]["images"] > 0
    with tab.page.expect_download() as download:
        tab.at("model-download").click()
        tab.at(f"download-{TARGET}").click()
    content = Path(download.value.path()).read_bytes()
    assert content[:4] == KMODEL_V3 and len(content) == file["size_bytes"]
    walk.shot("models")


def release(walk: Walk) -> None:
    tab = walk.tab
    tab.at("model-release").click()
    tab.at("release-name").fill("spring")
    tab.at("release-submit").click()
    tab.page.wait_for_url("**/boards")
    tab.page.evaluate("window.neverReloaded = true")
    expect(tab.at("board", update="COMMITTED")).to_have_count(2)
    expect(tab.at("release", state="DONE")).to_contain_text("spring")
    for station in walk.stations:
        expect(tab.at("board", id=station.id)).to_contain_text("spring")
    walk.check_not_reloaded()


def classify(walk: Walk, fresh: list[Picture]) -> None:
    """What stands on a board's display stands on the page a moment later."""
    tab = walk.tab
    for place, (_, picture) in enumerate(fresh):
        station = walk.stations[place % 2]
        while station.board.shown != "Classify" and not station.board.shown.startswith("Result"):
            station.board.press("long", wait=SECONDS)
            station.board.wait_shown(lambda text: text.startswith(("Label:", "Classify")), SECONDS)
        station.board.snap(picture, timeout=SECONDS)
        said = station.board.wait_shown("Result:", SECONDS)
        expect(tab.at("result")).to_have_count(min(place + 1, 12))
        newest = tab.at("result").first
        expect(newest).to_contain_text(said.split()[1])
        expect(newest).to_contain_text("line 1" if place % 2 == 0 else "line 2")
    walk.check_not_reloaded()
    walk.shot("boards")


def in_chinese_and_on_a_phone(walk: Walk) -> None:
    tab = walk.tab
    tab.at("language").click()
    expect(tab.at("nav-boards")).to_contain_text("开发板")
    expect(tab.at("board", update="COMMITTED")).to_have_count(2)
    walk.shot("boards-zh")
    tab.at("language").click()
    expect(tab.at("nav-boards")).to_contain_text("Boards")
    tab.go("/")
    expect(tab.at("project")).to_contain_text("Solar cells")
    walk.shot("projects")
    tab.page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    shown = {"datasets": "capture", "training": "job-view", "models": "model-view", "boards": "board"}
    for room, mark in shown.items():
        tab.go(f"/projects/{walk.project}/{room}")
        expect(tab.at(mark).first).to_be_visible()
        assert tab.page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, room
        walk.shot(f"phone-{room}")
