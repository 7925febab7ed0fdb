"""Real trainings by services.trainer.loop, each kept as JSON (and its best.pt) in the cache folder.

The setup of all but the detectors: BASE below, every other parameter at its default.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
import time
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from scripts.parameters.data import CACHE, FOUND, LABELS, items_of
from services.common.errors import BoardloopError
from services.trainer.children import Child
from services.trainer.choices import Choices
from services.trainer.config import DETECTION_DEFAULTS, TrainingConfig
from services.trainer.conversion import finish
from services.trainer.detection import DetectorMap
from services.trainer.loop import load_checkpoint, predict, train
from services.trainer.networks import anchors_of
from services.trainer.pictures import Pictures, read_items
from services.trainer.settings import user_cache_dir
from services.trainer.weights import fetch_default

__all__ = ["BASE", "EVERY_CHIP", "Run", "converted", "run", "unreadable"]

BASE: dict[str, Any] = {"backbone": "mobilenet_v1_0.25", "input_size": 96, "epochs": 15}
EVERY_CHIP: dict[str, Any] = {"input_size": 128}
DETECTION: dict[str, Any] = {**DETECTION_DEFAULTS, "head": "yolo2", "input_size": 128, "epochs": 20}


@dataclass(frozen=True)
class Run:
    """`epochs`, `log`: the training's events; `error`: what ended it. `answers`: of the kept epoch on every validation
    picture: the share of each label, or [confidence, left, top, right, bottom] of each object surer than a half.
    """

    epochs: list[dict[str, Any]] = field(default_factory=list)
    log: list[str] = field(default_factory=list)
    error: str = ""
    seconds: float = 0.0
    answers: list[Any] = field(default_factory=list)

    def curve(self, figure: str) -> list[tuple[float, float]]:
        return [(event["epoch"], event[figure]) for event in self.epochs]

    @property
    def pace(self) -> float:
        """Seconds an epoch."""
        return self.seconds / max(len(self.epochs), 1)


def run(data: str = "objects", start: str = "imagenet", target: str = "", **changed: Any) -> Run:
    """One training on a kind of data.py. `start`: "imagenet", "none", or "model", the one that the plain run made."""
    kept = _kept(data, start, target, changed)
    if not kept.with_suffix(".json").exists():
        print("training:", data, start, target, changed, flush=True)
        with tempfile.TemporaryDirectory() as place:
            config = _config(data, start, changed)
            folder = _job(Path(place), data, config)
            made = _trained(folder, config, target)
            if (folder / "best.pt").exists():
                shutil.copyfile(folder / "best.pt", kept.with_suffix(".pt"))
            if target:
                made.log.extend(_finished(folder, target)["log"])
            kept.with_suffix(".json").write_text(json.dumps(asdict(made)))
    return Run(**json.loads(kept.with_suffix(".json").read_text()))


@cache
def converted(target: str) -> dict[str, Any]:
    """The network of an input that every chip takes, as a file for `target`: its bytes, and the accuracy in float and
    in the chip's simulator."""
    kept = CACHE / f"converted-{target}.json"
    if not kept.exists():
        run(**EVERY_CHIP)
        with tempfile.TemporaryDirectory() as place:
            folder = _job(Path(place), "objects", _config("objects", "imagenet", EVERY_CHIP))
            shutil.copyfile(_kept("objects", "imagenet", "", EVERY_CHIP).with_suffix(".pt"), folder / "best.pt")
            kept.write_text(json.dumps(_finished(folder, target)))
    found: dict[str, Any] = json.loads(kept.read_text())
    return found


def unreadable() -> tuple[str, list[str]]:
    """What a training says with three damaged files, without and with skip_unreadable."""
    said: dict[bool, Run] = {}
    for skip in (False, True):
        with tempfile.TemporaryDirectory() as place:
            config = _config("few", "none", {"epochs": 1, "skip_unreadable": skip})
            folder = _job(Path(place), "few", config)
            files = [folder / item.file for item in read_items(folder)[:3]]
            bytes_of = [file.read_bytes() for file in files]
            shutil.copytree(folder / "images", folder / "own")
            (folder / "images").unlink()
            (folder / "own").rename(folder / "images")
            for file, data in zip(files, (bytes_of[0][:2000], b"", b"no picture at all"), strict=True):
                file.write_bytes(data)
            said[skip] = _trained(folder, config, "")
    return said[False].error, said[True].log


def _kept(data: str, start: str, target: str, changed: dict[str, Any]) -> Path:
    """Without its ending."""
    setup = DETECTION if data == "detection" else BASE
    asked = json.dumps([data, start, target, setup | changed], sort_keys=True)
    CACHE.mkdir(parents=True, exist_ok=True)
    return CACHE / hashlib.sha256(asked.encode()).hexdigest()[:20]


def _config(data: str, start: str, changed: dict[str, Any]) -> TrainingConfig:
    plain = _kept("objects", "imagenet", "", {}).with_suffix(".pt")
    if start == "model" and not plain.exists():
        run()
    weights = {"imagenet": str(fetch_default(user_cache_dir())), "none": "", "model": str(plain)}[start]
    setup = DETECTION if data == "detection" else BASE
    return TrainingConfig.model_validate({**setup, "weights": weights, **changed})


def _job(place: Path, data: str, config: TrainingConfig) -> Path:
    source, items = items_of(data)
    (place / "images").symlink_to(source / "images")
    (place / "items.json").write_text(json.dumps(items))
    (place / "labels.json").write_text(json.dumps(FOUND if data == "detection" else LABELS))
    (place / "config.json").write_text(config.model_dump_json())
    return place


def _trained(folder: Path, config: TrainingConfig, target: str) -> Run:
    events: list[dict[str, Any]] = []
    error, began = "", time.monotonic()
    try:
        if config.workers > 1:
            arguments = (str(config.workers), "services.trainer.loop", str(folder))
            events += Child("services.trainer.workers", *arguments, stderr=folder / "train.log").events()
        else:
            train(folder, events.append, target=target)
    except BoardloopError as found:
        error = found.message
    seconds = time.monotonic() - began
    epochs = [event for event in events if event["type"] == "epoch"]
    log = [event["message"] for event in events if event["type"] == "log"]
    return Run(epochs, log, error, seconds, _answers(folder))


def _answers(folder: Path) -> list[Any]:
    """On all validation pictures there are, also those that the job did not have."""
    if not (folder / "best.pt").exists():
        return []
    best = load_checkpoint(folder / "best.pt")
    kind = "objects" if best.config.head == "classifier" else "detection"
    (folder / "items.json").write_text(json.dumps(items_of(kind)[1]))
    unseen = [item for item in read_items(folder) if item.split == "validation"]
    pictures = Pictures(folder, unseen, best.config.input_size, best.config.height, 0)
    outputs = predict(best.model, pictures)
    if kind == "objects":
        return np.asarray(torch.from_numpy(outputs).softmax(1)).round(4).tolist()
    told = DetectorMap(best.config.head, len(best.labels), anchors_of(best.model))
    grid = told.grid(outputs.shape[1], best.config.input_size, best.config.height)
    return [[[one.confidence, *one.box] for one in found] for found in told.found(outputs, grid)]


def _finished(folder: Path, target: str) -> dict[str, Any]:
    events: list[dict[str, Any]] = []
    Choices(max_accuracy_drop=1.0).write(folder)
    result = finish(folder, target, events.append)
    quality = {event["type"]: event["quality"] for event in events if "quality" in event}
    log = [event["message"] for event in events if event["type"] == "log"]
    return {"bytes": result.size_bytes, "float": quality["evaluated"], "file": quality["done"], "log": log}
