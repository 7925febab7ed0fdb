from __future__ import annotations

from pathlib import Path

import pytest
import torch

from services.trainer.averaging import Average
from services.trainer.checkpoints import Progress, resumed, save_last
from services.trainer.config import TrainingConfig
from services.trainer.model import Classifier
from services.trainer.schedule import make_optimizer

CONFIG = TrainingConfig(backbone="tiny_cnn", epochs=4)
LABELS = ("a", "b")


def test_the_best_epoch_is_remembered_and_a_tie_is_no_progress() -> None:
    progress = Progress()
    for accuracy in (0.5, 0.7, 0.7, 0.6):
        progress = progress.after(accuracy)
    assert progress == Progress(4, 0.7, 2)
    assert progress.patient(0) and progress.patient(3) and not progress.patient(2)


def saved(path: Path) -> None:
    model = Classifier("tiny_cnn", 2)
    save_last(
        path, CONFIG, LABELS, Progress(2, 0.7, 1), model, make_optimizer(model, CONFIG), Average(model, CONFIG.ema)
    )


def gone_on(path: Path, config: TrainingConfig = CONFIG, labels: tuple[str, ...] = LABELS) -> Progress:
    model = Classifier("tiny_cnn", len(labels))
    return resumed(path, config, labels, model, make_optimizer(model, config), Average(model, config.ema))


def test_a_training_goes_on_with_the_same_parameters_only(tmp_path: Path) -> None:
    path = tmp_path / "last.pt"
    assert gone_on(path) == Progress()
    saved(path)
    assert gone_on(path) == Progress(2, 0.7, 1)
    assert gone_on(path, CONFIG.model_copy(update={"ema": 0.5})) == Progress()
    assert gone_on(path, labels=("a", "c")) == Progress()


@pytest.mark.parametrize("change", [{"config": {"colour": "green"}}, {"best_epoch": None}])
def test_the_checkpoint_of_an_older_version_is_not_gone_on_with(tmp_path: Path, change: dict[str, object]) -> None:
    path = tmp_path / "last.pt"
    saved(path)
    state = torch.load(path, weights_only=True) | change
    torch.save({name: value for name, value in state.items() if value is not None}, path)
    assert gone_on(path) == Progress()
