"""Writes the first maps of a network more than once, each copy a fraction of a step apart, for more than 8 bits.

The first maps often feed a depthwise layer that takes differences of neighbouring pixels and multiplies them: there
rounding is the largest error of the whole network (MobileNetV1: the stem's map more than all other maps together). With
k copies, copy j written (j + 1/2)/k - 1/2 steps higher, the 1x1 behind the depthwise layer reads the sum of all, which
has k times as many levels; the roundings of the copies' weights make up for each other too (channel splitting: Zhao et
al., 2019, OCS). The cost is k times the channels of layers that have few.

The last blocks have many weights, whose rounding is the largest error of what is left. Two copies of every second one
of them, from the end, halve the error of both its 1x1 layers; they take as much of the file again, so only as many are
copied as make it a third larger, and none where the file would no longer fit a firmware that it fits without. A file of
up to 1 MiB stays as it is: full firmware has room for little more, and boards fetch it block by block.

    dense (c) -> depthwise (c) -> 1x1      becomes      dense (k*c) -> depthwise (k*c) -> 1x1 of w/k
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from services.trainer.convert.kmodel_v3.firmware import FIRMWARE, WARN_BYTES
from services.trainer.convert.kmodel_v3.limits import fits_kpu
from services.trainer.convert.kmodel_v3.registers import ConvShape
from services.trainer.convert.kmodel_v3.stages import Stage, readers

__all__ = ["COPIES", "copy_first_blocks", "copy_last_blocks", "offsets"]

COPIES = ((4, 2), (2,), (2,))  # of the first blocks, one after the other: how many copies, the first number that fits
MOST_GROWTH = 1 / 3  # of the weights by copies of the last blocks
LAYER_BYTES, CHANNEL_BYTES, RESERVE = 512, 8, 16 << 10  # in the file; beside it, main memory of the last layers


def copy_first_blocks(stages: tuple[Stage, ...], shapes: tuple[ConvShape, ...], blocks: int) -> tuple[Stage, ...]:
    """The stages with copies in the first `blocks` places where a dense layer's map goes to a depthwise layer only,
    that to a 1x1 only. `shapes` are those of the stages as they are."""
    places = [i for i in range(len(stages) - 3) if _is_block(stages, i)]
    for i, choices in zip(places[:blocks], COPIES, strict=False):
        for copies in choices:
            first, depthwise, mix = stages[i : i + 3]
            copied = (_copied(first, copies), _copied(depthwise, copies), _shared(mix, copies))
            if all(_fits(stage, shape) for stage, shape in zip(copied, shapes[i : i + 3], strict=True)):
                stages = (*stages[:i], *copied, *stages[i + 3 :])
                break
    return stages


def copy_last_blocks(stages: tuple[Stage, ...], shapes: tuple[ConvShape, ...]) -> tuple[Stage, ...]:
    """The stages with two copies of every second block from the end on, as far as a file of over 1 MiB has room.
    `shapes` are those of the stages as they are."""
    weights, size = sum(stage.weight.size for stage in stages), _file_bytes(stages)
    if size + RESERVE <= WARN_BYTES:
        return stages
    for i in reversed([i for i in range(len(stages) - 3) if _is_block(stages, i)]):
        first, depthwise, mix = stages[i : i + 3]
        near = stages[max(i - 2, 0) : i + 4]  # a 1x1 layer between two copied blocks would take four times the weights
        copied = (_copied(first, 2), _copied(depthwise, 2), _shared(mix, 2))
        grown = (*stages[:i], *copied, *stages[i + 3 :])
        fits = all(_fits(stage, shape) for stage, shape in zip(copied, shapes[i : i + 3], strict=True))
        few = sum(stage.weight.size for stage in grown) <= (1 + MOST_GROWTH) * weights
        if (
            fits
            and few
            and all(stage.copies == 1 for stage in near)
            and not _outgrows(size, _file_bytes(grown) + RESERVE)
        ):
            stages = grown
    return stages


def _file_bytes(stages: tuple[Stage, ...]) -> int:
    return sum(LAYER_BYTES + CHANNEL_BYTES * len(stage.weight) + stage.weight.size for stage in stages)


def _outgrows(before: int, after: int) -> bool:
    return any(before <= firmware.budget < after for firmware in FIRMWARE.values())


def _fits(stage: Stage, before: ConvShape) -> bool:
    return not fits_kpu(stage.shape(before.height, before.width), to_main_memory=False)


def _is_block(stages: tuple[Stage, ...], i: int) -> bool:
    first, depthwise, mix = stages[i : i + 3]
    read_by = readers(stages)
    alone = read_by[i] == [i + 1] and read_by[i + 1] == [i + 2]
    dense = not first.depthwise and not first.joins and not mix.depthwise and mix.kernel == 1
    return alone and dense and depthwise.depthwise


def _copied(stage: Stage, copies: int) -> Stage:
    weight = np.tile(stage.weight, (copies, 1, 1, 1))
    return replace(stage, weight=weight, bias=np.tile(stage.bias, copies), copies=copies)


def _shared(stage: Stage, copies: int) -> Stage:
    """Reads all copies of its map, each with its part of the weights."""
    return replace(stage, weight=np.tile(stage.weight, (1, copies, 1, 1)) / np.float32(copies))


def offsets(stage: Stage) -> npt.NDArray[np.float64]:
    """By how many steps of its output each channel (oc,) is written higher."""
    place = (np.arange(stage.copies) + 0.5) / stage.copies - 0.5
    return np.repeat(place, len(stage.weight) // stage.copies)
