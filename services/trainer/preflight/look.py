"""Looks at a version's pictures: each is decoded for real, and what matters of it is kept in some 1,300 bytes.

The collector gives them in the order of their hashes, so that the first ones are a fair sample of a large version. A
version never changes: what was seen of it is kept for the next check.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from threading import Lock

import numpy as np
import numpy.typing as npt
from PIL import Image

from services.common.errors import BoardloopError
from services.rpc.boardloop.collector.v1 import collector_pb2
from services.trainer.imaging import open_rgb

__all__ = ["SMALL", "Look", "Looks", "Seen", "look_at"]

MAX_PICTURES, MAX_SECONDS = 2000, 20.0  # of one check; a picture of 320x240 takes about 2 ms
SMALL = 32  # side of the grey copy by which near-identical pictures are told
KEPT_VERSIONS = 8
SPLITS = {collector_pb2.SPLIT_TRAIN: "train", collector_pb2.SPLIT_VALIDATION: "validation"}


@dataclass(frozen=True)
class Seen:
    """One picture. `error`: why it cannot be decoded, "" = it can. `pixels`: hash of its RGB values."""

    id: str
    label: str
    split: str
    size: int  # of the JPEG, bytes
    boxes: tuple[tuple[str, float, float], ...] = ()  # (label, width, height), shares of the picture
    error: str = ""
    width: int = 0
    height: int = 0
    pixels: bytes = b""
    small: npt.NDArray[np.uint8] | None = None  # (32, 32), grey


@dataclass(frozen=True)
class Look:
    """`failure`: why the collector could not give the rest, in words."""

    seen: tuple[Seen, ...]
    failure: str = ""


class Looks:
    """What was seen of the last versions."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, Look] = OrderedDict()
        self._lock = Lock()

    def known(self, version_id: str) -> Look | None:
        """Without looking."""
        with self._lock:
            return self._kept.get(version_id)

    def look(self, version_id: str, pictures: Iterable[collector_pb2.StreamVersionResponse]) -> Look:
        """At the version's pictures, unless it is known already."""
        found = self.known(version_id)
        if found is None:
            found = look_at(pictures)
            with self._lock:
                self._kept[version_id] = found
                while len(self._kept) > KEPT_VERSIONS:
                    self._kept.popitem(last=False)
        return found


def look_at(
    pictures: Iterable[collector_pb2.StreamVersionResponse],
    most: int = MAX_PICTURES,
    seconds: float = MAX_SECONDS,
) -> Look:
    """The first `most` pictures, or as many as `seconds` allow."""
    seen: list[Seen] = []
    end = time.monotonic() + seconds
    try:
        for picture in pictures:
            seen.append(_seen(picture))
            if len(seen) >= most or time.monotonic() > end:
                break
    except BoardloopError as error:
        return Look(tuple(seen), str(error))
    return Look(tuple(seen))


def _seen(picture: collector_pb2.StreamVersionResponse) -> Seen:
    known = picture.capture_id, picture.label, SPLITS.get(picture.split, ""), len(picture.jpeg)
    boxes = tuple((box.label, box.width, box.height) for box in picture.boxes)
    try:
        image = open_rgb(picture.jpeg, f"capture {picture.capture_id}")
    except BoardloopError as error:
        return Seen(*known, boxes, error=error.message)
    small = np.asarray(image.convert("L").resize((SMALL, SMALL), Image.Resampling.BOX), np.uint8)
    pixels = hashlib.blake2b(image.tobytes(), digest_size=16).digest()
    return Seen(*known, boxes, "", image.width, image.height, pixels, small)
