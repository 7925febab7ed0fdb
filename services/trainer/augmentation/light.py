"""Brightness, contrast, colour, hue and saturation as one affine map of the colours a picture."""

from __future__ import annotations

import torch
from torch import Tensor

from services.trainer.augmentation.dice import Dice

__all__ = ["lit"]

LUMA = torch.tensor([0.299, 0.587, 0.114])  # ITU-R BT.601
_TO_YIQ = torch.tensor([[0.299, 0.587, 0.114], [0.5959, -0.2746, -0.3213], [0.2115, -0.5227, 0.3112]])
_FROM_YIQ = torch.linalg.inv(_TO_YIQ)


def lit(x: Tensor, dice: Dice) -> Tensor:
    """Pictures (n, 3, h, w) in [0, 1] in other light; brightness is added, contrast turns around the mean grey."""
    uses = dice.changes.uses
    if not any(map(uses, ("brightness", "contrast", "colour", "hue", "saturation"))):
        return x
    gain = (1 + dice.amount("contrast", 1) + dice.amount("colour", 3)).to(x.device)  # (n, 3)
    brightness = dice.amount("brightness", 1).to(x.device)  # (n, 1)
    middle = x.mean((1, 2, 3)).unsqueeze(1)  # (n, 1)
    offset = middle * (1 - gain) + brightness  # (n, 3)
    if not (uses("hue") or uses("saturation")):
        return torch.addcmul(offset[:, :, None, None], x, gain[:, :, None, None]).clamp_(0, 1)
    mixed = _mixed(dice).to(x.device)  # (n, 3, 3)
    linear = mixed * gain[:, None]
    flat = torch.baddbmm((mixed @ offset[:, :, None]), linear, x.flatten(2))  # (n, 3, h * w)
    return flat.view(x.shape).clamp_(0, 1)


def _mixed(dice: Dice) -> Tensor:
    """Matrices (n, 3, 3) that turn the hue and change the saturation, and leave grey as it is."""
    angle = torch.deg2rad(dice.amount("hue"))
    cos, sin, one = torch.cos(angle), torch.sin(angle), torch.ones(dice.n)
    zero = torch.zeros(dice.n)
    turn = torch.stack([one, zero, zero, zero, cos, -sin, zero, sin, cos], 1).view(-1, 3, 3)
    keep = 1 + dice.amount("saturation", 1, 1)
    grey = LUMA.expand(3, 3)
    mixed: Tensor = (keep * torch.eye(3) + (1 - keep) * grey) @ (_FROM_YIQ @ turn @ _TO_YIQ)
    return mixed
