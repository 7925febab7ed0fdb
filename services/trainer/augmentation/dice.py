"""What is drawn for a batch: which pictures a kind changes, and how strongly."""

from __future__ import annotations

import torch
from torch import Tensor

from services.trainer.augmentation.changes import Changes

__all__ = ["Dice"]


class Dice:
    """Draws for `n` pictures on the CPU; a kind that is off draws nothing."""

    def __init__(self, n: int, changes: Changes, generator: torch.Generator) -> None:
        self.n = n
        self.changes = changes
        self.generator = generator

    def chosen(self, name: str) -> Tensor:
        """Bool (n,): the pictures that the kind changes."""
        if not self.changes.uses(name):
            return torch.zeros(self.n, dtype=torch.bool)
        probability: float = getattr(self.changes, f"{name}_probability")
        if probability >= 1:
            return torch.ones(self.n, dtype=torch.bool)
        return torch.rand(self.n, generator=self.generator) < probability

    def share(self, *size: int) -> Tensor:
        """Float (n, …) in [0, 1)."""
        return torch.rand(self.n, *size, generator=self.generator)

    def amount(self, name: str, *size: int) -> Tensor:
        """Float (n, …), evenly between minus and plus the kind's strength; 0 where it is not chosen."""
        if not self.changes.uses(name):
            return torch.zeros(self.n, *size)
        chosen = self.chosen(name).view(-1, *(1 for _ in size))
        drawn = (self.share(*size) * 2 - 1) * float(getattr(self.changes, name))
        return torch.where(chosen, drawn, torch.zeros(()))

    def strength(self, name: str) -> tuple[Tensor, Tensor]:
        """The indices (k,) of the pictures that the kind changes, and for each an amount from none to its strength."""
        index = self.chosen(name).nonzero().flatten()
        drawn = torch.rand(len(index), generator=self.generator) * float(getattr(self.changes, name))
        return index, drawn

    def seed(self) -> int:
        """For a generator on another device."""
        return int(torch.randint(0, 2**62, (1,), generator=self.generator))
