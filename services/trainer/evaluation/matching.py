"""What became of every object of a picture, and of every box that a detector found.

found      a box of the label overlaps it by half or more; the surest box chooses first, as in COCO's evaluation
confused   no such box, but one of another label lies there
missed     nothing lies there
false      a box where nothing is, or where a surer box has the object already
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from services.trainer.detection import Detection, Truth, iou
from services.trainer.evaluation.answers import Detected

__all__ = ["Kind", "Match", "hits", "match"]

Kind = Literal["found", "missed", "confused", "false"]
OVERLAP = 0.5
_ROUNDING = 1e-9  # an overlap of exactly one half is one


@dataclass(frozen=True)
class Match:
    """An object, a found box, or both; never neither."""

    kind: Kind
    truth: Truth | None
    found: Detection | None


def hits(picture: Detected) -> list[bool]:
    """Whether each found box, surest first, takes an object of its label."""
    return [place >= 0 for place in _taken(picture.truths, picture.found, lambda a, b: a == b)]


def match(picture: Detected, thresholds: Sequence[float]) -> list[Match]:
    """Every object, then the false boxes; `thresholds`: the confidence from which boxes of each label count."""
    shown = [one for one in picture.found if one.confidence >= thresholds[one.label]]
    right = _taken(picture.truths, shown, lambda a, b: a == b)
    left = [index for index in range(len(picture.truths)) if index not in right]
    others = [one for one, place in zip(shown, right, strict=True) if place < 0]
    wrong = _taken([picture.truths[index] for index in left], others, lambda a, b: a != b)
    kinds: dict[int, Match] = {i: Match("missed", picture.truths[i], None) for i in left}
    for one, place in zip(shown, right, strict=True):
        if place >= 0:
            kinds[place] = Match("found", picture.truths[place], one)
    for one, place in zip(others, wrong, strict=True):
        if place >= 0:
            kinds[left[place]] = Match("confused", picture.truths[left[place]], one)
    false = [Match("false", None, one) for one, place in zip(others, wrong, strict=True) if place < 0]
    return [*(kinds[index] for index in range(len(picture.truths))), *false]


def _taken(truths: Sequence[Truth], found: Sequence[Detection], fits: Callable[[int, int], bool]) -> list[int]:
    """The object that each box takes, -1 for none: the free one that fits and that it overlaps most."""
    if not truths or not found:
        return [-1] * len(found)
    overlap = iou(np.array([one.box for one in found])[:, None], np.array([one.box for one in truths]))
    labels = [truth.label for truth in truths]
    places = []
    for row, one in zip(overlap, found, strict=True):
        for index, label in enumerate(labels):
            if not fits(label, one.label):
                row[index] = -1.0
        best = len(row) - 1 - int(row[::-1].argmax())  # of equal ones the last, as COCO's
        if row[best] >= OVERLAP - _ROUNDING:
            overlap[:, best] = -1.0
            places.append(best)
        else:
            places.append(-1)
    return places
