from __future__ import annotations

import math

import numpy as np
import pytest

from services.common.errors import InvalidInput
from services.trainer.detection import Box, Detection, decode

GRID = (3, 4)
ANCHORS = ((1.0, 2.0), (3.0, 0.5))
CLASSES = 3


def silent(count: int = 1) -> np.ndarray:
    """Maps in which nothing is found: (n, 2, 5 + 3, 3, 4)."""
    maps = np.zeros((count, 2, 5 + CLASSES, *GRID), np.float32)
    maps[:, :, 4] = -20
    return maps


def found(maps: np.ndarray, **options: float) -> list[list[Detection]]:
    return decode(maps.reshape(len(maps), -1), GRID, ANCHORS, CLASSES, **options)


def test_one_box_by_the_formula_of_the_paper() -> None:
    maps = silent()
    maps[0, 1, :, 2, 1] = [0.3, -0.7, 0.2, -0.1, 1.5, 0, 2, 1]
    ((detection,),) = found(maps)
    sigmoid = lambda v: 1 / (1 + math.exp(-v))  # noqa: E731
    x, y = (1 + sigmoid(0.3)) / 4, (2 + sigmoid(-0.7)) / 3
    w, h = 3.0 * math.exp(0.2) / 4, 0.5 * math.exp(-0.1) / 3
    assert detection.label == 1
    assert detection.confidence == pytest.approx(sigmoid(1.5) * math.exp(2) / (1 + math.exp(2) + math.e))
    assert detection.box == pytest.approx(Box(x - w / 2, y - h / 2, x + w / 2, y + h / 2))


def by_the_board(values: np.ndarray, threshold: float, nms: float) -> list[tuple[int, float, list[float]]]:
    """The board's decoder, value by value as its C does it, for one picture (2, 5 + 3, 3, 4)."""
    h, w = GRID
    boxes, probabilities = [], []
    for anchor in range(2):
        for row in range(h):
            for column in range(w):
                tx, ty, tw, th, objectness, *scores = (float(v) for v in values[anchor, :, row, column])
                x, y = (column + 1 / (1 + math.exp(-tx))) / w, (row + 1 / (1 + math.exp(-ty))) / h
                boxes.append((x, y, math.exp(tw) * ANCHORS[anchor][0] / w, math.exp(th) * ANCHORS[anchor][1] / h))
                powers = [math.exp(s - max(scores)) for s in scores]
                p = [1 / (1 + math.exp(-objectness)) * power / sum(powers) for power in powers]
                probabilities.append([v if v > threshold else 0 for v in p])

    def overlap(a: tuple[float, ...], b: tuple[float, ...]) -> float:
        sides = [min(a[i] + a[i + 2] / 2, b[i] + b[i + 2] / 2) - max(a[i] - a[i + 2] / 2, b[i] - b[i + 2] / 2)
                 for i in (0, 1)]  # fmt: skip
        both = sides[0] * sides[1] if min(sides) > 0 else 0
        return both / (a[2] * a[3] + b[2] * b[3] - both)

    for label in range(CLASSES):
        order = sorted(range(len(boxes)), key=lambda i: -probabilities[i][label])
        for place, i in enumerate(order):
            for j in order[place + 1 :]:
                if probabilities[i][label] and overlap(boxes[i], boxes[j]) > nms:
                    probabilities[j][label] = 0
    left = [(p.index(max(p)), max(p), [x - w / 2, y - h / 2, x + w / 2, y + h / 2])
            for p, (x, y, w, h) in zip(probabilities, boxes, strict=True) if max(p) > threshold]  # fmt: skip
    return sorted(left, key=lambda item: -item[1])


@pytest.mark.parametrize(("threshold", "nms"), [(0.5, 0.3), (0.1, 0.45), (0.01, 0.3), (0.0, 0.9)])
def test_random_maps_agree_with_the_boards_own_loops(threshold: float, nms: float) -> None:
    maps = np.random.default_rng(3).normal(size=(6, 2, 5 + CLASSES, *GRID)).astype(np.float32) * 2
    for picture, detections in zip(maps, found(maps, threshold=threshold, nms=nms), strict=True):
        expected = by_the_board(picture, threshold, nms)
        assert [d.label for d in detections] == [label for label, _, _ in expected]
        assert np.allclose([d.confidence for d in detections], [c for _, c, _ in expected])
        assert np.allclose([d.box for d in detections], [b for _, _, b in expected])


def test_nothing_found_and_no_pictures() -> None:
    assert found(silent(2)) == [[], []]
    assert decode(np.zeros((0, 2 * 8 * 12), np.float32), GRID, ANCHORS, CLASSES) == []


def test_a_huge_exponent_stays_finite() -> None:
    maps = silent()
    maps[0, 0, :5, 0, 0] = [0, 0, 3e4, 3e4, 9]
    maps[0, 1, :5, 0, 0] = [-3e4, 0, -3e4, -3e4, 9]
    ((wide, narrow),) = found(maps, threshold=0.2)
    assert math.isfinite(wide.box.right) and narrow.box.left == narrow.box.right == 0


def test_a_map_of_another_size_is_refused() -> None:
    with pytest.raises(InvalidInput, match="are 192 values"):
        decode(np.zeros((1, 191), np.float32), GRID, ANCHORS, CLASSES)
    with pytest.raises(InvalidInput, match="NaN"):
        decode(np.full((1, 192), np.nan, np.float32), GRID, ANCHORS, CLASSES)
