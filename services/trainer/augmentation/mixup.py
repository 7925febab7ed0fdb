"""Mixup (Zhang et al., arXiv:1710.09412): another picture of the batch shines through, with its label.

x' = (1 - s) x + s other      y' = (1 - s) y + s other's      s evenly from 0 to the strength
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from services.trainer.augmentation.changes import Changes
from services.trainer.augmentation.dice import Dice

__all__ = ["Mixed", "mixed"]


class Mixed(NamedTuple):
    """Pictures (n, 3, h, w), the place of each one's other in the batch (n,), and the other's share (n,), 0 = none."""

    x: Tensor
    other: Tensor
    share: Tensor


def mixed(x: Tensor, changes: Changes, generator: torch.Generator) -> Mixed:
    """Pictures (n, 3, h, w) of a classification, those that are drawn mixed with another one."""
    dice = Dice(len(x), changes, generator)
    if not changes.uses("mixup"):
        return Mixed(x, torch.arange(dice.n), torch.zeros(dice.n))
    index, drawn = dice.strength("mixup")
    other = torch.randperm(dice.n, generator=generator)
    share = torch.zeros(dice.n).index_copy(0, index, drawn)
    return Mixed(torch.lerp(x, x[other.to(x.device)], share.to(x.device).view(-1, 1, 1, 1)), other, share)
