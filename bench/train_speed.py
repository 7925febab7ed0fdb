"""Training speed and what it leads to, beside Ultralytics' yolo11n-cls: equal pictures, cores, size, batch, wall time.

2,624 solar cells ──► 600 train, 100 validation (both choose their epoch by them), 1,924 test
                         ours: `epochs` epochs by a job's child process, some seconds ──► yolo11n-cls for as many

Seconds count, for both, from the first step to the end of the last validation; pictures a second are those trained on
in that time.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.ultralytics_peer import run_peer
from services.common.errors import Unavailable
from services.demo.cells import LABELS, Cell, fetch_wheel, read_cells
from services.trainer.children import Child
from services.trainer.config import TrainingConfig
from services.trainer.loop import load_checkpoint, predict
from services.trainer.pictures import Item, Pictures
from services.trainer.weights import fetch_default

__all__ = ["SpeedAsked", "race"]

SPLITS = (("train", 600), ("validation", 100), ("test", 1924))

# a cell has no up, but its bars lie across; its light tells which module it comes from
CHANGES = {"flip_vertical": True, "brightness": 0.03, "contrast": 0.03}


@dataclass(frozen=True)
class SpeedAsked:
    """What both train with."""

    backbone: str = "mobilenet_v1_0.5"
    size: int = 224
    epochs: int = 8
    batch: int = 16
    seed: int = 0


def race(cache: Path, folder: Path, asked: SpeedAsked) -> dict[str, Any]:
    """Figures of both; "peer" is a sentence where Ultralytics cannot be had."""
    cells = read_cells(fetch_wheel(cache), sum(count for _, count in SPLITS), asked.seed)
    items = _write(folder, cells)
    ours = _ours(cache, folder, items, asked)
    request = {
        "data": str(folder / "yolo"), "size": asked.size, "batch": asked.batch, "seconds": ours["seconds"],
    }  # fmt: skip
    try:
        peer: dict[str, Any] | str = run_peer(cache, "classify", request)
    except Unavailable as error:
        peer = str(error)
    return {"ours": ours, "peer": peer}


def _write(folder: Path, cells: list[Cell]) -> list[Item]:
    """The same files for both: as a job folder, and as a folder a label in a folder a split."""
    items, rest = [], iter(cells)
    (folder / "images").mkdir(parents=True)
    for split, count in SPLITS:
        for cell in (next(rest) for _ in range(count)):
            file = folder / "images" / f"{cell.name}.png"
            file.write_bytes(cell.png)
            items.append(Item(cell.name, f"images/{file.name}", cell.label, split))
            link = folder / "yolo" / {"validation": "val"}.get(split, split) / cell.label / file.name
            link.parent.mkdir(parents=True, exist_ok=True)
            link.hardlink_to(file)
    kept = [asdict(item) for item in items if item.split != "test"]
    (folder / "items.json").write_text(json.dumps(kept))
    (folder / "labels.json").write_text(json.dumps(LABELS))
    return items


def _ours(cache: Path, folder: Path, items: list[Item], asked: SpeedAsked) -> dict[str, Any]:
    config = TrainingConfig.model_validate(
        {"backbone": asked.backbone, "input_size": asked.size, "epochs": asked.epochs, "batch_size": asked.batch,
         "weights": str(fetch_default(cache)), "seed": asked.seed, **CHANGES}
    )  # fmt: skip
    (folder / "config.json").write_text(config.model_dump_json())
    began = seconds = 0.0
    epochs = 0
    for event in Child("services.trainer.loop", str(folder), stderr=folder / "train.log").events():
        if event["type"] == "log" and not began:  # pictures and network are read, the first step begins
            began = time.monotonic()
        elif event["type"] == "epoch":
            epochs, seconds = event["epoch"], time.monotonic() - began
    test = [item for item in items if item.split == "test"]
    pictures = Pictures(folder, test, asked.size, asked.size, 0)[range(len(test))]
    truth = np.array([LABELS.index(item.label) for item in test])
    answers = predict(load_checkpoint(folder / "best.pt").model, pictures).argmax(1)
    return {
        "images_per_s": dict(SPLITS)["train"] * epochs / seconds,
        "seconds": seconds,
        "epochs": epochs,
        "accuracy": float((answers == truth).mean()),
        "test": len(test),
    }
