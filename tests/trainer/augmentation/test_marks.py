from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from services.trainer.augmentation import Changes, augmented_scenes
from services.trainer.config import DETECTION_DEFAULTS, TrainingConfig
from services.trainer.detection import Box, Truth
from tests.trainer.detection.drawn import drawn_scenes

NOTHING: dict[str, Any] = {
    "flip_horizontal": False, "shift": 0, "zoom": 0, "brightness": 0, "contrast": 0, "colour": 0,
}  # fmt: skip


def changes(**chosen: Any) -> Changes:
    """What a detection's training does to its pictures, but for `chosen`."""
    return TrainingConfig.model_validate({**DETECTION_DEFAULTS, **chosen})


def changed(options: Changes, seed: int = 0) -> tuple[torch.Tensor, list[list[Truth]], list[list[Truth]]]:
    images, truths = drawn_scenes(32)
    x = torch.from_numpy(images).float() / 255
    return *augmented_scenes(x, truths, options, torch.Generator().manual_seed(seed)), truths


def bright(picture: torch.Tensor, box: Box) -> float:
    """The mean brightness in the middle of a box."""
    size = picture.shape[-1]
    x, y = int((box.left + box.right) / 2 * size), int((box.top + box.bottom) / 2 * size)
    return float(picture[:, max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2].mean())


def test_boxes_follow_their_objects() -> None:
    pictures, moved, truths = changed(changes(brightness=0, contrast=0, colour=0))
    inside = [bright(picture, truth.box) for picture, items in zip(pictures, moved, strict=True) for truth in items]
    assert len(inside) > 25 and min(inside) > 0.45  # the noise ends at 0.31
    assert all(np.abs(np.subtract(a.box, b.box)).max() > 0.01 for m, t in zip(moved, truths, strict=True)
               for a, b in zip(m, t, strict=False))  # fmt: skip
    assert all(0 <= edge <= 1 for items in moved for truth in items for edge in truth.box)


def test_without_changes_nothing_changes() -> None:
    pictures, moved, truths = changed(changes(**NOTHING))
    assert torch.allclose(pictures * 255, torch.from_numpy(drawn_scenes(32)[0]).float(), atol=0.01)
    assert np.allclose([t.box for items in moved for t in items], [t.box for items in truths for t in items])


def test_objects_that_left_the_picture_are_no_truths() -> None:
    _, moved, truths = changed(changes(shift=0.5))
    left = sum(map(len, moved))
    assert 0 < left < sum(map(len, truths))


def test_the_same_generator_gives_the_same_batch() -> None:
    first, again, other = (changed(changes(), seed) for seed in (1, 1, 2))
    assert torch.equal(first[0], again[0]) and first[1] == again[1]
    assert not torch.equal(first[0], other[0])


ON = {"flip_vertical": True, "quarter_turns": True, "rotate": 20, "crop": 0.4, "mosaic": True, "mosaic_probability": 1}


@pytest.mark.parametrize("kind", ON)
def test_boxes_follow_every_geometric_change(kind: str) -> None:
    options = changes(**{"brightness": 0, "contrast": 0, "colour": 0, "shift": 0, "zoom": 0, kind: ON[kind]})
    pictures, moved, _ = changed(options)
    inside = [bright(picture, truth.box) for picture, items in zip(pictures, moved, strict=True) for truth in items]
    assert len(inside) > 20 and np.mean(np.array(inside) > 0.45) > 0.95  # a cut object's middle may be its rim


def one_box(options: Changes, box: Box, size: int = 64, seed: int = 0) -> list[list[Truth]]:
    x = torch.rand(64, 3, size, size, generator=torch.Generator().manual_seed(1))
    return augmented_scenes(x, [[Truth(0, box)]] * 64, options, torch.Generator().manual_seed(seed))[1]


def test_a_box_of_which_too_little_is_left_goes() -> None:
    still = {"flip_horizontal": False, "zoom": 0, "shift": 0.3, "brightness": 0, "contrast": 0, "colour": 0}
    box = Box(0.0, 0.4, 0.2, 0.6)
    for least in (0.3, 0.9):
        boxes = [truth.box for items in one_box(changes(**still, least_visible=least), box) for truth in items]
        areas = [(b.right - b.left) * (b.bottom - b.top) / 0.04 for b in boxes]
        assert 5 < len(boxes) < 64 and least - 1e-6 <= min(areas) < least + 0.1


def test_a_box_that_the_cut_out_hides_goes_and_others_stay_whole() -> None:
    options = changes(**NOTHING | {"erase": 0.5, "erase_probability": 1.0, "least_visible": 0.5})
    box = Box(0.4, 0.4, 0.6, 0.6)
    left = one_box(options, box)
    assert 5 < sum(map(len, left)) < 50
    assert all(np.allclose(items[0].box, box) for items in left if items)


def test_a_quarter_turn_of_a_wide_picture_keeps_all_of_it() -> None:
    options = changes(**NOTHING | {"quarter_turns": True})
    x = torch.rand(16, 3, 32, 64)
    _, moved = augmented_scenes(x, [[Truth(0, Box(0, 0, 1, 0.25))]] * 16, options, torch.Generator().manual_seed(0))
    found = {tuple(round(float(edge), 3) for edge in items[0].box) for items in moved}
    assert found == {(0, 0, 1, 0.25), (0.75, 0, 1, 1), (0, 0.75, 1, 1), (0, 0, 0.25, 1)}


def test_a_mosaic_has_boxes_of_several_pictures() -> None:
    options = changes(**NOTHING | {"mosaic": True, "mosaic_probability": 1.0})
    images, truths = drawn_scenes(32)
    labelled = [[Truth(index, truth.box) for truth in items] for index, items in enumerate(truths)]
    _, moved = augmented_scenes(
        torch.from_numpy(images).float() / 255, labelled, options, torch.Generator().manual_seed(0)
    )
    assert max(len({truth.label for truth in items}) for items in moved) >= 3
