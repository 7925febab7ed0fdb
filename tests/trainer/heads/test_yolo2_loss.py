from __future__ import annotations

import math

import pytest
import torch

from services.trainer.detection import Box, Truth, decode
from services.trainer.heads.yolo2_loss import Targets, yolo2_loss

ANCHORS = ((1.0, 2.0), (3.0, 1.0))
GRID = (3, 4)
TRUTHS = [
    [Truth(1, Box(0.30, 0.10, 0.55, 0.70))],
    [],
    [Truth(0, Box(0.1, 0.6, 0.8, 0.9)), Truth(2, Box(0.65, 0.0, 0.9, 0.5))],
]


def logit(p: float) -> float:
    return math.log(p / (1 - p))


def perfect(truths: list[list[Truth]]) -> torch.Tensor:
    """The map (n, 2*(5 + 3), 3, 4) that says exactly the truths: each at the better anchor of its cell."""
    last = torch.zeros(len(truths), 2, 8, *GRID)
    last[:, :, 4] = -15
    for i, items in enumerate(truths):
        for label, (left, top, right, bottom) in items:
            w, h = (right - left) * 4, (bottom - top) * 3
            anchor = 0 if h > w else 1
            x, y = (left + right) * 2, (top + bottom) * 1.5
            size = [math.log(w / ANCHORS[anchor][0]), math.log(h / ANCHORS[anchor][1])]
            scores = [15.0 if c == label else 0.0 for c in range(3)]
            values = torch.tensor([logit(x % 1), logit(y % 1), *size, 15, *scores])
            last[i, anchor, :, int(y), int(x)] = values
    return last.view(len(truths), 16, *GRID)


def total(last: torch.Tensor, truths: list[list[Truth]] = TRUTHS) -> float:
    return yolo2_loss(last, Targets.of(truths), torch.tensor(ANCHORS)).total.item()


def test_the_map_that_says_the_truths_decodes_to_them_and_has_no_loss() -> None:
    last = perfect(TRUTHS)
    for found, wanted in zip(decode(last.numpy(), GRID, ANCHORS, 3), TRUTHS, strict=True):
        assert sorted(d.label for d in found) == sorted(t.label for t in wanted)
        for detection in found:
            truth = next(t for t in wanted if t.label == detection.label)
            assert detection.box == pytest.approx(truth.box, abs=1e-5)
    assert total(last) < 1e-3


@pytest.mark.parametrize(
    ("value", "change", "part"),
    [
        (0, 1.0, "box"),
        (1, -1.0, "box"),
        (2, 0.7, "box"),
        (3, -0.7, "box"),
        (4, -18.0, "objectness"),
        (5, 20.0, "label"),
    ],
)
def test_each_value_has_its_part_of_the_loss(value: int, change: float, part: str) -> None:
    right, wrong = perfect(TRUTHS), perfect(TRUTHS)
    wrong.view(3, 2, 8, *GRID)[0, 0, value, 1, 1] += change  # where the first truth is
    before, after = (yolo2_loss(last, Targets.of(TRUTHS), torch.tensor(ANCHORS)) for last in (right, wrong))
    grown = {name: float(getattr(after, name) - getattr(before, name)) for name in ("box", "objectness", "label")}
    assert grown[part] > 0.03
    assert all(abs(grown[name]) < 1e-4 for name in {"box", "label"} - {part})  # objectness also follows the overlap


def test_an_object_that_is_not_there_costs_but_a_second_good_box_does_not() -> None:
    invented = perfect(TRUTHS)
    invented.view(3, 2, 8, *GRID)[1, 0, 4, 2, 2] = 15
    assert total(invented) > total(perfect(TRUTHS)) + 1
    double = perfect(TRUTHS)
    cells = double.view(3, 2, 8, *GRID)
    cells[0, 0, :, 0, 1] = cells[0, 0, :, 1, 1]
    cells[0, 0, 1, 0, 1] = 15  # nearly the same box, told by the cell above
    assert total(double) < total(perfect(TRUTHS)) + 0.1


def test_pictures_without_objects_have_a_loss_too() -> None:
    last = torch.zeros(2, 16, *GRID, requires_grad=True)
    loss = yolo2_loss(last, Targets.of([[], []]), torch.tensor(ANCHORS)).total
    loss.backward()
    assert loss.item() > 0 and last.grad is not None and torch.isfinite(last.grad).all()


def test_a_centre_on_the_last_edge_belongs_to_the_last_cell() -> None:
    assert math.isfinite(total(perfect([[]]), [[Truth(0, Box(0.9, 0.9, 1.1, 1.1))]]))
