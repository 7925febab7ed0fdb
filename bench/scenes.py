"""Scenes to find objects in, with exact boxes: stamps of Tux Paint pasted over scikit-image's photographs.

    stamps (PNG with alpha), 8 labels ──► turned, mirrored, scaled ──► pasted ──► uint8 (n, 3, size, size), truths
    photographs ──► crops ─────────────────────────────────────────────────┘

Stamps and parts of photographs for the test are never in a training scene. The same arguments give the same scenes. The
stamps are those of Debian's package tuxpaint-stamps-default (GPL-2, 161 MB); nothing of it is in the repository.
"""

from __future__ import annotations

import math
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageEnhance

from services.common.errors import Unavailable
from services.trainer.detection import Box, Truth

__all__ = ["LABELS", "Scenes", "make_scenes", "stamps_folder"]

PACKAGE = "tuxpaint-stamps-default"
INSTALLED = Path("/usr/share/tuxpaint/stamps")
FOLDERS = {
    "bird": "animals/birds", "flower": "plants/flowers", "fruit": "food/fruit", "house": "town/houses",
    "insect": "animals/insects", "mammal": "animals/mammals", "sign": "town/roadsigns", "vehicle": "vehicles",
}  # fmt: skip
LABELS = tuple(FOLDERS)
PHOTOGRAPHS = (
    "astronaut.png", "chelsea.png", "coffee.png", "hubble_deep_field.jpg", "motorcycle_left.png", "retina.jpg",
    "rocket.jpg",
)  # fmt: skip
TRAIN_SHARE = 0.6  # the left part of each photograph; test scenes lie on the rest
TEST_EVERY = 4  # every fourth stamp of a label is for the test
MAX_OBJECTS = 5
SIDES = (0.18, 0.62)  # of an object's longer side, as a share of the scene
MAX_COVERED = 0.2  # of the smaller of two boxes
_OPAQUE = 96  # alpha from which a pixel belongs to the object
_STAMP_PIXELS = 320  # longest side that is kept of a stamp
_PLACES_TRIED = 20

Part = Literal["train", "test"]


@dataclass(frozen=True)
class Scenes:
    """`images` uint8 (n, 3, size, size), RGB planar; `truths` of each, with the indices of LABELS."""

    images: npt.NDArray[np.uint8]
    truths: list[list[Truth]]


def stamps_folder(cache_dir: Path) -> Path:
    """Where the stamps lie: installed, or fetched by apt-get once into `cache_dir`. Unavailable when neither works."""
    if INSTALLED.is_dir():
        return INSTALLED
    unpacked = cache_dir / PACKAGE
    stamps = unpacked / INSTALLED.relative_to("/")
    if not stamps.is_dir():
        if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
            raise _unavailable("this system has no apt-get and dpkg-deb")
        cache_dir.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache_dir) as folder:
            _run(["apt-get", "download", PACKAGE], folder)
            package = next(Path(folder).glob("*.deb"), None)
            if package is None:
                raise _unavailable("apt-get downloaded nothing")
            _run(["dpkg-deb", "-x", package.name, "whole"], folder)
            (Path(folder) / "whole").rename(unpacked)
    return stamps


def make_scenes(stamps: Path, count: int, size: int, seed: int, part: Part, labels: Sequence[str] = LABELS) -> Scenes:
    """`count` scenes of 1 to 5 objects of `labels`, which the truths index, from what there is of `part`."""
    own, photographs = _stamps(stamps, part, labels), _photographs(part)
    scenes = [_scene(own, photographs, size, np.random.default_rng([seed, part == "test", i])) for i in range(count)]
    return Scenes(np.stack([image for image, _ in scenes]), [truths for _, truths in scenes])


def _stamps(folder: Path, part: Part, names: Sequence[str] = LABELS) -> list[list[Image.Image]]:
    """The stamps of each label, cut to what can be seen."""
    labels = []
    for place in (FOLDERS[name] for name in names):
        families: dict[str, list[Path]] = {}
        for path in sorted((folder / place).rglob("*.png")):
            if not path.stem.endswith("_mirror"):
                families.setdefault(re.split("[-_]", path.stem.lower())[0], []).append(path)
        chosen = [
            path
            for number, family in enumerate(families.values())
            for path in family
            if (number % TEST_EVERY == TEST_EVERY - 1) == (part == "test")
        ]
        labels.append(list(_readable(chosen)))
    return labels


def _readable(paths: Sequence[Path]) -> Iterator[Image.Image]:
    for path in paths:
        with Image.open(path) as picture:
            stamp = picture.convert("RGBA")
        seen = stamp.getchannel("A").point(lambda alpha: 255 * (alpha >= _OPAQUE)).getbbox()
        if seen is None or np.asarray(stamp.getchannel("A")).min() >= _OPAQUE:  # empty, or without an outline
            continue
        stamp = stamp.crop(seen)
        stamp.thumbnail((_STAMP_PIXELS, _STAMP_PIXELS), Image.Resampling.LANCZOS)
        yield stamp


def _photographs(part: Part) -> list[Image.Image]:
    import skimage

    found = []
    for name in PHOTOGRAPHS:
        with Image.open(Path(skimage.__file__).parent / "data" / name) as picture:
            whole = picture.convert("RGB")
        border = int(TRAIN_SHARE * whole.width)
        found.append(whole.crop((0, 0, border, whole.height) if part == "train" else (border, 0, *whole.size)))
    return found


def _scene(
    stamps: list[list[Image.Image]], photographs: list[Image.Image], size: int, rng: np.random.Generator
) -> tuple[npt.NDArray[np.uint8], list[Truth]]:
    scene = _background(photographs[rng.integers(len(photographs))], size, rng)
    truths: list[Truth] = []
    for _ in range(rng.integers(1, MAX_OBJECTS + 1)):
        label = int(rng.integers(len(stamps)))
        stamp = _changed(stamps[label][rng.integers(len(stamps[label]))], size, rng)
        for _ in range(_PLACES_TRIED):
            x, y = (int(rng.integers(0, size - side + 1)) for side in stamp.size)
            box = Box(x / size, y / size, (x + stamp.width) / size, (y + stamp.height) / size)
            if all(_covered(box, other.box) <= MAX_COVERED for other in truths):
                scene.paste(stamp, (x, y), stamp)
                truths.append(Truth(label, box))
                break
    return np.ascontiguousarray(np.asarray(scene, np.uint8).transpose(2, 0, 1)), truths


def _covered(a: Box, b: Box) -> float:
    """Share of the smaller box that lies in the other one."""
    sides = (min(a[i + 2], b[i + 2]) - max(a[i], b[i]) for i in (0, 1))
    areas = ((box.right - box.left) * (box.bottom - box.top) for box in (a, b))
    return math.prod(max(side, 0.0) for side in sides) / min(areas)


def _background(photograph: Image.Image, size: int, rng: np.random.Generator) -> Image.Image:
    side = int(rng.uniform(0.4, 1.0) * min(photograph.size))
    x, y = (int(rng.integers(0, length - side + 1)) for length in photograph.size)
    crop = photograph.crop((x, y, x + side, y + side)).resize((size, size), Image.Resampling.BILINEAR)
    return crop if rng.uniform() < 0.5 else crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def _changed(stamp: Image.Image, size: int, rng: np.random.Generator) -> Image.Image:
    """A stamp as it goes into the scene, cut to its box."""
    if rng.uniform() < 0.5:
        stamp = stamp.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    stamp = stamp.rotate(rng.uniform(-15, 15), Image.Resampling.BICUBIC, expand=True)
    longer = rng.uniform(*SIDES) * size
    scale = longer / max(stamp.size)
    stamp = stamp.resize(tuple(max(4, round(side * scale)) for side in stamp.size), Image.Resampling.LANCZOS)
    stamp = ImageEnhance.Brightness(stamp).enhance(rng.uniform(0.75, 1.25))
    return stamp.crop(stamp.getchannel("A").point(lambda alpha: 255 * (alpha >= _OPAQUE)).getbbox())


def _run(command: list[str], folder: str) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise _unavailable((done.stderr.strip().splitlines() or ["no message"])[-1])


def _unavailable(why: str) -> Unavailable:
    return Unavailable(
        "STAMPS_UNAVAILABLE",
        f"The stamps of the scenes are not here: {why}.",
        fix=f"Install Debian's package {PACKAGE} (apt-get install {PACKAGE}); on another system unpack it so that "
        f"{INSTALLED} is there.",
    )
