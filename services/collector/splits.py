"""Which captures of a data set version train and which validate.

A picture's place on the line 0 … 1 is a hash of the seed and its content; below the validation share it validates. So
the split depends on nothing but the seed, the share and the picture: captures that are added, deleted or given another
label move no other capture, two captures of one picture never stand on both sides, a model is never validated on what
an earlier version trained on, and the same pictures split alike in every project and on every machine.
Each label is dealt with by itself. The one exception to the rule: a label that would have nothing on one side gives it
its nearest capture (the lowest place to validation, the highest to training).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence

from services.collector.models import BoxRow
from services.rpc.boardloop.collector.v1 import collector_pb2 as pb

__all__ = ["detection_digest", "detection_split", "digest", "place", "split"]


def place(seed: int, sha256: str) -> float:
    """0 <= place < 1, evenly spread: the first 53 bits (a float's mantissa) of SHA-256("<seed> <the JPEG's hash>")."""
    first = hashlib.sha256(f"{seed} {sha256}".encode()).digest()[:8]
    return (int.from_bytes(first, "big") >> 11) / 2**53


def split(labelled: Mapping[str, Mapping[str, str]], seed: int, share: float) -> dict[str, pb.Split.ValueType]:
    """labelled: label -> capture id -> sha256 of its JPEG, at least 2 each; share: 0 < share < 1, what validates.
    Capture id -> split."""
    splits: dict[str, pb.Split.ValueType] = {}
    for captures in labelled.values():
        places = {capture_id: place(seed, sha256) for capture_id, sha256 in captures.items()}
        validation = {capture_id for capture_id, at in places.items() if at < share}
        if not validation:
            validation.add(min(places, key=lambda capture_id: places[capture_id]))
        elif len(validation) == len(places):
            validation.remove(max(places, key=lambda capture_id: places[capture_id]))
        for capture_id in captures:
            splits[capture_id] = pb.SPLIT_VALIDATION if capture_id in validation else pb.SPLIT_TRAIN
    return splits


def detection_split(
    with_boxes: Mapping[str, str], background: Mapping[str, str], seed: int, share: float
) -> dict[str, pb.Split.ValueType]:
    """capture id -> sha256 of its JPEG; with_boxes has at least 2 different pictures. Capture id -> split.

    The same rule: the pictures with boxes are dealt with as one label is, those of background follow their place.
    """
    of_picture = split({"": {sha256: sha256 for sha256 in with_boxes.values()}}, seed, share)
    for sha256 in background.values():
        of_picture.setdefault(sha256, pb.SPLIT_VALIDATION if place(seed, sha256) < share else pb.SPLIT_TRAIN)
    return {capture_id: of_picture[sha256] for part in (with_boxes, background) for capture_id, sha256 in part.items()}


def digest(labels: Sequence[str], items: Iterable[tuple[str, str, int, str]]) -> str:
    """SHA-256, hex, over the labels in order and the items (capture id, label, split, sha256 of the JPEG) sorted by id:
    one line of compact JSON each."""
    return _hash((list(labels), *sorted(items)))


def detection_digest(labels: Sequence[str], items: Iterable[tuple[str, Sequence[BoxRow], int, str]]) -> str:
    """The same over items (capture id, boxes sorted, split, sha256 of the JPEG), after a line that says detection."""
    return _hash(("detection", list(labels), *sorted(items, key=lambda item: item[0])))


def _hash(lines: Iterable[object]) -> str:
    hasher = hashlib.sha256()
    for line in lines:
        hasher.update(json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")
    return hasher.hexdigest()
