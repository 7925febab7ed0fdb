"""The solar cells of bench/train.py: split, training and measuring, all by the product's own code.

    2,624 cells in an order fixed by the seed     75 %  train, 2 % of them for the curve only
                                                  25 %  test: no training sees them, none chooses by them

One training from ImageNet's weights. The last epoch is kept, so that not even an epoch is chosen by pictures.

Network, size, rate and changes of the pictures were chosen on the 1,110 cells that are in the train part of each of
the seeds 0, 1 and 2, how moved pictures are sampled (bicubic) on two thirds against the rest of those in the train part
of each of the seeds 3, 4 and 5. The test parts of 0 to 2 were read while the trainer was made, those of 3 to 5 once.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from services.trainer.config import Backbone, TrainingConfig
from services.trainer.convert import ConvertOptions, convert, simulator
from services.trainer.loop import Data, fit, load_checkpoint, predict
from services.trainer.model import to_graph
from services.trainer.pictures import Item, Pictures, read_items
from services.trainer.published import fetch, published

__all__ = ["LABELS", "Measured", "Recipe", "measure", "train_cells", "write_folder"]

TARGET = "k210-kmodel-v3"
TRAIN_SHARE, CURVE_SHARE = 0.75, 0.02
CALIBRATION = 64
LABELS = ("functional", "defective")
Emit = Callable[[dict[str, Any]], None]
Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Recipe:
    """What may be varied; 256 is as large a square as a K210's accelerator takes."""

    cache: Path
    backbone: Backbone = "mobilenet_v1_1.0_cut8"
    size: int = 256
    epochs: int = 40

    def config(self, seed: int) -> TrainingConfig:
        """A cell has no up and no left: it is mirrored both ways and turned by quarters."""
        weights = published(self.backbone)
        assert weights is not None
        return TrainingConfig.model_validate(
            {"backbone": self.backbone, "input_size": self.size, "weights": str(fetch(weights, self.cache)),
             "epochs": self.epochs, "batch_size": 64, "learning_rate": 1e-3, "warmup_epochs": 2.0,
             "flip_vertical": True, "quarter_turns": True, "ema": 0.995, "keep": "last", "seed": seed}
        )  # fmt: skip


@dataclass(frozen=True)
class Measured:
    """Of one seed: accuracies on the test part, bytes of the kmodel, seconds of this run's training."""

    seed: int
    test: int
    accuracy_float: float
    accuracy_kmodel: float
    kmodel_bytes: int
    train_seconds: float


def write_folder(folder: Path, pictures: Sequence[tuple[str, bytes, str]]) -> None:
    """A job folder of (name with its ending, bytes, label), shuffled already; the test part lies in test.json."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    trained = round(TRAIN_SHARE * len(pictures))
    items = []
    for number, (name, data, label) in enumerate(pictures):
        (folder / "images" / name).write_bytes(data)
        split = "train" if number < (1 - CURVE_SHARE) * trained else "validation"
        items.append({"id": name, "file": f"images/{name}", "label": label, "split": split})
    (folder / "labels.json").write_text(json.dumps(LABELS))
    (folder / "items.json").write_text(json.dumps(items[:trained]))
    (folder / "test.json").write_text(json.dumps(items[trained:]))


def train_cells(folder: Path, seed: int, recipe: Recipe, emit: Emit) -> Path:
    """The checkpoint of a job folder: one that is there is not made again, a training broken off goes on."""
    kept = folder / "best.pt"
    if not kept.exists() or load_checkpoint(kept).epoch < recipe.epochs:
        config = recipe.config(seed)
        fit(folder, config, Data.read(folder, config), emit)
    return kept


def measure(folder: Path, seed: int, recipe: Recipe, emit: Emit) -> Measured:
    """Train, convert with calibration by training pictures, and run float network and kmodel on the test part."""
    began = time.perf_counter()
    checkpoint = load_checkpoint(train_cells(folder, seed, recipe, emit))
    seconds = time.perf_counter() - began
    fitting, _ = _part(folder, read_items(folder)[:CALIBRATION], recipe.size)
    images, truth = _part(folder, [Item(**one) for one in json.loads((folder / "test.json").read_text())], recipe.size)
    graph = to_graph(checkpoint.model, checkpoint.labels, recipe.size)
    model = convert(graph, TARGET, fitting, ConvertOptions(allow_oversize=True))
    simulated = simulator(TARGET, model.data).run(images)
    in_float = _accuracy(predict(checkpoint.model, images), truth)
    return Measured(seed, len(truth), in_float, _accuracy(simulated, truth), len(model.data), seconds)


def _part(folder: Path, items: Sequence[Item], size: int) -> tuple[Images, Labels]:
    """Pictures uint8 (n, 3, h, w) and label numbers."""
    return Pictures(folder, items, size, size, 0)[range(len(items))], np.array([LABELS.index(i.label) for i in items])


def _accuracy(outputs: npt.NDArray[np.float32], truth: Labels) -> float:
    return float((outputs.argmax(1) == truth).mean())
