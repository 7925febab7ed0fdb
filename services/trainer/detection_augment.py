"""The changes of a detector's training pictures when nobody says otherwise."""

from __future__ import annotations

from services.trainer.augmentation import Changes, augmented_scenes

__all__ = ["DetectionAugment", "augmented_scenes"]


class DetectionAugment(Changes):
    """Objects stand anywhere and at any size, upright."""

    rotate: float = 0.0
    shift: float = 0.15
    zoom: float = 0.35
    brightness: float = 0.2
    contrast: float = 0.25
    colour: float = 0.15
