from __future__ import annotations

import numpy as np
import pytest

from services.trainer.detection import Box, iou


@pytest.mark.parametrize(
    ("other", "expected"),
    [
        (Box(0, 0, 1, 1), 1),
        (Box(0.5, 0, 1.5, 1), 1 / 3),
        (Box(0.25, 0.25, 0.75, 0.75), 0.25),
        (Box(1, 0, 2, 1), 0),
        (Box(2, 2, 3, 3), 0),
        (Box(1, 1, 0, 0), 0),
    ],
)
def test_overlap_of_the_unit_square(other: Box, expected: float) -> None:
    assert iou(np.array(Box(0, 0, 1, 1)), np.array(other)) == pytest.approx(expected)


def test_every_box_with_every_other() -> None:
    boxes = np.array([[0, 0, 1, 1], [0, 0, 1, 0.5], [0, 0, 0, 0]])
    assert np.allclose(iou(boxes[:, None], boxes), [[1, 0.5, 0], [0.5, 1, 0], [0, 0, 0]])
