"""Mirror, turn, shift, zoom and crop as one matrix a picture, and the sampling with it."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from services.trainer.augmentation.changes import Sampling
from services.trainer.augmentation.dice import Dice

__all__ = ["MOVES", "placement", "sampled"]

MOVES = ("flip_horizontal", "flip_vertical", "quarter_turns", "rotate", "shift", "zoom", "crop")


def placement(dice: Dice, height: int, width: int) -> Tensor | None:
    """Theta (n, 2, 3), output to input position in grid coordinates; None when no kind moves anything."""
    if not any(dice.changes.uses(name) for name in MOVES):
        return None
    linear = _turned(torch.deg2rad(dice.amount("rotate")), width / height)
    linear = linear * (1 + dice.amount("zoom")).view(-1, 1, 1)
    if dice.changes.uses("quarter_turns"):
        turns = (dice.share() * 4).floor() * dice.chosen("quarter_turns")
        linear = linear @ _turned(turns * (math.pi / 2), 1.0)  # of the stretched picture: it still fills the input
    mirror = torch.stack([1 - 2 * dice.chosen(name).float() for name in MOVES[:2]], 1)  # (n, 2)
    linear = linear * mirror[:, None]
    shift = 2 * dice.amount("shift", 2) if dice.changes.uses("shift") else torch.zeros(dice.n, 2)
    if dice.changes.uses("crop"):
        cut = dice.share(2) * dice.changes.crop * dice.chosen("crop")[:, None]  # share of each side cut away
        shift = shift + (linear @ (cut * (dice.share(2) * 2 - 1))[:, :, None])[:, :, 0]
        linear = linear * (1 - cut)[:, None]
    return torch.cat([linear, shift[:, :, None]], 2)


def sampled(x: Tensor, theta: Tensor, mode: Sampling) -> Tensor:
    """Pictures (n, 3, h, w) in [0, 1] seen through theta (n, 2, 3); what comes in from outside repeats the edge.

    Bilinear sampling blurs what is a pixel wide, bicubic leaves more of it.
    """
    grid = _grid(theta.to(x.device, non_blocking=True), x.shape[-2], x.shape[-1])
    moved = F.grid_sample(x, grid, mode=mode, padding_mode="border", align_corners=False)
    return moved.clamp_(0, 1) if mode == "bicubic" else moved  # bicubic overshoots at edges


def _grid(theta: Tensor, height: int, width: int) -> Tensor:
    """Where each pixel looks, (n, h, w, 2): F.affine_grid without align_corners, in a quarter of its time on a CPU."""
    x, y = ((2 * torch.arange(size, device=theta.device) + 1) / size - 1 for size in (width, height))
    across = theta[:, None, None, :, 0] * x[:, None]  # (n, 1, w, 2)
    down = theta[:, None, None, :, 1] * y[:, None, None] + theta[:, None, None, :, 2]  # (n, h, 1, 2)
    return across + down


def _turned(angle: Tensor, aspect: float) -> Tensor:
    """Rotations (n, 2, 2) in grid coordinates, which are stretched where width / height is not 1."""
    cos, sin = torch.cos(angle), torch.sin(angle)
    return torch.stack([cos, -sin / aspect, sin * aspect, cos], 1).view(-1, 2, 2)
