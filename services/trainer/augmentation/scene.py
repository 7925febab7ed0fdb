"""A batch through all kinds of changes, with or without boxes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from services.trainer.augmentation.changes import Changes
from services.trainer.augmentation.cutout import hole_edges, holes, with_holes
from services.trainer.augmentation.dice import Dice
from services.trainer.augmentation.geometry import placement, sampled
from services.trainer.augmentation.light import lit
from services.trainer.augmentation.marks import Marks
from services.trainer.augmentation.mosaic import tiled
from services.trainer.augmentation.sensor import through_camera
from services.trainer.detection.boxes import Truth

__all__ = ["augmented", "augmented_scenes"]


def augmented(x: Tensor, changes: Changes, generator: torch.Generator) -> Tensor:
    """Pictures (n, 3, h, w) in [0, 1] of a classification, each changed on its own: no mosaic, and mixup apart."""
    return _changed(x, None, Dice(len(x), changes, generator))[0]


def augmented_scenes(
    x: Tensor, truths: Sequence[Sequence[Truth]], changes: Changes, generator: torch.Generator
) -> tuple[Tensor, list[list[Truth]]]:
    """Pictures (n, 3, h, w) in [0, 1] of a detection, and the truths that can still be seen in them, as Marks says."""
    x, marks = _changed(x, Marks.of(truths), Dice(len(x), changes, generator))
    assert marks is not None
    return x, marks.truths(len(x), changes.least_visible)


def _changed(x: Tensor, marks: Marks | None, dice: Dice) -> tuple[Tensor, Marks | None]:
    height, width = x.shape[2:]
    if marks is not None and dice.changes.uses("mosaic"):
        x, marks = tiled(x, marks, dice)
    theta = placement(dice, height, width)
    if theta is not None:
        x = sampled(x, theta, dice.changes.sampling)
        marks = marks.moved(theta) if marks is not None else None
    x = through_camera(lit(x, dice), dice)
    rectangles = holes(dice, height, width)
    if rectangles is not None:
        x = with_holes(x, rectangles)
        if marks is not None:
            marks = marks.hidden(hole_edges(rectangles, height, width), dice.changes.least_visible)
    return x, marks
