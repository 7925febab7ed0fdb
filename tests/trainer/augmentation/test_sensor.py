from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

from services.trainer.augmentation.sensor import blurred, jpeg_coded, noisy, thinned


def scene(height: int = 96, width: int = 128) -> np.ndarray:
    """A picture with edges, slopes and colours, uint8 (h, w, 3)."""
    y, x = np.mgrid[0:height, 0:width]
    rings = np.sin(np.hypot(x - 50, y - 40) / 3) * 60
    planes = [120 + rings, x * 1.5 + 20, 200 - y + 30 * (x > 60)]
    return np.stack(planes, 2).clip(0, 255).astype(np.uint8)


def tensor(picture: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(picture.transpose(2, 0, 1).copy()).float()[None] / 255


def by_pillow(quality: int) -> np.ndarray:
    out = io.BytesIO()
    Image.fromarray(scene()).save(out, "JPEG", quality=quality, subsampling="4:2:0")
    return np.asarray(Image.open(out))


@pytest.mark.parametrize("quality", [10, 40, 90])
def test_jpeg_artefacts_are_those_of_libjpeg(quality: int) -> None:
    ours = jpeg_coded(tensor(scene()), torch.tensor([float(quality)]))
    apart = (ours - tensor(by_pillow(quality))).abs().mean() * 255
    lost = (tensor(scene()) - tensor(by_pillow(quality))).abs().mean() * 255
    assert apart < 1.5 and apart < lost / 2


def test_jpeg_takes_any_size() -> None:
    assert jpeg_coded(tensor(scene(50, 37)), torch.tensor([50.0])).shape == (1, 3, 50, 37)


def test_blur_is_gaussian() -> None:
    ours = blurred(tensor(scene()), torch.tensor([2.0]), 3)[:, :, 12:-12, 12:-12]
    pillow = tensor(np.asarray(Image.fromarray(scene()).filter(ImageFilter.GaussianBlur(2))))[:, :, 12:-12, 12:-12]
    assert (ours - pillow).abs().mean() * 255 < 1.5


def test_noise_has_the_asked_deviation() -> None:
    grey = torch.full((1, 3, 64, 64), 0.5)
    drawn = noisy(grey, torch.tensor([0.1]), torch.Generator().manual_seed(0)) - grey
    assert drawn.std().item() == pytest.approx(0.1, abs=0.003) and abs(drawn.mean().item()) < 0.003


def test_thinned_pictures_have_only_pixels_of_the_picture_and_fewer_rows() -> None:
    rows = torch.arange(60).float().view(1, 1, 60, 1).expand(1, 3, 60, 60)
    kept = thinned(rows, torch.tensor([0.5]))[0, 0, :, 0]
    assert len(kept.unique()) == 30 and set(kept.tolist()) < set(range(60))
    assert (kept - torch.arange(60)).abs().max() <= 1
