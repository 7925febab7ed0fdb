"""The training of a detector, top to bottom, on pictures in memory.

images (n, 3, h, w) uint8, truths ──► augmented ──► Detector ──► yolo2_loss ──► AdamW ──► averaged weights
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from services.common.errors import FailedPrecondition
from services.trainer.backbones import STRIDE
from services.trainer.config import Backbone
from services.trainer.detection import Truth, fit_anchors
from services.trainer.detection_augment import DetectionAugment, augmented_scenes
from services.trainer.detector import NECK, Detector
from services.trainer.heads.yolo2_loss import LossParts, Targets, yolo2_loss
from services.trainer.model import normalised
from services.trainer.weights import PretrainedBackbone

__all__ = ["DetectionTraining", "Progress", "fit_detector", "train_detector"]

_MAX_GRADIENT = 10.0
_AVERAGED_SHARE = 0.03  # of the steps that the average of the weights reaches back over

Network = TypeVar("Network", bound=nn.Module)
Images = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class DetectionTraining:
    """Parameters of a detection training."""

    backbone: Backbone = "mobilenet_v1_0.5"
    neck: int = NECK
    steps: int = 2000
    batch_size: int = 16
    learning_rate: float = 2e-3
    final_learning_rate: float = 0.02  # share of the first
    warmup_steps: int = 100
    weight_decay: float = 0.02
    seed: int = 0
    augment: DetectionAugment = field(default_factory=DetectionAugment)


@dataclass(frozen=True)
class Progress:
    """What a training tells after a step: its number, the loss and its parts."""

    step: int
    loss: float
    box: float
    objectness: float
    label: float


def train_detector(
    images: Images,
    truths: Sequence[Sequence[Truth]],
    classes: int,
    training: DetectionTraining,
    weights: PretrainedBackbone | None = None,
    tell: Callable[[Progress], None] = lambda progress: None,
) -> Detector:
    """Train on uint8 (n, 3, h, w) and the truths of each picture, whose labels are below `classes`.

    The same seed, data and number of threads give the same weights. InvalidInput: too few boxes;
    FailedPrecondition: the training diverged.
    """
    torch.manual_seed(training.seed)
    height, width = images.shape[2:]
    grid = (height // STRIDE, width // STRIDE)
    anchors = fit_anchors([truth.box for items in truths for truth in items], grid)
    model = Detector(training.backbone, classes, anchors, training.neck)
    if weights is not None:
        model.load_pretrained(weights)
    return fit_detector(
        model, lambda last, targets: yolo2_loss(last, targets, model.anchors), images, truths, training, tell
    )


def fit_detector(
    model: Network,
    loss: Callable[[torch.Tensor, Targets], LossParts],
    images: Images,
    truths: Sequence[Sequence[Truth]],
    training: DetectionTraining,
    tell: Callable[[Progress], None] = lambda progress: None,
) -> Network:
    """The training itself, whatever the network and the loss of its map; returns the average of the weights."""
    generator = torch.Generator().manual_seed(training.seed)
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    averaged = torch.optim.swa_utils.AveragedModel(model, avg_fn=_averaging(training.steps), use_buffers=True)
    optimizer = _optimizer(model, training)
    model.train()
    for step, chosen in enumerate(_batches(len(images), training, generator)):
        for group in optimizer.param_groups:
            group["lr"] = _learning_rate(training, step)
        pictures = torch.from_numpy(images[chosen]).float() / 255
        x, moved = augmented_scenes(pictures, [truths[i] for i in chosen], training.augment, generator)
        parts = loss(model(normalised(x * 255)), Targets.of(moved))
        optimizer.zero_grad(set_to_none=True)
        parts.total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), _MAX_GRADIENT)
        optimizer.step()
        averaged.update_parameters(model)
        tell(_progress(step, parts))
    kept = averaged.module.eval()
    assert isinstance(kept, type(model))
    return kept


def _optimizer(model: nn.Module, training: DetectionTraining) -> torch.optim.Optimizer:
    """Weight decay on matrices only: batch normalisation and biases stay free."""
    decayed = [p for p in model.parameters() if p.ndim > 1]
    free = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": training.weight_decay}, {"params": free, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=training.learning_rate)


def _learning_rate(training: DetectionTraining, step: int) -> float:
    """Linear warm-up, then cosine decay."""
    warmup = min(training.warmup_steps, training.steps // 4)
    if step < warmup:
        return training.learning_rate * (step + 1) / (warmup + 1)
    share = 0.5 * (1 + math.cos(math.pi * (step - warmup) / (training.steps - warmup)))
    return training.learning_rate * (training.final_learning_rate + (1 - training.final_learning_rate) * share)


def _batches(count: int, training: DetectionTraining, generator: torch.Generator) -> Iterator[list[int]]:
    """`steps` batches: every picture once in random order, then again."""
    left: list[int] = []
    for _ in range(training.steps):
        while len(left) < training.batch_size:
            left += torch.randperm(count, generator=generator).tolist()
        yield left[: training.batch_size]
        del left[: training.batch_size]


def _averaging(steps: int) -> Callable[[torch.Tensor, torch.Tensor, torch.Tensor | int], torch.Tensor]:
    """Exponential average of the weights and of the statistics of batch normalisation."""
    share = 1 / max(1.0, _AVERAGED_SHARE * steps)
    return lambda mean, value, count: mean + (value - mean) * share


def _progress(step: int, parts: LossParts) -> Progress:
    loss = parts.total.item()
    if not math.isfinite(loss):
        raise FailedPrecondition(
            "LOSS_NOT_FINITE",
            f"The loss became {loss} in step {step + 1}: the training has diverged.",
            fix="Lower learning_rate (a tenth of it, say) and start again.",
        )
    return Progress(step + 1, loss, parts.box.item(), parts.objectness.item(), parts.label.item())
