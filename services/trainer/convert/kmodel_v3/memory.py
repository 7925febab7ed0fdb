"""Places the feature maps in the KPU's 32,768 rows.

A chain alternates between both ends:       | map 0, 2, 4 ... |            | image, map 1, 3 ... |
With additions maps live longer, and the two operands of an addition must lie side by side: the KPU then reads them
as one map with the channels of both, and a 1x1 convolution over it is the sum.

    | x      | h      |  other maps that live at the same time ...
    `---- x + h ------'
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from services.trainer.convert.common import unsupported
from services.trainer.convert.kmodel_v3.registers import KPU_ROWS, ConvShape, rows
from services.trainer.convert.kmodel_v3.stages import IMAGE_MAP, Stage, readers

__all__ = ["peak_rows", "place_maps"]

ATTEMPTS = 300  # orders of placing that are tried before a network is refused


@dataclass(frozen=True)
class _Map:
    """`rows` of KPU RAM, in use from stage `first` (which writes them) to stage `last`."""

    index: int
    rows: int
    first: int
    last: int

    def meets(self, other: _Map) -> bool:
        return self.first <= other.last and other.first <= self.last


def place_maps(stages: tuple[Stage, ...], shapes: tuple[ConvShape, ...]) -> dict[int, int]:
    """First row of every map (IMAGE_MAP: the image). Raises UnsupportedModel, naming the fullest layer, if they do not
    fit at the same time."""
    maps = _maps(stages, shapes)
    if all(stage.sources == (i - 1,) for i, stage in enumerate(stages)):
        return {i: 0 if i % 2 == 0 else KPU_ROWS - a_map.rows for i, a_map in maps.items()}
    _check_sum(stages, maps)
    groups = _groups(stages, maps)
    for order in _orders(groups):
        places = _place(order)
        if places is not None:
            return places
    fullest, used = _fullest(stages, maps)
    raise unsupported(
        stages[fullest].name,
        f"the maps alive here take {used} of the {KPU_ROWS} rows of KPU RAM, and no order of placing them was found "
        "in which the operands of each addition lie side by side",
        "Use a smaller input or fewer channels in the first layers.",
        "KPU_RAM",
    )


def peak_rows(stages: tuple[Stage, ...], shapes: tuple[ConvShape, ...]) -> int:
    """Rows in use by all maps alive at the fullest stage."""
    return _fullest(stages, _maps(stages, shapes))[1]


def _maps(stages: tuple[Stage, ...], shapes: tuple[ConvShape, ...]) -> dict[int, _Map]:
    first = shapes[0]
    used = {IMAGE_MAP: rows(first.in_channels, first.height, first.width)}
    for i, shape in enumerate(shapes):
        used[i] = rows(shape.out_channels, shape.out_height, shape.out_width)
    last = {i: max([i, *by]) for i, by in readers(stages).items()}
    return {i: _Map(i, used[i], i, last[i]) for i in used}


def _fullest(stages: tuple[Stage, ...], maps: dict[int, _Map]) -> tuple[int, int]:
    sums = [sum(m.rows for m in maps.values() if m.first <= i <= m.last) for i in range(len(stages))]
    return sums.index(max(sums)), max(sums)


def _check_sum(stages: tuple[Stage, ...], maps: dict[int, _Map]) -> None:
    fullest, used = _fullest(stages, maps)
    if used > KPU_ROWS:
        raise unsupported(
            stages[fullest].name,
            f"its maps and those that wait for an addition take {used} of the {KPU_ROWS} rows of KPU RAM",
            "Use a smaller input or fewer channels in the first layers.",
            "KPU_RAM",
        )


def _groups(stages: tuple[Stage, ...], maps: dict[int, _Map]) -> list[list[_Map]]:
    """Maps that must lie side by side, then all others alone."""
    pairs = {stage.sources for stage in stages if stage.joins}
    paired = {index for pair in pairs for index in pair}
    alone = [[m] for i, m in maps.items() if i not in paired]
    return [[maps[a], maps[b]] for a, b in sorted(pairs)] + alone


def _orders(groups: list[list[_Map]]) -> list[list[list[_Map]]]:
    """Large ones first is nearly always right; some other orders for the rest."""
    by_size = sorted(groups, key=lambda group: -sum(m.rows for m in group))
    orders = [by_size, sorted(groups, key=lambda group: min(m.first for m in group))]
    shuffle = random.Random(0).shuffle
    for _ in range(ATTEMPTS):
        order = by_size.copy()
        shuffle(order)
        orders.append(order)
    return orders


def _place(groups: list[list[_Map]]) -> dict[int, int] | None:
    """Each group at the lowest rows that nothing alive at the same time uses."""
    placed: list[tuple[_Map, int]] = []
    for group in groups:
        offsets = [sum(m.rows for m in group[:i]) for i in range(len(group))]
        size = sum(m.rows for m in group)
        starts = {0, *(row + other.rows - offset for other, row in placed for offset in offsets)}
        for start in sorted(starts):
            if start >= 0 and start + size <= KPU_ROWS and _free(group, offsets, start, placed):
                placed += [(m, start + offset) for m, offset in zip(group, offsets, strict=True)]
                break
        else:
            return None
    return {m.index: row for m, row in placed}


def _free(group: list[_Map], offsets: list[int], start: int, placed: list[tuple[_Map, int]]) -> bool:
    return all(
        not m.meets(other) or start + offset + m.rows <= row or row + other.rows <= start + offset
        for m, offset in zip(group, offsets, strict=True)
        for other, row in placed
    )
