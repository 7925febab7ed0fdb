from __future__ import annotations

import pytest
import torch

from services.trainer.heads.anchor_free_loss import anchor_free_loss, assigned
from services.trainer.heads.yolo2_loss import Targets


def test_cells_near_the_middle_learn_a_truth_and_the_smaller_one_takes_its_own() -> None:
    truths = torch.tensor([[0.0, 0.0, 4.0, 4.0], [2.2, 2.2, 2.8, 2.8]])
    picture, cell, which = assigned(torch.tensor([1, 1]), truths, 2, 4, 4)
    assert picture.tolist() == [1, 1, 1, 1]
    assert dict(zip(cell.tolist(), which.tolist(), strict=True)) == {5: 0, 6: 0, 9: 0, 10: 1}


def test_a_truth_too_small_for_any_middle_has_the_cell_it_lies_in() -> None:
    _, cell, _ = assigned(torch.tensor([0]), torch.tensor([[3.1, 0.1, 3.2, 0.2]]), 1, 4, 4)
    assert cell.tolist() == [3]


def test_the_box_loss_is_nothing_where_the_box_is_right_and_pulls_where_it_misses() -> None:
    targets = Targets(torch.tensor([0]), torch.tensor([0]), torch.tensor([[0.25, 0.25, 0.75, 0.75]]))
    last = torch.zeros(1, 6, 1, 1, requires_grad=True)
    with torch.no_grad():
        last[0, :4] = torch.tensor(0.25).log()
    parts = anchor_free_loss(last, targets)
    assert parts.box.item() == pytest.approx(0, abs=1e-5)
    far = torch.full((1, 6, 1, 1), -1.0, requires_grad=True)
    wrong = anchor_free_loss(far, targets)
    wrong.total.backward()
    assert wrong.box > 0.1 and far.grad is not None and far.grad[0, :4].abs().min() > 0


def test_a_batch_without_objects_teaches_emptiness_only() -> None:
    nothing = Targets(torch.zeros(0, dtype=torch.long), torch.zeros(0, dtype=torch.long), torch.zeros(0, 4))
    parts = anchor_free_loss(torch.zeros(2, 7, 4, 4), nothing)
    assert parts.box == 0 and parts.label == 0 and parts.objectness > 0
