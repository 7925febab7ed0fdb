"""What is learned: labels of pictures, or objects in them. The loop is the same for both; this is the difference.

Data ──► task.network() ──► task.losses(batch) … every step ──► task.measure(network) … every epoch
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from services.trainer.config import HEADS, TrainingConfig
from services.trainer.data import Data
from services.trainer.tasks.classification import Classification
from services.trainer.tasks.contract import Losses, Measured, Task
from services.trainer.tasks.detection import Detection

if TYPE_CHECKING:
    from services.trainer.distillation import Teacher

__all__ = ["Losses", "Measured", "Task", "task_of"]


def task_of(config: TrainingConfig, data: Data, device: torch.device, teacher: Teacher | None = None) -> Task:
    """The task of the configuration's head; `teacher`: of a classifier."""
    if HEADS[config.head] == "detection":
        return Detection(config, data, device)
    return Classification(config, data, device, teacher)
