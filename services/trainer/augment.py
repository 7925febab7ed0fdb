"""Light random changes of a batch: mirrored, turned, shifted, zoomed, brighter or darker, more or less contrast."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from services.trainer.config import TrainingConfig

__all__ = ["augmented"]


def augmented(x: Tensor, config: TrainingConfig, generator: torch.Generator) -> Tensor:
    """Images (n, 3, h, w) in [0, 1], each changed on its own by `generator`; pixels from outside repeat the edge."""
    n = len(x)

    def uniform(limit: float) -> Tensor:
        return (torch.rand(n, generator=generator) * 2 - 1) * limit

    def sign(flips: bool) -> Tensor:
        drawn = torch.randint(0, 2, (n,), generator=generator).float() * 2 - 1
        return drawn if flips else torch.ones(n)

    angle, zoom = uniform(math.radians(config.rotate)), 1 + uniform(config.zoom)
    flip_x, flip_y = sign(config.flip_horizontal), sign(config.flip_vertical)
    cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    # shift is a fraction of the picture, grid coordinates span two units
    rows = [
        cos * flip_x,
        -sin * flip_y,
        2 * uniform(config.shift),
        sin * flip_x,
        cos * flip_y,
        2 * uniform(config.shift),
    ]
    theta = torch.stack(rows, 1).view(n, 2, 3)  # output position -> input position
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)  # (n, h, w, 2)
    x = F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)
    contrast, brightness = 1 + uniform(config.contrast), uniform(config.brightness)
    middle = x.mean((1, 2, 3), keepdim=True)  # (n, 1, 1, 1)
    return ((x - middle) * contrast.view(n, 1, 1, 1) + middle + brightness.view(n, 1, 1, 1)).clamp(0, 1)
