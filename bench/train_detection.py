"""A detector for the K210 beside Ultralytics' yolo11n: the same scenes, size and wall time, judged by the same code.

1,500 scenes (bench/scenes.py) ──► ours ──► float, kmodel in the simulator ──┐
                               └─► yolo11n for as many seconds ──────────────┴─► mAP on 200 scenes of unseen stamps
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from PIL import Image

from bench.scene_detector import SIZE, TRAIN_SCENES, score, train_scene_detector
from bench.scenes import LABELS, Scenes, make_scenes, stamps_folder
from bench.ultralytics_peer import run_peer
from services.common.errors import Unavailable
from services.trainer.convert import ConvertOptions, convert, simulator
from services.trainer.detection import Box, Detection, DetectionScore, average_precision

__all__ = ["detection_race"]

TARGET = "k210-kmodel-v3"


def detection_race(cache: Path, folder: Path, steps: int, size: int = SIZE, seed: int = 0) -> dict[str, Any]:
    """mAP50 and mAP50-95 of our float network, its kmodel and yolo11n ("peer": a sentence where it cannot be had)."""
    detector = train_scene_detector(steps, seed, size, cache_dir=cache)
    graph, test = detector.graph, detector.test
    model = convert(graph, TARGET, detector.calibration, ConvertOptions())
    simulated = simulator(TARGET, model.data).run(test.images)
    ours = {"seconds": detector.train_seconds, "bytes": len(model.data)}
    figures: dict[str, Any] = {
        "ours": ours | _means(score(graph, graph.run_float(test.images), test)),
        "kmodel": _means(score(graph, simulated, test)),
    }
    data = _write(folder, make_scenes(stamps_folder(cache), TRAIN_SCENES, size, seed, "train"), test)
    request = {
        "data": str(data), "test": str(folder / "images" / "test"), "size": size, "batch": 16,
        "seconds": detector.train_seconds,
    }  # fmt: skip
    try:
        answer = run_peer(cache, "detect", request)
        found = [[Detection(int(n), c, Box(*corners)) for n, c, *corners in rows] for rows in answer.pop("found")]
        figures["peer"] = answer | _means(average_precision(found, test.truths, LABELS))
    except Unavailable as error:
        figures["peer"] = str(error)
    return figures


def _means(result: DetectionScore) -> dict[str, float]:
    return {"map50": result.map50, "map50_95": result.map50_95}


def _write(folder: Path, train: Scenes, test: Scenes) -> Path:
    """Pictures and boxes as Ultralytics reads them; returns the path of its data.yaml."""
    for part, scenes in (("train", train), ("test", test)):
        for kind in ("images", "labels"):
            (folder / kind / part).mkdir(parents=True)
        for number, (image, truths) in enumerate(zip(scenes.images, scenes.truths, strict=True)):
            Image.fromarray(image.transpose(1, 2, 0)).save(folder / "images" / part / f"{number:05}.png")
            rows = [
                f"{label} {(box.left + box.right) / 2} {(box.top + box.bottom) / 2} "
                f"{box.right - box.left} {box.bottom - box.top}"
                for label, box in truths
            ]
            (folder / "labels" / part / f"{number:05}.txt").write_text("\n".join(rows))
    names = "".join(f"  {number}: {label}\n" for number, label in enumerate(LABELS))
    # its validation after the last epoch is made on training scenes: the test scenes are kept from it
    yaml = folder / "data.yaml"
    yaml.write_text(f"path: {folder}\ntrain: images/train\nval: images/train\nnames:\n{names}")
    return yaml
