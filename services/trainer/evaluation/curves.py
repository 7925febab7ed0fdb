"""Precision-recall curves, average precision, and the confidence to ask for.

A curve has one point for every confidence that occurs: what precision and recall are when everything at least that
sure is called. Average precision of a classifier's label is the sum of precision times gain of recall, as
scikit-learn's average_precision_score; a detection's comes from services.trainer.detection.metrics.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["ENOUGH", "Curve", "Threshold", "f1_score", "precision_recall"]

ENOUGH = 20  # pictures, or objects, of a label: below, one more or less moves recall by over five points
_POINTS = 101  # of a curve that is stored

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Threshold:
    """`confidence`: call what is at least so sure. `enough`: at least ENOUGH have the label."""

    confidence: float
    precision: float
    recall: float
    f1: float
    enough: bool


@dataclass(frozen=True, eq=False)
class Curve:
    """Points (n,) in falling order of `confidence`; `support`: pictures, or objects, that have the label."""

    recall: Array
    precision: Array
    confidence: Array
    support: int

    def average_precision(self) -> float | None:
        """None where nothing has the label."""
        if not self.support:
            return None
        return float((np.diff(self.recall, prepend=0.0) * self.precision).sum())

    def suggested(self) -> Threshold | None:
        """Where F1 is highest, the surest of equals; None where nothing is ever found.

        The confidence lies halfway to the next less sure answer, so that rounding moves nothing over it.
        """
        if not self.support or not self.recall.any():
            return None
        f1 = 2 * self.precision * self.recall / np.maximum(self.precision + self.recall, 1e-12)
        best = int(f1.argmax())
        below = self.confidence[best + 1] if best + 1 < len(self.confidence) else self.confidence[best]
        return Threshold(
            float((self.confidence[best] + below) / 2),
            float(self.precision[best]),
            float(self.recall[best]),
            float(f1[best]),
            self.support >= ENOUGH,
        )

    def thinned(self) -> Curve:
        """At most 101 points, first and last among them."""
        if len(self.recall) <= _POINTS:
            return self
        kept = np.linspace(0, len(self.recall) - 1, _POINTS).round().astype(int)
        return Curve(self.recall[kept], self.precision[kept], self.confidence[kept], self.support)


def precision_recall(confidence: Array, hit: npt.NDArray[np.bool_], support: int) -> Curve:
    """From the confidence (n,) of every answer and whether it is right; `support`: how many there are to find."""
    order = np.argsort(-confidence, kind="stable")
    confidence, right = confidence[order], hit[order].cumsum()
    last = np.flatnonzero(np.diff(confidence, append=-np.inf))  # of equally sure answers all are called or none
    recall = right[last] / support if support else np.zeros(len(last))
    return Curve(recall, right[last] / (last + 1), confidence[last], support)


def f1_score(precision: float, recall: float) -> float:
    """Harmonic mean; 0 when both are."""
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
