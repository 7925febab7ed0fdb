"""Problems of the pictures themselves: unreadable, too small, stretched, and the same ones in both splits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from services.trainer.preflight.look import SMALL, Seen
from services.trainer.preflight.problems import Problem, error, note, warning

__all__ = ["picture_problems", "twins"]

TINY_SIDE = 32  # pixels: the features of a network are 32 times smaller than its input
HUGE_PIXELS = 4_000_000  # decoding one takes longer than training on it
SMALLER = 0.5  # of the input's side: more than doubled, a picture has nothing new to show
STRETCH = 1.5  # between the aspect ratios of picture and input
Pair = tuple[Seen, Seen]
MANY = 0.1  # share of the pictures from which on the whole is worth a word
NEAR = 2.0  # mean difference of the grey copies, of 255: JPEG at another quality stays below 1


def picture_problems(seen: Sequence[Seen], width: int, height: int, skip_unreadable: bool = False) -> list[Problem]:
    """`width` x `height`: the network's input, pixels. `skip_unreadable`: the training leaves such pictures out."""
    problems: list[Problem] = []
    broken = [one for one in seen if one.error]
    if broken:
        code, word = ("left_out", warning) if skip_unreadable and len(broken) < len(seen) else ("unreadable", error)
        problems.append(word(code, _ids(broken), count=len(broken), first=broken[0].error))
    whole = [one for one in seen if not one.error]
    for code, word, wrong in _kinds(width, height):
        found = [one for one in whole if wrong(one)]
        if found and (code in ("tiny", "huge") or len(found) > MANY * len(whole)):
            share = f"{len(found) / len(whole):.0%}"
            problems.append(word(code, _ids(found), count=len(found), share=share, input=f"{width}x{height}"))
    return [*problems, *_twin_problems(whole)]


def _kinds(width: int, height: int) -> list[tuple[str, Callable[..., Problem], Callable[[Seen], bool]]]:
    def stretched(one: Seen) -> bool:
        ratio = (one.width / one.height) / (width / height)
        return max(ratio, 1 / ratio) > STRETCH

    return [
        ("tiny", warning, lambda one: min(one.width, one.height) < TINY_SIDE),
        ("huge", note, lambda one: one.width * one.height > HUGE_PIXELS),
        ("smaller", warning, lambda one: one.width < SMALLER * width or one.height < SMALLER * height),
        ("stretched", note, stretched),
    ]


def _twin_problems(whole: Sequence[Seen]) -> Iterator[Problem]:
    conflicts: list[Pair] = []
    leaks: list[Pair] = []
    near: list[Pair] = []
    for a, b, equal in twins(whole):
        if equal and a.label != b.label:
            conflicts.append((a, b))
        if a.split != b.split:
            (leaks if equal else near).append((a, b))
    validation = sum(one.split == "validation" for one in whole)
    if conflicts:
        yield warning("conflict", _both(conflicts), count=len(conflicts))
    for code, pairs in (("leak", leaks), ("near_leak", near)):
        leaked = {one.id for pair in pairs for one in pair if one.split == "validation"}
        if leaked:
            yield warning(code, _both(pairs), count=len(leaked), share=f"{len(leaked) / max(validation, 1):.0%}")


def twins(seen: Sequence[Seen]) -> Iterator[tuple[Seen, Seen, bool]]:
    """Pairs of equal pixels, and pairs that are nearly equal: (one, other, equal). Each picture with the first alike.

    Near ones have the same sixteen cells lighter or darker than their mean, and grey copies that hardly differ.
    """
    firsts: dict[bytes, Seen] = {}
    alike: dict[bytes, list[Seen]] = defaultdict(list)
    for one in seen:
        assert one.small is not None
        if one.pixels in firsts:
            yield firsts[one.pixels], one, True
            continue
        firsts[one.pixels] = one
        bucket = alike[_coarse(one.small)]
        other = next((other for other in bucket if _difference(one, other) < NEAR), None)
        if other is not None:
            yield other, one, False
        bucket.append(one)


def _coarse(small: np.ndarray) -> bytes:
    """Sixteen bits: which fields of a 4x4 grid are lighter than the mean."""
    fields = small.reshape(4, SMALL // 4, 4, SMALL // 4).mean((1, 3))
    return np.packbits(fields > fields.mean()).tobytes()


def _difference(one: Seen, other: Seen) -> float:
    assert one.small is not None and other.small is not None
    return float(np.abs(one.small.astype(np.int16) - other.small).mean())


def _ids(seen: Sequence[Seen]) -> tuple[str, ...]:
    return tuple(one.id for one in seen)


def _both(pairs: Sequence[tuple[Seen, Seen]]) -> tuple[str, ...]:
    return tuple(one.id for pair in pairs for one in pair)
