from __future__ import annotations

from pathlib import Path

import pytest
import torch

from services.common.errors import InvalidInput
from services.trainer.checkpoints import save_best
from services.trainer.config import TrainingConfig
from services.trainer.model import Classifier
from services.trainer.starting import Frozen, start


@pytest.fixture
def trained(tmp_path: Path) -> tuple[Classifier, TrainingConfig]:
    """A model of the labels a, b, c, and the configuration that goes on from it."""
    model = Classifier("tiny_cnn", 3)
    save_best(tmp_path / "start.pt", TrainingConfig(backbone="tiny_cnn"), ("a", "b", "c"), 1, 0.5, model)
    return model, TrainingConfig(backbone="tiny_cnn", weights=str(tmp_path / "start.pt"))


def test_the_rows_of_labels_that_stay_are_kept(trained: tuple[Classifier, TrainingConfig]) -> None:
    old, config = trained
    model = Classifier("tiny_cnn", 3)
    fresh = model.head.linear.weight[1].clone()
    words = start(model, config, ("c", "new", "a"))
    assert torch.equal(model.head.linear.weight[0], old.head.linear.weight[2])
    assert torch.equal(model.head.linear.weight[2], old.head.linear.weight[0])
    assert torch.equal(model.head.linear.weight[1], fresh)
    assert words == "from a trained model (new: new; left out: b)"


def test_the_backbone_goes_on_from_the_model(trained: tuple[Classifier, TrainingConfig]) -> None:
    old, config = trained
    model = Classifier("tiny_cnn", 2)
    assert start(model, config, ("a", "b")) == "from a trained model (left out: c)"
    for ours, theirs in zip(model.backbone.parameters(), old.backbone.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_model_of_another_backbone_is_refused(trained: tuple[Classifier, TrainingConfig]) -> None:
    config = trained[1].model_copy(update={"backbone": "mobilenet_v1_0.25"})
    with pytest.raises(InvalidInput, match="Choose the backbone tiny_cnn"):
        start(Classifier("mobilenet_v1_0.25", 2), config, ("a", "b"))


@pytest.mark.parametrize(("share", "held"), [(0.0, 0), (0.5, 14), (1.0, 27)])
def test_the_first_layers_are_frozen_with_their_statistics(share: float, held: int) -> None:
    model = Classifier("mobilenet_v1_0.25", 2)
    frozen = Frozen(model, share)
    model.train()
    frozen.hold()
    before = {name: value.clone() for name, value in model.backbone.state_dict().items()}
    model(torch.rand(2, 3, 32, 32)).sum().backward()  # type: ignore[no-untyped-call]
    changed = [name for name, value in model.backbone.state_dict().items() if not torch.equal(value, before[name])]
    assert len(frozen.layers) == held
    assert len({name.rsplit(".", 1)[0] for name in changed}) == 27 - held
    assert sum(p.grad is not None for p in model.backbone.parameters()) == 3 * (27 - held)
    assert model.head.linear.weight.grad is not None
