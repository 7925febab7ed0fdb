"""Learning the label of a picture: cross-entropy, from the labels alone or also from a teacher's answers.

A picture mixed with another has both labels in their shares; where there is a teacher, its answer is all that counts.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from services.trainer.augmentation import augmented
from services.trainer.augmentation.mixup import mixed
from services.trainer.config import TrainingConfig
from services.trainer.data import Data
from services.trainer.device import autocast, moved
from services.trainer.distillation import Teacher, soft_loss
from services.trainer.model import normalised
from services.trainer.networks import Network, build
from services.trainer.schedule import class_weights
from services.trainer.tasks.contract import Losses, Measured

__all__ = ["Classification"]

_AT_ONCE = 64


class Classification:
    """Task of the head "classifier"; its score is the accuracy."""

    def __init__(
        self, config: TrainingConfig, data: Data, device: torch.device, teacher: Teacher | None = None
    ) -> None:
        self._config, self._data, self._device, self._teacher = config, data, device, teacher
        balanced = class_weights(data.targets, len(data.labels)).to(device) if config.balance_classes else None
        self._weights = balanced

    def network(self) -> Network:
        return build(self._config, len(self._data.labels))

    def losses(self, model: Network, indices: Tensor, generator: torch.Generator) -> Losses:
        x = moved(torch.from_numpy(self._data.pictures[indices.tolist()]), self._device)  # uint8 (b, 3, h, w)
        x, other, share = mixed(augmented(x.float() / 255, self._config, generator), self._config, generator)
        x = normalised(x * 255)  # float (b, 3, h, w), channels last
        targets, others = (moved(self._data.targets[rows], self._device) for rows in (indices, indices[other]))
        share = moved(share, self._device)
        with autocast(self._device):
            logits = model(x)  # (b, classes)
            answers = self._teacher(x).detach() if self._teacher is not None else None
        logits = logits.float()
        hard = self._hard(logits, targets)  # (b,)
        if self._config.uses("mixup"):
            hard = torch.lerp(hard, self._hard(logits, others), share)
        if answers is None:
            return Losses(hard.mean())
        return Losses(soft_loss(hard, logits, answers.float(), share > 0).mean())

    def _hard(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Cross-entropy with the labels, (b,); rare labels count as `balance_classes` says, in a weighted mean."""
        smoothing = self._config.label_smoothing
        losses = F.cross_entropy(logits, targets, self._weights, reduction="none", label_smoothing=smoothing)
        return losses if self._weights is None else losses / self._weights[targets].mean()

    def measure(self, model: Network) -> Measured:
        """Mean cross-entropy and accuracy."""
        model.eval()
        pictures, targets = self._data.val_pictures, self._data.val_targets
        loss, right = 0.0, 0
        with torch.no_grad():
            for indices in pictures.ahead(torch.split(torch.arange(len(pictures)), _AT_ONCE)):
                x = moved(torch.from_numpy(pictures[indices.tolist()]), self._device)
                logits = model(normalised(x)).cpu()
                loss += F.cross_entropy(logits, targets[indices], reduction="sum").item()
                right += int((logits.argmax(1) == targets[indices]).sum())
        accuracy = right / len(pictures)
        return Measured(accuracy, {"val_loss": loss / len(pictures), "val_accuracy": accuracy})
