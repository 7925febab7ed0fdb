from __future__ import annotations

import numpy as np
import pytest

from services.trainer.evaluation.curves import ENOUGH, precision_recall


def test_average_precision_is_the_worked_example() -> None:
    # scikit-learn's documentation of average_precision_score: scores 0.1 0.4 0.35 0.8, truth 0 0 1 1, answer 0.83
    made = precision_recall(np.array([0.1, 0.4, 0.35, 0.8]), np.array([False, False, True, True]), 2)
    assert made.average_precision() == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert made.recall.tolist() == [0.5, 0.5, 1, 1]
    assert made.precision.tolist() == pytest.approx([1, 0.5, 2 / 3, 0.5])


def test_equally_sure_answers_are_one_point() -> None:
    made = precision_recall(np.array([0.5, 0.9, 0.5]), np.array([True, False, False]), 1)
    assert made.confidence.tolist() == [0.9, 0.5] and made.precision.tolist() == pytest.approx([0, 1 / 3])


def test_the_suggested_threshold_has_the_highest_f1_and_lies_between_answers() -> None:
    made = precision_recall(np.array([0.9, 0.8, 0.6, 0.3]), np.array([True, True, False, True]), 3)
    chosen = made.suggested()
    assert chosen is not None
    assert (chosen.precision, chosen.recall) == (0.75, 1) and chosen.f1 == pytest.approx(6 / 7)
    first = precision_recall(np.array([0.9, 0.8, 0.6]), np.array([True, True, False]), 2).suggested()
    assert first is not None and first.confidence == pytest.approx(0.7) and first.f1 == 1


def test_few_pictures_are_not_enough_to_choose_by() -> None:
    def suggested(count: int) -> bool:
        chosen = precision_recall(np.linspace(0.1, 0.9, count), np.ones(count, bool), count).suggested()
        assert chosen is not None
        return chosen.enough

    assert suggested(ENOUGH) and not suggested(ENOUGH - 1)


def test_a_label_that_nothing_has_or_that_is_never_found_has_no_threshold() -> None:
    nothing = precision_recall(np.array([0.9]), np.array([False]), 0)
    never = precision_recall(np.array([0.9]), np.array([False]), 3)
    assert nothing.average_precision() is None and nothing.suggested() is None
    assert never.average_precision() == 0 and never.suggested() is None


def test_a_long_curve_is_stored_in_a_hundred_points() -> None:
    made = precision_recall(np.linspace(0, 1, 5000), np.ones(5000, bool), 5000)
    thin = made.thinned()
    assert len(thin.recall) == 101 and thin.recall[-1] == 1 and thin.confidence[0] == 1
