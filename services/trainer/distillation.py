"""Distillation (Hinton et al., arXiv:1503.02531): a small network learns from the soft answers of a larger one.

    plain/      the network as always          1
    teacher/    `distil`, on the same split    2   left out when stopped
    student/    the network, from both         3   left out when the teacher is no better than `plain`
    best.pt     plain's or the student's, whichever is better on the validation split; at a tie plain's

Every phase is a training of its own with its own last.pt, so that a run started again goes on in the phase it was in.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from services.trainer.checkpoints import load_checkpoint
from services.trainer.config import TrainingConfig
from services.trainer.device import choose_device
from services.trainer.networks import Network

if TYPE_CHECKING:
    from services.trainer.data import Data

__all__ = ["Teacher", "distilled", "load_teacher", "soft_loss"]

TEMPERATURE = 2.0  # softens both answers, so that the order of the wrong labels counts too
SHARE = 0.7  # of the loss that comes from the teacher
PHASES = ("plain", "teacher", "student")

Emit = Callable[[dict[str, Any]], None]
Teacher = Callable[[Tensor], Tensor]  # normalised pictures (n, 3, h, w) to logits (n, classes), without gradients
Stopping = Callable[[], bool]


class Fit(Protocol):
    """services.trainer.loop.fit."""

    def __call__(
        self,
        folder: Path,
        config: TrainingConfig,
        data: Data,
        emit: Emit,
        stopping: Stopping = ...,
        teacher: Teacher | None = ...,
    ) -> None: ...


def soft_loss(loss: Tensor, logits: Tensor, answers: Tensor, mixed: Tensor) -> Tensor:
    """The hard `loss` (b,) mixed with the divergence of logits (b, classes) from the teacher's: (b,).

    Of the pictures that are `mixed`, bool (b,), only the divergence counts: the teacher sees better what is in a
    mixture than the shares tell (Beyer et al., arXiv:2106.05237).
    """
    ours, theirs = F.log_softmax(logits / TEMPERATURE, 1), F.log_softmax(answers / TEMPERATURE, 1)
    soft = F.kl_div(ours, theirs, reduction="none", log_target=True).sum(1) * TEMPERATURE**2
    return torch.where(mixed, soft, (1 - SHARE) * loss + SHARE * soft)


def load_teacher(path: Path) -> Network:
    """The network of a checkpoint on the training's device, in evaluation mode, to be asked and not changed."""
    return load_checkpoint(path).model.to(choose_device()).requires_grad_(False)


def distilled(folder: Path, config: TrainingConfig, data: Data, emit: Emit, stopping: Stopping, fit: Fit) -> None:
    """Train network, teacher and student as described above; best.pt of the better goes into `folder`."""
    assert config.distil
    plain = config.model_copy(update={"distil": "", "distil_weights": ""})
    teaching = plain.model_copy(
        update={"backbone": config.distil, "pooling": "average", "freeze": 0.0, "weights": _start_of_teacher(config)}
    )
    for phase in PHASES:
        (folder / phase).mkdir(exist_ok=True)
    best = {phase: folder / phase / "best.pt" for phase in PHASES}

    def run(number: int, settings: TrainingConfig, words: str, teacher: Teacher | None = None) -> None:
        emit({"type": "log", "message": f"Distillation {number} of {len(PHASES)}: {words}."})
        fit(folder / PHASES[number - 1], settings, data, _counted(emit, number, config.epochs), stopping, teacher)

    run(1, plain, f"the plain {config.backbone}, to compare with")
    if not stopping():
        run(2, teaching, f"the teacher, {config.distil}")
    if not stopping():
        reached, needed = (load_checkpoint(best[phase]).score for phase in ("teacher", "plain"))
        if reached > needed:
            run(3, plain, f"{config.backbone} learns from the teacher", load_teacher(best["teacher"]))
        else:
            emit({"type": "log", "message": f"The teacher ({reached:.3f}) is no better than the plain network "
                  f"({needed:.3f}): nothing to learn from it."})  # fmt: skip
    _keep_better(folder, best, emit)


def _keep_better(folder: Path, best: dict[str, Path], emit: Emit) -> None:
    kept = "plain"
    if best["student"].exists():
        plain, student = (load_checkpoint(best[phase]).score for phase in ("plain", "student"))
        kept = "student" if student > plain else "plain"
        emit({"type": "log", "message": f"Validation accuracy {plain:.3f} without and {student:.3f} with the teacher: "
              f"the {'distilled' if kept == 'student' else 'plain'} network is kept."})  # fmt: skip
    shutil.copyfile(best[kept], folder / "best.pt")


def _counted(emit: Emit, number: int, epochs: int) -> Emit:
    """Epochs of all phases in one row, for curves and progress."""

    def told(event: dict[str, Any]) -> None:
        if "epoch" in event:
            before, whole = (number - 1) * epochs, len(PHASES) * epochs
            event = {**event, "epoch": before + event["epoch"], "epochs": whole}
        emit(event)

    return told


def _start_of_teacher(config: TrainingConfig) -> str:
    """`distil_weights`; where a config.json names none, the network's own, if a MobileNetV1 of another width can start
    from them: a checkpoint's fit only their own."""
    alike = config.distil.startswith("mobilenet_v1_") and config.backbone.startswith("mobilenet_v1_")
    own = config.weights if alike and not config.weights.endswith(".pt") else ""
    return config.distil_weights or own
