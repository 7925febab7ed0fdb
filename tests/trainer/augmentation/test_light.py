from __future__ import annotations

import colorsys

import torch

from services.trainer.augmentation import Changes, augmented

OFF = {"flip_horizontal": False, "rotate": 0, "shift": 0, "zoom": 0, "brightness": 0, "contrast": 0}


def lit(x: torch.Tensor, **options: float) -> torch.Tensor:
    return augmented(x, Changes(**(OFF | options)), torch.Generator().manual_seed(4))  # type: ignore[arg-type]


def plain(*colour: float) -> torch.Tensor:
    return torch.tensor(colour).view(1, 3, 1, 1).expand(16, 3, 8, 8).contiguous()


def test_grey_has_no_hue_and_no_saturation() -> None:
    grey = plain(0.4, 0.4, 0.4)
    assert torch.allclose(
        lit(grey, hue=180, hue_probability=1, saturation=1, saturation_probability=1), grey, atol=1e-3
    )


def test_hue_turns_the_colour_and_keeps_its_luma() -> None:
    red = plain(0.6, 0.3, 0.3)
    turned = lit(red, hue=60, hue_probability=1)[:, :, 0, 0]
    luma = turned @ torch.tensor([0.299, 0.587, 0.114])
    assert torch.allclose(luma, torch.full((16,), 0.3897), atol=2e-3)
    hues = [colorsys.rgb_to_hsv(*colour)[0] * 360 for colour in turned.tolist()]
    away = [min(hue, 360 - hue) for hue in hues]
    assert max(away) > 25 and max(away) < 90


def test_without_saturation_a_picture_is_grey() -> None:
    spread = lit(plain(0.6, 0.3, 0.3), saturation=1, saturation_probability=1)[:, :, 0, 0]
    spread = spread.amax(1) - spread.amin(1)
    assert spread.min() < 0.1 and spread.max() > 0.4  # from nearly grey to nearly twice as colourful
