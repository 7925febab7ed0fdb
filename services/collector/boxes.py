"""Boxes: what may be one, and how they lie in the tables."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from services.collector.models import BoxRow
from services.common.errors import InvalidInput
from services.rpc.boardloop.collector.v1 import collector_pb2 as pb

__all__ = ["MOST", "box_messages", "checked_boxes"]

MOST = 500  # collector.proto SetBoxesRequest
SLACK = 1e-6  # of a picture's side or of a pixel: what rounding in a caller's arithmetic may add


def box_messages(rows: Iterable[BoxRow]) -> list[pb.Box]:
    return [pb.Box(label=label, x=x, y=y, width=width, height=height) for label, x, y, width, height in rows]


def checked_boxes(boxes: Sequence[pb.Box], labels: Sequence[str], width: int, height: int) -> list[BoxRow]:
    """The boxes as rows, in order. labels: the project's; width, height: the picture's, in pixels.

    Raises InvalidInput TOO_MANY_BOXES, BAD_BOX or UNKNOWN_LABEL; the last two name the box by its number, from 1.
    """
    if len(boxes) > MOST:
        raise InvalidInput("TOO_MANY_BOXES", f"{len(boxes)} boxes, at most {MOST}", fix="Leave out some.")
    return [_checked(number, box, labels, width, height) for number, box in enumerate(boxes, 1)]


def _checked(number: int, box: pb.Box, labels: Sequence[str], width: int, height: int) -> BoxRow:
    if box.label not in labels:
        has = (
            f"the project has no label {box.label!r}; it has {', '.join(labels) or 'none'}" if box.label else "no label"
        )
        raise InvalidInput(
            "UNKNOWN_LABEL",
            f"box {number}: {has}",
            fix="Add the label to the project first, or choose one that it has.",
            box=str(number),
        )
    if not all(map(math.isfinite, (box.x, box.y, box.width, box.height))):
        raise _bad(number, box, "is not made of finite numbers", "Send numbers between 0 and 1.")
    if box.width <= 0 or box.height <= 0:
        raise _bad(number, box, "has no area", "width and height must be above 0.")
    if min(box.x, box.y) < -SLACK or max(box.x + box.width, box.y + box.height) > 1 + SLACK:
        raise _bad(number, box, "reaches out of the picture", "All four are shares of the picture, 0 to 1: clip it.")
    x, y = max(box.x, 0.0), max(box.y, 0.0)
    wide, high = min(box.width, 1 - x), min(box.height, 1 - y)
    if min(wide * width, high * height) < 1 - SLACK:
        raise _bad(number, box, f"is smaller than a pixel of {width} x {height}", "Draw it larger, or leave it out.")
    return box.label, x, y, wide, high


def _bad(number: int, box: pb.Box, what: str, fix: str) -> InvalidInput:
    at = f"x {box.x:g}, y {box.y:g}, width {box.width:g}, height {box.height:g}"
    return InvalidInput("BAD_BOX", f"box {number} ({at}) {what}", fix=fix, box=str(number))
