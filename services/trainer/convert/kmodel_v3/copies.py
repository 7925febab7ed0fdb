"""Writes the first maps of a network more than once, each copy a fraction of a step apart, for more than 8 bits.

The stem's map often feeds a depthwise layer that takes differences of neighbouring pixels and multiplies them: there
its rounding is the largest error of the whole network (MobileNetV1: more than all other activations together). With
k copies, copy j written (j + 1/2)/k - 1/2 steps higher, the 1x1 behind the depthwise layer reads the sum of all, which
has k times as many levels; the roundings of the copies' weights make up for each other too (channel splitting: Zhao et
al., 2019, OCS). The cost is k times the channels of two layers that have few.

    image -> stem (c) -> depthwise (c) -> 1x1      becomes      image -> stem (k*c) -> depthwise (k*c) -> 1x1 of w/k
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from services.trainer.convert.kmodel_v3.limits import fits_kpu
from services.trainer.convert.kmodel_v3.stages import IMAGE_MAP, Stage, readers

__all__ = ["COPIES", "copy_stem", "offsets"]

COPIES = (4, 2)  # the first that fits; more than 4 gives little


def copy_stem(stages: tuple[Stage, ...], height: int, width: int) -> tuple[Stage, ...]:
    """The stages with a copied stem, where its map goes to a depthwise layer only, that to a 1x1 only, and all fits."""
    if len(stages) < 4 or not _is_chain(stages):
        return stages
    for copies in COPIES:
        stem, depthwise, mix = stages[:3]
        weight = np.tile(mix.weight, (1, copies, 1, 1)) / np.float32(copies)
        copied = (_copied(stem, copies), _copied(depthwise, copies), replace(mix, weight=weight))
        if _fits(copied, height, width):
            return copied + stages[3:]
    return stages


def _fits(stages: tuple[Stage, ...], height: int, width: int) -> bool:
    for stage in stages:
        shape = stage.shape(height, width)
        if fits_kpu(shape, to_main_memory=False):
            return False
        height, width = shape.out_height, shape.out_width
    return True


def _is_chain(stages: tuple[Stage, ...]) -> bool:
    stem, depthwise, mix = stages[:3]
    read_by = readers(stages)
    alone = read_by[IMAGE_MAP] == [0] and read_by[0] == [1] and read_by[1] == [2]
    return alone and not stem.depthwise and depthwise.depthwise and not mix.depthwise and mix.kernel == 1


def _copied(stage: Stage, copies: int) -> Stage:
    weight = np.tile(stage.weight, (copies, 1, 1, 1))
    return replace(stage, weight=weight, bias=np.tile(stage.bias, copies), copies=copies)


def offsets(stage: Stage) -> npt.NDArray[np.float64]:
    """By how many steps of its output each channel (oc,) is written higher."""
    place = (np.arange(stage.copies) + 0.5) / stage.copies - 0.5
    return np.repeat(place, len(stage.weight) // stage.copies)
