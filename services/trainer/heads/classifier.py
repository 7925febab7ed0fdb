"""Classification head: global average pooling, dropout, one linear layer."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from services.trainer.graph import FullyConnected, GlobalAveragePool

__all__ = ["ClassifierHead"]


class ClassifierHead(nn.Module):
    """Features (n, channels, h, w) to logits (n, classes)."""

    def __init__(self, channels: int, classes: int, dropout: float) -> None:
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(channels, classes)
        nn.init.normal_(self.linear.weight, std=0.01)
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.linear(self.dropout(features.mean((2, 3))))
        return logits

    def take(self, trained: ClassifierHead, rows: Sequence[tuple[int, int]]) -> None:
        """Go on with the rows of a trained head; `rows`: (label here, the same label there)."""
        here, there = ([row[side] for row in rows] for side in (0, 1))
        with torch.no_grad():
            self.linear.weight[here] = trained.linear.weight[there]
            self.linear.bias[here] = trained.linear.bias[there]

    def graph_layers(self) -> tuple[GlobalAveragePool, FullyConnected]:
        """Pooling and the linear layer: the chip puts out logits."""
        weight, bias = self.linear.weight.detach(), self.linear.bias.detach()
        return GlobalAveragePool("pool"), FullyConnected("classifier", weight.numpy(), bias.numpy())
