"""The training, top to bottom: `python -m services.trainer.loop JOB_DIR [TARGET]` is a job's child process.

    JOB_DIR/config.json  TrainingConfig  ──►  stdout   one JSON event a line
    JOB_DIR/items.json, images/          ──►  last.pt  after every epoch: a run started again goes on from it
                                         ──►  best.pt  the epoch with the best validation accuracy (or the last one)
                                         ──►  quantised.pt  with qat_epochs: its weights fine-tuned for TARGET

Events: {"type": "log", message}
        {"type": "step", epoch, epochs, step, steps, validation, loss, lr, images_per_s, seconds_left}
        {"type": "epoch", …the same…, val_loss, val_accuracy}   loss is the mean of the epoch so far, steps those of an
        epoch, validation the number of validation pictures
        {"type": "done", epoch, val_accuracy, stopped} · {"type": "error", reason, message, fix}
SIGTERM asks it to stop: the current step ends, the best epoch so far is kept. On a CPU the same seed, data and number
of threads give the same weights, also across a restart.
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from services.common.errors import BoardloopError, FailedPrecondition
from services.trainer.augmentation import augmented
from services.trainer.averaging import Average
from services.trainer.checkpoints import (
    Checkpoint,
    load_checkpoint,
    resumed,
    save_best,
    save_last,
)
from services.trainer.children import error_event
from services.trainer.config import TrainingConfig, parse_config
from services.trainer.device import autocast, choose_device, device_words, moved
from services.trainer.distillation import distilled, soft_loss
from services.trainer.model import Classifier, normalised, to_graph
from services.trainer.pictures import Pictures, read_items, read_labels
from services.trainer.quantisation.tune import more_epochs, tune
from services.trainer.schedule import Pace, batches, class_weights, learning_rate, make_optimizer
from services.trainer.starting import Frozen, start

__all__ = ["Checkpoint", "Data", "fit", "load_checkpoint", "predict", "train"]

Emit = Callable[[dict[str, Any]], None]
_MAX_GRADIENT = 5.0  # norm; keeps one odd picture from undoing an epoch


@dataclass(frozen=True, eq=False)
class Data:
    """A job folder's pictures and the number of the label of each."""

    pictures: Pictures
    targets: Tensor  # (n,) int64
    val_pictures: Pictures
    val_targets: Tensor
    labels: tuple[str, ...]

    @classmethod
    def read(cls, folder: Path, config: TrainingConfig) -> Data:
        items = read_items(folder)
        labels = read_labels(folder, items)

        def part(split: str) -> tuple[Pictures, Tensor]:
            chosen = [item for item in items if item.split == split]
            size, budget = config.input_size, config.cache_mib * 2**20 // 2
            targets = torch.tensor([labels.index(item.label) for item in chosen])
            return Pictures(folder, chosen, size, size, budget), targets

        return cls(*part("train"), *part("validation"), labels)


def train(folder: Path, emit: Emit, stopping: Callable[[], bool] = lambda: False, target: str = "") -> None:
    """Train on the job folder as described above. Raises BoardloopError in the words a person reads.

    `target`: what `qat_epochs` of the configuration fine-tune for.
    """
    config = parse_config((folder / "config.json").read_text())
    torch.set_num_threads(config.threads or os.cpu_count() or 1)
    data = Data.read(folder, config)
    tell = more_epochs(emit, config)
    if config.distil:
        distilled(folder, config, data, tell, stopping, fit)
    else:
        fit(folder, config, data, tell, stopping)
    kept = load_checkpoint(folder / "best.pt")
    if target and config.qat_epochs and not stopping():
        graph = to_graph(kept.model, kept.labels, config.input_size)
        tune(folder, graph, target, config, data.pictures, emit, stopping)
    emit({"type": "done", "epoch": kept.epoch, "val_accuracy": kept.val_accuracy, "stopped": stopping()})


def fit(
    folder: Path,
    config: TrainingConfig,
    data: Data,
    emit: Emit,
    stopping: Callable[[], bool] = lambda: False,
    teacher: Classifier | None = None,
) -> None:
    """Train one network; its last.pt and best.pt go into `folder`. It goes on after what last.pt there has done."""
    device = choose_device()
    torch.manual_seed(config.seed)
    model = Classifier(config.backbone, len(data.labels), config.dropout)
    beginning = start(model, config, data.labels)
    frozen = Frozen(model, config.freeze)
    model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = make_optimizer(model, config)
    average = Average(model, config.ema)
    weights = class_weights(data.targets, len(data.labels)).to(device) if config.balance_classes else None
    progress = resumed(folder / "last.pt", config, data.labels, model, optimizer, average)
    steps = len(list(batches(len(data.pictures), config.batch_size, torch.Generator())))
    shared = {"steps": steps, "validation": len(data.val_pictures), "epochs": config.epochs}
    emit({"type": "log", "message": f"{len(data.pictures)} train and {len(data.val_pictures)} validation pictures, "
          f"labels {', '.join(data.labels)}, {config.backbone} {beginning}, on {device_words(device)}"
          + (f", going on after epoch {progress.epoch}" if progress.epoch else "")})  # fmt: skip

    pace = Pace(len(data.pictures) * (config.epochs - progress.epoch))
    while progress.epoch < config.epochs and progress.patient(config.patience):
        epoch = progress.epoch
        generator = torch.Generator().manual_seed(config.seed * 100_003 + epoch)
        torch.manual_seed(config.seed * 100_003 + epoch)  # dropout
        model.train()
        frozen.hold()
        total, count = 0.0, 0
        for step, indices in enumerate(batches(len(data.pictures), config.batch_size, generator), 1):
            lr = learning_rate(config, epoch + (step - 1) / steps)
            for group in optimizer.param_groups:
                group["lr"] = lr
            x = moved(torch.from_numpy(data.pictures[indices.tolist()]), device)  # uint8 (b, 3, h, w)
            x = normalised(augmented(x.float() / 255, config, generator) * 255)  # float (b, 3, h, w), channels last
            targets = moved(data.targets[indices], device)
            with autocast(device):
                logits = model(x)  # (b, classes)
                answers = teacher(x).detach() if teacher is not None else None
            logits = logits.float()
            loss = F.cross_entropy(logits, targets, weights, label_smoothing=config.label_smoothing)
            loss = loss if answers is None else soft_loss(loss, logits, answers.float())
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(model.parameters(), _MAX_GRADIENT)
            optimizer.step()
            average.update()
            total += _finite(loss, epoch, step) * len(indices)
            count += len(indices)
            now = {"epoch": epoch + 1, "step": step, "lr": lr, **shared, **pace.after(len(indices))}
            if pace.due():
                emit({"type": "step", "loss": total / count, **now})
            if stopping():
                break
        if stopping() and (folder / "best.pt").exists():
            return
        val_loss, val_accuracy = _validate(average.model, data.val_pictures, data.val_targets, device)
        emit({"type": "epoch", "loss": total / count, "val_loss": val_loss, "val_accuracy": val_accuracy, **now})
        progress = progress.after(val_accuracy)
        if progress.best_epoch == progress.epoch or config.keep == "last":
            save_best(folder / "best.pt", config, data.labels, progress.epoch, val_accuracy, average.model)
        save_last(folder / "last.pt", config, data.labels, progress, model, optimizer, average)
        if stopping():
            return
    if progress.epoch < config.epochs:
        emit({"type": "log", "message": f"Ended early: {config.patience} epochs without a better one."})


def predict(model: Classifier, pixels: npt.NDArray[np.uint8], batch: int = 64) -> npt.NDArray[np.float32]:
    """Logits (n, classes) of the float model for uint8 (n, 3, h, w)."""
    model.eval()
    with torch.no_grad():
        parts = [model(normalised(torch.from_numpy(pixels[i : i + batch]))) for i in range(0, len(pixels), batch)]
    logits: npt.NDArray[np.float32] = torch.cat(parts).numpy()
    return logits


def _finite(loss: Tensor, epoch: int, step: int) -> float:
    value = loss.item()
    if not math.isfinite(value):
        raise FailedPrecondition(
            "LOSS_NOT_FINITE",
            f"The loss became {value} in epoch {epoch + 1}, step {step}: the training has diverged.",
            fix="Lower learning_rate (a tenth of it, say) and start again.",
        )
    return value


def _validate(
    model: Classifier, pictures: Pictures, targets: Tensor, device: torch.device, batch: int = 64
) -> tuple[float, float]:
    """Mean cross-entropy and accuracy over the whole split."""
    model.eval()
    loss, right = 0.0, 0
    with torch.no_grad():
        for indices in torch.split(torch.arange(len(pictures)), batch):
            logits = model(normalised(moved(torch.from_numpy(pictures[indices.tolist()]), device))).cpu()
            loss += F.cross_entropy(logits, targets[indices], reduction="sum").item()
            right += int((logits.argmax(1) == targets[indices]).sum())
    return loss / len(pictures), right / len(pictures)


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
        train(folder, emit, lambda: bool(stop), target)
    except BoardloopError as error:
        emit(error_event(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), *sys.argv[2:3]))
