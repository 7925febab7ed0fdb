"""Cut-out (DeVries and Taylor, arXiv:1708.04552): a grey rectangle hides a part of the picture."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from services.trainer.augmentation.dice import Dice

__all__ = ["holes", "with_holes"]


def holes(dice: Dice, height: int, width: int) -> Tensor | None:
    """First and last row and column + 1 of each picture's rectangle, (n, 4) int64, all zero where there is none."""
    if not dice.changes.uses("erase"):
        return None
    chosen = dice.chosen("erase")
    long = [max(1, round(dice.changes.erase * size)) for size in (height, width)]
    first = [(dice.share() * (size - side + 1)).long() for size, side in zip((height, width), long, strict=True)]
    last = [begin + side for begin, side in zip(first, long, strict=True)]
    return torch.stack([first[0], last[0], first[1], last[1]], 1) * chosen[:, None]


def with_holes(x: Tensor, rectangles: Tensor) -> Tensor:
    """Pictures (n, 3, h, w) with each rectangle in the picture's mean grey."""
    top, bottom, left, right = (edge[:, None] for edge in rectangles.to(x.device).unbind(1))
    rows, columns = (torch.arange(size, device=x.device) for size in x.shape[2:])
    hole = ((rows >= top) & (rows < bottom))[:, :, None] & ((columns >= left) & (columns < right))[:, None]
    return torch.where(hole[:, None], x.mean((1, 2, 3), keepdim=True), x)


def hole_edges(rectangles: Tensor, height: int, width: int) -> npt.NDArray[np.float64]:
    """The rectangles as left, top, right, bottom, shares of the picture."""
    top, bottom, left, right = rectangles.double().numpy().T
    return np.stack([left / width, top / height, right / width, bottom / height], 1)
