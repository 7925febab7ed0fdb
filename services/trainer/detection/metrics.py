"""Average precision of a detector as COCO defines it (cocodataset.org, "Detection evaluation"; pycocotools' COCOeval).

    detections of a class, surest first ──► each takes the free truth of its picture it overlaps most ──► hit or miss
    ──► precision over recall, made falling ──► its mean at the recalls 0, 0.01, … 1 ──► AP at one overlap

mAP50 is the mean over the classes at an overlap (IoU) of 0.5; mAP50-95 also over the overlaps 0.5, 0.55, … 0.95.
A class without truths counts in neither. At most 100 detections of a class count in a picture, the surest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from services.common.errors import InvalidInput
from services.trainer.detection.boxes import Boxes, Detection, Truth, iou

__all__ = ["ClassDetectionScore", "DetectionScore", "average_precision"]

OVERLAPS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0, 1, 101)
MAX_DETECTIONS = 100  # of a class in a picture
_ROUNDING = 1e-12  # an overlap of exactly 0.5 is one, whatever the unit of the boxes

Array = npt.NDArray[np.float64]
Index = npt.NDArray[np.intp]


@dataclass(frozen=True)
class ClassDetectionScore:
    """Quality for one label; `ap50` and `ap50_95` in [0, 1], None where no picture shows it.

    `precision` and `confidence` are the precision-recall curve at an overlap of 0.5: the best precision that a recall
    of 0, 0.01, … 1 can be had at, and the confidence threshold it is had at; 0 where the recall is never reached.
    """

    label: str
    ap50: float | None
    ap50_95: float | None
    truths: int
    detections: int
    precision: tuple[float, ...] = ()
    confidence: tuple[float, ...] = ()

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> ClassDetectionScore:
        curve = {name: tuple(values[name]) for name in ("precision", "confidence")}
        return cls(**{**values, **curve})


@dataclass(frozen=True)
class DetectionScore:
    """Means over the labels that the pictures show, each in [0, 1]."""

    map50: float
    map50_95: float
    classes: tuple[ClassDetectionScore, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `from_dict` takes them back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> DetectionScore:
        return cls(values["map50"], values["map50_95"], tuple(map(ClassDetectionScore.from_dict, values["classes"])))


def average_precision(
    detections: Sequence[Sequence[Detection]], truths: Sequence[Sequence[Truth]], classes: Sequence[str]
) -> DetectionScore:
    """Compare what was found in each picture with what is there; decode with a threshold near 0 for the whole curve.

    InvalidInput when the counts differ, a label is unknown, or there is no truth at all.
    """
    if len(detections) != len(truths):
        raise InvalidInput(
            "DETECTION_COUNT",
            f"{len(detections)} pictures with detections, {len(truths)} with truths.",
            fix="Evaluate every picture of the split exactly once.",
        )
    found, there = _flat(detections), _flat(truths)
    if not len(there.label):
        raise InvalidInput(
            "NO_TRUTHS",
            "no picture of the split has a box: average precision is not defined.",
            fix="Mark the objects in the validation pictures first.",
        )
    largest = max(int(flat.label.max(initial=0)) for flat in (found, there))
    if largest >= len(classes):
        raise InvalidInput("LABEL_UNKNOWN", f"label {largest} is not one of the {len(classes)} labels.")
    scores = tuple(_class_score(name, found.of(label), there.of(label)) for label, name in enumerate(classes))
    map50 = np.mean([score.ap50 for score in scores if score.ap50 is not None])
    map50_95 = np.mean([score.ap50_95 for score in scores if score.ap50_95 is not None])
    return DetectionScore(float(map50), float(map50_95), scores)


@dataclass(frozen=True)
class _Flat:
    """Boxes of many pictures in one array."""

    picture: Index
    label: Index
    confidence: Array
    boxes: Boxes

    def of(self, label: int) -> _Flat:
        return self.at(self.label == label)

    def at(self, chosen: npt.NDArray[Any]) -> _Flat:
        return _Flat(self.picture[chosen], self.label[chosen], self.confidence[chosen], self.boxes[chosen])

    def rank(self) -> Index:
        """Place of each box among those of its picture."""
        order = np.argsort(self.picture, kind="stable")
        starts = np.searchsorted(self.picture[order], self.picture)
        place = np.empty(len(order), np.intp)
        place[order] = np.arange(len(order))
        return place - starts


def _flat(pictures: Sequence[Sequence[Detection | Truth]]) -> _Flat:
    rows = [
        (i, item.label, item.confidence if isinstance(item, Detection) else 0.0, *item.box)
        for i, items in enumerate(pictures)
        for item in items
    ]
    table = np.array(rows, np.float64).reshape(-1, 7)
    return _Flat(table[:, 0].astype(np.intp), table[:, 1].astype(np.intp), table[:, 2], table[:, 3:])


def _class_score(name: str, found: _Flat, there: _Flat) -> ClassDetectionScore:
    count, called = len(there.label), len(found.label)
    if not count:
        return ClassDetectionScore(name, None, None, 0, called)
    found = found.at(np.argsort(-found.confidence, kind="stable"))
    found = found.at(found.rank() < MAX_DETECTIONS)
    precision, confidence = _curves(_hits(found, there), found.confidence, count)
    average = precision.mean(axis=1)
    return ClassDetectionScore(
        name,
        float(average[0]),
        float(average.mean()),
        count,
        called,
        tuple(precision[0].tolist()),
        tuple(confidence.tolist()),
    )


def _hits(found: _Flat, there: _Flat) -> npt.NDArray[np.bool_]:
    """Whether each detection (surest first) takes a truth, (overlaps, detections): all pictures go in step.

    The surest detection of every picture chooses first, then every second one, and so on.
    """
    pictures, row = np.unique(there.picture, return_inverse=True)
    rank = there.rank()
    padded = np.full((len(pictures), int(rank.max()) + 1, 4), -1.0)  # an empty box overlaps nothing
    padded[row, rank] = there.boxes
    shown = np.flatnonzero(np.isin(found.picture, pictures))
    place = np.searchsorted(pictures, found.picture[shown])
    turn = found.rank()[shown]
    hits = np.zeros((len(OVERLAPS), len(found.label)), np.bool_)
    taken = np.zeros((len(OVERLAPS), *padded.shape[:2]), np.bool_)
    for current in range(int(turn.max(initial=-1)) + 1):
        now, at = shown[turn == current], place[turn == current]
        overlap = np.where(taken[:, at], -1.0, iou(found.boxes[now, None], padded[at]))  # (overlaps, now, truths)
        best = overlap.shape[-1] - 1 - overlap[..., ::-1].argmax(-1)  # of equal ones the last, as COCOeval
        hit = np.take_along_axis(overlap, best[..., None], -1)[..., 0] >= OVERLAPS[:, None] - _ROUNDING
        hits[:, now] = hit
        level, which = np.nonzero(hit)
        taken[level, at[which], best[level, which]] = True
    return hits


def _curves(hits: npt.NDArray[np.bool_], confidence: Array, truths: int) -> tuple[Array, Array]:
    """Precision (overlaps, 101) at RECALLS, and the confidence (101,) at the first overlap."""
    precision, at = np.zeros((len(OVERLAPS), len(RECALLS))), np.zeros(len(RECALLS))
    right = hits.cumsum(axis=1)
    falling = np.maximum.accumulate((right / np.arange(1, hits.shape[1] + 1))[:, ::-1], axis=1)[:, ::-1]
    for level, recall in enumerate(right / truths):
        first = np.searchsorted(recall, RECALLS, side="left")
        reached = first < len(recall)
        precision[level, reached] = falling[level, first[reached]]
        if level == 0:
            at[reached] = confidence[first[reached]]
    return precision, at
