"""Mosaic (Bochkovskiy et al., arXiv:2004.10934): parts of four pictures of the batch around a drawn middle.

┌─────┬───────────┐   each tile shows its picture at half to whole size, from a drawn place;
│ own │ another   │   the middle lies in the inner 40 %
├─────┼───────────┤
│     │           │
└─────┴───────────┘
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from services.trainer.augmentation.dice import Dice
from services.trainer.augmentation.geometry import sampled
from services.trainer.augmentation.marks import Marks

__all__ = ["tiled"]

_INNER = 0.4  # of each side: where the middle may lie
_SMALLEST = 0.5  # size of a picture in its tile


def tiled(x: Tensor, marks: Marks, dice: Dice) -> tuple[Tensor, Marks]:
    """Pictures (n, 3, h, w), those that are drawn made of four."""
    index = dice.chosen("mosaic").nonzero().flatten()
    if not len(index) or dice.n < 2:
        return x, marks
    middle = 0.5 + (dice.share(2) - 0.5) * _INNER
    parts = []
    for right, below in ((0, 0), (1, 0), (0, 1), (1, 1)):
        own = torch.arange(dice.n)
        sources = own if not (right or below) else torch.randperm(dice.n, generator=dice.generator)
        corner = torch.tensor([right, below]) > 0
        low = torch.where(corner, middle, torch.zeros(()))[index]  # (k, 2), x and y
        high = torch.where(corner, torch.ones(()), middle)[index]
        parts.append((sources[index], _window(dice, index, low, high), low, high))
    canvas = torch.empty_like(x[: len(index)])
    rows, columns = ((torch.arange(size, device=x.device) + 0.5) / size for size in x.shape[2:])
    untouched = ~np.isin(marks.owner, index.numpy())
    kept = marks.only(untouched)
    for sources, theta, low, high in parts:
        near, far = (edge.to(x.device)[:, :, None] for edge in (low, high))
        inside = [(place >= near[:, axis]) & (place < far[:, axis]) for axis, place in enumerate((columns, rows))]
        mask = inside[1][:, None, :, None] & inside[0][:, None, None, :]
        canvas = torch.where(mask, sampled(x[sources.to(x.device)], theta, dice.changes.sampling), canvas)
        seen = marks.of_pictures(sources.numpy()).moved(theta, torch.cat([low, high], 1).double().numpy())
        kept = kept.and_of(Marks(index.numpy()[seen.owner], seen.label, seen.edges, seen.area))
    return x.index_copy(0, index.to(x.device), canvas), kept


def _window(dice: Dice, index: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """Theta (k, 2, 3): the tile from `low` to `high` shows a window of its picture that does not reach outside it."""
    scale = 1 + dice.share(1)[index] * (1 / _SMALLEST - 1)  # input units for an output unit
    side = high - low
    scale = torch.minimum(scale, (1 / side).amin(1, keepdim=True)).expand(-1, 2)
    begin = dice.share(2)[index] * (1 - side * scale)  # where the window begins in the picture, (k, 2)
    offset = 2 * (begin - low * scale) - 1 + scale  # from [0, 1] to grid coordinates
    return torch.cat([torch.diag_embed(scale), offset[:, :, None]], 2)
