"""The job folder's pictures as tensors, decoded once when they fit the memory budget.

A job folder holds, each file relative to it:
    items.json   [{"id": capture id, "file": path, "label": name, "split": "train" or "validation"}, …]; for detection
                 with "boxes": [[label, [left, top, right, bottom]], …], [] for a picture of background
    labels.json  the labels in the project's order; may be absent
    images/…     JPEG files
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from services.common.errors import InvalidInput
from services.trainer.detection.boxes import Box
from services.trainer.imaging import to_input

__all__ = ["Item", "Marked", "Pictures", "read_items", "read_labels"]

SPLITS = ("train", "validation")


class Marked(NamedTuple):
    """An object that a person has marked in a picture."""

    label: str
    box: Box


@dataclass(frozen=True)
class Item:
    """One capture with its label, or its boxes (None: of a classification).

    `file` is relative to the job folder; `board` "" = uploaded by a person.
    """

    id: str
    file: str
    label: str
    split: str
    board: str = ""
    boxes: tuple[Marked, ...] | None = None


def read_items(folder: Path) -> list[Item]:
    """items.json of a job folder. InvalidInput names the entry and field that is wrong, or the split that is empty."""
    path = folder / "items.json"
    try:
        items = [_item(entry) for entry in json.loads(path.read_text())]
    except (OSError, ValueError, TypeError) as error:
        raise InvalidInput("ITEMS_BROKEN", f"{path} cannot be read: {error}.", fix="Start the job again.") from error
    for item in items:
        if item.split not in SPLITS or not (item.label or item.boxes is not None):
            raise InvalidInput(
                "ITEMS_BROKEN",
                f"{path}: item {item.id} has the split {item.split!r} and the label {item.label!r}.",
                fix="Every item needs a label and one of the splits train, validation.",
            )
    for split in SPLITS:
        if not any(item.split == split for item in items):
            raise InvalidInput(
                "SPLIT_EMPTY",
                f"The data set has no {split} pictures.",
                fix="Make a version with more captures or another split.",
            )
    if any(item.boxes is not None for item in items):
        _check_boxes(items)
    elif len({item.label for item in items}) < 2:
        raise InvalidInput(
            "ONE_LABEL",
            "All pictures of the data set have the same label.",
            fix="Collect captures of at least two labels.",
        )
    return items


def _check_boxes(items: Sequence[Item]) -> None:
    """InvalidInput names the capture and the box that cannot be one, or the split in which nothing is marked."""
    for item in items:
        for number, (label, box) in enumerate(item.boxes or (), 1):
            good = 0 <= box.left < box.right <= 1 and 0 <= box.top < box.bottom <= 1  # of NaN nothing is true
            if not good or not label:
                raise InvalidInput(
                    "BOX_BROKEN",
                    f"Capture {item.id}, box {number} ({label or 'no label'}): left {box.left:g}, top {box.top:g}, "
                    f"right {box.right:g}, bottom {box.bottom:g} of the picture.",
                    fix="Draw it again: a box has a label and an area inside the picture, from 0 to 1.",
                    capture=item.id,
                )
    for split in SPLITS:
        if not any(item.boxes for item in items if item.split == split):
            raise InvalidInput(
                "NO_BOXES",
                f"No {split} picture has a box: there is nothing to find.",
                fix="Mark objects in more captures and make a new version, or choose another split.",
            )


def read_labels(folder: Path, items: Sequence[Item]) -> tuple[str, ...]:
    """The labels that `items` have, in the order of the model's outputs: that of labels.json, else the alphabet."""
    used = {name for item in items for name in (_names(item.boxes) if item.boxes is not None else [item.label])}
    path = folder / "labels.json"
    named = json.loads(path.read_text()) if path.exists() else []
    return (*(label for label in named if label in used), *sorted(used - set(named)))


def _item(entry: dict[str, Any]) -> Item:
    boxes = entry.pop("boxes", None)
    if boxes is not None:
        boxes = tuple(Marked(str(label), Box(*map(float, edges))) for label, edges in boxes)
    return Item(**entry, boxes=boxes)


def _names(boxes: Iterable[Marked]) -> list[str]:
    return [marked.label for marked in boxes]


class Pictures:
    """Network inputs of `items`: `pictures[indices]` is uint8 (n, 3, height, width).

    All are decoded at the first use when they take at most `budget` bytes; otherwise each batch is decoded anew.
    """

    def __init__(self, folder: Path, items: Sequence[Item], width: int, height: int, budget: int) -> None:
        self.items = items
        self._folder = folder
        self._width, self._height = width, height
        self._cached = len(items) * 3 * width * height <= budget
        self._cache: npt.NDArray[np.uint8] | None = None

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, indices: Sequence[int]) -> npt.NDArray[np.uint8]:
        if not self._cached:
            return self._decode(indices)
        if self._cache is None:
            self._cache = self._decode(range(len(self.items)))
        chosen: npt.NDArray[np.uint8] = self._cache[np.asarray(indices)]
        return chosen

    def _decode(self, indices: Sequence[int]) -> npt.NDArray[np.uint8]:
        with ThreadPoolExecutor() as pool:
            return np.stack(list(pool.map(self._one, indices)))

    def _one(self, index: int) -> npt.NDArray[np.uint8]:
        item = self.items[index]
        try:
            data = (self._folder / item.file).read_bytes()
        except OSError as error:
            raise InvalidInput(
                "PICTURE_MISSING", f"Picture {item.file} of capture {item.id} cannot be read: {error}.", file=item.file
            ) from error
        return to_input(data, self._width, self._height, f"{item.file} (capture {item.id})")
