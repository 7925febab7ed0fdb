"""Learning to find objects: the loss of the head in three parts, and average precision."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from services.trainer.augmentation import augmented_scenes
from services.trainer.config import TrainingConfig
from services.trainer.data import Data
from services.trainer.detection import DetectorMap, Truth, average_precision, fit_anchors
from services.trainer.detector import EVALUATION_NMS, EVALUATION_THRESHOLD
from services.trainer.device import autocast, moved
from services.trainer.heads.anchor_free_loss import anchor_free_loss
from services.trainer.heads.yolo2_loss import LossParts, Targets, yolo2_loss
from services.trainer.model import normalised
from services.trainer.networks import Network, anchors_of, build, grid_of
from services.trainer.tasks.contract import Losses, Measured

__all__ = ["LOSSES", "Detection"]

_AT_ONCE = 64
# of the map, the truths and, for its anchors, the network, by head
LOSSES: dict[str, Callable[[Tensor, Targets, Network], LossParts]] = {
    "yolo2": lambda last, targets, model: yolo2_loss(last, targets, model.anchors),  # type: ignore[arg-type]
    "anchor_free": lambda last, targets, model: anchor_free_loss(last, targets),
}


class Detection:
    """Task of the heads "yolo2" and "anchor_free"; the score is mAP50. InvalidInput: too few boxes for five anchors."""

    def __init__(self, config: TrainingConfig, data: Data, device: torch.device) -> None:
        self._config, self._data, self._device = config, data, device
        boxes = (truth.box for items in data.targets for truth in items)
        self._anchors = fit_anchors(boxes, grid_of(config)) if config.head == "yolo2" else ()

    def network(self) -> Network:
        return build(self._config, len(self._data.labels), self._anchors)

    def losses(self, model: Network, indices: Tensor, generator: torch.Generator) -> Losses:
        chosen = indices.tolist()
        x = moved(torch.from_numpy(self._data.pictures[chosen]), self._device)  # uint8 (b, 3, h, w)
        truths = [self._data.targets[i] for i in chosen]
        x, truths = augmented_scenes(x.float() / 255, truths, self._config, generator)
        with autocast(self._device):
            last = model(normalised(x * 255))  # (b, channels, h, w)
        parts = self._loss(model, last.float(), truths)
        named = {"loss_box": parts.box, "loss_object": parts.objectness, "loss_class": parts.label}
        return Losses(parts.total, named)

    def measure(self, model: Network) -> Measured:
        """Mean loss, mAP50 and mAP50-95."""
        model.eval()
        pictures, truths = self._data.val_pictures, self._data.val_targets
        loss, found = 0.0, []
        told = DetectorMap(self._config.head, len(self._data.labels), anchors_of(model))
        with torch.no_grad():
            for indices in pictures.ahead(torch.split(torch.arange(len(pictures)), _AT_ONCE)):
                chosen = indices.tolist()
                last = model(normalised(moved(torch.from_numpy(pictures[chosen]), self._device)))
                loss += self._loss(model, last, [truths[i] for i in chosen]).total.item() * len(chosen)
                grid = (last.shape[2], last.shape[3])
                found += told.found(last.cpu().numpy(), grid, EVALUATION_THRESHOLD, EVALUATION_NMS)
        score = average_precision(found, truths, self._data.labels)
        figures = {"val_loss": loss / len(pictures), "val_map50": score.map50, "val_map50_95": score.map50_95}
        return Measured(score.map50, figures)

    def _loss(self, model: Network, last: Tensor, truths: list[list[Truth]]) -> LossParts:
        return LOSSES[self._config.head](last, Targets.of(truths, self._device), model)
