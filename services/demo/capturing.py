"""Many presses of the shutter, with the collector taken away and brought back in the middle."""

from __future__ import annotations

import hashlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from rich.progress import Progress, TaskID

from services.allinone import AllInOne
from services.client import Client
from services.common.errors import DeadlineExceeded, Unavailable
from services.demo.cells import LABELS, Cell
from services.demo.pairing import Paired
from services.demo.report import Report
from services.demo.story import Story
from services.demo.waiting import wait_until
from services.virtualboard import camera
from services.virtualboard.board import VirtualBoard

__all__ = ["capture_all", "turn_wheel"]

AWAY_SECONDS = 5.0  # without a collector; the presses go on
PRESS_SECONDS = 60.0
STORED_SECONDS = 180.0
WHEEL = ("Label:", "Classify")  # what the display says of the wheel
WHEEL_TURNS = 8  # more long presses than the wheel has entries
NO_LABELS = "(none)"  # what the wheel has until the project's labels have come


def capture_all(
    story: Story,
    boardloop: AllInOne,
    client: Client,
    project: str,
    boards: Paired,
    cells: list[Cell],
) -> None:
    """One press per cell, half of them on each board; then every stored picture is compared with what was seen."""
    half_way = threading.Event()
    with story.bars() as progress, ThreadPoolExecutor() as pool:
        pressed, stored = (
            progress.add_task(story.t(key), total=len(cells), note="") for key in ("demo.pressed", "demo.stored")
        )

        def tick() -> None:
            progress.advance(pressed)
            if progress.tasks[pressed].completed >= len(cells) // 2:
                half_way.set()

        work = [
            pool.submit(_press_all, board, cells[number :: len(boards)], tick)
            for number, (_, board) in enumerate(boards)
        ]
        work.append(pool.submit(_take_collector_away, boardloop, half_way))
        look = partial(_all_stored, client, project, len(cells), progress, stored)
        wait_until(lambda: look() or all(task.done() for task in work), PRESS_SECONDS * len(cells), "the presses")
        for task in work:
            task.result()
        wait_until(look, STORED_SECONDS, "every capture to be stored")
        for board_id, board in boards:
            empty = partial(_outbox_empty, client, board_id)
            wait_until(empty, STORED_SECONDS, f"the outbox of {board.name} to be empty")
    _compare(client, project, cells, story.report)


def turn_wheel(board: VirtualBoard, entry: str) -> None:
    """Long presses until the board's wheel of labels stands on `entry`. DeadlineExceeded after a few turns."""
    stands = next((text for text in reversed(board.texts) if text.startswith(WHEEL)), "")
    for _ in range(WHEEL_TURNS):
        if NO_LABELS in stands:
            stands = board.wait_shown(lambda text: text.startswith(WHEEL) and NO_LABELS not in text, PRESS_SECONDS)
        if entry in stands:
            return
        board.press("long", wait=PRESS_SECONDS)
        stands = board.wait_shown(lambda text: text.startswith(WHEEL), PRESS_SECONDS)
    raise DeadlineExceeded(
        "NOT_ON_WHEEL", f"{board.name} has no {entry!r} on its wheel.", fix="See the demo's log.txt."
    )


def _press_all(board: VirtualBoard, cells: list[Cell], tick: Callable[[], None]) -> None:
    for label in LABELS:
        turn_wheel(board, label)
        for cell in cells:
            if cell.label == label:
                board.snap(cell.png, timeout=PRESS_SECONDS)
                tick()


def _take_collector_away(boardloop: AllInOne, half_way: threading.Event) -> None:
    half_way.wait()
    boardloop.stop_collector()
    time.sleep(AWAY_SECONDS)
    boardloop.start_collector()


def _all_stored(client: Client, project: str, count: int, progress: Progress, stored: TaskID) -> bool:
    try:
        total = client.get(f"/projects/{project}/captures/counts")["total"]
    except Unavailable:
        return False  # the collector is away
    progress.update(stored, completed=total)
    return bool(total >= count)


def _outbox_empty(client: Client, board_id: str) -> bool:
    return bool(client.get(f"/boards/{board_id}")["outbox"] == 0)


def _compare(client: Client, project: str, cells: list[Cell], report: Report) -> None:
    """Label and SHA-256 of what the cameras gave against what the data set holds, picture by picture."""
    sent = Counter((cell.label, hashlib.sha256(camera.capture(cell.png)).hexdigest()) for cell in cells)
    stored = Counter(_stored(client, project))
    lost, twice = (sent - stored).total(), (stored - sent).total()
    report.figure("captures_sent", sent.total())
    report.figure("captures_stored", stored.total())
    report.figure("captures_lost", lost)
    report.figure("captures_duplicated", twice)
    report.check("stored_once", lost == twice == 0)


def _stored(client: Client, project: str) -> Iterator[tuple[str, str]]:
    token = ""
    while True:
        page = client.get(f"/projects/{project}/captures", page_size=500, page_token=token)
        for capture in page["captures"]:
            jpeg = client.download(f"/captures/{capture['id']}/image")
            yield capture["label"], hashlib.sha256(jpeg).hexdigest()
        token = page["next_page_token"]
        if not token:
            return
