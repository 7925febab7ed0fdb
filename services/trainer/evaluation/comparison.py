"""Two evaluations picture by picture: which pictures the second mends, which it breaks, and whether that is chance."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import comb

from services.trainer.evaluation.outcomes import Outcome

__all__ = ["Comparison", "compare", "sign_test"]


@dataclass(frozen=True)
class Comparison:
    """Over the `common` pictures. `chance`: of a difference so large or larger if both were equally good."""

    common: int
    first_right: int
    second_right: int
    mended: tuple[str, ...]
    broken: tuple[str, ...]
    chance: float


def compare(first: Iterable[Outcome], second: Iterable[Outcome]) -> Comparison:
    """Captures in the order of `second`."""
    before = {one.facts.capture_id: one.right for one in first}
    pairs = [(o.facts.capture_id, before[o.facts.capture_id], o.right) for o in second if o.facts.capture_id in before]
    mended = tuple(capture for capture, one, other in pairs if other and not one)
    broken = tuple(capture for capture, one, other in pairs if one and not other)
    rights = sum(one for _, one, _ in pairs), sum(other for _, _, other in pairs)
    return Comparison(len(pairs), *rights, mended, broken, sign_test(len(mended), len(broken)))


def sign_test(one: int, other: int) -> float:
    """Two-sided exact binomial test (McNemar's, exact): chance of a split of one + other at least so uneven."""
    count, rare = one + other, min(one, other)
    tail = sum(comb(count, k) for k in range(rare + 1))
    return min(1.0, float(2 * tail / 2**count))
