"""The job folder's pictures as tensors, decoded once when they fit the memory budget.

A job folder holds, each file relative to it:
    items.json   [{"id": capture id, "file": path, "label": name, "split": "train" or "validation"}, …]
    labels.json  the labels in the project's order; may be absent
    images/…     JPEG files
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from services.common.errors import InvalidInput
from services.trainer.imaging import to_input

__all__ = ["Item", "Pictures", "read_items", "read_labels"]

SPLITS = ("train", "validation")


@dataclass(frozen=True)
class Item:
    """One labelled capture; `file` is relative to the job folder; `board` "" = uploaded by a person."""

    id: str
    file: str
    label: str
    split: str
    board: str = ""


def read_items(folder: Path) -> list[Item]:
    """items.json of a job folder. InvalidInput names the entry and field that is wrong, or the split that is empty."""
    path = folder / "items.json"
    try:
        items = [Item(**entry) for entry in json.loads(path.read_text())]
    except (OSError, ValueError, TypeError) as error:
        raise InvalidInput("ITEMS_BROKEN", f"{path} cannot be read: {error}.", fix="Start the job again.") from error
    for item in items:
        if item.split not in SPLITS or not item.label:
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
    if len({item.label for item in items}) < 2:
        raise InvalidInput(
            "ONE_LABEL",
            "All pictures of the data set have the same label.",
            fix="Collect captures of at least two labels.",
        )
    return items


def read_labels(folder: Path, items: Sequence[Item]) -> tuple[str, ...]:
    """The labels that `items` have, in the order of the model's outputs: that of labels.json, else the alphabet."""
    used = {item.label for item in items}
    path = folder / "labels.json"
    named = json.loads(path.read_text()) if path.exists() else []
    return (*(label for label in named if label in used), *sorted(used - set(named)))


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
