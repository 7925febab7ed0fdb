"""Job folders and uploads of the tiny scenes in tests/trainer/detection/drawn.py."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from services.trainer.detection import Truth
from tests.trainer.detection.drawn import LABELS, drawn_scenes

__all__ = ["LABELS", "QUICK", "scene_jpegs", "write_scenes"]

QUICK = {"head": "yolo2", "backbone": "tiny_cnn", "input_size": 96, "threads": 1, "batch_size": 8,
         "learning_rate": 6e-3, "warmup_epochs": 0.5, "shift": 0.0, "zoom": 0.0}  # fmt: skip


def scene_jpegs(count: int, size: int = 96, seed: int = 0) -> list[tuple[bytes, list[Truth]]]:
    """JPEGs and what is in them; every fourth is a background without objects."""
    images, truths = drawn_scenes(count, size, seed)
    images[::4] = np.random.default_rng(seed).integers(0, 80, images[::4].shape, np.uint8)
    return [(_jpeg(images[i]), truths[i] if i % 4 else []) for i in range(count)]


def write_scenes(folder: Path, train: int = 24, validation: int = 8, **config: Any) -> Path:
    """A job folder; keywords go to config.json."""
    (folder / "images").mkdir(parents=True)
    items = []
    for index, (picture, truths) in enumerate(scene_jpegs(train + validation)):
        file = f"images/{index:03d}.jpg"
        (folder / file).write_bytes(picture)
        split = "train" if index < train else "validation"
        boxes = [[LABELS[truth.label], list(truth.box)] for truth in truths]
        items.append({"id": f"capture{index:03d}", "file": file, "label": "", "split": split, "boxes": boxes})
    (folder / "items.json").write_text(json.dumps(items))
    (folder / "labels.json").write_text(json.dumps([*LABELS, "never marked"]))
    (folder / "config.json").write_text(json.dumps(QUICK | {"epochs": 2} | config))
    return folder


def _jpeg(image: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(image.transpose(1, 2, 0)).save(out, "JPEG", quality=90)
    return out.getvalue()
