"""A real detector for benchmarks: eight kinds of stamps found in scenes of bench/scenes.py, trained in minutes.

`python -m bench.scene_detector --steps 800` trains one and prints its mAP in float and as a K210 kmodel on the chip's
simulator, on scenes whose stamps and photographs the training has not seen; the last line is JSON.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bench.scenes import LABELS, Scenes, make_scenes, stamps_folder
from services.trainer.config import Backbone
from services.trainer.convert import convert, simulator
from services.trainer.convert.contract import ConvertOptions
from services.trainer.detection import DetectionScore, average_precision
from services.trainer.detection_loop import DetectionTraining, Progress, train_detector
from services.trainer.detector import detections, detector_graph, load_detector, save_detector
from services.trainer.graph import Graph
from services.trainer.settings import user_cache_dir
from services.trainer.weights import fetch_default, load_file

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
    training: DetectionTraining | None = None,
    tell: Callable[[Progress], None] = lambda progress: None,
    cache_dir: Path | None = None,
) -> SceneDetector:
    """Compose the scenes and train, once: the network is kept in `cache_dir`.

    Unavailable when stamps or ImageNet weights can be had from nowhere.
    """
    cache_dir = cache_dir or user_cache_dir()
    stamps = stamps_folder(cache_dir)
    training = replace(training or DetectionTraining(), backbone=backbone, steps=steps, seed=seed)
    file = cache_dir / "bench" / f"scenes-{_key(training, size)}.pt"
    took = file.with_suffix(".seconds")
    if not file.exists() or not took.exists():
        train = make_scenes(stamps, TRAIN_SCENES, size, seed, "train")
        weights = load_file(fetch_default(cache_dir)) if backbone.startswith("mobilenet_v1_") else None
        began = time.monotonic()
        file.parent.mkdir(parents=True, exist_ok=True)
        save_detector(file, train_detector(train.images, train.truths, len(LABELS), training, weights, tell))
        took.write_text(str(time.monotonic() - began))
    graph = detector_graph(load_detector(file), LABELS, size, size)
    calibration = make_scenes(stamps, CALIBRATION_SCENES, size, seed, "train").images
    return SceneDetector(
        graph, calibration, make_scenes(stamps, TEST_SCENES, size, seed, "test"), float(took.read_text())
    )


def _key(training: DetectionTraining, size: int) -> str:
    """A short name for all that decides what the network becomes, but for the code."""
    return hashlib.sha256(f"{size} {training}".encode()).hexdigest()[:16]


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

    def tell(progress: Progress) -> None:
        if progress.step % 50 == 0:
            print(" ".join(f"{name} {value:.3f}" for name, value in asdict(progress).items()), flush=True)

    detector = train_scene_detector(asked.steps, asked.seed, asked.size, asked.backbone, tell=tell)
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
