"""The scenes of bench/scenes.py as the folder of a training job, for the job's own training of a detector.

    scenes ──► images/*.png, items.json, labels.json, config.json ──► services.trainer.loop ──► best.pt

The last epoch is kept: no picture chooses one. The validation split, which a job must have, only makes the curve.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL import Image

from bench.scenes import LABELS, make_scenes
from services.trainer.checkpoints import load_checkpoint
from services.trainer.config import DETECTION_DEFAULTS, TrainingConfig
from services.trainer.graph import Graph
from services.trainer.networks import graph_of
from services.trainer.weights import fetch_default

__all__ = ["Tell", "scene_config", "scene_graph", "tell_epochs", "write_job"]

CURVE_SCENES = 50  # of the stamps that are trained on

Tell = Callable[[dict[str, Any]], None]


def scene_config(cache_dir: Path, scenes: int, steps: int, **chosen: Any) -> TrainingConfig:
    """A detection's defaults but for `chosen`, from ImageNet weights where the backbone has some; as many epochs as
    come nearest to `steps` batches of `scenes` pictures."""
    config = TrainingConfig.model_validate({**DETECTION_DEFAULTS, "head": "yolo2", "keep": "last", **chosen})
    epochs = max(1, round(steps / -(-scenes // config.batch_size)))
    weights = str(fetch_default(cache_dir)) if config.backbone.startswith("mobilenet_v1_") else ""
    return config.model_copy(update={"epochs": epochs, "weights": weights})


def write_job(folder: Path, stamps: Path, scenes: int, config: TrainingConfig) -> None:
    """A new folder for services.trainer.loop.train, with `scenes` scenes of the training's stamps to train on.

    The pictures are PNG: the network sees the very pixels that other programs are given.
    """
    made = make_scenes(stamps, scenes + CURVE_SCENES, config.input_size, config.seed, "train")
    (folder / "images").mkdir(parents=True)
    items = []
    for number, (image, truths) in enumerate(zip(made.images, made.truths, strict=True)):
        file = f"images/{number:05}.png"
        Image.fromarray(image.transpose(1, 2, 0)).save(folder / file)
        boxes = [[LABELS[truth.label], list(truth.box)] for truth in truths]
        split = "train" if number < scenes else "validation"
        items.append({"id": f"{number:05}", "file": file, "label": "", "split": split, "boxes": boxes})
    (folder / "items.json").write_text(json.dumps(items))
    (folder / "labels.json").write_text(json.dumps(LABELS))
    (folder / "config.json").write_text(config.model_dump_json())


def scene_graph(checkpoint: Path) -> Graph:
    """The trained network for the converters."""
    kept = load_checkpoint(checkpoint)
    return graph_of(kept.model, kept.config, kept.labels)


def tell_epochs(event: dict[str, Any]) -> None:
    """Prints an epoch in a line."""
    if event["type"] == "epoch":
        print(
            "epoch {epoch} of {epochs}: loss {loss:.3f}, box {loss_box:.3f}, object {loss_object:.3f}, "
            "class {loss_class:.3f}, curve {val_map50:.3f}, {images_per_s:.0f} images/s".format(**event),
            flush=True,
        )
