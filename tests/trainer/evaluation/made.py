"""Answers of made-up models."""

from __future__ import annotations

import numpy as np

from services.trainer.detection import Box, Detection, Truth
from services.trainer.evaluation.answers import Answers, Classified, Detected, Facts

__all__ = ["boxes", "classified", "random_scenes", "scene"]


def classified(*rows: tuple[int, tuple[float, ...]], labels: tuple[str, ...] = ("cat", "dog")) -> Answers:
    """(true label, scores) of each picture."""
    pictures = tuple(Classified(Facts(f"c{i}"), truth, scores) for i, (truth, scores) in enumerate(rows))
    return Answers("classification", labels, len(rows[0][1]), pictures)


def boxes(*pictures: Detected, labels: tuple[str, ...] = ("cat", "dog"), known: int = 2) -> Answers:
    return Answers("detection", labels, known, pictures)


def scene(name: str, truths: dict[float, int], *found: tuple[int, float, float]) -> Detected:
    """Objects a tenth wide: {left edge: label}; found (label, confidence, left edge)."""

    def at(left: float) -> Box:
        return Box(left, 0.2, left + 0.1, 0.5)

    return Detected(
        Facts(name),
        (320, 240),
        tuple(Truth(label, at(left)) for left, label in truths.items()),
        tuple(Detection(label, confidence, at(left)) for label, confidence, left in found),
    )


def random_scenes(count: int, labels: int, seed: int = 0) -> Answers:
    """Objects anywhere, most of them found somewhere near, and boxes of nothing."""
    random = np.random.default_rng(seed)

    def box() -> Box:
        left, top = random.uniform(0, 0.7, 2)
        return Box(left, top, left + random.uniform(0.05, 0.3), top + random.uniform(0.05, 0.3))

    def near(one: Box) -> Box:
        return Box(*(float(side) for side in np.array(one) + random.normal(0, 0.02, 4)))

    pictures = []
    for index in range(count):
        truths = tuple(Truth(int(random.integers(labels)), box()) for _ in range(random.integers(0, 6)))
        found = [Detection(t.label, float(random.beta(4, 2)), near(t.box)) for t in truths if random.random() < 0.85]
        found += [Detection(int(random.integers(labels)), float(random.beta(2, 4)), box()) for _ in range(3)]
        found.sort(key=lambda one: -one.confidence)
        pictures.append(Detected(Facts(f"s{index}"), (320, 240), truths, tuple(found)))
    return Answers("detection", tuple("abcdefgh"[:labels]), labels, tuple(pictures))
