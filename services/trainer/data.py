"""A job folder's pictures and what is known of each: the number of its label, or the objects in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from services.common.errors import InvalidInput
from services.trainer.config import HEADS, TrainingConfig
from services.trainer.detection.boxes import Truth
from services.trainer.pictures import Item, Pictures, read_items, read_labels

__all__ = ["Data", "truths_of"]


@dataclass(frozen=True, eq=False)
class Data:
    """`targets`, `val_targets`: (n,) int64 of a classification, a list of Truth for each picture of a detection."""

    pictures: Pictures
    targets: Any
    val_pictures: Pictures
    val_targets: Any
    labels: tuple[str, ...]

    @classmethod
    def read(cls, folder: Path, config: TrainingConfig) -> Data:
        """InvalidInput: broken items, or those of another task than the head's."""
        items = read_items(folder)
        labels = read_labels(folder, items)
        detection = HEADS[config.head] == "detection"
        if any((item.boxes is not None) != detection for item in items):
            raise InvalidInput(
                "HEAD_OF_ANOTHER_TASK",
                f"The head {config.head} is for {HEADS[config.head]}, and the pictures are not.",
                fix="Leave head out, or choose another data set version.",
            )

        def part(split: str) -> tuple[Pictures, Any]:
            chosen = [item for item in items if item.split == split]
            if split == "train" and not config.negatives:
                chosen = [item for item in chosen if item.boxes or not detection]
            budget = config.cache_mib * 2**20 // 2
            pictures = Pictures(folder, chosen, config.input_size, config.height, budget)
            if detection:
                return pictures, truths_of(chosen, labels)
            return pictures, torch.tensor([labels.index(item.label) for item in chosen])

        return cls(*part("train"), *part("validation"), labels)


def truths_of(items: Sequence[Item], labels: Sequence[str]) -> list[list[Truth]]:
    """The marked objects of each picture; those of labels that the model does not know are left out."""
    return [[Truth(labels.index(name), box) for name, box in item.boxes or () if name in labels] for item in items]
