"""All figures of an evaluation, from the stored answers alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from services.common.errors import InvalidInput
from services.trainer.detection import average_precision
from services.trainer.evaluation.answers import Answers, Task
from services.trainer.evaluation.curves import Curve, Threshold, f1_score, precision_recall
from services.trainer.evaluation.matching import Match, hits, match
from services.trainer.evaluation.subsets import Subset, cases_of_classified, cases_of_detected, failing

__all__ = ["Quality", "Summary", "matches", "summarise"]

_CONFIDENCE = 0.5  # of a detection whose label has no suggested threshold

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Quality:
    """One label. `precision`, `recall` and `f1`: of the best answers; of detections, at the threshold.

    The curve is given as columns, surest first; `average_precision`: None where no picture has the label.
    """

    label: str
    support: int
    average_precision: float | None
    average_precision_50_95: float | None
    precision: float
    recall: float
    f1: float
    threshold: Threshold | None
    curve_recall: tuple[float, ...]
    curve_precision: tuple[float, ...]
    curve_confidence: tuple[float, ...]


@dataclass(frozen=True)
class Summary:
    """`confusion[i][j]`: answers j to truth i. A detection has one more row and column: nothing there, nothing found.

    `accuracy`: share of pictures that are wholly right. `boxes`: how many were found, missed, confused and false.
    """

    task: Task
    labels: tuple[str, ...]
    unknown_labels: tuple[str, ...]
    absent_labels: tuple[str, ...]
    images: int
    right_images: int
    seen_images: int
    confusion: tuple[tuple[int, ...], ...]
    qualities: tuple[Quality, ...]
    subsets: tuple[Subset, ...]
    boxes: dict[str, int]
    wrong: tuple[str, ...]  # captures, the surest errors first

    @property
    def accuracy(self) -> float:
        return self.right_images / self.images

    def mean_average_precision(self, wide: bool = False) -> float:
        """Over the labels that pictures have, 0 when there is none; `wide`: over overlaps from 0.5 to 0.95."""
        each = [one.average_precision_50_95 if wide else one.average_precision for one in self.qualities]
        known = [value for value in each if value is not None]
        return sum(known) / len(known) if known else 0.0

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `from_dict` takes them back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Summary:
        plain = {name: tuple(values[name]) for name in ("labels", "unknown_labels", "absent_labels", "wrong")}
        return cls(
            **values
            | plain
            | {
                "confusion": tuple(tuple(row) for row in values["confusion"]),
                "qualities": tuple(_quality_of(one) for one in values["qualities"]),
                "subsets": tuple(Subset(**one) for one in values["subsets"]),
            }
        )


def _quality_of(values: dict[str, Any]) -> Quality:
    threshold = Threshold(**values["threshold"]) if values["threshold"] else None
    curve = {name: tuple(values[name]) for name in ("curve_recall", "curve_precision", "curve_confidence")}
    return Quality(**values | curve | {"threshold": threshold})


def summarise(answers: Answers, confidence: float = 0.0) -> Summary:
    """`confidence`: from which an object counts as found, in a detection; 0 = the suggested one of its label.

    InvalidInput: no pictures, answers that do not fit the labels, or a detection without any object.
    """
    answers.check()
    return _classification(answers) if answers.task == "classification" else _detection(answers, confidence)


def matches(answers: Answers, confidence: float = 0.0) -> list[list[Match]]:
    """What became of the objects and boxes of every picture of a detection, as `summarise` counts them."""
    return _matched(answers, _thresholds(_detection_curves(answers), confidence))


def _classification(answers: Answers) -> Summary:
    pictures, size = answers.classified(), len(answers.labels)
    truth = np.array([picture.truth for picture in pictures])
    predicted = np.array([picture.predicted for picture in pictures])
    scores = np.array([picture.scores for picture in pictures])
    confusion = np.zeros((size, size), np.int64)
    np.add.at(confusion, (truth, predicted), 1)
    curves = [
        precision_recall(scores[:, label], truth == label, int((truth == label).sum()))
        if label < answers.known
        else _never_called(int((truth == label).sum()))
        for label in range(size)
    ]
    order = np.argsort([-picture.confidence for picture in pictures], kind="stable")
    wrong = tuple(pictures[i].facts.capture_id for i in order if truth[i] != predicted[i])
    qualities = [
        _quality(answers, label, curve, curve.average_precision(), None, confusion)
        for label, curve in enumerate(curves)
    ]
    return _summary(answers, confusion, qualities, failing(cases_of_classified(answers)), {}, wrong)


def _detection(answers: Answers, confidence: float) -> Summary:
    pictures, size = answers.detected(), len(answers.labels)
    if not any(picture.truths for picture in pictures):
        raise InvalidInput(
            "NO_TRUTHS",
            "No picture of this part of the version has a box: there is nothing to find.",
            fix="Choose another part of the version, or mark the objects and make a new version.",
        )
    score = average_precision([one.found for one in pictures], [one.truths for one in pictures], answers.labels)
    curves = _detection_curves(answers)
    matched = _matched(answers, _thresholds(curves, confidence))
    confusion = np.zeros((size + 1, size + 1), np.int64)
    for picture in matched:
        for one in picture:
            confusion[one.truth.label if one.truth else size, one.found.label if one.found else size] += 1
    qualities = [
        _quality(answers, label, curve, mine.ap50, mine.ap50_95, confusion)
        for label, (curve, mine) in enumerate(zip(curves, score.classes, strict=True))
    ]
    boxes = Counter(one.kind for picture in matched for one in picture)
    wrong = [
        (max((one.found.confidence for one in picture if one.found and one.kind != "found"), default=0.0), index)
        for index, picture in enumerate(matched)
        if any(one.kind != "found" for one in picture)
    ]
    ids = tuple(pictures[index].facts.capture_id for _, index in sorted(wrong, key=lambda one: (-one[0], one[1])))
    kinds = {kind: boxes.get(kind, 0) for kind in ("found", "missed", "confused", "false")}
    return _summary(answers, confusion, qualities, failing(cases_of_detected(answers, matched)), kinds, ids)


def _detection_curves(answers: Answers) -> list[Curve]:
    pictures = answers.detected()
    rows = [
        (one.label, one.confidence, hit)
        for picture in pictures
        for one, hit in zip(picture.found, hits(picture), strict=True)
    ]
    table = np.array(rows, np.float64).reshape(-1, 3)
    support = Counter(truth.label for picture in pictures for truth in picture.truths)
    curves = []
    for label in range(len(answers.labels)):
        mine = table[table[:, 0] == label]
        curves.append(precision_recall(mine[:, 1], mine[:, 2] > 0, support[label]))
    return curves


def _thresholds(curves: Sequence[Curve], confidence: float) -> list[float]:
    suggested = [curve.suggested() for curve in curves]
    return [confidence or (one.confidence if one else _CONFIDENCE) for one in suggested]


def _matched(answers: Answers, thresholds: Sequence[float]) -> list[list[Match]]:
    return [match(picture, thresholds) for picture in answers.detected()]


def _never_called(support: int) -> Curve:
    """Of a label that the model does not know."""
    nothing = np.zeros(0)
    return Curve(nothing, nothing, nothing, support)


def _quality(
    answers: Answers, label: int, curve: Curve, average: float | None, wide: float | None, confusion: Counts
) -> Quality:
    right, called = confusion[label, label], confusion[:, label].sum()
    precision = float(right / called) if called else 0.0
    recall = float(right / curve.support) if curve.support else 0.0
    thin = curve.thinned()
    columns = (tuple(round(float(v), 5) for v in column) for column in (thin.recall, thin.precision, thin.confidence))
    f1 = f1_score(precision, recall)
    name = answers.labels[label]
    return Quality(name, curve.support, average, wide, precision, recall, f1, curve.suggested(), *columns)


def _summary(
    answers: Answers,
    confusion: Counts,
    qualities: Sequence[Quality],
    subsets: Sequence[Subset],
    boxes: dict[str, int],
    wrong: tuple[str, ...],
) -> Summary:
    names = answers.labels if answers.task == "classification" else (*answers.labels, "")
    images = len(answers.pictures)
    return Summary(
        task=answers.task,
        labels=names,
        unknown_labels=tuple(one.label for one in qualities[answers.known :] if one.support),
        absent_labels=tuple(one.label for one in qualities[: answers.known] if not one.support),
        images=images,
        right_images=images - len(wrong),
        seen_images=sum(picture.facts.seen for picture in answers.pictures),
        confusion=tuple(tuple(int(count) for count in row) for row in confusion),
        qualities=tuple(qualities),
        subsets=tuple(subsets),
        boxes=boxes,
        wrong=wrong,
    )
