"""A real detector for benchmarks: eight kinds of stamps found in scenes of bench/scenes.py, trained in minutes.

`python -m bench.scene_detector --steps 800` trains one by the job's own loop and prints its mAP in float and as a K210
kmodel on the chip's simulator, on scenes whose stamps and photographs the training has not seen; the last line is JSON.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench.scene_job import Tell, scene_config, scene_graph, tell_epochs, write_job
from bench.scenes import Scenes, make_scenes, stamps_folder
from services.trainer.config import Backbone, TrainingConfig
from services.trainer.convert import convert, simulator
from services.trainer.convert.contract import ConvertOptions
from services.trainer.detection import DetectionScore, average_precision
from services.trainer.detector import detections
from services.trainer.graph import Graph
from services.trainer.loop import train
from services.trainer.settings import user_cache_dir

__all__ = ["SceneDetector", "score", "train_scene_detector"]

TRAIN_SCENES, TEST_SCENES, CALIBRATION_SCENES = 1500, 200, 64
SIZE = 224


@dataclass(frozen=True, eq=False)
class SceneDetector:
    """A trained network, pictures of its training for calibration (n, 3, h, w), and unseen scenes to measure it on."""

    graph: Graph
    calibration: npt.NDArray[np.uint8]
    test: Scenes
    train_seconds: float  # of the run that trained it, perhaps an earlier one


def train_scene_detector(
    steps: int = 800,
    seed: int = 0,
    size: int = SIZE,
    backbone: Backbone = "mobilenet_v1_0.5",
    tell: Tell = lambda event: None,
    cache_dir: Path | None = None,
) -> SceneDetector:
    """Compose the scenes and train as a job does, once: the network is kept in `cache_dir`.

    `steps` are rounded to whole epochs. Unavailable when stamps or ImageNet weights can be had from nowhere.
    """
    cache_dir = cache_dir or user_cache_dir()
    stamps = stamps_folder(cache_dir)
    config = scene_config(cache_dir, TRAIN_SCENES, steps, backbone=backbone, input_size=size, seed=seed)
    file = cache_dir / "bench" / f"scenes-{_key(config)}.pt"
    took = file.with_suffix(".seconds")
    if not file.exists() or not took.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=file.parent) as place:
            write_job(job := Path(place) / "job", stamps, TRAIN_SCENES, config)
            began = time.monotonic()
            train(job, tell)
            (job / "best.pt").rename(file)
            took.write_text(str(time.monotonic() - began))
    calibration = make_scenes(stamps, CALIBRATION_SCENES, size, seed, "train").images
    return SceneDetector(
        scene_graph(file), calibration, make_scenes(stamps, TEST_SCENES, size, seed, "test"), float(took.read_text())
    )


def _key(config: TrainingConfig) -> str:
    """A short name for all that decides what the network becomes, but for the code."""
    decides = config.model_dump_json(exclude={"weights"})
    return hashlib.sha256(f"{TRAIN_SCENES} {decides}".encode()).hexdigest()[:16]


def score(graph: Graph, outputs: npt.NDArray[np.float32], test: Scenes) -> DetectionScore:
    """mAP of a network's outputs (n, values), float or simulated, on the test scenes."""
    return average_precision(detections(outputs, graph), test.truths, graph.labels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--size", type=int, default=SIZE)
    parser.add_argument("--backbone", default="mobilenet_v1_0.5")
    parser.add_argument("--target", default="k210-kmodel-v3")
    asked = parser.parse_args()
    detector = train_scene_detector(asked.steps, asked.seed, asked.size, asked.backbone, tell=tell_epochs)
    graph, test = detector.graph, detector.test
    model = convert(graph, asked.target, detector.calibration, ConvertOptions())
    results = {
        "float": score(graph, graph.run_float(test.images), test),
        asked.target: score(graph, simulator(model.target, model.data).run(test.images), test),
    }
    for name, result in results.items():
        each = ", ".join(f"{c.label} {c.ap50:.3f}" for c in result.classes if c.ap50 is not None)
        print(f"{name}: mAP50 {result.map50:.4f}, mAP50-95 {result.map50_95:.4f} ({each})")
    summary = {name: {"map50": result.map50, "map50_95": result.map50_95} for name, result in results.items()}
    print(json.dumps({"seconds": round(detector.train_seconds, 1), "bytes": len(model.data), **summary}))


if __name__ == "__main__":
    main()
