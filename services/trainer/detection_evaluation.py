"""How good a detector is on the validation split: average precision, and what a board would show of it.

A board shows the objects surer than one half: those are counted for precision, recall and F1 of a label, and a picture
is right when they pair off with the marked ones, label by label, each overlapping its own by half or more (IoU).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from services.common.errors import InvalidInput
from services.trainer.detection import ClassDetectionScore, Detection, DetectionScore, Truth, average_precision, iou
from services.trainer.evaluate import Evaluation

__all__ = ["SHOWN", "AnyEvaluation", "DetectionEvaluation", "Shown", "evaluate_detections", "parsed_evaluation"]

SHOWN = 0.5  # confidence from which a board shows an object
_SAME = 0.5  # overlap of a find with its object


@dataclass(frozen=True)
class Shown:
    """Of one label, what a board shows: counts of objects."""

    label: str
    right: int
    shown: int
    truths: int

    @property
    def precision(self) -> float:
        return self.right / self.shown if self.shown else 0.0

    @property
    def recall(self) -> float:
        return self.right / self.truths if self.truths else 0.0

    @property
    def f1(self) -> float:
        return 2 * self.right / (self.shown + self.truths) if self.right else 0.0


@dataclass(frozen=True)
class DetectionEvaluation:
    """`wrong`: captures of which a board would show too little, too much or something else."""

    labels: tuple[str, ...]
    images: int
    score: DetectionScore
    shown: tuple[Shown, ...]
    wrong: tuple[str, ...]

    @property
    def quality(self) -> tuple[str, float]:
        """The figure to tell in a line."""
        return "mAP50", self.score.map50

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `from_dict` takes them back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> DetectionEvaluation:
        score = values["score"]
        classes = tuple(map(ClassDetectionScore.from_dict, score["classes"]))
        return cls(
            tuple(values["labels"]),
            values["images"],
            DetectionScore(score["map50"], score["map50_95"], classes),
            tuple(Shown(**one) for one in values["shown"]),
            tuple(values["wrong"]),
        )


AnyEvaluation = Evaluation | DetectionEvaluation


def parsed_evaluation(values: dict[str, Any]) -> AnyEvaluation:
    """From the `to_dict` of either."""
    return DetectionEvaluation.from_dict(values) if "shown" in values else Evaluation.from_dict(values)


def evaluate_detections(
    found: Sequence[Sequence[Detection]], truths: Sequence[Sequence[Truth]], ids: Sequence[str], labels: Sequence[str]
) -> DetectionEvaluation:
    """Compare what was found in each picture, decoded with a threshold near 0, with what is marked.

    InvalidInput as of `average_precision`, or when the ids are not as many.
    """
    if len(ids) != len(truths):
        raise InvalidInput("EVALUATION_SHAPE", f"{len(truths)} pictures and {len(ids)} ids.")
    score = average_precision(found, truths, labels)
    shown = [[one for one in finds if one.confidence > SHOWN] for finds in found]
    right = [_paired(finds, marked) for finds, marked in zip(shown, truths, strict=True)]
    return DetectionEvaluation(
        tuple(labels),
        len(ids),
        score,
        tuple(
            Shown(
                name,
                sum(pairs.count(label) for pairs in right),
                sum(one.label == label for finds in shown for one in finds),
                sum(truth.label == label for marked in truths for truth in marked),
            )
            for label, name in enumerate(labels)
        ),
        tuple(
            capture
            for capture, pairs, finds, marked in zip(ids, right, shown, truths, strict=True)
            if not len(pairs) == len(finds) == len(marked)
        ),
    )


def _paired(finds: Sequence[Detection], marked: Sequence[Truth]) -> list[int]:
    """Labels of the finds that take an object of their label, the surest first."""
    free, pairs = list(marked), []
    for one in finds:
        near = [(float(iou(np.array(one.box), np.array(t.box))), i) for i, t in enumerate(free) if t.label == one.label]
        overlap, place = max(near, default=(0.0, -1))
        if overlap >= _SAME:
            free.pop(place)
            pairs.append(one.label)
    return pairs
