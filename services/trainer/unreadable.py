"""Pictures that cannot be read, left out of a job folder before a training: `skip_unreadable`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from services.common.errors import InvalidInput
from services.trainer.imaging import open_rgb
from services.trainer.pictures import Item, picture_name, read_items, read_picture

__all__ = ["leave_out_unreadable", "unreadable"]

_ANY_SIZE = (32, 32)  # large JPEGs are decoded small: every byte of theirs is read all the same
_NAMED = 50  # lines in the log; the rest are counted


def unreadable(folder: Path, items: list[Item]) -> Iterator[tuple[Item, InvalidInput]]:
    """Each item whose file is missing, broken or too large, and why."""

    def fault(item: Item) -> InvalidInput | None:
        try:
            open_rgb(read_picture(folder, item), picture_name(item), _ANY_SIZE)
        except InvalidInput as error:
            return error
        return None

    with ThreadPoolExecutor() as pool:
        for start in range(0, len(items), _NAMED):  # by parts: a pool takes all it is given at once
            part = items[start : start + _NAMED]
            yield from ((item, error) for item, error in zip(part, pool.map(fault, part), strict=True) if error)


def leave_out_unreadable(folder: Path, emit: Callable[[dict[str, Any]], None]) -> None:
    """Takes them out of items.json, so that every later stage leaves them out too, and names each in the log."""
    faults = list(unreadable(folder, read_items(folder)))
    if not faults:
        return
    for _, error in faults[:_NAMED]:
        emit({"type": "log", "message": f"Left out: {error.message}"})
    emit({"type": "log", "message": f"{len(faults)} pictures that cannot be read are left out."})
    path, gone = folder / "items.json", {item.file for item, _ in faults}
    part = path.with_suffix(f".{os.getpid()}.part")  # each of several workers comes to the same list
    part.write_text(json.dumps([entry for entry in json.loads(path.read_text()) if entry["file"] not in gone]))
    part.replace(path)
