"""The pace of a training: batches, learning rate, what the optimiser may change, speed and time left."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from services.trainer.config import TrainingConfig

__all__ = ["Pace", "batches", "class_weights", "learning_rate", "make_optimizer"]

_STEP_EVENT_SECONDS = 0.5  # a page needs no more


class Pace:
    """Speed and time left, and whether the next step event is due."""

    def __init__(self, images: int) -> None:
        self._images = images
        self._seen = 0
        self._began = time.monotonic()
        self._told = 0.0

    def after(self, images: int) -> dict[str, float]:
        self._seen += images
        speed = self._seen / (time.monotonic() - self._began)
        return {"images_per_s": round(speed, 1), "seconds_left": round((self._images - self._seen) / speed, 1)}

    def due(self) -> bool:
        if time.monotonic() - self._told < _STEP_EVENT_SECONDS:
            return False
        self._told = time.monotonic()
        return True


def learning_rate(config: TrainingConfig, epoch: float) -> float:
    """Linear warm-up, then cosine or linear decay to `learning_rate * final_learning_rate` at the last epoch."""
    warmup = min(config.warmup_epochs, config.epochs / 2)
    if epoch < warmup:
        return config.learning_rate * (0.01 + 0.99 * epoch / warmup)
    progress = (epoch - warmup) / max(config.epochs - warmup, 1e-9)
    share = 0.5 * (1 + math.cos(math.pi * progress)) if config.schedule == "cosine" else 1 - progress
    return config.learning_rate * (config.final_learning_rate + (1 - config.final_learning_rate) * share)


def make_optimizer(model: nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    """Weight decay on matrices only: batch normalisation and biases stay free. Frozen weights are left out."""
    trained = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=config.learning_rate, momentum=0.9, nesterov=True)
    return torch.optim.AdamW(groups, lr=config.learning_rate, fused=True)


def class_weights(targets: Tensor, classes: int) -> Tensor:
    """Inverse frequency, mean 1 over the pictures: a rare label counts as much as a frequent one."""
    counts = torch.bincount(targets, minlength=classes).clamp(min=1)
    return len(targets) / (classes * counts.float())


def batches(count: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """All indices once in random order; a last batch of one picture joins its neighbour (batch statistics need two)."""
    chunks = list(torch.split(torch.randperm(count, generator=generator), size))
    if len(chunks) > 1 and len(chunks[-1]) == 1:
        chunks[-2:] = [torch.cat(chunks[-2:])]
    return iter(chunks)
