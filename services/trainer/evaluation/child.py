"""`python -m services.trainer.evaluation.child FOLDER`: the child process of an evaluation.

FOLDER/request.json, model.bin   ──►  answers.jsonl    a line a picture; a run started again goes on after the last
FOLDER/items.json, images/       ──►  answers.jsonl.gz, summary.json    when every picture is answered

Events: {"type": "progress", done, total, seconds_left} · {"type": "log", message} · {"type": "done"} or "error"
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from services.common.errors import BoardloopError, InvalidInput
from services.trainer.children import error_event
from services.trainer.detection import Box, DetectorMap, Truth
from services.trainer.evaluate import softmax
from services.trainer.evaluation.answers import Answers, Classified, Detected, Facts, Picture, of_lines, to_line
from services.trainer.evaluation.networks import Outputs, open_network
from services.trainer.evaluation.request import Request
from services.trainer.evaluation.summary import summarise
from services.trainer.pictures import Item, Pictures
from services.trainer.unreadable import leave_out_unreadable

__all__ = ["MODEL", "PACKED", "SUMMARY", "evaluate_folder"]

Emit = Callable[[dict[str, Any]], None]
MODEL, PACKED, SUMMARY = "model.bin", "answers.jsonl.gz", "summary.json"
_LINES = "answers.jsonl"
_AT_ONCE = 32  # pictures in memory
_LEAST, _NMS = 0.005, 0.45  # as the training's own measure: average precision wants the unsure boxes too
_ORIENTATION = 0x0112  # EXIF: 5 to 8 lie on their side
_LUMA = np.array([0.299, 0.587, 0.114])  # Rec. 601, as JPEG's


def evaluate_folder(folder: Path, emit: Emit) -> None:
    """Answer every picture that has no answer yet, then write the packed answers and the summary."""
    request = Request.read(folder)
    if request.skip_unreadable:
        leave_out_unreadable(folder, emit)
    items = _items(folder, request)
    lines = _answered(folder / _LINES, _digest(folder))
    left = [item for item in items if item.id not in {json.loads(line)["id"] for line in lines}]
    emit({"type": "progress", "done": len(lines), "total": len(items), "seconds_left": 0.0})
    if left:
        _answer(folder, request, left, len(items), emit)
        lines = _answered(folder / _LINES, _digest(folder))
    order = {item.id: place for place, item in enumerate(items)}
    pictures = sorted(of_lines(request.task, lines), key=lambda one: order[one.facts.capture_id])
    answers = Answers(request.task, request.all_labels, len(request.labels), tuple(pictures))
    (folder / SUMMARY).write_text(json.dumps(summarise(answers, request.confidence).to_dict()))
    (folder / PACKED).write_bytes(answers.pack())
    emit({"type": "done"})


def _answer(folder: Path, request: Request, items: Sequence[Item], total: int, emit: Emit) -> None:
    network = open_network(folder / MODEL, request)
    pictures = Pictures(folder, items, request.width, request.height, budget=0)
    done, began = total - len(items), time.monotonic()
    with (folder / _LINES).open("a") as out:
        for start in range(0, len(items), _AT_ONCE):
            chosen = range(start, min(start + _AT_ONCE, len(items)))
            images = pictures[chosen]
            answered = _pictures(folder, request, [items[i] for i in chosen], images, network(images))
            out.write("".join(json.dumps(to_line(one)) + "\n" for one in answered))
            out.flush()
            now = start + len(chosen)
            seconds = (time.monotonic() - began) * (len(items) - now) / now
            emit({"type": "progress", "done": done + now, "total": total, "seconds_left": seconds})


def _pictures(
    folder: Path, request: Request, items: Sequence[Item], images: npt.NDArray[np.uint8], outputs: Outputs
) -> Sequence[Picture]:
    facts = _facts(request, items, images)
    if request.task == "detection":
        return _detected(folder, request, items, facts, outputs)
    if outputs.shape[1] != len(request.labels):
        raise InvalidInput(
            "EVALUATION_SHAPE",
            f"The model puts out {outputs.shape[1]} values for {len(request.labels)} labels.",
            fix="Convert the model again.",
        )
    return [
        Classified(fact, request.all_labels.index(item.label), tuple(float(score) for score in scores))
        for fact, item, scores in zip(facts, items, softmax(outputs), strict=True)
    ]


def _detected(
    folder: Path, request: Request, items: Sequence[Item], facts: Sequence[Facts], outputs: Outputs
) -> list[Detected]:
    told = DetectorMap(request.head, len(request.labels), request.anchors)
    found = told.found(outputs, told.grid(outputs.shape[1], request.width, request.height), _LEAST, _NMS)
    labels = request.all_labels
    return [
        Detected(
            fact,
            _size(folder / item.file),
            tuple(Truth(labels.index(label), Box(*box)) for label, box in item.boxes or ()),
            tuple(boxes),
        )
        for fact, item, boxes in zip(facts, items, found, strict=True)
    ]


def _size(path: Path) -> tuple[int, int]:
    """Width and height of a picture as it is looked at, from its head alone."""
    with Image.open(path) as picture:
        width, height = picture.size
        turned = picture.getexif().get(_ORIENTATION, 1) >= 5
    return (height, width) if turned else (width, height)


def _facts(request: Request, items: Sequence[Item], images: npt.NDArray[np.uint8]) -> list[Facts]:
    """Brightness is measured on the network's input: shrinking keeps the mean."""
    seen = set(request.seen)
    brightness = images.mean(axis=(2, 3)) @ _LUMA / 255
    return [
        Facts(item.id, item.board, float(light), item.id in seen) for item, light in zip(items, brightness, strict=True)
    ]


def _items(folder: Path, request: Request) -> list[Item]:
    items = [Item(**entry) for entry in json.loads((folder / "items.json").read_text())]
    chosen = [item for item in items if request.part in ("all", item.split)]
    if not chosen:
        raise InvalidInput(
            "EVALUATION_EMPTY",
            f"The {request.part} part of the version has no pictures.",
            fix="Choose another part, or another version.",
        )
    return chosen


def _digest(folder: Path) -> str:
    """Of all that the answers depend on beside the pictures."""
    return hashlib.sha256((folder / "request.json").read_bytes() + (folder / MODEL).read_bytes()).hexdigest()


def _answered(path: Path, digest: str) -> list[str]:
    """The whole lines of an earlier run with the same model and request; begins the file where there is none."""
    head = json.dumps({"digest": digest})
    known = path.read_text().split("\n") if path.exists() else [""]
    lines = known[1:-1] if known[0] == head else []  # after the last newline: nothing, or half a line
    path.write_text("".join(f"{line}\n" for line in (head, *lines)))
    return lines


def main(arguments: list[str]) -> int:
    """Print the events; 0 when done, 1 after an error event."""
    os.nice(5)

    def emit(event: dict[str, Any]) -> None:
        print(json.dumps(event), flush=True)

    try:
        evaluate_folder(Path(arguments[0]), emit)
    except BoardloopError as error:
        emit(error_event(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
