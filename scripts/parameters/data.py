"""The pictures that the trainings learn from, composed by bench/scenes.py once and kept in the cache folder.

objects     4 labels, cut out of scenes: 240 to train on, 400 of stamps and photographs that are in no train picture
lopsided    the same, with an eighth of the train pictures of the first label
few         the same, with 40 validation pictures
detection   vehicles to find: 180 scenes with them and 120 with other things only, 60 and 60 to validate
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from PIL import Image

from bench.scenes import Part, make_scenes, stamps_folder
from services.trainer.pictures import Item
from services.trainer.settings import user_cache_dir

__all__ = ["CACHE", "FEW", "FOUND", "LABELS", "RARE", "VALIDATION", "folder_of", "items_of"]

CACHE = user_cache_dir() / "parameter_pictures"
LABELS = ("bird", "flower", "mammal", "vehicle")
TRAIN, VALIDATION, FEW = 240, 400, 40
RARE = LABELS[0]
RARE_SHARE = 8
FOUND, OTHERS = ("vehicle",), ("bird", "flower", "fruit", "mammal")
SCENES = {"train": (180, 120), "validation": (60, 60)}  # with a vehicle, and without
PARTS: dict[str, Part] = {"train": "train", "validation": "test"}
_SCENE, _SIDE, _MARGIN, _LEAST = 256, 160, 1.3, 48  # pixels; margin around an object, least side of one


def folder_of(kind: str) -> Path:
    """The images and items of "objects" or "detection"; made at the first use."""
    folder = CACHE / kind
    if not (folder / "items.json").exists():
        (folder / "images").mkdir(parents=True, exist_ok=True)
        made = _objects(folder) if kind == "objects" else _detection(folder)
        (folder / "items.json").write_text(json.dumps(list(made)))
    return folder


def items_of(kind: str) -> tuple[Path, list[dict[str, Any]]]:
    """Where the pictures are, and the entries of items.json of a kind above."""
    folder = folder_of("detection" if kind == "detection" else "objects")
    items = json.loads((folder / "items.json").read_text())
    train, validation = ([item for item in items if item["split"] == split] for split in SCENES)
    if kind == "lopsided":
        rare = [item for item in train if item["label"] == RARE]
        train = [item for item in train if item["label"] != RARE] + rare[::RARE_SHARE]
    return folder, train + (validation[:FEW] if kind == "few" else validation)


def _objects(folder: Path) -> Iterator[dict[str, Any]]:
    for split, wanted in (("train", TRAIN), ("validation", VALIDATION)):
        cut = _cut_out(PARTS[split], wanted)
        for number, (picture, label) in zip(range(wanted), cut, strict=False):
            file = f"images/{split}{number}.png"
            picture.save(folder / file)
            yield asdict(Item(f"{split}{number}", file, label, split))


def _cut_out(part: Part, wanted: int) -> Iterator[tuple[Image.Image, str]]:
    """Every object of more than a few pixels, with some of what is around it."""
    scenes = make_scenes(stamps_folder(user_cache_dir()), wanted, _SCENE, 0, part, LABELS)
    for image, truths in zip(scenes.images, scenes.truths, strict=True):
        scene = Image.fromarray(image.transpose(1, 2, 0))
        truth = max(truths, key=lambda one: one.box.right - one.box.left)
        left, top, right, bottom = (edge * _SCENE for edge in truth.box)
        half = max(right - left, bottom - top, _LEAST) * _MARGIN / 2
        x, y = (min(max(middle, half), _SCENE - half) for middle in ((left + right) / 2, (top + bottom) / 2))
        around = (x - half, y - half, x + half, y + half)
        yield scene.resize((_SIDE, _SIDE), Image.Resampling.BILINEAR, around), LABELS[truth.label]


def _detection(folder: Path) -> Iterator[dict[str, Any]]:
    for split, counts in SCENES.items():
        for labels, count in zip((FOUND, OTHERS), counts, strict=True):
            scenes = make_scenes(stamps_folder(user_cache_dir()), count, 128, 0, PARTS[split], labels)
            for number, (image, truths) in enumerate(zip(scenes.images, scenes.truths, strict=True)):
                file = f"images/{split}-{labels[0]}{number}.png"
                Image.fromarray(image.transpose(1, 2, 0)).save(folder / file)
                boxes = [[FOUND[0], list(truth.box)] for truth in truths] if labels == FOUND else []
                yield {"id": Path(file).stem, "file": file, "label": "", "split": split, "boxes": boxes}
