"""Random changes of a batch of pictures and of the boxes in them: mirrored, shifted, zoomed, other light and colour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from services.trainer.detection.boxes import Box, Truth

__all__ = ["DetectionAugment", "augmented_scenes"]


@dataclass(frozen=True)
class DetectionAugment:
    """How much is changed at most, as shares; `least_visible` of a box must be left for it to stay."""

    flip_horizontal: bool = True
    shift: float = 0.15
    zoom: float = 0.35
    brightness: float = 0.2
    contrast: float = 0.25
    colour: float = 0.15
    least_visible: float = 0.4


def augmented_scenes(
    x: Tensor, truths: Sequence[Sequence[Truth]], options: DetectionAugment, generator: torch.Generator
) -> tuple[Tensor, list[list[Truth]]]:
    """Pictures (n, 3, h, w) in [0, 1], each changed on its own, and the truths that can still be seen in them.

    What comes in from outside repeats the edge.
    """
    n = len(x)

    def uniform(limit: float, *size: int) -> Tensor:
        return (torch.rand(n, *size, generator=generator) * 2 - 1) * limit

    scale = (1 + uniform(options.zoom, 1)) * torch.ones(1, 2)
    if options.flip_horizontal:
        scale[:, 0] *= torch.randint(0, 2, (n,), generator=generator) * 2 - 1
    shift = 2 * uniform(options.shift, 2)  # grid coordinates span two units
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1], theta[:, :, 2] = scale[:, 0], scale[:, 1], shift  # output -> input position
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)
    x = F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)
    middle = x.mean((1, 2, 3), keepdim=True)
    contrast = 1 + uniform(options.contrast, 1, 1, 1) + uniform(options.colour, 3, 1, 1)
    x = ((x - middle) * contrast + middle + uniform(options.brightness, 1, 1, 1)).clamp(0, 1)
    moved = [
        [seen for truth in items if (seen := _moved(truth, s, t, options.least_visible)) is not None]
        for items, s, t in zip(truths, scale.tolist(), shift.tolist(), strict=True)
    ]
    return x, moved


def _moved(truth: Truth, scale: list[float], shift: list[float], least_visible: float) -> Truth | None:
    """Where the object is now, cut at the border; None when too little of it is left."""
    sides = []
    for axis in (0, 1):
        edges = [((2 * truth.box[axis + end] - 1 - shift[axis]) / scale[axis] + 1) / 2 for end in (0, 2)]
        sides.append((min(edges), max(edges)))
    (left, right), (top, bottom) = sides
    box = Box(max(left, 0.0), max(top, 0.0), min(right, 1.0), min(bottom, 1.0))
    seen = max(box.right - box.left, 0) * max(box.bottom - box.top, 0)
    return Truth(truth.label, box) if seen >= least_visible * (right - left) * (bottom - top) else None
