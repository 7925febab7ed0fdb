"""The loss of a batch: balanced labels, mixtures, a teacher."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from services.trainer.augmentation.mixup import mixed
from services.trainer.config import TrainingConfig
from services.trainer.data import Data
from services.trainer.schedule import class_weights
from services.trainer.tasks.classification import Classification

JobFolder = Callable[..., Path]
PLAIN = dict.fromkeys(("flip_horizontal", "rotate", "shift", "zoom", "brightness", "contrast"), 0)


class Greys(nn.Module):
    """Logits from the mean grey: linear, so that a mixture's are the mixture of both."""

    def forward(self, x: Tensor) -> Tensor:
        grey = x.float().mean((1, 2, 3))
        return torch.stack([3 * grey, 1 - 2 * grey], 1)


def setting(job_folder: JobFolder, **asked: Any) -> tuple[TrainingConfig, Data]:
    folder = job_folder(train=12, validation=4, **PLAIN | asked)
    config = TrainingConfig.model_validate_json((folder / "config.json").read_text())
    return config, Data.read(folder, config)


def loss(config: TrainingConfig, data: Data, teacher: nn.Module | None = None) -> float:
    task = Classification(config, data, torch.device("cpu"), teacher)
    generator = torch.Generator().manual_seed(3)
    return float(task.losses(Greys(), torch.arange(len(data.pictures)), generator).total)  # type: ignore[arg-type]


def logits(data: Data) -> Tensor:
    return Greys()(torch.from_numpy(data.pictures[:]).float() / 255)


@pytest.mark.parametrize("balanced", [False, True])
def test_without_mixtures_it_is_the_weighted_mean_of_the_cross_entropy(job_folder: JobFolder, balanced: bool) -> None:
    config, data = setting(job_folder, balance_classes=balanced)
    weights = class_weights(data.targets, len(data.labels)) if balanced else None
    expected = F.cross_entropy(logits(data), data.targets, weights, label_smoothing=config.label_smoothing)
    assert loss(config, data) == pytest.approx(float(expected), abs=0.01)  # bfloat16 where the processor has it


def test_a_mixture_has_both_labels_in_their_shares(job_folder: JobFolder) -> None:
    config, data = setting(job_folder, mixup=1.0, mixup_probability=1.0)
    pictures = torch.from_numpy(data.pictures[:]).float() / 255
    x, other, share = mixed(pictures, config, torch.Generator().manual_seed(3))
    both = [
        F.cross_entropy(Greys()(x), data.targets[rows], label_smoothing=config.label_smoothing, reduction="none")
        for rows in (torch.arange(len(x)), other)
    ]
    assert loss(config, data) == pytest.approx(float(((1 - share) * both[0] + share * both[1]).mean()), abs=0.01)
    assert (data.targets != data.targets[other]).any()


def test_a_teacher_that_answers_the_same_leaves_the_labels_of_mixtures_out(job_folder: JobFolder) -> None:
    config, data = setting(job_folder, mixup=1.0, mixup_probability=1.0)
    assert loss(config, data, Greys()) == pytest.approx(0, abs=0.01)


def test_a_teacher_that_answers_the_same_leaves_a_third_of_the_labels_loss(job_folder: JobFolder) -> None:
    config, data = setting(job_folder)
    assert loss(config, data, Greys()) == pytest.approx(0.3 * loss(config, data), abs=0.01)
