"""The boards classify photographs they never sent; the answers are compared with a simulation of the model file."""

from __future__ import annotations

from typing import Any

import numpy as np

from services.client import Client
from services.demo.capturing import turn_wheel
from services.demo.cells import LABELS, Cell
from services.demo.pairing import Paired
from services.demo.report import Report
from services.demo.story import Story
from services.demo.training import TARGET
from services.demo.waiting import wait_until
from services.trainer.convert import simulator
from services.virtualboard import camera

__all__ = ["classify_all"]

SECONDS = 60.0
TOLERANCE = 1e-4  # the board prints floats with 7 digits
CLASSIFY = "Classify"  # the wheel's last entry, as the display says it


def classify_all(
    story: Story,
    client: Client,
    project: str,
    model: dict[str, Any],
    release: str,
    boards: Paired,
    cells: list[Cell],
) -> None:
    """Figures: predictions on the boards, how many equal the simulation, how many are right."""
    size = model["input_size"]
    pixels = [camera.network_input(cell.png, size, size) for cell in cells]
    expected = simulator(TARGET, client.download(f"/models/{model['id']}/files/{TARGET}")).run(np.stack(pixels))
    truth = {
        camera.frame_id(frame): (logits, cell) for frame, logits, cell in zip(pixels, expected, cells, strict=True)
    }
    results: list[dict[str, Any]] = []
    with story.bars() as progress:
        for board_id, board in boards:
            bar = progress.add_task(board.name, total=len(cells), note="")
            turn_wheel(board, CLASSIFY)
            for number, cell in enumerate(cells, start=1):
                board.snap(cell.png, timeout=SECONDS)
                wait_until(lambda: len(_results(client, project, board_id)) >= number, SECONDS, "a result")  # noqa: B023
                progress.advance(bar)
            results += _results(client, project, board_id)
    _figures(results, truth, release, len(cells) * len(boards), story.report)


def _results(client: Client, project: str, board_id: str) -> list[dict[str, Any]]:
    answer: list[dict[str, Any]] = client.get(f"/projects/{project}/results", board_id=board_id, limit=1000)
    return answer


def _figures(
    results: list[dict[str, Any]],
    truth: dict[str, tuple[np.ndarray[Any, Any], Cell]],
    release: str,
    asked: int,
    report: Report,
) -> None:
    equal = right = 0
    for result in results:
        logits, cell = truth.get(result["frame"], (None, None))
        if logits is None or cell is None or result["release_id"] != release:
            continue
        equal += bool(np.allclose(result["logits"], logits, rtol=0, atol=TOLERANCE)) and result["top"] == int(
            logits.argmax()
        )
        right += LABELS[result["top"]] == cell.label
    report.figure("board_predictions", len(results))
    report.figure("board_equal_simulated", equal / asked, f"{equal / asked:.0%}")
    report.figure("board_accuracy", round(right / asked, 4), f"{right / asked:.0%}")
    report.check("equal", equal == asked == len(results))
