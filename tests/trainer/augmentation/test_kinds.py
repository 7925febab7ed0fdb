"""Every kind of change on its own: it happens as often as asked, the same from the same generator, and in range."""

from __future__ import annotations

import pytest
import torch

from services.trainer.augmentation import KINDS, Changes, Kind, augmented, augmented_scenes
from services.trainer.detection import Box, Truth

OFF = {kind.name: False for kind in KINDS}
ALONE = [kind for kind in KINDS if kind.name != "mixup"]  # which test_mixup.py has
TRUTHS = [[Truth(0, Box(0.3, 0.3, 0.6, 0.7))]] * 40


def pictures(n: int = 40, height: int = 32, width: int = 48) -> torch.Tensor:
    y, x = torch.meshgrid(torch.linspace(0.2, 0.7, height), torch.linspace(0.3, 0.8, width), indexing="ij")
    noise = torch.rand((n, 3, height, width), generator=torch.Generator().manual_seed(1)) * 0.2
    return torch.stack([y, x, (x + y) / 2])[None] * 0.8 + noise


def change(kind: Kind, probability: float, seed: int = 2) -> tuple[torch.Tensor, list[list[Truth]]]:
    options = Changes(**(OFF | {kind.name: kind.strong, kind.probability: probability}))  # type: ignore[arg-type]
    return augmented_scenes(pictures(), TRUTHS, options, torch.Generator().manual_seed(seed))


def changed(x: torch.Tensor) -> int:
    return int(((x - pictures()).abs().amax((1, 2, 3)) > 1e-4).sum())


@pytest.mark.parametrize("kind", ALONE, ids=lambda kind: kind.name)
def test_a_kind_happens_as_often_as_its_probability_says(kind: Kind) -> None:
    assert changed(change(kind, 0)[0]) == 0
    assert 8 <= changed(change(kind, 0.5)[0]) <= 32  # of 40; 10 in a million chances outside
    assert changed(change(kind, 1)[0]) >= 24  # a quarter turn by 0 degrees is one too


@pytest.mark.parametrize("kind", ALONE, ids=lambda kind: kind.name)
def test_a_kind_depends_on_the_generator_alone_and_stays_in_range(kind: Kind) -> None:
    (first, boxes), (again, same), (other, _) = change(kind, 0.5), change(kind, 0.5), change(kind, 0.5, seed=3)
    assert torch.equal(first, again) and boxes == same and not torch.equal(first, other)
    assert first.shape == pictures().shape and first.min() >= 0 and first.max() <= 1 and torch.isfinite(first).all()


@pytest.mark.parametrize("kind", [k for k in ALONE if k.name != "mosaic"], ids=lambda kind: kind.name)
def test_a_classifier_sees_the_very_same_change(kind: Kind) -> None:
    options = Changes(**(OFF | {kind.name: kind.strong}))  # type: ignore[arg-type]
    generators = [torch.Generator().manual_seed(5) for _ in range(2)]
    scene, _ = augmented_scenes(pictures(), TRUTHS, options, generators[0])
    assert torch.equal(augmented(pictures(), options, generators[1]), scene)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA card")
@pytest.mark.parametrize("kind", [k for k in ALONE if k.name != "noise"], ids=lambda kind: kind.name)
def test_a_card_gives_what_the_processor_gives(kind: Kind) -> None:
    options = Changes(**(OFF | {kind.name: kind.strong}))  # type: ignore[arg-type]
    generators = [torch.Generator().manual_seed(5) for _ in range(2)]
    here = augmented(pictures(), options, generators[0])
    there = augmented(pictures().cuda(), options, generators[1]).cpu()
    assert ((here - there).abs() > 0.02).float().mean() < 0.01  # rounding of coordinates at an edge, of JPEG steps
