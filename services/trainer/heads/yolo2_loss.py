"""What a YOLOv2 head learns from: the truths of a batch given to cells and anchors, and the loss in three parts.

truth ──► the cell of its centre ──► the anchor of the most similar size, and every other one that is similar enough

box         1 - IoU + (distance of the centres / diagonal of both)^2       DIoU, arXiv:1911.08287
objectness  binary cross-entropy: the IoU reached where a truth is, 0 elsewhere; not counted where a box without a
            truth overlaps one well, as in arXiv:1612.08242
class       cross-entropy
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from services.trainer.detection.boxes import Truth
from services.trainer.detection.yolo2 import VALUES
from services.trainer.heads.yolo2 import OBJECTNESS

__all__ = ["LossParts", "Targets", "yolo2_loss"]

_SIMILAR = 0.5  # IoU of the sizes that makes another anchor responsible too
_IGNORED = 0.6  # IoU above which a box without a truth of its own is no mistake (the paper's threshold)
_BOX, _OBJECTNESS, _CLASS = 2.0, 1.0, 1.0
_EMPTY = 0.5  # weight of the cells without an object (lambda_noobj of arXiv:1506.02640)
_MAX_EXPONENT = 6.0


@dataclass(frozen=True)
class LossParts:
    """Mean over the objects of a batch."""

    box: Tensor
    objectness: Tensor
    label: Tensor

    @property
    def total(self) -> Tensor:
        return _BOX * self.box + _OBJECTNESS * self.objectness + _CLASS * self.label


@dataclass(frozen=True)
class Targets:
    """The truths of a batch: `picture` and `label` (m,), `boxes` (m, 4) left, top, right, bottom in fractions."""

    picture: Tensor
    label: Tensor
    boxes: Tensor

    @classmethod
    def of(cls, truths: Sequence[Sequence[Truth]], device: torch.device | None = None) -> Targets:
        """On `device`; None: the CPU."""
        rows = [(i, truth.label, truth.box) for i, items in enumerate(truths) for truth in items]
        return cls(
            torch.tensor([i for i, _, _ in rows], dtype=torch.long, device=device),
            torch.tensor([label for _, label, _ in rows], dtype=torch.long, device=device),
            torch.tensor([box for _, _, box in rows], dtype=torch.float32, device=device).reshape(-1, 4),
        )


def yolo2_loss(last: Tensor, targets: Targets, anchors: Tensor) -> LossParts:
    """`last`: the head's map (n, anchors*(5 + classes), h, w); `anchors`: (anchors, 2) width, height in cells."""
    n, channels, h, w = last.shape
    count = len(anchors)
    values = last.view(n, count, channels // count, h, w).permute(0, 1, 3, 4, 2)  # (n, anchors, h, w, 5 + classes)
    boxes = _boxes(values, anchors)  # (n, anchors, h, w, 4), in cells
    truths = targets.boxes * last.new_tensor([w, h, w, h])
    which, anchor = _responsible(truths, anchors)
    centre = (truths[which, :2] + truths[which, 2:]) / 2
    column, row = centre[:, 0].long().clamp(0, w - 1), centre[:, 1].long().clamp(0, h - 1)
    place = (targets.picture[which], anchor, row, column)

    overlap, penalty = _overlap(boxes[place], truths[which])
    wanted = last.new_zeros(n, count, h, w)
    weight = _EMPTY * (~_covered(boxes.detach(), truths, targets.picture)).to(last.dtype)
    wanted[place] = overlap.detach().clamp(0, 1)
    weight[place] = 1.0
    objects = max(len(which), 1)
    objectness = F.binary_cross_entropy_with_logits(values[..., OBJECTNESS], wanted, weight, reduction="sum")
    label = F.cross_entropy(values[place][:, VALUES:], targets.label[which], reduction="sum")
    return LossParts((1 - overlap + penalty).sum() / objects, objectness / objects, label / objects)


def _boxes(values: Tensor, anchors: Tensor) -> Tensor:
    """Edges in cells of the boxes in (n, anchors, h, w, 5 + classes), as services.trainer.detection.yolo2 decodes."""
    h, w = values.shape[2:4]
    across, down = (torch.arange(side, device=values.device) for side in (w, h))
    cells = torch.stack(torch.meshgrid(across, down, indexing="xy"), -1)
    centre = cells + values[..., :2].sigmoid()
    half = values[..., 2:4].clamp(max=_MAX_EXPONENT).exp() * anchors[:, None, None] / 2
    return torch.cat([centre - half, centre + half], -1)


def _responsible(truths: Tensor, anchors: Tensor) -> tuple[Tensor, Tensor]:
    """Pairs (truth, anchor): the best anchor of each truth and all that fit its size well."""
    sizes = truths[:, 2:] - truths[:, :2]
    both = torch.minimum(sizes[:, None], anchors).prod(-1)
    fit = both / (sizes.prod(-1)[:, None] + anchors.prod(-1) - both)  # (truths, anchors)
    chosen = fit > _SIMILAR
    chosen[torch.arange(len(truths), device=fit.device), fit.argmax(1)] = True
    which, anchor = chosen.nonzero(as_tuple=True)
    return which, anchor


def _overlap(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """IoU of boxes (…, 4) and (…, 4), and the squared distance of their centres over that of the hull's corners."""
    both = (torch.minimum(a[..., 2:], b[..., 2:]) - torch.maximum(a[..., :2], b[..., :2])).clamp(min=0).prod(-1)
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - both
    hull = torch.maximum(a[..., 2:], b[..., 2:]) - torch.minimum(a[..., :2], b[..., :2])
    distance = (a[..., :2] + a[..., 2:] - b[..., :2] - b[..., 2:]) / 2
    return both / (union + 1e-7), distance.square().sum(-1) / (hull.square().sum(-1) + 1e-7)


def _covered(boxes: Tensor, truths: Tensor, picture: Tensor) -> Tensor:
    """(n, anchors, h, w): whether a box overlaps some truth of its picture by more than _IGNORED."""
    covered = torch.zeros(boxes.shape[:-1], dtype=torch.bool, device=boxes.device)
    for i in set(picture.tolist()):
        own = truths[picture == i]
        covered[i] = (_overlap(boxes[i][..., None, :], own)[0] > _IGNORED).any(-1)
    return covered
