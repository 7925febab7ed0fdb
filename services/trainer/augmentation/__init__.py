"""Random changes of training pictures, one table of kinds for classifiers and detectors, computed on their device.

pictures, boxes ──► mosaic ──► geometry ──► light ──► blur, noise, JPEG, nearest ──► cut-out ──► pictures, boxes

Every kind has a probability and a strength (services.trainer.augmentation.changes). What is drawn comes from a
generator on the CPU, so that it is the same wherever the pictures are; noise alone is drawn where they are.
"""

from __future__ import annotations

from services.trainer.augmentation.changes import KINDS, Changes, Kind
from services.trainer.augmentation.scene import augmented, augmented_scenes

__all__ = ["KINDS", "Changes", "Kind", "augmented", "augmented_scenes"]
