"""The scenes of bench/scenes.py through a training job's own child process, instead of bench/scene_detector.py's loop.

`python -m bench.scene_job --size 128 --epochs 9` writes a job folder of JPEG pictures and boxes, trains as a job does
(mobilenet_v1_0.5 from ImageNet, the defaults of a detection) and prints mAP of the kept epoch on the unseen scenes; the
last line is JSON.
"""

from __future__ import annotations

import argparse
import io
import json
import tempfile
import time
from pathlib import Path
from typing import Any

from PIL import Image

from bench.scene_detector import TEST_SCENES, TRAIN_SCENES
from bench.scenes import LABELS, Scenes, make_scenes, stamps_folder
from services.trainer.children import Child
from services.trainer.config import DETECTION_DEFAULTS, TrainingConfig
from services.trainer.settings import user_cache_dir
from services.trainer.weights import fetch_default

__all__ = ["write_job"]

_QUALITY = 95


def write_job(folder: Path, parts: dict[str, Scenes], config: TrainingConfig) -> None:
    """A job folder; `parts` by the name of the split."""
    (folder / "images").mkdir(parents=True)
    items = []
    for split, scenes in parts.items():
        for number, (image, truths) in enumerate(zip(scenes.images, scenes.truths, strict=True)):
            out = io.BytesIO()
            Image.fromarray(image.transpose(1, 2, 0)).save(out, "JPEG", quality=_QUALITY)
            file = f"images/{split}-{number}.jpg"
            (folder / file).write_bytes(out.getvalue())
            boxes = [[LABELS[truth.label], list(truth.box)] for truth in truths]
            items.append({"id": f"{split}-{number}", "file": file, "label": "", "split": split, "boxes": boxes})
    (folder / "items.json").write_text(json.dumps(items))
    (folder / "labels.json").write_text(json.dumps(LABELS))
    (folder / "config.json").write_text(config.model_dump_json())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--epochs", type=int, default=9)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scenes", type=int, default=TRAIN_SCENES)
    asked = parser.parse_args()
    cache = user_cache_dir()
    stamps = stamps_folder(cache)
    config = TrainingConfig.model_validate(
        {**DETECTION_DEFAULTS, "head": "yolo2", "input_size": asked.size, "epochs": asked.epochs, "seed": asked.seed,
         "weights": str(fetch_default(cache))}
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "job"
        parts = {
            "train": make_scenes(stamps, asked.scenes, asked.size, asked.seed, "train"),
            "validation": make_scenes(stamps, TEST_SCENES, asked.size, asked.seed, "test"),
        }
        write_job(folder, parts, config)
        began = time.monotonic()
        epochs: list[dict[str, Any]] = []
        for event in Child("services.trainer.loop", str(folder), stderr=folder / "train.log").events():
            if event["type"] == "epoch":
                epochs.append(event)
                print(json.dumps({name: round(event[name], 4) for name in ("epoch", "loss", "val_map50")}), flush=True)
        best = max(epochs, key=lambda event: float(event["val_map50"]))
        figures = {"map50": best["val_map50"], "map50_95": best["val_map50_95"], "epoch": best["epoch"]}
        last = {"map50_last": epochs[-1]["val_map50"], "seconds": round(time.monotonic() - began, 1)}
        print(json.dumps({"size": asked.size, "epochs": asked.epochs, **figures, **last}))


if __name__ == "__main__":
    main()
