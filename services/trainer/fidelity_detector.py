"""Fidelity of a detector: its last map decoded as the boards decode it, float beside converted.

An answer is what a board would show: the objects surer than one half. Two answers are the same when they pair off into
objects of one label that overlap by half or more (IoU). Average precision takes everything that was found.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from services.common.errors import InvalidInput
from services.common.fidelity import Answer, Change, ClassChange, Fidelity, Score
from services.trainer.convert import ConversionReport
from services.trainer.convert.common import snr_db
from services.trainer.detection import Detection, Truth, average_precision, iou
from services.trainer.detector import detections
from services.trainer.fidelity import CHANGED_SHOWN, Outputs, histogram, layer_noise
from services.trainer.graph import Graph

__all__ = ["compare_detector"]

Found = list[Detection]

_SHOWN = 0.5  # confidence from which a board shows an object
_SAME = 0.5  # overlap of the same object, found twice


def compare_detector(
    graph: Graph,
    report: ConversionReport,
    wanted: Outputs,
    got: Outputs,
    ids: Sequence[str],
    truths: Sequence[Sequence[Truth]] | None,
    limit: float,
) -> Fidelity:
    """From float and simulated maps (n, channels*h*w); `truths`: the marked objects of each picture, where known."""
    if wanted.shape != got.shape or not len(wanted) or len(ids) != len(wanted):
        raise InvalidInput(
            "EVALUATION_SHAPE",
            f"{len(ids)} pictures, but outputs of the shapes {list(wanted.shape)} (float) and {list(got.shape)}.",
            fix="Give at least one picture, and every picture once.",
        )
    floating, converted = _decoded(graph, wanted), _decoded(graph, got)
    layers, weakest = layer_noise(report)
    same = np.array([_same(_shown(one), _shown(other)) for one, other in zip(floating, converted, strict=True)])
    loss = np.array([_loss(one, other) for one, other in zip(floating, converted, strict=True)])
    changed = np.flatnonzero(~same)
    order = changed[np.argsort(-loss[changed], kind="stable")]
    seen = [i for i, found in enumerate(floating) if _shown(found)]
    change = np.array([_best(floating[i][0], converted[i]) - floating[i][0].confidence for i in seen], np.float64)
    scores, classes = _scores(floating, converted, truths, graph.labels)
    return Fidelity(
        target=report.target,
        task="detector",
        images=len(wanted),
        scores=scores,
        max_accuracy_drop=limit,
        agreement=float(same.mean()),
        output_snr_db=snr_db(wanted, got),
        layers=layers,
        weakest_layer=weakest,
        changed_count=len(changed),
        changed=tuple(
            Change(
                ids[i],
                "" if truths is None else _words([truth.label for truth in truths[i]], graph.labels),
                _answer(floating[i], graph.labels),
                _answer(converted[i], graph.labels),
            )
            for i in order[:CHANGED_SHOWN]
        ),
        confidence=histogram(change),
        classes=classes,
    )


def _decoded(graph: Graph, outputs: Outputs) -> list[Found]:
    return detections(outputs, graph)


def _shown(found: Found) -> Found:
    return [one for one in found if one.confidence > _SHOWN]


def _overlap(one: Detection, other: Detection) -> float:
    return float(iou(np.array(one.box), np.array(other.box)))


def _same(one: Found, other: Found) -> bool:
    """Whether both pair off; each takes the free object of its label that it overlaps most."""
    free = list(other)
    for mine in one:
        fitting = [their for their in free if their.label == mine.label and _overlap(mine, their) >= _SAME]
        if not fitting:
            return False
        free.remove(max(fitting, key=lambda their: _overlap(mine, their)))
    return not free


def _best(mine: Detection, found: Found) -> float:
    """How sure another network is of this object; 0 when it does not see it."""
    sure = (one.confidence for one in found if one.label == mine.label and _overlap(mine, one) >= _SAME)
    return max(sure, default=0.0)


def _loss(floating: Found, converted: Found) -> float:
    """The largest change of confidence in an object that either network shows."""
    pairs = [(floating, converted), (converted, floating)]
    return max((one.confidence - _best(one, other) for mine, other in pairs for one in _shown(mine)), default=0.0)


def _answer(found: Found, labels: Sequence[str]) -> Answer:
    shown = _shown(found)
    return Answer(_words([one.label for one in shown], labels), round(shown[0].confidence, 6) if shown else 0.0)


def _words(found: Sequence[int], labels: Sequence[str]) -> str:
    """2 × car, bus"""
    counts = Counter(found)
    return ", ".join(f"{count} × {labels[i]}" if count > 1 else labels[i] for i, count in sorted(counts.items()))


def _scores(
    floating: list[Found],
    converted: list[Found],
    truths: Sequence[Sequence[Truth]] | None,
    labels: Sequence[str],
) -> tuple[tuple[Score, ...], tuple[ClassChange, ...]]:
    if truths is None:
        return (), ()
    one, other = (average_precision(found, truths, labels) for found in (floating, converted))
    classes = tuple(
        ClassChange(mine.label, mine.truths, mine.ap50 or 0.0, their.ap50 or 0.0)
        for mine, their in zip(one.classes, other.classes, strict=True)
    )
    return (Score("mAP50", one.map50, other.map50), Score("mAP50-95", one.map50_95, other.map50_95)), classes
