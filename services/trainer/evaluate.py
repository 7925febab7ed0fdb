"""How good a model is on the validation split: one function for the float model and for every converted one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from services.common.errors import InvalidInput

__all__ = ["ClassScore", "Evaluation", "Prediction", "agreement", "evaluate", "softmax"]

Scores = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class ClassScore:
    """Quality for one label, each in [0, 1]; 0 where nothing was predicted or nothing is there. `support`: pictures."""

    label: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True)
class Prediction:
    """What the model said of one capture; `confidence` is the probability of the predicted label."""

    capture_id: str
    label: str
    predicted: str
    confidence: float

    @property
    def right(self) -> bool:
        return self.label == self.predicted


@dataclass(frozen=True)
class Evaluation:
    """`confusion[i][j]`: pictures of label i that the model called label j."""

    labels: tuple[str, ...]
    accuracy: float
    confusion: tuple[tuple[int, ...], ...]
    classes: tuple[ClassScore, ...]
    predictions: tuple[Prediction, ...]

    @property
    def quality(self) -> tuple[str, float]:
        """The figure to tell in a line."""
        return "accuracy", self.accuracy

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values; `from_dict` takes them back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Evaluation:
        return cls(
            tuple(values["labels"]),
            values["accuracy"],
            tuple(tuple(row) for row in values["confusion"]),
            tuple(ClassScore(**score) for score in values["classes"]),
            tuple(Prediction(**prediction) for prediction in values["predictions"]),
        )


def softmax(logits: Scores) -> npt.NDArray[np.float64]:
    """Logits (n, classes) to probabilities."""
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    probabilities: npt.NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return probabilities


def evaluate(logits: Scores, truth: Sequence[str], ids: Sequence[str], labels: Sequence[str]) -> Evaluation:
    """Compare logits (n, classes) of a float or converted model with the labels of the n captures.

    InvalidInput when the counts do not fit or a true label is unknown to the model.
    """
    if logits.shape != (len(truth), len(labels)) or len(ids) != len(truth) or not len(truth):
        raise InvalidInput(
            "EVALUATION_SHAPE",
            f"{len(truth)} labelled pictures, {len(ids)} ids and {len(labels)} labels, "
            f"but outputs of the shape {list(logits.shape)}.",
            fix="Evaluate every picture of the split exactly once.",
        )
    unknown = sorted(set(truth) - set(labels))
    if unknown:
        raise InvalidInput("LABEL_UNKNOWN", f"The model does not know the labels {', '.join(unknown)}.")
    actual = np.array([labels.index(label) for label in truth])
    predicted = logits.argmax(axis=1)
    confusion = np.zeros((len(labels), len(labels)), np.int64)
    np.add.at(confusion, (actual, predicted), 1)
    return Evaluation(
        tuple(labels),
        float((predicted == actual).mean()),
        tuple(tuple(int(count) for count in row) for row in confusion),
        tuple(_class_score(confusion, index, label) for index, label in enumerate(labels)),
        tuple(
            Prediction(capture, label, labels[best], float(row[best]))
            for capture, label, best, row in zip(ids, truth, predicted, softmax(logits), strict=True)
        ),
    )


def _class_score(confusion: npt.NDArray[np.int64], index: int, label: str) -> ClassScore:
    hits, called, support = confusion[index, index], confusion[:, index].sum(), confusion[index].sum()
    precision = float(hits / called) if called else 0.0
    recall = float(hits / support) if support else 0.0
    f1 = 2 * precision * recall / (precision + recall) if hits else 0.0
    return ClassScore(label, precision, recall, f1, int(support))


def agreement(a: Scores, b: Scores) -> float:
    """Fraction of pictures to which two models, outputs (n, classes), give the same label."""
    if a.shape != b.shape or not len(a):
        raise InvalidInput("EVALUATION_SHAPE", f"Outputs {list(a.shape)} and {list(b.shape)} cannot be compared.")
    return float((a.argmax(axis=1) == b.argmax(axis=1)).mean())
