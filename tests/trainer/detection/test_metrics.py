from __future__ import annotations

import contextlib
import io
import json

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from services.common.errors import InvalidInput
from services.trainer.detection import Box, Detection, DetectionScore, Truth, average_precision

LABELS = ("cat", "dog", "owl", "eel")
SQUARE = Box(0.2, 0.2, 0.6, 0.6)

Found = list[list[Detection]]
There = list[list[Truth]]


def random_case(
    seed: int, pictures: int = 20, truths: int = 6, classes: int = 3, ties: bool = False
) -> tuple[Found, There]:
    """Objects, and detections that are shaken copies of them, doubles, wrong labels and noise."""
    rng = np.random.default_rng(seed)

    def box() -> Box:
        x, y, w, h = *rng.uniform(0, 0.7, 2), *rng.uniform(0.05, 0.4, 2)
        return Box(x, y, x + w, y + h)

    found: Found = []
    there: There = []
    for _ in range(pictures):
        there.append([Truth(int(rng.integers(classes)), box()) for _ in range(rng.integers(0, truths + 1))])
        seen = []
        for truth in there[-1]:
            for _ in range(rng.integers(0, 4)):
                shaken = Box(*(np.array(truth.box) + rng.uniform(-0.024, 0.024, 4)))  # no side turns over
                seen.append((truth.label if rng.uniform() < 0.8 else int(rng.integers(classes)), shaken))
        seen += [(int(rng.integers(classes)), box()) for _ in range(rng.integers(0, 5))]
        confidences = rng.uniform(size=len(seen)).round(1 if ties else 9)
        found.append([Detection(label, float(c), b) for (label, b), c in zip(seen, confidences, strict=True)])
    return found, there


def by_pycocotools(found: Found, there: There, classes: int) -> tuple[float, float, list[float]]:
    """mAP50-95, mAP50, and the AP50 of each class, -1 where it has no truth."""

    def xywh(box: Box) -> list[float]:
        return [box.left * 640, box.top * 480, (box.right - box.left) * 640, (box.bottom - box.top) * 480]

    objects = [(i, t) for i, items in enumerate(there) for t in items]
    truth = {
        "images": [{"id": i, "width": 640, "height": 480} for i in range(len(there))],
        "categories": [{"id": c, "name": str(c)} for c in range(classes)],
        "annotations": [
            {"id": n + 1, "image_id": i, "category_id": t.label, "bbox": xywh(t.box), "iscrowd": 0,
             "area": float(np.prod(xywh(t.box)[2:]))}
            for n, (i, t) in enumerate(objects)
        ],
    }  # fmt: skip
    results = [
        {"image_id": i, "category_id": d.label, "bbox": xywh(d.box), "score": d.confidence}
        for i, items in enumerate(found)
        for d in items
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = truth
        coco.createIndex()
        judge = COCOeval(coco, coco.loadRes(results), "bbox")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    precision = judge.eval["precision"][:, :, :, 0, -1]  # (overlaps, recalls, classes)
    return judge.stats[0], judge.stats[1], [float(precision[0, :, c].mean()) for c in range(classes)]


@pytest.mark.parametrize(
    "case",
    [
        {},
        {"seed": 1, "classes": 1},
        {"seed": 2, "classes": 4, "pictures": 60},
        {"seed": 3, "ties": True, "pictures": 60},
        {"seed": 4, "pictures": 3, "truths": 90},
        {"seed": 5, "pictures": 2, "truths": 2, "classes": 4},
    ],
    ids=str,
)
def test_random_cases_agree_with_pycocotools(case: dict[str, int]) -> None:
    found, there = random_case(**{"seed": 0, **case})
    classes = case.get("classes", 3)
    score = average_precision(found, there, LABELS[:classes])
    map50_95, map50, each = by_pycocotools(found, there, classes)
    assert 0.05 < map50 < 0.95
    assert score.map50 == pytest.approx(map50, abs=1e-4) and score.map50_95 == pytest.approx(map50_95, abs=1e-4)
    assert [-1 if c.ap50 is None else c.ap50 for c in score.classes] == pytest.approx(each, abs=1e-4)


def test_right_boxes_are_perfect_and_doubles_are_mistakes() -> None:
    truth = [[Truth(0, SQUARE)], [Truth(0, SQUARE)]]
    once = [Detection(0, 0.9, SQUARE)]
    assert average_precision([once, once], truth, LABELS).map50_95 == 1
    assert average_precision([once, []], truth, LABELS).map50 == pytest.approx(51 / 101)
    double = [Detection(0, 0.95, SQUARE), *once]
    assert average_precision([double, once], truth, LABELS).map50 == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_the_curve_tells_which_confidence_gives_which_recall() -> None:
    found = [[Detection(0, 0.9, SQUARE)], [Detection(0, 0.4, SQUARE)], [Detection(0, 0.6, SQUARE)]]
    score = average_precision(found, [[Truth(0, SQUARE)], [Truth(0, SQUARE)], []], LABELS).classes[0]
    assert score.precision[0] == score.precision[50] == 1 and score.precision[51] == pytest.approx(2 / 3)
    assert score.confidence[50] == 0.9 and score.confidence[51] == 0.4


def test_labels_without_truths_do_not_count() -> None:
    score = average_precision([[Detection(0, 1, SQUARE), Detection(1, 1, SQUARE)]], [[Truth(0, SQUARE)]], LABELS)
    assert score.map50 == 1
    assert [(c.ap50, c.truths, c.detections) for c in score.classes] == [(1, 1, 1), (None, 0, 1), *[(None, 0, 0)] * 2]


def test_scores_survive_json() -> None:
    score = average_precision(*random_case(0), LABELS)
    assert DetectionScore.from_dict(json.loads(json.dumps(score.to_dict()))) == score


def test_what_cannot_be_scored_is_refused() -> None:
    with pytest.raises(InvalidInput, match="1 pictures with detections, 2 with truths"):
        average_precision([[]], [[], []], LABELS)
    with pytest.raises(InvalidInput, match="no picture of the split has a box"):
        average_precision([[Detection(0, 1, SQUARE)]], [[]], LABELS)
    with pytest.raises(InvalidInput, match="label 4"):
        average_precision([[Detection(4, 1, SQUARE)]], [[Truth(0, SQUARE)]], LABELS)
