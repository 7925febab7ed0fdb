"""What the loop asks of a task."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from services.trainer.networks import Network

__all__ = ["Losses", "Measured", "Task"]


@dataclass(frozen=True)
class Losses:
    """The loss of a batch, a scalar to go down, and what it is made of, by the name it has in an event."""

    total: Tensor
    parts: dict[str, Tensor] = field(default_factory=dict)

    def values(self) -> dict[str, float]:
        return {name: value.item() for name, value in {"loss": self.total, **self.parts}.items()}


@dataclass(frozen=True)
class Measured:
    """The validation split after an epoch: `score` (0 to 1) chooses the best epoch, `figures` go into the event."""

    score: float
    figures: dict[str, float]


class Task(Protocol):
    """One training's data and what is learned from it."""

    def network(self) -> Network:
        """Untrained, on the CPU."""
        ...

    def losses(self, model: Network, indices: Tensor, generator: torch.Generator) -> Losses:
        """Of the train pictures `indices` (b,), changed at random by `generator`."""
        ...

    def measure(self, model: Network) -> Measured:
        """Over the whole validation split."""
        ...
