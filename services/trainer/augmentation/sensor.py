"""What a small camera does to a picture: blur, noise, JPEG artefacts, and a resize that drops rows and columns."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from services.trainer.augmentation.dice import Dice

__all__ = ["blurred", "jpeg_coded", "noisy", "thinned", "through_camera"]

_BLOCK = 8
# ITU-T T.81 tables K.1 and K.2
_LUMA = torch.tensor([
    16, 11, 10, 16, 24, 40, 51, 61, 12, 12, 14, 19, 26, 58, 60, 55, 14, 13, 16, 24, 40, 57, 69, 56, 14, 17, 22, 29,
    51, 87, 80, 62, 18, 22, 37, 56, 68, 109, 103, 77, 24, 35, 55, 64, 81, 104, 113, 92, 49, 64, 78, 87, 103, 121, 120,
    101, 72, 92, 95, 98, 112, 100, 103, 99,
]).float().view(8, 8)  # fmt: skip
_CHROMA = torch.full((8, 8), 99.0)
_CHROMA[:4, :4] = torch.tensor([[17, 18, 24, 47], [18, 21, 26, 66], [24, 26, 56, 99], [47, 66, 99, 99]]).float()
_TO_YCC = torch.tensor([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])  # JFIF
_FROM_YCC = torch.linalg.inv(_TO_YCC)
_DCT = torch.tensor([
    [math.sqrt((1 if u == 0 else 2) / _BLOCK) * math.cos((2 * i + 1) * u * math.pi / 16) for i in range(_BLOCK)]
    for u in range(_BLOCK)
])  # fmt: skip


def through_camera(x: Tensor, dice: Dice) -> Tensor:
    """Pictures (n, 3, h, w) in [0, 1], those that are drawn each changed on its own."""
    changes = dice.changes
    if changes.uses("blur"):
        x = _some(x, *dice.strength("blur"), lambda some, sigma: blurred(some, sigma, changes.blur))
    if changes.uses("noise"):
        index, deviation = dice.strength("noise")
        generator = torch.Generator(x.device).manual_seed(dice.seed())
        x = _some(x, index, deviation, lambda some, deviation: noisy(some, deviation, generator))
    if changes.uses("jpeg"):
        x = _some(x, *dice.strength("jpeg"), lambda some, lost: jpeg_coded(some, 100 * (1 - lost)))
    if changes.uses("nearest"):
        x = _some(x, *dice.strength("nearest"), thinned)
    return x


def _some(x: Tensor, index: Tensor, amount: Tensor, change: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """`change` of the pictures `index` alone, each with its amount."""
    if not len(index):
        return x
    index, amount = index.to(x.device), amount.to(x.device)
    return x.index_copy(0, index, change(x[index], amount))


def blurred(x: Tensor, sigma: Tensor, limit: float) -> Tensor:
    """Gaussian blur with sigma (n,) in pixels, each at most `limit`."""
    n, channels, height, width = x.shape
    reach = min(math.ceil(2.5 * limit), height - 1, width - 1)
    steps = torch.arange(-reach, reach + 1, device=x.device)
    kernel = torch.exp(-(steps**2) / (2 * sigma.clamp(min=0.05)[:, None] ** 2))  # (n, 2 * reach + 1)
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(channels, 0)
    flat = F.pad(x, (reach, reach, reach, reach), mode="reflect").flatten(0, 1)[None]  # (1, n * 3, h, w)
    flat = F.conv2d(flat, kernel[:, None, None, :], groups=n * channels)
    return F.conv2d(flat, kernel[:, None, :, None], groups=n * channels).view_as(x)


def noisy(x: Tensor, deviation: Tensor, generator: torch.Generator) -> Tensor:
    """Gaussian noise of the standard deviation (n,) on every value; `generator` is of the pictures' device."""
    drawn = torch.randn(x.shape, generator=generator, device=x.device)
    return torch.addcmul(x, drawn, deviation.view(-1, 1, 1, 1)).clamp_(0, 1)


def jpeg_coded(x: Tensor, quality: Tensor) -> Tensor:
    """As JPEG with the quality (n,), 1 to 100, and 4:2:0 colours shows them, by libjpeg's scaling of the tables."""
    height, width = x.shape[2:]
    padded = F.pad(x, (0, -width % (2 * _BLOCK), 0, -height % (2 * _BLOCK)), mode="replicate")
    quality = quality.round().clamp(1, 100)
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality).view(-1, 1, 1, 1, 1, 1)
    levels = torch.einsum("cd,ndhw->nchw", _TO_YCC.to(x.device), padded * 255)
    luma = _quantised(levels[:, :1] - 128, _LUMA, scale) + 128
    chroma = _quantised(F.avg_pool2d(levels[:, 1:], 2), _CHROMA, scale)
    chroma = F.interpolate(chroma, scale_factor=2, mode="bilinear", align_corners=False)
    colours = torch.einsum("cd,ndhw->nchw", _FROM_YCC.to(x.device), torch.cat([luma, chroma], 1))
    return (colours[:, :, :height, :width].round() / 255).clamp_(0, 1)


def _quantised(planes: Tensor, table: Tensor, scale: Tensor) -> Tensor:
    """Planes (n, c, h, w) after the DCT of 8x8 blocks, rounding to the table's steps, and back."""
    n, c, h, w = planes.shape
    dct = _DCT.to(planes.device)
    steps = ((table.to(planes.device) * scale + 50) / 100).floor().clamp(1, 255)  # (n, 1, 1, 1, 8, 8)
    blocks = planes.view(n, c, h // _BLOCK, _BLOCK, w // _BLOCK, _BLOCK).transpose(3, 4)  # (n, c, h/8, w/8, 8, 8)
    coded = ((dct @ blocks @ dct.T) / steps).round() * steps
    return (dct.T @ coded @ dct).transpose(3, 4).reshape(n, c, h, w)


def thinned(x: Tensor, dropped: Tensor) -> Tensor:
    """As a nearest-neighbour resize shows them that drops the share (n,) of rows and columns, at the old size again."""
    rows, columns = (_kept(size, dropped) for size in x.shape[2:])
    x = x.gather(2, rows[:, None, :, None].expand_as(x))
    return x.gather(3, columns[:, None, None, :].expand_as(x))


def _kept(size: int, dropped: Tensor) -> Tensor:
    """The row (or column) that stands at each place, (n, size): down to fewer by nearest neighbour, and up again."""
    few = (size * (1 - dropped)).round().clamp(min=1)[:, None]
    place = torch.arange(size, device=dropped.device)
    small = ((place + 0.5) * few / size).floor()
    return ((small + 0.5) * size / few).floor().clamp(max=size - 1).long()
