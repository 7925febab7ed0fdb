"""The pictures that a person names, as network inputs, with what is known of them.

FOLDER/*.jpg                   nothing is known: calibration and agreement only
FOLDER/<label>/*.jpg           a classifier's labels
FOLDER/*.jpg and *.txt         a detector's objects, one a line: label index, centre x, y, width, height in fractions
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from services.common.errors import InvalidInput, NotFound
from services.trainer.convert.common import MIN_CALIBRATION_IMAGES
from services.trainer.detection import Box, Truth
from services.trainer.graph import InputSpec
from services.trainer.imaging import MAX_PICTURE_BYTES, open_rgb, to_input

__all__ = ["MAX_CALIBRATION", "Collection", "Picture", "find_pictures", "read_images", "split"]

Images = npt.NDArray[np.uint8]

SUFFIXES = (".jpg", ".jpeg", ".png")
MAX_PICTURES = 20_000
MAX_CALIBRATION = 64
ENOUGH_FOR_BOTH = 40  # from here on, no picture both calibrates and measures


@dataclass(frozen=True)
class Picture:
    """`label`: of its sub-folder, "" = not known. `objects`: of the text beside it, None = there is none."""

    path: Path
    name: str
    label: str = ""
    objects: tuple[Truth, ...] | None = None


@dataclass(frozen=True)
class Collection:
    """Which pictures calibrate and which measure; the same ones when there are too few."""

    calibration: tuple[Picture, ...]
    measured: tuple[Picture, ...]

    @property
    def shared(self) -> bool:
        return self.calibration == self.measured


def find_pictures(folder: Path) -> list[Picture]:
    """All pictures of a folder, by label and name. NotFound, InvalidInput: no folder, too few or too many pictures."""
    if not folder.is_dir():
        raise NotFound("IMAGES_NOT_FOUND", f"There is no folder {folder}.", fix="Name a folder of JPEG or PNG files.")
    flat = _pictures(folder, folder, "")
    labelled = [
        picture
        for inner in sorted(folder.iterdir())
        if inner.is_dir() and not inner.name.startswith(".")
        for picture in _pictures(inner, folder, inner.name)
    ]
    if flat and labelled:
        raise InvalidInput(
            "IMAGES_MIXED",
            f"{folder} has pictures of its own and sub-folders with pictures.",
            fix="Put every picture into the sub-folder of its label, or all into the folder itself.",
        )
    found = flat or labelled
    if len(found) < MIN_CALIBRATION_IMAGES or len(found) > MAX_PICTURES:
        raise InvalidInput(
            "IMAGES_COUNT",
            f"{folder} has {len(found)} JPEG or PNG files; a conversion takes {MIN_CALIBRATION_IMAGES} to "
            f"{MAX_PICTURES}.",
            fix="Give 40 or more pictures like those the board will see, of all labels.",
        )
    return found


def split(pictures: Sequence[Picture]) -> Collection:
    """Up to 64 pictures, evenly spread, to calibrate on, and the others to measure on."""
    if len(pictures) < ENOUGH_FOR_BOTH:
        return Collection(tuple(pictures), tuple(pictures))
    count = min(MAX_CALIBRATION, len(pictures) // 2)
    chosen = {int(index) for index in np.linspace(0, len(pictures) - 1, count).round()}
    return Collection(
        tuple(picture for index, picture in enumerate(pictures) if index in chosen),
        tuple(picture for index, picture in enumerate(pictures) if index not in chosen),
    )


def read_images(pictures: Sequence[Picture], spec: InputSpec) -> Images:
    """Network inputs uint8 (n, c, h, w). InvalidInput names a picture that is broken."""
    if spec.channels not in (1, 3):
        raise InvalidInput(
            "INPUT_CHANNELS",
            f"The network eats {spec.channels} channels; pictures have 3, or 1 when they are grey.",
            fix="Convert a network whose input is a picture.",
        )
    images = np.empty((len(pictures), spec.channels, spec.height, spec.width), np.uint8)
    for place, picture in zip(images, pictures, strict=True):
        data = _read(picture.path)
        if spec.channels == 3:
            place[...] = to_input(data, spec.width, spec.height, picture.name)
        else:
            grey = open_rgb(data, picture.name).convert("L").resize((spec.width, spec.height))
            place[0] = np.asarray(grey, np.uint8)
    return images


def _pictures(folder: Path, root: Path, label: str) -> list[Picture]:
    return [
        Picture(path, str(path.relative_to(root)), label, _objects(path.with_suffix(".txt")))
        for path in sorted(folder.iterdir())
        if path.suffix.lower() in SUFFIXES and path.is_file() and not path.name.startswith(".")
    ]


def _objects(path: Path) -> tuple[Truth, ...] | None:
    if not path.is_file():
        return None
    return tuple(_object(line, path, number) for number, line in enumerate(_lines(path), 1) if line.strip())


def _lines(path: Path) -> list[str]:
    try:
        return _read(path).decode().splitlines()
    except UnicodeDecodeError as error:
        raise InvalidInput("OBJECTS_BROKEN", f"{path} is no text: {error}.", fix="Remove it.") from error


def _object(line: str, path: Path, number: int) -> Truth:
    try:
        label, *box = line.split()
        x, y, width, height = (float(value) for value in box)
        if not all(math.isfinite(value) for value in (x, y, width, height)) or min(width, height) <= 0:
            raise ValueError("a box needs a place and a size")
        truth = Truth(int(label), Box(x - width / 2, y - height / 2, x + width / 2, y + height / 2))
        if truth.label < 0:
            raise ValueError("labels count from 0")
    except ValueError as error:
        raise InvalidInput(
            "OBJECTS_BROKEN",
            f"{path}, line {number}: {error}.",
            fix="Write one object a line: label index, centre x, centre y, width, height, in fractions of the picture.",
        ) from error
    return truth


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_PICTURE_BYTES + 1)
    except OSError as error:
        raise InvalidInput("PICTURE_MISSING", f"{path} cannot be read: {error}.", file=str(path)) from error
