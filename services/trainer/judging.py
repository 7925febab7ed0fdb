"""Outputs of a network, float or simulated, against the validation split: one judge for each task.

outputs (n, values) ──► judge.evaluated ──► Evaluation or DetectionEvaluation
float and simulated ──► judge.compared  ──► Fidelity
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from services.trainer.convert import ConversionReport
from services.trainer.data import truths_of
from services.trainer.detection_evaluation import AnyEvaluation, DetectionEvaluation, evaluate_detections
from services.trainer.detector import detections
from services.trainer.evaluate import Evaluation, evaluate
from services.trainer.fidelity import Fidelity, Outputs, Samples, compare
from services.trainer.fidelity_detector import compare_detector
from services.trainer.graph import Graph
from services.trainer.pictures import Item

__all__ = ["Judge", "judge_of"]


class Judge(Protocol):
    """Knows the pictures and what is true of them."""

    def evaluated(self, outputs: Outputs) -> AnyEvaluation:
        """How good outputs (n, values) are."""
        ...

    def compared(self, report: ConversionReport, wanted: Outputs, got: Outputs, limit: float) -> Fidelity:
        """How far simulated outputs are from the float ones; more than `limit` may not be lost."""
        ...


def judge_of(graph: Graph, items: Sequence[Item]) -> Judge:
    """For the network's own task."""
    return _Labels(graph, items) if graph.kind == "classifier" else _Detections(graph, items)


class _Labels:
    def __init__(self, graph: Graph, items: Sequence[Item]) -> None:
        self._graph = graph
        self._samples = Samples([item.id for item in items], [item.label for item in items])

    def evaluated(self, outputs: Outputs) -> Evaluation:
        return evaluate(outputs, self._samples.truth or (), self._samples.ids, self._graph.labels)

    def compared(self, report: ConversionReport, wanted: Outputs, got: Outputs, limit: float) -> Fidelity:
        return compare(self._graph, report, wanted, got, self._samples, limit)


class _Detections:
    def __init__(self, graph: Graph, items: Sequence[Item]) -> None:
        self._graph = graph
        self._ids = [item.id for item in items]
        self._truths = truths_of(items, graph.labels)

    def evaluated(self, outputs: Outputs) -> DetectionEvaluation:
        return evaluate_detections(detections(outputs, self._graph), self._truths, self._ids, self._graph.labels)

    def compared(self, report: ConversionReport, wanted: Outputs, got: Outputs, limit: float) -> Fidelity:
        return compare_detector(self._graph, report, wanted, got, self._ids, self._truths, limit)
