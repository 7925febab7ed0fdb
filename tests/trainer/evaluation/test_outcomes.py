from __future__ import annotations

from typing import Any

import pytest

from services.common.errors import InvalidInput
from services.trainer.evaluation.comparison import compare, sign_test
from services.trainer.evaluation.outcomes import Outcome, Wanted, outcomes
from tests.trainer.evaluation.made import boxes, classified, scene

SCENES = boxes(
    scene("found", {0.0: 0}, (0, 0.9, 0.0)),
    scene("mixed", {0.2: 1, 0.4: 1}, (0, 0.8, 0.2), (1, 0.7, 0.4), (1, 0.6, 0.8)),
    scene("missed", {0.6: 0}, (0, 0.2, 0.6)),
    scene("nothing", {}),
)


def names(found: list[Outcome], **wanted: Any) -> list[str]:
    return [one.facts.capture_id for one in found if Wanted(**wanted).takes(one)]


def test_the_surest_errors_come_first_and_the_least_sure_answers_after_them() -> None:
    found = outcomes(classified((0, (0.6, 0.4)), (0, (0.1, 0.9)), (1, (0.7, 0.3)), (1, (0.2, 0.8))))
    assert names(found) == ["c1", "c2", "c0", "c3"] and [one.right for one in found] == [False, False, True, True]


def test_every_object_has_its_outcome() -> None:
    found = {one.facts.capture_id: one for one in outcomes(SCENES, 0.5)}
    kinds = [(box.kind, box.truth, box.predicted, box.confidence) for box in found["mixed"].boxes]
    assert kinds == [("confused", "dog", "cat", 0.8), ("found", "dog", "dog", 0.7), ("false", "", "dog", 0.6)]
    assert found["mixed"].confidence == 0.8 and not found["mixed"].right
    assert found["missed"].boxes[0].kind == "missed" and found["missed"].boxes[0].found_box is None
    assert found["nothing"].right and found["found"].right


def test_a_cell_of_the_confusion_matrix_filters() -> None:
    found = outcomes(SCENES, 0.5)
    assert names(found, truth="dog", predicted="cat") == ["mixed"]
    assert names(found, truth="cat", predicted="") == ["missed"] and names(found, truth="", predicted="dog") == [
        "mixed"
    ]
    assert names(found, truth="cat") == ["missed", "found"]


@pytest.mark.parametrize(
    ("kind", "captures"),
    [("right", ["found", "nothing"]), ("wrong", ["mixed", "missed"]), ("false", ["mixed"]), ("missed", ["missed"])],
)
def test_a_kind_filters(kind: str, captures: list[str]) -> None:
    assert sorted(names(outcomes(SCENES, 0.5), kind=kind)) == sorted(captures)


def test_a_subset_filters() -> None:
    found = outcomes(SCENES, 0.5)
    assert sorted(names(found, subset=("count", "2–3"))) == ["mixed"]
    assert sorted(names(found, subset=("label", "cat"))) == ["found", "missed"]
    assert names(found, subset=("label", "cat"), kind="wrong") == ["missed"]
    assert names(outcomes(classified((0, (0.6, 0.4)), (1, (0.7, 0.3)))), subset=("label", "dog")) == ["c1"]


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(InvalidInput, match="right, wrong, missed"):
        Wanted("strange")


def test_two_evaluations_are_compared_over_what_both_have() -> None:
    first = outcomes(classified((0, (0.6, 0.4)), (0, (0.1, 0.9)), (1, (0.7, 0.3)), (1, (0.2, 0.8))))
    second = outcomes(classified((0, (0.4, 0.6)), (0, (0.8, 0.2)), (1, (0.1, 0.9))))
    made = compare(first, second)
    assert (made.common, made.first_right, made.second_right) == (3, 1, 2)
    assert made.mended == ("c1", "c2") and made.broken == ("c0",) and made.chance == 1


def test_the_sign_test_is_exact() -> None:
    assert (
        sign_test(0, 0) == 1 and sign_test(1, 9) == pytest.approx(2 * 11 / 1024) and sign_test(9, 1) == sign_test(1, 9)
    )
