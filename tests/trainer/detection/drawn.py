"""Tiny scenes for fast tests: bright discs and bars drawn on dim noise, with exact boxes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from services.trainer.detection import Box, Truth

LABELS = ("disc", "bar")


def drawn_scenes(count: int, size: int = 64, seed: int = 0) -> tuple[npt.NDArray[np.uint8], list[list[Truth]]]:
    """Images uint8 (count, 3, size, size), one or two objects in each that do not touch, and their truths."""
    rng = np.random.default_rng([seed, size])
    images = rng.integers(0, 80, (count, 3, size, size), np.uint8)
    return images, [_objects(image, rng) for image in images]


def _objects(image: npt.NDArray[np.uint8], rng: np.random.Generator) -> list[Truth]:
    size = image.shape[-1]
    rows, columns = np.mgrid[:size, :size]
    truths = []
    for half in range(rng.integers(1, 3)):  # the left half, then the right one
        label = int(rng.integers(2))
        w, h = (int(side) for side in rng.integers(size * 5 // 16, size // 2 - 2, 2))
        if label == 0:
            w = h = min(w, h)
        else:
            h = max(4, h // 3)
        left = half * size // 2 + int(rng.integers(0, size // 2 - w + 1))
        top = int(rng.integers(0, size - h + 1))
        x, y = (columns - left + 0.5) / w, (rows - top + 0.5) / h
        inside = (x - 0.5) ** 2 + (y - 0.5) ** 2 < 0.25 if label == 0 else (x > 0) & (x < 1) & (y > 0) & (y < 1)
        image[:, inside] = rng.integers(150, 256, (3, 1))
        truths.append(Truth(label, Box(left / size, top / size, (left + w) / size, (top + h) / size)))
    return truths
