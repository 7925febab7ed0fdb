from __future__ import annotations

import torch

from services.trainer.augmentation import augmented
from services.trainer.config import TrainingConfig

STILL = {"rotate": 0, "shift": 0, "zoom": 0, "brightness": 0, "contrast": 0, "flip_horizontal": False}


def picture() -> torch.Tensor:
    return torch.rand((8, 3, 16, 16), generator=torch.Generator().manual_seed(1)) * 0.5 + 0.25


def change(seed: int = 2, **options: float) -> torch.Tensor:
    return augmented(picture(), TrainingConfig(**(STILL | options)), torch.Generator().manual_seed(seed))  # type: ignore[arg-type]


def test_nothing_asked_nothing_changed() -> None:
    assert torch.allclose(change(), picture(), atol=1e-5)


def test_mirrored_left_to_right_or_not_at_all() -> None:
    flipped = change(flip_horizontal=True)
    is_mirror = [torch.allclose(a, b.flip(2), atol=1e-5) for a, b in zip(flipped, picture(), strict=True)]
    is_same = [torch.allclose(a, b, atol=1e-5) for a, b in zip(flipped, picture(), strict=True)]
    assert all(m != s for m, s in zip(is_mirror, is_same, strict=True)) and any(is_mirror)


def test_upside_down_when_asked() -> None:
    flipped = change(flip_vertical=True)
    assert any(torch.allclose(a, b.flip(1), atol=1e-5) for a, b in zip(flipped, picture(), strict=True))


def test_quarter_turns_are_exact_and_all_happen() -> None:
    turned = torch.cat([change(seed, quarter_turns=True) for seed in range(4)])
    found = {
        turns
        for a, b in zip(turned, picture().repeat(4, 1, 1, 1), strict=True)
        for turns in range(4)
        if torch.allclose(a, torch.rot90(b, turns, (1, 2)), atol=1e-4)
    }
    assert found == {0, 1, 2, 3}


def test_a_grey_rectangle_hides_a_part_of_some_pictures() -> None:
    erased = change(erase=0.5)
    hidden = (erased - picture()).abs().amax(1) > 1e-4  # (n, h, w)
    assert 0 < hidden.any(2).any(1).sum() < 8
    for mask, after, before in zip(hidden, erased, picture(), strict=True):
        assert mask.sum() in (0, 64)
        assert torch.allclose(after[:, mask], before.mean().expand(3, int(mask.sum())), atol=1e-4)


def test_brightness_moves_every_pixel_alike() -> None:
    moved = change(brightness=0.2) - picture()
    assert torch.allclose(moved, moved[:, :1, :1, :1].expand_as(moved), atol=1e-5)
    assert 0 < moved.abs().max() <= 0.2 + 1e-5


def test_the_result_stays_in_range() -> None:
    bright = change(brightness=1.0, contrast=1.0, rotate=180, shift=0.5, zoom=0.5)
    assert bright.min() >= 0 and bright.max() <= 1 and torch.isfinite(bright).all()


def test_the_generator_decides() -> None:
    assert torch.equal(change(rotate=20, shift=0.2), change(rotate=20, shift=0.2))


def test_bicubic_sampling_keeps_moved_pictures_sharp() -> None:
    fine = torch.rand((8, 3, 64, 64), generator=torch.Generator().manual_seed(1))

    def kept(sampling: str) -> float:
        changes = TrainingConfig(**(STILL | {"rotate": 10, "sampling": sampling}))  # type: ignore[arg-type]
        moved = augmented(fine, changes, torch.Generator().manual_seed(2))
        assert moved.min() >= 0 and moved.max() <= 1
        return float(moved[:, :, 16:48, 16:48].var() / fine[:, :, 16:48, 16:48].var())

    assert kept("bicubic") > 0.65 > 0.55 > kept("bilinear")  # which leaves 4 / 9 of what changes from pixel to pixel
