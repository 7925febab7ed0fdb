from __future__ import annotations

import pytest
import torch

from services.trainer.averaging import Average
from services.trainer.model import Classifier


def first_weight(model: Classifier) -> torch.Tensor:
    return next(model.parameters())


def moved(model: Classifier, value: float) -> None:
    with torch.no_grad():
        first_weight(model).fill_(value)


def test_the_average_follows_slowly_after_a_quick_start() -> None:
    model = Classifier("tiny_cnn", 2)
    moved(model, 0.0)
    average = Average(model, 0.9)
    moved(model, 1.0)
    average.update()
    assert first_weight(average.model).mean().item() == pytest.approx(1 - 2 / 11)
    for _ in range(200):
        average.update()
    before = first_weight(average.model).mean().item()
    moved(model, 0.0)
    average.update()
    assert first_weight(average.model).mean().item() == pytest.approx(0.9 * before)


def test_without_decay_it_is_the_model_itself() -> None:
    model = Classifier("tiny_cnn", 2)
    average = Average(model, 0.0)
    average.update()
    assert average.model is model and average.state_dict() == {}


def test_a_restored_average_goes_on_the_same() -> None:
    model = Classifier("tiny_cnn", 2)
    one = Average(model, 0.99)
    moved(model, 1.0)
    one.update()
    other = Average(Classifier("tiny_cnn", 2), 0.99)
    other.load_state_dict(one.state_dict())
    again = Average(model, 0.99)
    again.load_state_dict(other.state_dict())
    for average in (one, again):
        average.update()
    assert torch.equal(first_weight(one.model), first_weight(again.model))
