"""The training, top to bottom: `python -m services.trainer.loop JOB_DIR [TARGET]` is a job's child process.

    JOB_DIR/config.json  TrainingConfig  ──►  stdout   one JSON event a line
    JOB_DIR/items.json, images/          ──►  last.pt  after every epoch: a run started again goes on from it
                                         ──►  best.pt  the epoch with the best validation accuracy

Events: {"type": "log", message}
        {"type": "step", epoch, step, steps, validation, loss, lr, images_per_s, seconds_left}
        {"type": "epoch", …the same…, val_loss, val_accuracy}   loss is the mean of the epoch so far, steps those of an
        epoch, validation the number of validation pictures
        {"type": "done", epoch, val_accuracy, stopped} · {"type": "error", reason, message, fix}
SIGTERM asks it to stop: the current step ends, the best epoch so far is kept. The same seed, data and number of threads
give the same weights, also across a restart.
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from services.common.errors import BoardloopError, FailedPrecondition, InvalidInput
from services.trainer.augment import augmented
from services.trainer.children import error_event
from services.trainer.config import TrainingConfig, parse_config
from services.trainer.model import Classifier, normalised
from services.trainer.pictures import Pictures, read_items, read_labels
from services.trainer.weights import load_file

__all__ = ["Checkpoint", "load_checkpoint", "predict", "train"]

Emit = Callable[[dict[str, Any]], None]
_STEP_EVENT_SECONDS = 0.5  # a page needs no more
_MAX_GRADIENT = 5.0  # norm; keeps one odd picture from undoing an epoch


@dataclass(frozen=True)
class Checkpoint:
    """A trained network with everything needed to use or continue it."""

    config: TrainingConfig
    labels: tuple[str, ...]
    epoch: int  # epochs done
    val_accuracy: float
    model: Classifier


def train(folder: Path, emit: Emit, stopping: Callable[[], bool] = lambda: False) -> None:
    """Train on the job folder as described above. Raises BoardloopError in the words a person reads."""
    config = parse_config((folder / "config.json").read_text())
    torch.set_num_threads(config.threads or os.cpu_count() or 1)
    torch.manual_seed(config.seed)
    items = read_items(folder)
    labels = read_labels(folder, items)
    train_items = [item for item in items if item.split == "train"]
    val_items = [item for item in items if item.split == "validation"]
    budget = config.cache_mib * 2**20 // 2
    size = config.input_size
    pictures = Pictures(folder, train_items, size, size, budget)
    val_pictures = Pictures(folder, val_items, size, size, budget)
    targets = torch.tensor([labels.index(item.label) for item in train_items])
    val_targets = torch.tensor([labels.index(item.label) for item in val_items])

    model = Classifier(config.backbone, len(labels), config.dropout)
    if config.weights:
        model.load_pretrained(load_file(Path(config.weights)))
    model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = _optimizer(model, config)
    class_weights = _class_weights(targets, len(labels)) if config.balance_classes else None
    start, best = _resumed(folder, config, labels, model, optimizer)
    steps = len(list(_batches(len(pictures), config.batch_size, torch.Generator())))
    shared = {"steps": steps, "validation": len(val_pictures)}
    emit({"type": "log", "message": f"{len(pictures)} train and {len(val_pictures)} validation pictures, "
          f"labels {', '.join(labels)}, {'from ' + Path(config.weights).name if config.weights else 'from scratch'}"
          + (f", going on after epoch {start}" if start else "")})  # fmt: skip

    pace = _Pace(len(pictures) * (config.epochs - start))
    for epoch in range(start, config.epochs):
        generator = torch.Generator().manual_seed(config.seed * 100_003 + epoch)
        torch.manual_seed(config.seed * 100_003 + epoch)  # dropout
        model.train()
        total, count = 0.0, 0
        for step, indices in enumerate(_batches(len(pictures), config.batch_size, generator), 1):
            lr = learning_rate(config, epoch + (step - 1) / steps)
            for group in optimizer.param_groups:
                group["lr"] = lr
            x = torch.from_numpy(pictures[indices.tolist()])  # uint8 (b, 3, h, w)
            x = normalised(augmented(x.float() / 255, config, generator) * 255)  # float (b, 3, h, w), channels last
            logits = model(x)  # (b, classes)
            loss = F.cross_entropy(logits, targets[indices], class_weights, label_smoothing=config.label_smoothing)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), _MAX_GRADIENT)
            optimizer.step()
            total += _finite(loss, epoch, step) * len(indices)
            count += len(indices)
            now = {"epoch": epoch + 1, "step": step, "lr": lr, **shared, **pace.after(len(indices))}
            if pace.due():
                emit({"type": "step", "loss": total / count, **now})
            if stopping():
                break
        if stopping() and (folder / "best.pt").exists():
            break
        val_loss, val_accuracy = _validate(model, val_pictures, val_targets)
        emit({"type": "epoch", "loss": total / count, "val_loss": val_loss, "val_accuracy": val_accuracy, **now})
        if val_accuracy > best:
            best = val_accuracy
            _save(folder / "best.pt", config, labels, epoch + 1, val_accuracy, model)
        _save(folder / "last.pt", config, labels, epoch + 1, best, model, optimizer)
        if stopping():
            break
    kept = load_checkpoint(folder / "best.pt")
    emit({"type": "done", "epoch": kept.epoch, "val_accuracy": kept.val_accuracy, "stopped": stopping()})


class _Pace:
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


def predict(model: Classifier, pixels: npt.NDArray[np.uint8], batch: int = 64) -> npt.NDArray[np.float32]:
    """Logits (n, classes) of the float model for uint8 (n, 3, h, w)."""
    model.eval()
    with torch.no_grad():
        parts = [model(normalised(torch.from_numpy(pixels[i : i + batch]))) for i in range(0, len(pixels), batch)]
    logits: npt.NDArray[np.float32] = torch.cat(parts).numpy()
    return logits


def load_checkpoint(path: Path) -> Checkpoint:
    """The model of best.pt or last.pt, in evaluation mode. InvalidInput when the file is no checkpoint."""
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
        config, labels = TrainingConfig.model_validate(saved["config"]), tuple(saved["labels"])
        model = Classifier(config.backbone, len(labels), config.dropout)
        if not all(isinstance(label, str) for label in labels):
            raise TypeError("a label is no text")
        model.load_state_dict(saved["model"])
        return Checkpoint(config, labels, int(saved["epoch"]), float(saved["val_accuracy"]), model.eval())
    except Exception as error:  # whatever torch's reader trips over in a file that it did not write
        first = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise InvalidInput(
            "CHECKPOINT_BROKEN",
            f"{path.name} is not a checkpoint of Boardloop: {first}",
            fix="Download it again from the page Models, or export the network as ONNX.",
        ) from error


def _optimizer(model: Classifier, config: TrainingConfig) -> torch.optim.Optimizer:
    """Weight decay on matrices only: batch normalisation and biases stay free."""
    decayed = [p for p in model.parameters() if p.ndim > 1]
    free = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": free, "weight_decay": 0.0}]
    if config.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=config.learning_rate, momentum=0.9, nesterov=True)
    return torch.optim.AdamW(groups, lr=config.learning_rate)


def _class_weights(targets: Tensor, classes: int) -> Tensor:
    """Inverse frequency, mean 1 over the pictures: a rare label counts as much as a frequent one."""
    counts = torch.bincount(targets, minlength=classes).clamp(min=1)
    return len(targets) / (classes * counts.float())


def _batches(count: int, size: int, generator: torch.Generator) -> Iterator[Tensor]:
    """All indices once in random order; a last batch of one picture joins its neighbour (batch statistics need two)."""
    chunks = list(torch.split(torch.randperm(count, generator=generator), size))
    if len(chunks) > 1 and len(chunks[-1]) == 1:
        chunks[-2:] = [torch.cat(chunks[-2:])]
    return iter(chunks)


def _finite(loss: Tensor, epoch: int, step: int) -> float:
    value = loss.item()
    if not math.isfinite(value):
        raise FailedPrecondition(
            "LOSS_NOT_FINITE",
            f"The loss became {value} in epoch {epoch + 1}, step {step}: the training has diverged.",
            fix="Lower learning_rate (a tenth of it, say) and start again.",
        )
    return value


def _validate(model: Classifier, pictures: Pictures, targets: Tensor, batch: int = 64) -> tuple[float, float]:
    """Mean cross-entropy and accuracy over the whole split."""
    model.eval()
    loss, right = 0.0, 0
    with torch.no_grad():
        for indices in torch.split(torch.arange(len(pictures)), batch):
            logits = model(normalised(torch.from_numpy(pictures[indices.tolist()])))
            loss += F.cross_entropy(logits, targets[indices], reduction="sum").item()
            right += int((logits.argmax(1) == targets[indices]).sum())
    return loss / len(pictures), right / len(pictures)


def _save(
    path: Path,
    config: TrainingConfig,
    labels: tuple[str, ...],
    epoch: int,
    val_accuracy: float,
    model: Classifier,
    optimizer: torch.optim.Optimizer | None = None,
) -> None:
    state: dict[str, Any] = {
        "config": config.model_dump(),
        "labels": list(labels),
        "epoch": epoch,
        "val_accuracy": val_accuracy,
        "model": model.state_dict(),
    }
    if optimizer is not None:
        state["optimizer"] = optimizer.state_dict()
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)


def _resumed(
    folder: Path, config: TrainingConfig, labels: tuple[str, ...], model: Classifier, optimizer: torch.optim.Optimizer
) -> tuple[int, float]:
    """Epochs already done and their best accuracy, with model and optimizer brought to that point; (0, -1) at first."""
    path = folder / "last.pt"
    if not path.exists():
        return 0, -1.0
    saved = torch.load(path, map_location="cpu", weights_only=True)
    if saved["config"] != config.model_dump() or tuple(saved["labels"]) != labels:
        return 0, -1.0
    model.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
    return saved["epoch"], saved["val_accuracy"]


def main(folder: Path, target: str = "") -> int:
    """Train and print the events; 0 when done or stopped, 1 after an error event.

    With a `target` it first sees that the target's converter takes such a network.
    """
    os.nice(5)  # boards and pages on the same machine come first
    stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: stop.append(number))

    def emit(event: dict[str, Any]) -> None:
        print(json.dumps(event), flush=True)

    try:
        if target:
            from services.trainer.conversion import check  # it imports this module

            check(folder, target)
        train(folder, emit, lambda: bool(stop))
    except BoardloopError as error:
        emit(error_event(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *sys.argv[2:3]))
