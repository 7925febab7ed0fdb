from __future__ import annotations

import json

import numpy as np
import pytest

from services.common.errors import InvalidInput
from services.trainer.evaluate import Evaluation, agreement, evaluate, softmax

LABELS = ("cat", "dog", "fox")
TRUTH = ["cat", "cat", "dog", "dog", "dog"]
LOGITS = np.array([[3, 1, 0], [0, 2, 0], [0, 5, 1], [0, 4, 0], [2, 1, 0]], np.float32)


@pytest.fixture
def result() -> Evaluation:
    return evaluate(LOGITS, TRUTH, [f"c{i}" for i in range(5)], LABELS)


def test_confusion_rows_are_the_truth(result: Evaluation) -> None:
    assert result.confusion == ((1, 1, 0), (1, 2, 0), (0, 0, 0))
    assert result.accuracy == pytest.approx(3 / 5)


def test_precision_recall_and_f1_by_label(result: Evaluation) -> None:
    cat, dog, fox = result.classes
    assert (cat.precision, cat.recall, cat.f1, cat.support) == (0.5, 0.5, 0.5, 2)
    assert dog.precision == pytest.approx(2 / 3) and dog.recall == pytest.approx(2 / 3) and dog.support == 3
    assert (fox.precision, fox.recall, fox.f1, fox.support) == (0, 0, 0, 0)


def test_wrong_captures_are_told_with_the_confidence(result: Evaluation) -> None:
    wrong = [prediction for prediction in result.predictions if not prediction.right]
    assert [(p.capture_id, p.label, p.predicted) for p in wrong] == [("c1", "cat", "dog"), ("c4", "dog", "cat")]
    assert wrong[0].confidence == pytest.approx(np.exp(2) / (np.exp(2) + 2))


def test_survives_json(result: Evaluation) -> None:
    assert Evaluation.from_dict(json.loads(json.dumps(result.to_dict()))) == result


def test_softmax_takes_large_logits() -> None:
    assert softmax(np.array([[1000.0, 0.0], [-1000.0, -1000.0]])).tolist() == [[1, 0], [0.5, 0.5]]


def test_agreement_counts_equal_answers() -> None:
    other = LOGITS.copy()
    other[0] = [0, 9, 0]
    assert agreement(LOGITS, other) == pytest.approx(0.8)


def test_counts_must_fit() -> None:
    with pytest.raises(InvalidInput, match="5 labelled pictures"):
        evaluate(LOGITS[:4], TRUTH, ["x"] * 5, LABELS)


def test_an_unknown_label_is_named() -> None:
    with pytest.raises(InvalidInput, match="wolf"):
        evaluate(LOGITS, [*TRUTH[:4], "wolf"], ["x"] * 5, LABELS)
