"""Turns a network into what the KPU can do: stride-1 convolutions with pooling, then a few CPU layers.

conv stride 2                      -> conv stride 1 + left-top pooling 2x2                          (exact)
depthwise stride 2, 1x1 stride 1   -> depthwise stride 1, 1x1 + left-top pooling: the KPU cannot pool
                                      behind a depthwise convolution                                (exact)
MaxPool 2x2                        -> maximum pooling of the convolution before it                  (exact)
two MaxPool 2x2                    -> maximum pooling 4x4 of the convolution before them            (exact)
pooling with no place to go        -> a 1x1 identity convolution that pools
Add                                -> a 1x1 convolution over both maps side by side, weights [I | I] (exact)
GlobalAveragePool, FullyConnected  -> 1x1 convolution on the KPU, then the average
Softmax at the end                 -> dropped: the file gives logits, the board's script takes the softmax
x = (u8/255 - mean)/std            -> the scale and zero point of the image
"""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, field, replace

import numpy as np

from services.common.errors import UnsupportedModel
from services.trainer.convert.common import check_weights, unsupported
from services.trainer.convert.kmodel_v3.copies import COPIES, copy_first_blocks, copy_last_blocks
from services.trainer.convert.kmodel_v3.limits import check_stage
from services.trainer.convert.kmodel_v3.memory import place_maps
from services.trainer.convert.kmodel_v3.registers import ConvShape, RowLayout
from services.trainer.convert.kmodel_v3.stages import (
    IMAGE_MAP,
    POOL_LEFT_TOP,
    POOL_MAX,
    POOL_MAX_4,
    POOL_NONE,
    Lowered,
    Stage,
    identity,
)
from services.trainer.convert.kmodel_v3.tail import split_tail, without_softmax
from services.trainer.graph import Activation, Add, Conv, Graph, MaxPool, Shape

__all__ = ["lower"]


@dataclass
class _Lowering:
    """`maps`: the stage that gives each layer's output. `readers`: how many layers read it."""

    image: Shape
    readers: Counter[int]
    stages: list[Stage] = field(default_factory=list)
    maps: dict[int, int] = field(default_factory=lambda: {-1: IMAGE_MAP})
    waiting: set[int] = field(default_factory=set)  # depthwise stages whose stride 2 waits for the 1x1 behind them
    beside: dict[int, int] = field(default_factory=dict)  # maps that have a place beside another, and which

    def add(self, stage: Stage) -> int:
        self.stages.append(stage)
        return len(self.stages) - 1

    def read(self, layer: int) -> int:
        """The map of a layer's output; a stride that still waits gets an identity convolution of its own."""
        at = self.maps[layer]
        if at in self.waiting:
            self.waiting.remove(at)
            stage = self.stages[at]
            self.maps[layer] = self.add(identity(f"{stage.name}.stride", len(stage.weight), at, POOL_LEFT_TOP))
        return self.maps[layer]

    def copy(self, at: int, name: str, padded: int = 0) -> int:
        channels = self.image[0] if at == IMAGE_MAP else len(self.stages[at].weight)
        return self.add(identity(name, channels, at, padded=padded))


def lower(graph: Graph) -> Lowered:
    """Raises UnsupportedModel, naming the layer and what to change, where the KPU cannot follow the network."""
    graph, notes = without_softmax(graph)
    if not graph.layers or not isinstance(graph.layers[0], Conv | MaxPool):
        name = graph.layers[0].name if graph.layers else graph.name
        raise unsupported(name, "the network must begin with a convolution", "Put a convolution first.")
    body, tail, moved = split_tail(graph)
    _check_all_read(graph)
    wiring, shapes = body.wiring(), body.shapes()
    image = (graph.input.channels, graph.input.height, graph.input.width)
    state = _Lowering(image, Counter(source for sources in wiring for source in sources))
    for i, (layer, sources) in enumerate(zip(body.layers, wiring, strict=True)):
        before = image if sources[0] < 0 else shapes[sources[0]]
        if isinstance(layer, Conv):
            state.maps[i] = _lower_conv(state, layer, sources[0], before)
        elif isinstance(layer, MaxPool):
            state.maps[i] = _lower_max_pool(state, layer, sources[0], before)
        elif isinstance(layer, Add):
            state.maps[i] = _lower_add(state, layer, sources, before)
    state.read(len(body.layers) - 1)
    stages, conv_shapes, places = _placed(tuple(state.stages), graph)
    return Lowered(stages, conv_shapes, places, tail, moved, notes)


def _placed(stages: tuple[Stage, ...], graph: Graph) -> tuple[tuple[Stage, ...], tuple[ConvShape, ...], dict[int, int]]:
    """With as many copied blocks as leave room for the maps that wait for an addition."""
    shapes = _check(stages, graph)
    for blocks, last in itertools.product(range(len(COPIES), -1, -1), (True, False)):
        copied = copy_first_blocks(stages, shapes, blocks)
        if last:
            copied = copy_last_blocks(copied, _check(copied, graph))
        copied_shapes = _check(copied, graph)
        try:
            return copied, copied_shapes, place_maps(copied, copied_shapes)
        except UnsupportedModel:
            continue
    return stages, shapes, place_maps(stages, shapes)


def _check_all_read(graph: Graph) -> None:
    """The last stage is the one that gives the output only if every layer leads to the last one."""
    graph.shapes()
    read = {source for sources in graph.wiring() for source in sources}
    for i, layer in enumerate(graph.layers[:-1]):
        if i not in read:
            raise unsupported(layer.name, "no layer reads its output, and it is not the last", "Remove it.")


def _lower_conv(state: _Lowering, conv: Conv, source: int, before: Shape) -> int:
    _check_conv(conv, before)
    pool = POOL_LEFT_TOP if conv.stride == 2 else POOL_NONE
    takes_stride = conv.weight.shape[2] == 1 and conv.stride == 1 and not conv.depthwise and state.readers[source] == 1
    if takes_stride and state.maps[source] in state.waiting:
        at, pool = state.maps[source], POOL_LEFT_TOP
        state.waiting.remove(at)
    else:
        at = state.read(source)
    weight = np.ascontiguousarray(conv.weight, np.float32)
    bias = np.ascontiguousarray(conv.bias, np.float32)
    stage = Stage(conv.name, weight, bias, conv.depthwise, conv.activation, pool, (at,))
    if conv.depthwise and pool:
        index = state.add(replace(stage, pool=POOL_NONE))
        state.waiting.add(index)
        return index
    return state.add(stage)


def _check_conv(conv: Conv, before: Shape) -> None:
    kernel = conv.weight.shape[2]
    check_weights(conv.name, conv.weight, conv.bias)
    if kernel not in (1, 3):
        raise unsupported(conv.name, f"a {kernel}x{kernel} kernel", "Use 3x3 or 1x1 convolutions.")
    if conv.depthwise and kernel != 3:
        raise unsupported(conv.name, "a 1x1 depthwise convolution", "Use a 3x3 depthwise convolution.")
    if conv.padding != kernel // 2:
        raise unsupported(
            conv.name,
            f"padding {conv.padding} with a {kernel}x{kernel} kernel; the KPU pads 3x3 by 1 and 1x1 by 0",
            f"Set padding={kernel // 2}.",
        )
    if conv.stride not in (1, 2):
        raise unsupported(conv.name, f"stride {conv.stride}", "Use stride 1 or 2.")
    if conv.stride == 2:
        _check_even(conv.name, before, "stride 2")
    _check_slope(conv.name, conv.activation)


def _check_slope(name: str, activation: Activation) -> None:
    if activation.kind == "leaky" and not 0 < activation.slope <= 1:
        raise unsupported(name, f"a leaky slope of {activation.slope}", "Use a slope above 0, at most 1.")


def _check_even(name: str, before: Shape, what: str) -> None:
    if before[1] % 2 or before[2] % 2:
        raise unsupported(
            name,
            f"{what} on an odd size, {before[1]}x{before[2]}",
            "Choose an input size that stays even before every stride 2, a multiple of 32 say.",
        )


def _lower_max_pool(state: _Lowering, pool: MaxPool, source: int, before: Shape) -> int:
    if (pool.size, pool.stride) != (2, 2):
        raise unsupported(pool.name, f"{pool.size}x{pool.size} pooling, stride {pool.stride}", "Use MaxPool 2x2.")
    _check_even(pool.name, before, "pooling 2x2")
    at = state.read(source)
    if at != IMAGE_MAP and state.readers[source] == 1:
        stage = state.stages[at]
        larger = {POOL_NONE: POOL_MAX, POOL_MAX: POOL_MAX_4}.get(stage.pool)
        if larger and not stage.depthwise:
            state.stages[at] = replace(stage, pool=larger)
            return at
    return state.add(identity(pool.name, before[0], at, POOL_MAX))


def _lower_add(state: _Lowering, add: Add, sources: tuple[int, ...], before: Shape) -> int:
    _check_slope(add.name, add.activation)
    a, b = (state.read(source) for source in sources)
    eye = np.eye(before[0], dtype=np.float32)
    if a == b:
        return state.add(Stage(add.name, 2 * eye[:, :, None, None], 0 * eye[0], False, add.activation, sources=(a,)))
    a, b = _side_by_side(state, add.name, a, b, before)
    padded = before[0] if a == IMAGE_MAP else len(state.stages[a].weight)
    first = np.eye(before[0], padded, dtype=np.float32)
    weight = np.ascontiguousarray(np.concatenate([first, eye], 1)[:, :, None, None])
    return state.add(Stage(add.name, weight, 0 * eye[0], False, add.activation, sources=(a, b)))


def _side_by_side(state: _Lowering, name: str, a: int, b: int, shape: Shape) -> tuple[int, int]:
    """The two maps, or copies of them, the first of which ends with a full row; neither lies beside a third."""
    if state.beside.get(a) == b and (a, b) in {stage.sources for stage in state.stages}:
        return a, b
    channels, _, width = shape
    groups = RowLayout.of(width).groups
    padded = -(-channels // groups) * groups
    if a in state.beside:
        a = state.copy(a, f"{name}.copy")
    if b in state.beside:
        b = state.copy(b, f"{name}.copy")
    if padded != channels:
        a, b = _full_rows(state, name, a, b, padded)
    state.beside |= {a: b, b: a}
    return a, b


def _full_rows(state: _Lowering, name: str, a: int, b: int, padded: int) -> tuple[int, int]:
    """Gives one of the two maps channels of zeros, so that the other can begin with the next row."""
    if _grows(state, b) and not _grows(state, a):
        a, b = b, a
    if not _grows(state, a):
        return state.copy(a, f"{name}.copy", padded), b
    stage = state.stages[a]
    extra = ((0, padded - len(stage.weight)), (0, 0), (0, 0), (0, 0))
    state.stages[a] = replace(stage, weight=np.pad(stage.weight, extra), bias=np.pad(stage.bias, extra[0]))
    return a, b


def _grows(state: _Lowering, at: int) -> bool:
    return at != IMAGE_MAP and not state.stages[at].depthwise


def _check(stages: tuple[Stage, ...], graph: Graph) -> tuple[ConvShape, ...]:
    """Walks the sizes through the stages and checks each against the KPU's limits."""
    if not stages:
        raise UnsupportedModel("MODEL_EMPTY", f"{graph.name}: no layer runs on the KPU.", fix="Add a convolution.")
    sizes = {IMAGE_MAP: (graph.input.height, graph.input.width)}
    shapes = []
    for i, stage in enumerate(stages):
        shape = stage.shape(*sizes[stage.sources[0]])
        check_stage(stage.name, shape, to_main_memory=i == len(stages) - 1)
        shapes.append(shape)
        sizes[i] = (shape.out_height, shape.out_width)
    return tuple(shapes)
