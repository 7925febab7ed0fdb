"""Classification head: pooling, dropout, one linear layer.

average   the mean of the whole map (Lin et al., arXiv:1312.4400)
peaks     the mean of the maxima of its parts, 4x4 or 2x2 positions each: what shows at one position only, a crack or a
          spot, is not drowned by the rest of the picture
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from services.common.errors import UnsupportedModel
from services.trainer.config import Pooling
from services.trainer.graph import FullyConnected, GlobalAveragePool, MaxPool

__all__ = ["ClassifierHead", "peaks"]

_LEAST = 4  # maxima in a row and in a column: a K210's accelerator writes no smaller map
_MOST_POOLS = 2  # 4x4 positions in the end, the largest pooling that it has


class ClassifierHead(nn.Module):
    """Features (n, channels, h, w) to logits (n, classes)."""

    def __init__(self, channels: int, classes: int, dropout: float, pooling: Pooling = "average") -> None:
        super().__init__()
        self.pooling = pooling
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(channels, classes)
        nn.init.normal_(self.linear.weight, std=0.01)
        nn.init.zeros_(self.linear.bias)

    def forward(self, features: Tensor) -> Tensor:
        """UnsupportedModel for a map that is too small for the pooling."""
        pools = self.pools(features.shape[2], features.shape[3])
        if pools:
            features = F.max_pool2d(features, 2 ** len(pools))
        logits: Tensor = self.linear(self.dropout(features.mean((2, 3))))
        return logits

    def pools(self, height: int, width: int) -> tuple[MaxPool, ...]:
        """What stands before the mean over a map of so many positions. UnsupportedModel for one too small for it."""
        return peaks(height, width) if self.pooling == "peaks" else ()

    def take(self, trained: ClassifierHead, rows: Sequence[tuple[int, int]]) -> None:
        """Go on with the rows of a trained head; `rows`: (label here, the same label there)."""
        here, there = ([row[side] for row in rows] for side in (0, 1))
        with torch.no_grad():
            self.linear.weight[here] = trained.linear.weight[there]
            self.linear.bias[here] = trained.linear.bias[there]

    def graph_layers(self) -> tuple[GlobalAveragePool, FullyConnected]:
        """The mean and the linear layer: the chip puts out logits. `pools` stand before them."""
        weight, bias = self.linear.weight.detach(), self.linear.bias.detach()
        return GlobalAveragePool("pool"), FullyConnected("classifier", weight.numpy(), bias.numpy())


def peaks(height: int, width: int) -> tuple[MaxPool, ...]:
    """One or two poolings 2x2, so that at least 4x4 maxima are left. UnsupportedModel for a map that does not halve."""
    pools = 0
    while pools < _MOST_POOLS and height % 2 == width % 2 == 0 and min(height, width) >= 2 * _LEAST:
        height, width, pools = height // 2, width // 2, pools + 1
    if not pools:
        raise UnsupportedModel(
            "MAP_TOO_SMALL_FOR_PEAKS",
            f"Pooling by peaks halves the network's last map, and {height}x{width} positions do not halve into "
            f"{_LEAST}x{_LEAST} or more.",
            fix="Choose an input of 256 or 320 (of 128 or more for mobilenet_v1_1.0_cut8), or the pooling average.",
        )
    return tuple(MaxPool(f"peaks{i}") for i in range(pools))
