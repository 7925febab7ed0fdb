"""The solar cells of bench/train.py: split, recipe, training and measuring, all by the product's own code.

    2,624 cells in an order fixed by the seed     75 %  train, the last 5 % of them only in the third training
                                                  25 %  test: read once, after the training has ended

    first/     60 epochs   from ImageNet's weights
    second/    90 epochs   from ImageNet's weights, and the first's answers (born-again networks, Furlanello et al.,
                           arXiv:1805.04770)
    third/     20 epochs   from the second's weights, and the mean of the first's and the second's answers, at a third
                           of the rate, on the whole train part

Network, size, rate and changes of the pictures were chosen on the 1,110 cells that are in the train part of each of the
seeds 0, 1 and 2, by two of four folds: none of their test cells had a say. That the network is trained a second time
was decided after the first had been tested, and the third time after the second had. The last epoch is kept, so that
not even an epoch is chosen by pictures.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from services.trainer.config import TrainingConfig
from services.trainer.convert import ConvertOptions, convert, simulator
from services.trainer.distillation import Teacher, load_teacher
from services.trainer.loop import Data, fit, load_checkpoint, predict
from services.trainer.model import to_graph
from services.trainer.pictures import Item, Pictures, read_items

__all__ = ["LABELS", "Measured", "Recipe", "measure", "train_cells", "write_folder"]

TARGET = "k210-kmodel-v3"
TRAIN_SHARE, CURVE_SHARE = 0.75, 0.05
CALIBRATION = 64
RATE, RATE_AGAIN = 1e-3, 3e-4
LABELS = ("functional", "defective")
Emit = Callable[[dict[str, Any]], None]
Images = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Recipe:
    """What may be varied; 256 is as large a square as a K210's accelerator takes."""

    weights: Path
    backbone: str = "mobilenet_v1_1.0_cut8"
    size: int = 256
    epochs: tuple[int, int, int] = (60, 90, 20)  # of the three trainings; 0 leaves the second or third out

    def config(self, seed: int, epochs: int, weights: Path, rate: float) -> TrainingConfig:
        """A cell has no up and no left: it is mirrored both ways and turned by quarters."""
        return TrainingConfig.model_validate(
            {"backbone": self.backbone, "input_size": self.size, "weights": str(weights), "epochs": epochs,
             "batch_size": 64, "learning_rate": rate, "warmup_epochs": 2.0, "flip_vertical": True,
             "quarter_turns": True, "ema": 0.995, "keep": "last", "seed": seed}
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
    """The trainings of the recipe, in `folder`; one broken off goes on. Returns the last one's checkpoint."""
    best: list[Path] = []
    for name, epochs in zip(("first", "second", "third"), recipe.epochs, strict=True):
        if not epochs:
            continue
        third = name == "third"
        config = recipe.config(seed, epochs, *((best[-1], RATE_AGAIN) if third else (recipe.weights, RATE)))
        data = Data.read(folder, config)
        (folder / name).mkdir(exist_ok=True)
        kept = folder / name / "best.pt"
        if not kept.exists() or load_checkpoint(kept).epoch < epochs:
            teacher = _mean([load_teacher(path) for path in best])
            fit(folder / name, config, _whole(folder, data, config) if third else data, emit, teacher=teacher)
        best.append(kept)
    return best[-1]


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


def _mean(teachers: Sequence[Teacher]) -> Teacher | None:
    """A teacher whose answer is the mean of theirs."""
    return (lambda x: torch.stack([teacher(x) for teacher in teachers]).mean(0)) if teachers else None


def _whole(folder: Path, data: Data, config: TrainingConfig) -> Data:
    """The pictures of the curve trained, too: in items.json they stand behind the others."""
    pictures = Pictures(folder, read_items(folder), config.input_size, config.height, config.cache_mib * 2**20)
    return replace(data, pictures=pictures, targets=torch.cat((data.targets, data.val_targets)))


def _part(folder: Path, items: Sequence[Item], size: int) -> tuple[Images, Labels]:
    """Pictures uint8 (n, 3, h, w) and label numbers."""
    return Pictures(folder, items, size, size, 0)[range(len(items))], np.array([LABELS.index(i.label) for i in items])


def _accuracy(outputs: npt.NDArray[np.float32], truth: Labels) -> float:
    return float((outputs.argmax(1) == truth).mean())
