"""Boxes of a form as boxes of the upright picture: turned with it, clipped to it."""

from __future__ import annotations

from services.common.errors import InvalidInput
from services.gateway.archives.entries import Entry, RawBox
from services.gateway.archives.pictures import Picture
from services.rpc.boardloop.collector.v1 import collector_pb2 as pb

__all__ = ["place", "turned"]

SLACK = 1e-6  # of a pixel: rounding
Edges = tuple[float, float, float, float]


def turned(edges: Edges, orientation: int) -> Edges:
    """left, top, right, bottom as shares of the picture as it is stored -> of the picture upright.

    orientation: EXIF 1 to 8 (CIPA DC-008, tag 274).
    """
    left, top, right, bottom = edges
    match orientation:
        case 2:
            return 1 - right, top, 1 - left, bottom
        case 3:
            return 1 - right, 1 - bottom, 1 - left, 1 - top
        case 4:
            return left, 1 - bottom, right, 1 - top
        case 5:
            return top, left, bottom, right
        case 6:
            return 1 - bottom, left, 1 - top, right
        case 7:
            return 1 - bottom, 1 - right, 1 - top, 1 - left
        case 8:
            return top, 1 - right, bottom, 1 - left
    return edges


def place(entry: Entry, picture: Picture) -> tuple[list[pb.Box], list[str]]:
    """The boxes of `entry` on `picture`, and a line for each that had to be clipped or left out.

    Shares (YOLO) are of the upright picture, as YOLO's own loader reads it. Pixels (COCO, VOC) are of the picture as it
    is stored, unless the form names the size that it has upright. InvalidInput BAD_ANNOTATION when it names another.
    """
    boxes, lines = [], []
    stored = (picture.height, picture.width) if picture.orientation >= 5 else (picture.width, picture.height)
    if entry.size not in (None, stored, (picture.width, picture.height)):
        raise InvalidInput(
            "BAD_ANNOTATION",
            f"its boxes are for {entry.size} pixels, and it has {stored}",
            fix="Pack the picture that the boxes were drawn on.",
        )
    upright = not entry.pixels or (entry.size is not None and entry.size != stored)
    width, height = (picture.width, picture.height) if upright else stored
    for index, raw in enumerate(entry.boxes or (), 1):
        edges = (raw.left, raw.top, raw.right, raw.bottom)
        if entry.pixels:
            edges = (raw.left / width, raw.top / height, raw.right / width, raw.bottom / height)
        if not upright:
            edges = turned(edges, picture.orientation)
        box, beyond = _clipped(raw, edges, picture)
        if box is None:
            lines.append(f"box {index} ({raw.label}) is left out: less than a pixel of it lies in the picture")
            continue
        boxes.append(box)
        if beyond:
            lines.append(f"box {index} ({raw.label}) reached out of the picture and is clipped")
    return boxes, lines


def _clipped(raw: RawBox, edges: Edges, picture: Picture) -> tuple[pb.Box | None, bool]:
    """The box, None when less than a pixel is left of it; whether over a pixel of it lay outside."""
    left, top, right, bottom = (min(max(edge, 0.0), 1.0) for edge in edges)
    sides = (picture.width, picture.height) * 2
    beyond = any(
        abs(edge - cut) * side > 1 for edge, cut, side in zip(edges, (left, top, right, bottom), sides, strict=True)
    )
    if min((right - left) * picture.width, (bottom - top) * picture.height) < 1 - SLACK:
        return None, beyond
    return pb.Box(label=raw.label, x=left, y=top, width=right - left, height=bottom - top), beyond
