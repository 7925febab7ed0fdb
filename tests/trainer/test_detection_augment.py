from __future__ import annotations

import numpy as np
import torch

from services.trainer.detection import Box, Truth
from services.trainer.detection_augment import DetectionAugment, augmented_scenes
from tests.trainer.detection.drawn import drawn_scenes

NOTHING = DetectionAugment(False, 0, 0, 0, 0, 0)


def changed(options: DetectionAugment, seed: int = 0) -> tuple[torch.Tensor, list[list[Truth]], list[list[Truth]]]:
    images, truths = drawn_scenes(32)
    x = torch.from_numpy(images).float() / 255
    return *augmented_scenes(x, truths, options, torch.Generator().manual_seed(seed)), truths


def bright(picture: torch.Tensor, box: Box) -> float:
    """The mean brightness in the middle of a box."""
    size = picture.shape[-1]
    x, y = int((box.left + box.right) / 2 * size), int((box.top + box.bottom) / 2 * size)
    return float(picture[:, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].mean())


def test_boxes_follow_their_objects() -> None:
    pictures, moved, truths = changed(DetectionAugment(brightness=0, contrast=0, colour=0))
    inside = [bright(picture, truth.box) for picture, items in zip(pictures, moved, strict=True) for truth in items]
    assert len(inside) > 25 and min(inside) > 0.45  # the noise ends at 0.31
    assert all(np.abs(np.subtract(a.box, b.box)).max() > 0.01 for m, t in zip(moved, truths, strict=True)
               for a, b in zip(m, t, strict=False))  # fmt: skip
    assert all(0 <= edge <= 1 for items in moved for truth in items for edge in truth.box)


def test_without_changes_nothing_changes() -> None:
    pictures, moved, truths = changed(NOTHING)
    assert torch.allclose(pictures * 255, torch.from_numpy(drawn_scenes(32)[0]).float(), atol=0.01)
    assert np.allclose([t.box for items in moved for t in items], [t.box for items in truths for t in items])


def test_objects_that_left_the_picture_are_no_truths() -> None:
    _, moved, truths = changed(DetectionAugment(shift=0.9))
    left = sum(map(len, moved))
    assert 0 < left < sum(map(len, truths))


def test_the_same_generator_gives_the_same_batch() -> None:
    first, again, other = (changed(DetectionAugment(), seed) for seed in (1, 1, 2))
    assert torch.equal(first[0], again[0]) and first[1] == again[1]
    assert not torch.equal(first[0], other[0])
