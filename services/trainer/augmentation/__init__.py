"""Random changes of training pictures, one table of kinds for classifiers and detectors, computed on their device.

pictures, boxes ──► mosaic ──► geometry ──► light ──► blur, noise, JPEG, nearest ──► cut-out ──► mixup

Mixup, of classifiers alone, comes last and on its own: it changes the labels too (services.trainer.augmentation.mixup).
Every kind has a probability and a strength (services.trainer.augmentation.changes). What is drawn comes from a
generator on the CPU, so that it is the same wherever the pictures are; noise alone is drawn where they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.trainer.augmentation.changes import KINDS, Changes, Kind

if TYPE_CHECKING:
    from services.trainer.augmentation.scene import augmented, augmented_scenes
else:

    def __getattr__(name: str) -> object:
        """PyTorch is loaded when the first picture is changed, not when the server reads what can be set."""
        if name not in ("augmented", "augmented_scenes"):
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from services.trainer.augmentation import scene

        return getattr(scene, name)


__all__ = ["KINDS", "Changes", "Kind", "augmented", "augmented_scenes"]
