"""The job folder's pictures as tensors, decoded once when they fit the memory budget.

A job folder holds, each file relative to it:
    items.json   [{"id": capture id, "file": path, "label": name, "split": "train" or "validation"}, …]; for detection
                 with "boxes": [[label, [left, top, right, bottom]], …], [] for a picture of background
    labels.json  the labels in the project's order; may be absent
    images/…     JPEG files
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from services.common.errors import InvalidInput
from services.trainer.detection.boxes import Box
from services.trainer.imaging import to_input

__all__ = ["Item", "Marked", "Pictures", "picture_name", "read_items", "read_labels", "read_picture"]

SPLITS = ("train", "validation")
_AHEAD = 2  # batches that are decoded while one is worked on
_AT_ONCE = 256


class Marked(NamedTuple):
    """An object that a person has marked in a picture."""

    label: str
    box: Box


class _Indices(Protocol):
    """A tensor of them."""

    def tolist(self) -> list[int]: ...


_Batch = TypeVar("_Batch", bound=_Indices)


@dataclass(frozen=True, slots=True)
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
    """Network inputs of `items`: `pictures[indices]`, or a slice, is uint8 (n, 3, height, width).

    All are decoded at the first use when they take at most `budget` bytes; otherwise each batch is decoded anew, the
    next ones already while a batch is worked on.
    """

    def __init__(self, folder: Path, items: Sequence[Item], width: int, height: int, budget: int) -> None:
        self.items = items
        self._folder = folder
        self._width, self._height = width, height
        self._cached = len(items) * 3 * width * height <= budget
        self._cache: npt.NDArray[np.uint8] | None = None
        self._coming: dict[tuple[int, ...], list[Future[npt.NDArray[np.uint8]]]] = {}

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, indices: Sequence[int] | slice) -> npt.NDArray[np.uint8]:
        if isinstance(indices, slice):
            indices = range(*indices.indices(len(self.items)))
        if not self._cached:
            coming = self._coming.pop(tuple(indices), None)
            return np.stack([one.result() for one in coming or self._started(indices)])
        if self._cache is None:
            self._cache = self._all()
        chosen: npt.NDArray[np.uint8] = self._cache[np.asarray(indices)]
        return chosen

    def ahead(self, batches: Iterable[_Batch]) -> Iterator[_Batch]:
        """The same batches of indices, while the next ones are decoded; to be asked for in this order."""
        if self._cached:
            yield from batches
            return
        waiting: deque[_Batch] = deque()
        try:
            for batch in batches:
                waiting.append(batch)
                indices = batch.tolist()
                self._coming[tuple(indices)] = self._started(indices)
                if len(waiting) > _AHEAD:
                    yield waiting.popleft()
            yield from waiting
        finally:
            for futures in self._coming.values():
                for one in futures:
                    one.cancel()
            self._coming.clear()

    def _started(self, indices: Sequence[int]) -> list[Future[npt.NDArray[np.uint8]]]:
        return [_decoders().submit(self._one, index) for index in indices]

    def _all(self) -> npt.NDArray[np.uint8]:
        """Every picture, a part at a time, so that they are not in memory twice."""
        cache = np.empty((len(self.items), 3, self._height, self._width), np.uint8)
        for start in range(0, len(cache), _AT_ONCE):
            part = range(start, min(start + _AT_ONCE, len(cache)))
            for index, one in zip(part, self._started(part), strict=True):
                cache[index] = one.result()
        return cache

    def _one(self, index: int) -> npt.NDArray[np.uint8]:
        item = self.items[index]
        return to_input(read_picture(self._folder, item), self._width, self._height, picture_name(item))


def read_picture(folder: Path, item: Item) -> bytes:
    """The item's file; InvalidInput names it and the capture when it is not there."""
    try:
        return (folder / item.file).read_bytes()
    except OSError as error:
        raise InvalidInput(
            "PICTURE_MISSING", f"Picture {item.file} of capture {item.id} cannot be read: {error}.", file=item.file
        ) from error


def picture_name(item: Item) -> str:
    """The file and the capture, for messages."""
    return f"{item.file} (capture {item.id})"


@cache
def _decoders() -> ThreadPoolExecutor:
    """Of the whole process; Pillow decodes outside of Python's lock."""
    return ThreadPoolExecutor(thread_name_prefix="decode")
