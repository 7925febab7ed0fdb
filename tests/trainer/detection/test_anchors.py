from __future__ import annotations

import numpy as np
import pytest

from services.common.errors import InvalidInput
from services.trainer.detection import Box, fit_anchors
from services.trainer.detection.anchors import mean_iou

SIZES = ((0.1, 0.1), (0.1, 0.4), (0.4, 0.1), (0.3, 0.3), (0.8, 0.7))


def scattered(count: int, spread: float = 0.03, seed: int = 0) -> list[Box]:
    """Boxes of five shapes at random places."""
    rng = np.random.default_rng(seed)
    boxes = []
    for i in range(count):
        w, h = np.array(SIZES[i % 5]) * rng.uniform(1 - spread, 1 + spread, 2)
        x, y = rng.uniform(0, 0.2, 2)
        boxes.append(Box(x, y, x + w, y + h))
    return boxes


def test_anchors_are_the_shapes_of_the_data_in_cells() -> None:
    anchors = fit_anchors(scattered(400), (7, 10))
    assert np.allclose(sorted(anchors), sorted((w * 10, h * 7) for w, h in SIZES), rtol=0.02)


def test_the_order_of_the_boxes_does_not_matter() -> None:
    boxes = scattered(200, spread=0.5)
    assert fit_anchors(boxes, (7, 7)) == fit_anchors(boxes[::-1], (7, 7))


def test_fitted_anchors_fit_better_than_five_squares() -> None:
    boxes = scattered(200, spread=0.5)
    squares = [(s, s) for s in (0.7, 1.5, 2.5, 4.0, 6.0)]
    assert mean_iou(boxes, fit_anchors(boxes, (7, 7)), (7, 7)) > mean_iou(boxes, squares, (7, 7)) + 0.1


def test_boxes_of_one_size_give_that_size() -> None:
    assert fit_anchors([Box(0, 0, 0.5, 0.25)] * 9, (8, 8)) == ((4.0, 2.0),) * 5


def test_an_odd_box_does_not_move_the_others() -> None:
    boxes = [*scattered(500, spread=0), Box(0, 0, 1, 0.001)]
    assert set(np.round(fit_anchors(boxes, (10, 10)), 6).ravel()) == {1, 3, 4, 7, 8}


def test_too_few_boxes() -> None:
    with pytest.raises(InvalidInput, match="4 boxes") as caught:
        fit_anchors(scattered(4), (7, 7))
    assert "Mark more objects" in caught.value.fix


@pytest.mark.parametrize("box", [Box(0.2, 0.2, 0.2, 0.5), Box(0, 0.5, 1, 0.4), Box(0, 0, float("nan"), 1)])
def test_a_box_without_an_area(box: Box) -> None:
    with pytest.raises(InvalidInput, match="no width or no height"):
        fit_anchors([*scattered(10), box], (7, 7))
