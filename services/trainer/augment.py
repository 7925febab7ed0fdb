"""Light random changes of a batch: mirrored, turned, shifted, zoomed, brighter or darker, more or less contrast.

What is drawn comes from a generator on the CPU, so that it is the same wherever the pictures are."""

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

    def here(values: Tensor) -> Tensor:
        return values.to(x.device, non_blocking=True)

    angle, zoom = uniform(math.radians(config.rotate)), 1 + uniform(config.zoom)
    if config.quarter_turns:
        angle = angle + torch.randint(0, 4, (n,), generator=generator) * (math.pi / 2)
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
    theta = here(torch.stack(rows, 1).view(n, 2, 3))  # output position -> input position
    grid = F.affine_grid(theta, list(x.shape), align_corners=False)  # (n, h, w, 2)
    x = F.grid_sample(x, grid, mode="bilinear", padding_mode="border", align_corners=False)
    contrast, brightness = here(1 + uniform(config.contrast)), here(uniform(config.brightness))
    middle = x.mean((1, 2, 3), keepdim=True)  # (n, 1, 1, 1)
    x = ((x - middle) * contrast.view(n, 1, 1, 1) + middle + brightness.view(n, 1, 1, 1)).clamp(0, 1)
    return _erased(x, middle, config.erase, generator) if config.erase else x


def _erased(x: Tensor, grey: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """A rectangle of `share` of each side, anywhere inside, becomes the picture's mean grey in every second picture."""
    n, _, height, width = x.shape

    def inside(size: int) -> Tensor:
        long = max(1, round(share * size))
        first = (torch.rand(n, 1, generator=generator) * (size - long + 1)).long()
        place = torch.arange(size)
        return (place >= first) & (place < first + long)  # (n, size)

    chosen = torch.rand(n, generator=generator) < 0.5
    hole = inside(height)[:, :, None] & inside(width)[:, None, :] & chosen[:, None, None]  # (n, h, w)
    return torch.where(hole[:, None].to(x.device), grey, x)
