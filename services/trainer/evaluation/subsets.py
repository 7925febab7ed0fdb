"""Where a model fails: its share of right answers by label, board, brightness, count and size of objects.

Every share has its Wilson interval (Wilson 1927). Of thirty subsets one lies outside a 95 % interval by chance alone;
so the intervals are widened by Bonferroni's rule: 95 % hold for all of them together. A subset is a finding only when
the share of the whole lies above its interval.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from services.trainer.evaluation.answers import Answers, Classified, Detected
from services.trainer.evaluation.matching import Match

__all__ = ["Case", "Group", "Subset", "cases_of_classified", "cases_of_detected", "failing", "groups_of", "wilson"]

Group = tuple[str, str]  # kind and name of a subset
_CONFIDENCE = 0.95
_BANDS = 4
SMALL, MEDIUM = 32**2, 96**2  # square pixels: COCO's areas
_COUNTS = ((1, "1"), (3, "2–3"), (7, "4–7"))


class Case(NamedTuple):
    """A picture or an object: the subset it belongs to in each kind, and whether it was got right."""

    groups: dict[str, str]
    right: bool
    capture_id: str = ""


@dataclass(frozen=True)
class Subset:
    """`share` right, or found, of `count`; `low` to `high` is its interval, `gap` how far below the whole it is."""

    kind: str
    name: str
    count: int
    share: float
    low: float
    high: float
    gap: float
    finding: bool


def wilson(right: int, count: int, z: float = 1.959964) -> tuple[float, float]:
    """Score interval of a share; `z`: how many standard deviations, 1.96 for 95 %. (0, 1) for no case at all."""
    if not count:
        return 0.0, 1.0
    share, square = right / count, z * z
    middle = (share + square / (2 * count)) / (1 + square / count)
    half = z / (1 + square / count) * math.sqrt(share * (1 - share) / count + square / (4 * count * count))
    return max(0.0, middle - half), min(1.0, middle + half)


def failing(cases: Sequence[Case]) -> list[Subset]:
    """Every subset of every kind that divides the cases, the furthest below the whole first."""
    counts: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0, 0])
    for case in cases:
        for group in case.groups.items():
            counts[group][0] += case.right
            counts[group][1] += 1
    kinds = defaultdict(set)
    for kind, name in counts:
        kinds[kind].add(name)
    divided = {group: count for group, count in counts.items() if len(kinds[group[0]]) > 1}
    whole = sum(case.right for case in cases) / max(len(cases), 1)
    z = NormalDist().inv_cdf(1 - (1 - _CONFIDENCE) / 2 / max(len(divided), 1))
    rows = [_subset(kind, name, right, count, whole, z) for (kind, name), (right, count) in divided.items()]
    return sorted(rows, key=lambda row: (-row.finding, -row.gap, row.kind, row.name))


def _subset(kind: str, name: str, right: int, count: int, whole: float, z: float) -> Subset:
    low, high = wilson(right, count, z)
    return Subset(kind, name, count, right / count, low, high, whole - right / count, high < whole)


def cases_of_classified(answers: Answers) -> list[Case]:
    """One a picture."""
    pictures = answers.classified()
    return [
        Case(
            groups | {"label": answers.labels[picture.truth]},
            picture.predicted == picture.truth,
            picture.facts.capture_id,
        )
        for picture, groups in zip(pictures, _of_pictures(pictures), strict=True)
    ]


def cases_of_detected(answers: Answers, matches: Sequence[Sequence[Match]]) -> list[Case]:
    """One an object; found with the wrong label is not found. False boxes belong to no object and are not here."""
    pictures = answers.detected()
    return [
        Case(
            groups
            | {
                "label": answers.labels[one.truth.label],
                "count": _count_name(len(picture.truths)),
                "size": _size_name(picture, one),
            },
            one.kind == "found",
            picture.facts.capture_id,
        )
        for picture, groups, found in zip(pictures, _of_pictures(pictures), matches, strict=True)
        for one in found
        if one.truth is not None
    ]


def groups_of(cases: Sequence[Case]) -> dict[str, frozenset[Group]]:
    """The subsets, (kind, name), of each capture; of a detection those of all its objects."""
    found: dict[str, set[Group]] = defaultdict(set)
    for case in cases:
        found[case.capture_id] |= set(case.groups.items())
    return {capture_id: frozenset(groups) for capture_id, groups in found.items()}


def _of_pictures(pictures: Sequence[Classified | Detected]) -> Iterable[dict[str, str]]:
    names, limits = _bands([picture.facts.brightness for picture in pictures])
    for picture in pictures:
        facts = picture.facts
        band = names[int(np.searchsorted(limits, facts.brightness, side="left"))]
        yield {"board": facts.board_id, "brightness": band, "seen": "yes" if facts.seen else "no"}


def _bands(brightness: Sequence[float]) -> tuple[list[str], list[float]]:
    """Quarters of the pictures from dark to bright: their names, and the upper limits of all but the last."""
    values = np.array(brightness)
    limits = sorted({float(limit) for limit in np.quantile(values, np.arange(1, _BANDS) / _BANDS, method="lower")})
    limits = [limit for limit in limits if limit < values.max()]
    edges = [float(values.min()), *limits, float(values.max())]
    return [f"{low:.2f}–{high:.2f}" for low, high in pairwise(edges)], limits


def _count_name(count: int) -> str:
    return next((name for limit, name in _COUNTS if count <= limit), "8+")


def _size_name(picture: Detected, one: Match) -> str:
    assert one.truth is not None
    left, top, right, bottom = one.truth.box
    area = (right - left) * picture.size[0] * (bottom - top) * picture.size[1]
    return "small" if area < SMALL else "medium" if area < MEDIUM else "large"
