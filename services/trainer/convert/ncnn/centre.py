"""Moves maps behind a ReLU around 0, so that int8 codes on both sides of 0 are used.

ncnn's int8 has no zero point: a map from 0 to 6 uses 0 to 127 only, half of the codes. The same network with the map
moved by -3 is

    y = clip(W x + b, 0, 6)          y' = clip(W x + b - 3, -3, 3)          exactly, in real numbers,
    z = V y + c                      z  = V y' + (c + 3 * sum(V))

as ncnn's activation 3 (Clip) takes any limits. It holds where every reader adds all its weights for every value it
gives: convolutions without padding and fully connected layers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from services.trainer.convert.ncnn.ranges import Statistics, weighted_sources
from services.trainer.convert.ncnn_bin import LayerWeights
from services.trainer.convert.ncnn_text import ParamLayer
from services.trainer.graph import Conv, FullyConnected, Graph, Layer

__all__ = ["moved", "shifts"]

_ACTIVATION, _ARGUMENTS, _CLIP = 9, -23310, 3
_NO_LIMIT = 65504.0  # the largest float16: ncnn reads a text, and boards may compute in float16
_SIX = 6.0


def shifts(graph: Graph, statistics: Mapping[str, Statistics]) -> dict[str, float]:
    """By layer name, how far its output is moved down: to the middle of what its readers see."""
    readers: dict[int, list[Layer]] = {}
    for layer, sources in zip(graph.layers, graph.wiring(), strict=True):
        for source in sources:
            readers.setdefault(source, []).append(layer)
    found = {}
    for i, layer in enumerate(graph.layers):
        rectified = isinstance(layer, Conv | FullyConnected) and layer.activation.kind in ("relu", "relu6")
        if rectified and i in readers and all(_takes(reader) for reader in readers[i]):
            limit = statistics[readers[i][0].name].limit()
            found[layer.name] = float(np.float32(limit / 2))
    return found


def _takes(reader: Layer) -> bool:
    if isinstance(reader, Conv):
        return reader.padding == 0 and not reader.depthwise
    return isinstance(reader, FullyConnected)


def moved(
    graph: Graph,
    layers: tuple[ParamLayer, ...],
    weights: Mapping[str, LayerWeights],
    names: Mapping[str, Conv | FullyConnected],
    shift: Mapping[str, float],
) -> tuple[tuple[ParamLayer, ...], dict[str, LayerWeights]]:
    """The network with every output in `shift` moved down by it, the readers' biases making up for it."""
    source = {layer.name: name for name, layer in weighted_sources(graph)}
    result = {}
    for name, stored in weights.items():
        layer = names[name]
        bias = np.zeros(len(stored.weight)) if stored.bias is None else stored.bias.astype(np.float64)
        sums = stored.weight.reshape(len(stored.weight), -1).sum(1, dtype=np.float64)
        bias = bias + shift.get(source[layer.name], 0.0) * sums - shift.get(layer.name, 0.0)
        result[name] = replace(stored, bias=bias.astype(np.float32))
    marked = []
    for part in layers:
        if part.name in names:
            bias_term = {1: 1} if part.type == "InnerProduct" else {5: 1}
            part = replace(part, params={**part.params, **bias_term})
            if names[part.name].name in shift:
                part = _clipped(part, names[part.name], shift[names[part.name].name])
        marked.append(part)
    return tuple(marked), result


def _clipped(part: ParamLayer, layer: Conv | FullyConnected, shift: float) -> ParamLayer:
    top = _SIX - shift if layer.activation.kind == "relu6" else _NO_LIMIT
    return replace(part, params={**part.params, _ACTIVATION: _CLIP, _ARGUMENTS: (-shift, top)})
