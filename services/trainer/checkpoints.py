"""Checkpoints of a training: best.pt, to use; last.pt, to go on with.

both      config, labels, anchors (of a detector), epoch, score, model
last.pt   optimizer, average (services.trainer.averaging), best_epoch; score is that of the best epoch
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from services.common.errors import InvalidInput
from services.trainer.averaging import Average
from services.trainer.config import TrainingConfig
from services.trainer.networks import Network, anchors_of, build

__all__ = ["Checkpoint", "Progress", "load_checkpoint", "resumed", "save_best", "save_last"]


@dataclass(frozen=True)
class Checkpoint:
    """A trained network with everything needed to use or continue it."""

    config: TrainingConfig
    labels: tuple[str, ...]
    epoch: int  # epochs done
    score: float  # on the validation split: accuracy of a classifier, mAP50 of a detector
    model: Network


@dataclass(frozen=True)
class Progress:
    """How far a training is: epochs done, the best score so far and its epoch."""

    epoch: int = 0
    best: float = -1.0
    best_epoch: int = 0

    def after(self, score: float) -> Progress:
        """One epoch later."""
        better = score > self.best
        now = self.epoch + 1
        return Progress(now, score if better else self.best, now if better else self.best_epoch)

    def patient(self, patience: int) -> bool:
        """Whether to go on: the last `patience` epochs brought something; 0 is endless patience."""
        return not patience or self.epoch - self.best_epoch < patience


def load_checkpoint(path: Path) -> Checkpoint:
    """The model of best.pt or last.pt, in evaluation mode. InvalidInput when the file is no checkpoint."""
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        config, labels = TrainingConfig.model_validate(saved["config"]), tuple(saved["labels"])
        model = build(config, len(labels), [(float(w), float(h)) for w, h in saved.get("anchors", ())])
        if not all(isinstance(label, str) for label in labels):
            raise TypeError("a label is no text")
        model.load_state_dict(saved["model"])
        return Checkpoint(config, labels, int(saved["epoch"]), float(saved[_score_of(saved)]), model.eval())
    except Exception as error:  # whatever torch's reader trips over in a file that it did not write
        first = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise InvalidInput(
            "CHECKPOINT_BROKEN",
            f"{path.name} is not a checkpoint of Boardloop: {first}",
            fix="Download it again from the page Models, or export the network as ONNX.",
        ) from error


def save_best(
    path: Path, config: TrainingConfig, labels: tuple[str, ...], epoch: int, score: float, model: Network
) -> None:
    """A checkpoint to use; `path` is there only when it is whole."""
    _save(path, config, labels, model, epoch=epoch, score=score)


def save_last(
    path: Path,
    config: TrainingConfig,
    labels: tuple[str, ...],
    progress: Progress,
    model: Network,
    optimizer: torch.optim.Optimizer,
    average: Average,
) -> None:
    """A checkpoint to go on with."""
    state = {"optimizer": optimizer.state_dict(), "average": average.state_dict()}
    now = {"epoch": progress.epoch, "score": progress.best, "best_epoch": progress.best_epoch}
    _save(path, config, labels, model, **state, **now)


def resumed(
    path: Path,
    config: TrainingConfig,
    labels: tuple[str, ...],
    model: Network,
    optimizer: torch.optim.Optimizer,
    average: Average,
) -> Progress:
    """What last.pt says was done, with model, optimizer and average brought to that point; nothing at first.

    The checkpoint of a training with other parameters or labels is not gone on with.
    """
    if not path.exists():
        return Progress()
    saved = torch.load(path, map_location="cpu", weights_only=True)
    try:
        same = _alike(TrainingConfig.model_validate(saved["config"]), config)
    except ValidationError:
        return Progress()
    if not same or tuple(saved["labels"]) != labels or "best_epoch" not in saved:
        return Progress()
    model.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
    average.load_state_dict(saved["average"])
    return Progress(saved["epoch"], saved[_score_of(saved)], saved["best_epoch"])


def _alike(before: TrainingConfig, now: TrainingConfig) -> bool:
    """Whether they are the same training. The weights may lie elsewhere: on a cluster each node has its own copy."""
    return before.model_copy(update={"weights": now.weights}) == now and (
        Path(before.weights).name == Path(now.weights).name
    )


def _score_of(saved: dict[str, Any]) -> str:
    """Checkpoints of older versions are of classifiers and call it val_accuracy."""
    return "score" if "score" in saved else "val_accuracy"


def _save(path: Path, config: TrainingConfig, labels: tuple[str, ...], model: Network, **state: Any) -> None:
    part = path.with_suffix(".part")
    of = {"config": config.model_dump(), "labels": list(labels), "anchors": anchors_of(model)}
    torch.save({**of, "model": model.state_dict(), **state}, part)
    part.replace(path)
