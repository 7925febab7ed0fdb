"""Turns a network into what the KPU can do: a chain of stride-1 convolutions with pooling, then a few CPU layers.

conv stride 2                      -> conv stride 1 + left-top pooling 2x2                          (exact)
depthwise stride 2, 1x1 stride 1   -> depthwise stride 1, 1x1 + left-top pooling: the KPU cannot pool
                                      behind a depthwise convolution                                (exact)
MaxPool 2x2                        -> maximum pooling of the convolution before it                  (exact)
pooling with no place to go        -> a 1x1 identity convolution that pools
GlobalAveragePool, FullyConnected  -> 1x1 convolution on the KPU, then the average
Softmax at the end                 -> dropped: the file gives logits, the board's script takes the softmax
x = (u8/255 - mean)/std            -> folded into the first convolution; padding is the byte 255*mean
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from services.common.errors import UnsupportedModel
from services.trainer.convert.common import check_weights, unsupported
from services.trainer.convert.kmodel_v3.limits import check_stage, fits_kpu
from services.trainer.convert.kmodel_v3.registers import ConvShape
from services.trainer.graph import (
    Activation,
    Conv,
    FullyConnected,
    GlobalAveragePool,
    Graph,
    Layer,
    MaxPool,
    Softmax,
)

__all__ = ["POOL_LEFT_TOP", "POOL_MAX", "POOL_NONE", "Lowered", "Stage", "lower"]

POOL_NONE, POOL_MAX, POOL_LEFT_TOP = 0, 1, 5  # pool_type register
Array = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Stage:
    """One KPU convolution in real numbers: stride 1, padding kernel // 2, then activation, then pooling.

    weight (oc, ic, k, k), depthwise (c, 1, k, k); bias (oc,).
    """

    name: str
    weight: Array
    bias: Array
    depthwise: bool
    activation: Activation
    pool: int = POOL_NONE

    def shape(self, height: int, width: int) -> ConvShape:
        out_channels, _, kernel, _ = self.weight.shape
        channels = out_channels if self.depthwise else self.weight.shape[1]
        return ConvShape(channels, out_channels, height, width, kernel, self.depthwise, self.pool)


@dataclass(frozen=True)
class Lowered:
    """KPU stages, then the float layers of the CPU, in order; `moved`: (layer, why) for what left the KPU."""

    stages: tuple[Stage, ...]
    shapes: tuple[ConvShape, ...]
    tail: tuple[GlobalAveragePool | FullyConnected, ...]
    moved: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()


@dataclass
class _Lowering:
    stages: list[Stage] = field(default_factory=list)
    pending: str = ""  # a depthwise layer whose stride 2 waits for the next 1x1 convolution


def lower(graph: Graph) -> Lowered:
    """Raises UnsupportedModel, naming the layer and what to change, where the KPU cannot follow the network."""
    for i, (layer, sources) in enumerate(zip(graph.layers, graph.wiring(), strict=True)):
        if sources != (i - 1,):
            raise unsupported(layer.name, "a residual connection", "Use a network without Add.")
    layers, notes = _without_softmax(graph)
    layers, tail, moved = _split_tail(graph, layers)
    sizes = dict(zip([layer.name for layer in graph.layers], graph.shapes(), strict=True))
    state = _Lowering()
    before: tuple[int, ...] = (graph.input.channels, graph.input.height, graph.input.width)
    for layer in layers:
        if isinstance(layer, Conv):
            _lower_conv(state, layer, before)
        elif isinstance(layer, MaxPool):
            _lower_max_pool(state, layer, before)
        before = sizes.get(layer.name, before)
    _flush(state)
    shapes = _check(state.stages, graph)
    return Lowered(tuple(state.stages), shapes, tail, moved, notes)


def _without_softmax(graph: Graph) -> tuple[list[Layer], tuple[str, ...]]:
    layers = list(graph.layers)
    notes: tuple[str, ...] = ()
    if layers and isinstance(layers[-1], Softmax):
        notes = (f"{layers[-1].name}: left out; the file gives logits, the script on the board takes the softmax",)
        layers.pop()
    for layer in layers:
        if isinstance(layer, Softmax):
            raise unsupported(layer.name, "softmax in the middle of the network", "Keep a softmax only at the end.")
    if not layers or not isinstance(layers[0], Conv | MaxPool):
        name = layers[0].name if layers else graph.name
        raise unsupported(name, "the network must begin with a convolution", "Put a convolution first.")
    return layers, notes


def _split_tail(
    graph: Graph, layers: list[Layer]
) -> tuple[list[Layer], tuple[GlobalAveragePool | FullyConnected, ...], tuple[tuple[str, str], ...]]:
    """Convolutional part, CPU tail, and what left the KPU; a linear classifier joins the KPU part."""
    cut = next((i for i, x in enumerate(layers) if isinstance(x, GlobalAveragePool | FullyConnected)), len(layers))
    body, rest = layers[:cut], layers[cut:]
    for layer in rest:
        if not isinstance(layer, GlobalAveragePool | FullyConnected):
            raise unsupported(
                layer.name,
                f"{type(layer).__name__} behind {rest[0].name}: the KPU works on maps of at least 4x4",
                "Put all convolutions before the pooling.",
            )
        if isinstance(layer, FullyConnected):
            check_weights(layer.name, layer.weight, layer.bias)
            if layer.activation.kind == "leaky":
                raise unsupported(layer.name, "a leaky ReLU on a fully connected layer", "Use ReLU or ReLU6 there.")
    moved = []
    if len(rest) >= 2 and isinstance(rest[0], GlobalAveragePool) and isinstance(rest[1], FullyConnected):
        head = rest[1]
        why = _why_not_on_kpu(graph, body, head)
        if why:
            moved.append((head.name, why))
        else:
            weight = np.ascontiguousarray(head.weight[:, :, None, None], np.float32)
            body = [*body, Conv(head.name, weight, head.bias)]
            rest = [rest[0], *rest[2:]]
    named = {name for name, _ in moved}
    tail = tuple(x for x in rest if isinstance(x, GlobalAveragePool | FullyConnected))
    for layer in tail:
        what = "fully connected layer" if isinstance(layer, FullyConnected) else "global average"
        if layer.name not in named:
            moved.append((layer.name, f"the KPU has no {what}"))
    return body, tail, tuple(moved)


def _why_not_on_kpu(graph: Graph, body: list[Layer], head: FullyConnected) -> str:
    if head.activation.kind != "none":
        return f"its {head.activation.kind} stands behind the average and cannot move before it"
    shape = graph.shapes()[len(body) - 1]
    return fits_kpu(ConvShape(head.weight.shape[1], head.weight.shape[0], shape[1], shape[2], 1, False, POOL_NONE))


def _lower_conv(state: _Lowering, conv: Conv, before: tuple[int, ...]) -> None:
    _check_conv(conv, before)
    activation = conv.activation
    kernel = conv.weight.shape[2]
    pool = POOL_LEFT_TOP if conv.stride == 2 else POOL_NONE
    takes_pending = kernel == 1 and conv.stride == 1 and not conv.depthwise
    if state.pending and not takes_pending:
        _flush(state)
    if state.pending:
        pool, state.pending = POOL_LEFT_TOP, ""
    if conv.depthwise and pool:
        state.pending, pool = conv.name, POOL_NONE
    weight = np.ascontiguousarray(conv.weight, np.float32)
    bias = np.ascontiguousarray(conv.bias, np.float32)
    state.stages.append(Stage(conv.name, weight, bias, conv.depthwise, activation, pool))


def _check_conv(conv: Conv, before: tuple[int, ...]) -> None:
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
    kind = conv.activation.kind
    if kind == "leaky" and not 0 < conv.activation.slope <= 1:
        raise unsupported(conv.name, f"a leaky slope of {conv.activation.slope}", "Use a slope above 0, at most 1.")


def _lower_max_pool(state: _Lowering, pool: MaxPool, before: tuple[int, ...]) -> None:
    if (pool.size, pool.stride) != (2, 2):
        raise unsupported(pool.name, f"{pool.size}x{pool.size} pooling, stride {pool.stride}", "Use MaxPool 2x2.")
    _check_even(pool.name, before, "pooling 2x2")
    _flush(state)
    last = state.stages[-1] if state.stages else None
    if last is not None and last.pool == POOL_NONE and not last.depthwise:
        state.stages[-1] = replace(last, pool=POOL_MAX)
    else:
        state.stages.append(_identity(pool.name, before[0], POOL_MAX))


def _flush(state: _Lowering) -> None:
    """Gives a waiting stride of a depthwise layer an identity convolution of its own."""
    if state.pending:
        channels = state.stages[-1].weight.shape[0]
        state.stages.append(_identity(f"{state.pending}.stride", channels, POOL_LEFT_TOP))
        state.pending = ""


def _identity(name: str, channels: int, pool: int) -> Stage:
    weight = np.eye(channels, dtype=np.float32)[:, :, None, None]
    return Stage(name, weight, np.zeros(channels, np.float32), False, Activation.none(), pool)


def _check_even(name: str, before: tuple[int, ...], what: str) -> None:
    if before[1] % 2 or before[2] % 2:
        raise unsupported(
            name,
            f"{what} on an odd size, {before[1]}x{before[2]}",
            "Choose an input size that stays even before every stride 2, a multiple of 32 say.",
        )


def _check(stages: list[Stage], graph: Graph) -> tuple[ConvShape, ...]:
    """Walks the sizes through the stages and checks each against the KPU's limits."""
    height, width = graph.input.height, graph.input.width
    shapes = []
    for i, stage in enumerate(stages):
        shape = stage.shape(height, width)
        check_stage(stage.name, shape, to_main_memory=i == len(stages) - 1)
        shapes.append(shape)
        height, width = shape.out_height, shape.out_width
    if not shapes:
        raise UnsupportedModel("MODEL_EMPTY", f"{graph.name}: no layer runs on the KPU.", fix="Add a convolution.")
    return tuple(shapes)
