"""What an anchor-free head learns from: cells given to truths by their place, and the loss in three parts.

truth ──► the cells inside it whose middle is near its own (centre sampling, FCOS); where two claim a cell, the smaller

box         1 - GIoU, arXiv:1902.09630
objectness  binary cross-entropy: the overlap reached where a truth is, 0 elsewhere, arXiv:2107.08430
class       cross-entropy
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from services.trainer.detection.anchor_free import MAX_EXPONENT, VALUES
from services.trainer.heads.yolo2_loss import LossParts, Targets

__all__ = ["anchor_free_loss", "assigned"]

_RADIUS = 1.5  # cells from a truth's middle in which a cell may learn it (FCOS)
_TINY = 1e-7


def anchor_free_loss(last: Tensor, targets: Targets) -> LossParts:
    """`last`: the head's map (n, 5 + classes, h, w)."""
    n, _, h, w = last.shape
    values = last.flatten(2).transpose(1, 2)  # (n, cells, 5 + classes)
    truths = targets.boxes * last.new_tensor([w, h, w, h])
    picture, cell, which = assigned(targets.picture, truths, n, h, w)
    chosen = values[picture, cell]
    overlap, hull = _overlaps(_boxes(chosen[:, :4], cell, w), truths[which])
    wanted = last.new_zeros(n, h * w)
    wanted[picture, cell] = overlap.detach().clamp(0, 1)
    cells = max(len(which), 1)
    objectness = F.binary_cross_entropy_with_logits(values[..., VALUES - 1], wanted, reduction="sum")
    label = F.cross_entropy(chosen[:, VALUES:], targets.label[which], reduction="sum")
    return LossParts((1 - overlap + hull).sum() / cells, objectness / cells, label / cells)


def assigned(pictures: Tensor, truths: Tensor, n: int, h: int, w: int) -> tuple[Tensor, Tensor, Tensor]:
    """For every cell that learns a truth: its picture, its number row*w + column, and the number of the truth.

    `truths` (m, 4) in cells, `pictures` (m,). Every truth has the cell of its middle, unless a smaller one takes it.
    """
    number = torch.arange(h * w, device=truths.device)
    middle = torch.stack([number % w, number // w], -1) + 0.5  # (cells, 2)
    centre = (truths[:, :2] + truths[:, 2:]) / 2
    near = ((middle - centre[:, None]).abs() < _RADIUS).all(-1)
    inside = ((middle > truths[:, None, :2]) & (middle < truths[:, None, 2:])).all(-1)
    own = centre[:, 1].long().clamp(0, h - 1) * w + centre[:, 0].long().clamp(0, w - 1)
    claims = (near & inside).scatter(1, own[:, None], True)  # (m, cells)
    owner = torch.full((n, h * w), -1, device=truths.device)
    for truth in (truths[:, 2:] - truths[:, :2]).prod(-1).argsort(descending=True).tolist():
        owner[pictures[truth], claims[truth]] = truth
    picture, cell = (owner >= 0).nonzero(as_tuple=True)
    return picture, cell, owner[picture, cell]


def _boxes(reach: Tensor, cell: Tensor, w: int) -> Tensor:
    """Edges in cells, (k, 4)."""
    middle = torch.stack([cell % w, cell // w], -1) + 0.5
    far = reach.clamp(max=MAX_EXPONENT).exp()
    return torch.cat([middle - far[:, :2], middle + far[:, 2:]], -1)


def _overlaps(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """IoU of pairs of boxes, and the share of their hull that neither covers: GIoU is the difference."""
    both = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0).prod(-1)
    union = (a[:, 2:] - a[:, :2]).prod(-1) + (b[:, 2:] - b[:, :2]).prod(-1) - both
    hull = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).prod(-1)
    return both / (union + _TINY), (hull - union) / (hull + _TINY)
