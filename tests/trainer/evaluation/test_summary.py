from __future__ import annotations

import json

import numpy as np
import pytest

from services.common.errors import InvalidInput
from services.trainer.detection.metrics import RECALLS
from services.trainer.evaluation.answers import Answers
from services.trainer.evaluation.summary import Summary, summarise
from tests.trainer.evaluation.made import boxes, classified, random_scenes, scene

ROWS = ((0, (0.9, 0.1)), (0, (0.4, 0.6)), (1, (0.2, 0.8)), (1, (0.3, 0.7)), (1, (0.9, 0.1)))


def test_figures_of_a_classification() -> None:
    made = summarise(classified(*ROWS))
    assert made.confusion == ((1, 1), (1, 2)) and made.accuracy == pytest.approx(0.6)
    cat, dog = made.qualities
    assert (cat.precision, cat.recall, cat.f1, cat.support) == (0.5, 0.5, 0.5, 2)
    assert dog.precision == dog.recall == pytest.approx(2 / 3) and dog.support == 3
    assert dog.average_precision == pytest.approx((1 + 1 + 3 / 5) / 3)  # the third dog among the last two, equally sure
    assert made.wrong == ("c4", "c1")  # the surest error first


def test_labels_that_only_one_side_has_are_named_and_cost_accuracy() -> None:
    answers = classified(*ROWS[:3], (2, (0.9, 0.1)), labels=("cat", "dog", "fox"))
    made = summarise(answers)
    assert made.unknown_labels == ("fox",) and made.confusion[2] == (1, 0, 0) and made.accuracy == 0.5
    fox = made.qualities[2]
    assert (fox.support, fox.recall, fox.average_precision, fox.threshold) == (1, 0, 0, None)
    assert summarise(classified(*ROWS[:2])).absent_labels == ("dog",)


def test_figures_of_a_detection_are_counted_by_object() -> None:
    made = summarise(
        boxes(
            scene("a", {0.0: 0, 0.2: 1}, (0, 0.9, 0.0), (0, 0.8, 0.2)),  # found; confused
            scene("b", {0.4: 1}, (1, 0.7, 0.4), (1, 0.6, 0.8)),  # found; and a false box
            scene("c", {0.6: 0}),  # missed
            scene("d", {}),
        ),
        confidence=0.5,
    )
    assert made.labels == ("cat", "dog", "") and made.confusion == ((1, 0, 1), (1, 1, 0), (0, 1, 0))
    assert made.boxes == {"found": 2, "missed": 1, "confused": 1, "false": 1}
    assert made.right_images == 1 and made.wrong == ("a", "b", "c")
    assert (made.qualities[0].precision, made.qualities[0].recall) == (0.5, 0.5)


def test_the_curve_of_a_detection_is_the_one_of_its_average_precision() -> None:
    answers = random_scenes(60, 3)
    for quality in summarise(answers).qualities:
        recall, precision = np.array(quality.curve_recall), np.array(quality.curve_precision)
        falling = np.maximum.accumulate(precision[::-1])[::-1]
        reached = np.searchsorted(recall, RECALLS - 1e-5)
        again = np.where(reached < len(recall), falling[np.minimum(reached, len(recall) - 1)], 0).mean()
        assert again == pytest.approx(quality.average_precision, abs=0.01)  # the stored curve has 101 points
        assert quality.threshold is not None and quality.f1 == pytest.approx(quality.threshold.f1)


def test_survives_json() -> None:
    for answers in (classified(*ROWS), random_scenes(9, 2)):
        made = summarise(answers)
        assert Summary.from_dict(json.loads(json.dumps(made.to_dict()))) == made


def test_stored_answers_give_the_same_figures() -> None:
    for answers in (classified(*ROWS), random_scenes(9, 2)):
        again = Answers.parse(answers.pack())
        one, other = summarise(answers), summarise(again)
        assert one.confusion == other.confusion and one.wrong == other.wrong and Answers.parse(again.pack()) == again
        assert one.mean_average_precision() == pytest.approx(other.mean_average_precision())


def test_nothing_to_evaluate_is_said() -> None:
    with pytest.raises(InvalidInput, match="no picture to evaluate"):
        summarise(Answers("classification", ("a", "b"), 2, ()))
    with pytest.raises(InvalidInput, match="nothing to find"):
        summarise(boxes(scene("a", {})))
    with pytest.raises(InvalidInput, match="does not fit"):
        summarise(classified((5, (0.5, 0.5))))
