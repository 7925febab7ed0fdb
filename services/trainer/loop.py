"""The training, top to bottom: `python -m services.trainer.loop JOB_DIR [TARGET]` is a job's child process.

    JOB_DIR/config.json  TrainingConfig  ──►  stdout   one JSON event a line
    JOB_DIR/items.json, images/          ──►  last.pt  after every epoch: a run started again goes on from it
                                         ──►  best.pt  the best epoch on the validation split (or the last one)
                                         ──►  quantised.pt  with qat_epochs: its weights fine-tuned for TARGET

Events: {"type": "log", message}
        {"type": "step", epoch, epochs, step, steps, validation, loss, lr, images_per_s, seconds_left}
        {"type": "epoch", …the same…, val_loss, val_accuracy}   loss is the mean of the epoch so far, steps those of an
        epoch, validation the number of validation pictures; a detector has loss_box, loss_object, loss_class besides,
        and for val_accuracy val_map50, val_map50_95
        {"type": "done", epoch, score, stopped} · {"type": "error", reason, message, fix}
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
from functools import partial
from pathlib import Path
from typing import Any

import torch

from services.common.errors import BoardloopError, FailedPrecondition, InvalidInput
from services.trainer.averaging import Average
from services.trainer.checkpoints import (
    Checkpoint,
    load_checkpoint,
    resumed,
    save_best,
    save_last,
)
from services.trainer.children import error_event
from services.trainer.config import HEADS, TrainingConfig, parse_config
from services.trainer.data import Data
from services.trainer.device import choose_device, device_words
from services.trainer.distillation import Teacher, distilled
from services.trainer.networks import graph_of, predict
from services.trainer.parallel import ALONE, Group, join
from services.trainer.quantisation.tune import more_epochs, tune
from services.trainer.schedule import Pace, batches, learning_rate, make_optimizer
from services.trainer.shares import in_shares
from services.trainer.starting import Frozen, start
from services.trainer.tasks import task_of
from services.trainer.unreadable import leave_out_unreadable

__all__ = ["Checkpoint", "Data", "fit", "load_checkpoint", "predict", "train"]

Emit = Callable[[dict[str, Any]], None]
_MAX_GRADIENT = 5.0  # norm; keeps one odd picture from undoing an epoch


def train(folder: Path, emit: Emit, stopping: Callable[[], bool] = lambda: False, target: str = "") -> None:
    """Train on the job folder as described above. Raises BoardloopError in the words a person reads.

    `target`: what `qat_epochs` of the configuration fine-tune for.
    """
    config = parse_config((folder / "config.json").read_text())
    torch.set_num_threads(config.threads or os.cpu_count() or 1)
    workers = join(choose_device())
    asked, stopping = stopping, workers.agreed(stopping)
    if config.skip_unreadable:
        leave_out_unreadable(folder, emit)
    data = Data.read(folder, config)
    tell = more_epochs(emit, config)
    if config.distil and HEADS[config.head] != "classification":
        raise InvalidInput("DISTIL_DETECTOR", "A detector has no teacher.", fix="Leave distil out.")
    if config.distil:
        distilled(folder, config, data, tell, stopping, partial(fit, workers=workers))
    else:
        fit(folder, config, data, tell, stopping, workers=workers)
    kept = load_checkpoint(folder / "best.pt")
    if target and config.qat_epochs and workers.rank == 0 and not stopping():
        graph = graph_of(kept.model, config, kept.labels)
        tune(folder, graph, target, config, data.pictures, emit, asked)  # the first process alone
    emit({"type": "done", "epoch": kept.epoch, "score": kept.score, "stopped": stopping() or asked()})


def fit(
    folder: Path,
    config: TrainingConfig,
    data: Data,
    emit: Emit,
    stopping: Callable[[], bool] = lambda: False,
    teacher: Teacher | None = None,
    workers: Group = ALONE,
) -> None:
    """Train one network; its last.pt and best.pt go into `folder`. It goes on after what last.pt there has done."""
    device = choose_device()
    torch.manual_seed(config.seed)
    task = task_of(config, data, device, teacher)
    model = task.network()
    beginning = start(model, config, data.labels)
    frozen = Frozen(model, config.freeze)
    workers.prepare(model)
    model = model.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = make_optimizer(model, config)
    average = Average(model, config.ema)
    progress = resumed(folder / "last.pt", config, data.labels, model, optimizer, average)
    steps = len(list(batches(len(data.pictures), config.batch_size, torch.Generator())))
    shared = {"steps": steps, "validation": len(data.val_pictures), "epochs": config.epochs}
    emit({"type": "log", "message": f"{len(data.pictures)} train and {len(data.val_pictures)} validation pictures, "
          f"labels {', '.join(data.labels)}, {config.head} {config.backbone} {beginning}, on {device_words(device)}"
          + (f", going on after epoch {progress.epoch}" if progress.epoch else "")})  # fmt: skip

    network = in_shares(model) if workers.size == 1 else workers.shared(model)
    pace = Pace(len(data.pictures) * (config.epochs - progress.epoch))
    while progress.epoch < config.epochs and progress.patient(config.patience):
        epoch = progress.epoch
        generator = torch.Generator().manual_seed(config.seed * 100_003 + epoch)
        torch.manual_seed(config.seed * 100_003 + epoch)  # dropout
        model.train()
        frozen.hold()
        mean = Mean()
        order = batches(len(data.pictures), config.batch_size, generator)
        for step, indices in enumerate(data.pictures.ahead(order), 1):
            lr = learning_rate(config, epoch + (step - 1) / steps)
            for group in optimizer.param_groups:
                group["lr"] = lr
            losses = task.losses(network, indices, generator)
            optimizer.zero_grad(set_to_none=True)
            losses.total.backward()  # type: ignore[no-untyped-call]
            workers.sum_gradients(model)
            torch.nn.utils.clip_grad_norm_(model.parameters(), _MAX_GRADIENT)
            optimizer.step()
            average.update()
            mean.add(_finite(losses.values(), epoch, step), len(indices))
            now = {"epoch": epoch + 1, "step": step, "lr": lr, **shared, **pace.after(len(indices))}
            if pace.due():
                emit({"type": "step", **mean.values(), **now})
            if stopping():
                break
        if stopping() and (folder / "best.pt").exists():
            return
        measured = task.measure(average.model)
        emit({"type": "epoch", **mean.values(), **measured.figures, **now})
        progress = progress.after(workers.same(measured.score))
        if progress.best_epoch == progress.epoch or config.keep == "last":
            save_best(folder / "best.pt", config, data.labels, progress.epoch, measured.score, average.model)
        save_last(folder / "last.pt", config, data.labels, progress, model, optimizer, average)
        if stopping():
            return
    if progress.epoch < config.epochs:
        emit({"type": "log", "message": f"Ended early: {config.patience} epochs without a better one."})


class Mean:
    """The running mean over the pictures of an epoch, of every part of the loss."""

    def __init__(self) -> None:
        self._sums: dict[str, float] = {}
        self._count = 0

    def add(self, values: dict[str, float], pictures: int) -> None:
        self._count += pictures
        for name, value in values.items():
            self._sums[name] = self._sums.get(name, 0.0) + value * pictures

    def values(self) -> dict[str, float]:
        return {name: total / self._count for name, total in self._sums.items()}


def _finite(values: dict[str, float], epoch: int, step: int) -> dict[str, float]:
    if not math.isfinite(values["loss"]):
        raise FailedPrecondition(
            "LOSS_NOT_FINITE",
            f"The loss became {values['loss']} in epoch {epoch + 1}, step {step}: the training has diverged.",
            fix="Lower learning_rate (a tenth of it, say) and start again.",
        )
    return values


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
