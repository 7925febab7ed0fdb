"""Cuts a network into the part for the KPU and the float layers behind it that the CPU computes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from services.trainer.convert.common import check_weights, unsupported
from services.trainer.convert.kmodel_v3.limits import fits_kpu
from services.trainer.convert.kmodel_v3.registers import ConvShape
from services.trainer.convert.kmodel_v3.stages import POOL_NONE
from services.trainer.graph import Conv, FullyConnected, GlobalAveragePool, Graph, Layer, Softmax

__all__ = ["CpuPart", "split_tail", "without_softmax"]

CpuPart = GlobalAveragePool | FullyConnected
Moved = tuple[tuple[str, str], ...]


def without_softmax(graph: Graph) -> tuple[Graph, tuple[str, ...]]:
    """The network without a softmax at its end, and the note that says so."""
    layers, notes = graph.layers, ()
    if layers and isinstance(layers[-1], Softmax):
        why = f"{layers[-1].name}: left out; the file gives logits, the script on the board takes the softmax"
        layers, notes = layers[:-1], (why,)  # type: ignore[assignment]
    for layer in layers:
        if isinstance(layer, Softmax):
            raise unsupported(layer.name, "softmax in the middle of the network", "Keep a softmax only at the end.")
    return replace(graph, layers=layers), notes


def split_tail(graph: Graph) -> tuple[Graph, tuple[CpuPart, ...], Moved]:
    """KPU part, CPU part, and (layer, why) of what left the KPU; a linear classifier joins the KPU part."""
    layers = graph.layers
    cut = next((i for i, x in enumerate(layers) if isinstance(x, CpuPart)), len(layers))
    rest = _checked(graph, cut)
    body: tuple[Layer, ...] = layers[:cut]
    moved = []
    if len(rest) >= 2 and isinstance(rest[0], GlobalAveragePool) and isinstance(rest[1], FullyConnected):
        head = rest[1]
        why = _why_not_on_kpu(graph, cut, head)
        if why:
            moved.append((head.name, why))
        else:
            weight = np.ascontiguousarray(head.weight[:, :, None, None], np.float32)
            body = (*body, Conv(head.name, weight, head.bias))
            rest = [rest[0], *rest[2:]]
    named = {name for name, _ in moved}
    for layer in rest:
        what = "fully connected layer" if isinstance(layer, FullyConnected) else "global average"
        if layer.name not in named:
            moved.append((layer.name, f"the KPU has no {what}"))
    return replace(graph, layers=body), tuple(rest), tuple(moved)


def _checked(graph: Graph, cut: int) -> list[CpuPart]:
    """The layers from `cut` on, each of which must be one of the CPU's and read the one before."""
    wiring, rest = graph.wiring(), []
    for i, layer in enumerate(graph.layers[cut:], cut):
        if not isinstance(layer, CpuPart):
            raise unsupported(
                layer.name,
                f"{type(layer).__name__} behind {graph.layers[cut].name}: the KPU works on maps of at least 4x4",
                "Put all convolutions and additions before the pooling.",
            )
        if cut and wiring[i] != (i - 1,):
            raise unsupported(
                layer.name,
                "it does not read the layer before it, and behind the average there is one way only",
                "Put the layers that lead to it directly before it.",
            )
        if isinstance(layer, FullyConnected):
            check_weights(layer.name, layer.weight, layer.bias)
            if layer.activation.kind == "leaky":
                raise unsupported(layer.name, "a leaky ReLU on a fully connected layer", "Use ReLU or ReLU6 there.")
        rest.append(layer)
    return rest


def _why_not_on_kpu(graph: Graph, cut: int, head: FullyConnected) -> str:
    if head.activation.kind != "none":
        return f"its {head.activation.kind} stands behind the average and cannot move before it"
    if not cut:
        return "there is no convolution before it"
    _, height, width = graph.shapes()[cut - 1]
    return fits_kpu(ConvShape(head.weight.shape[1], head.weight.shape[0], height, width, 1, False, POOL_NONE))
