"""The int8 network: which layers become int8, with which scales and biases.

Depthwise convolutions and those that read the image stay float16: they are a few percent of the weights, and in int8
they cost most of the accuracy. MobileNetV1-1.0 agrees with float on 0.84 of the pictures so, on 0.93 otherwise
(before maps are moved). ncnn gives float between layers anyway.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from services.trainer.convert.contract import ConvertOptions, Images
from services.trainer.convert.ncnn.archive import Archive, Description
from services.trainer.convert.ncnn.centre import moved, shifts
from services.trainer.convert.ncnn.quantise import in_half, in_int8
from services.trainer.convert.ncnn.ranges import Floats, input_statistics, weighted_sources
from services.trainer.convert.ncnn.simulate import NcnnSimulator
from services.trainer.convert.ncnn_bin import LayerWeights, write_weights
from services.trainer.convert.ncnn_text import ParamLayer, write_param
from services.trainer.graph import IMAGE, Conv, FullyConnected, Graph, Layer

__all__ = ["Network", "quantised", "spread"]

_INT8_SCALE_TERM = 8  # parameter: 1 = int8 weights with scales behind them
CORRECTION_IMAGES = 24


@dataclass(frozen=True)
class Network:
    """An ncnn network with `names`: the graph's layer behind each of its layers with weights. `shift`: how far the
    output of a graph layer is moved down, by its name."""

    layers: tuple[ParamLayer, ...]
    weights: Mapping[str, LayerWeights]
    names: Mapping[str, Conv | FullyConnected]
    shift: Mapping[str, float]

    def pack(self, description: Description) -> bytes:
        param = write_param(self.layers, aligned=True).encode()
        return Archive(param, write_weights(self.layers, self.weights), description).pack()


def quantised(
    graph: Graph, network: Network, description: Description, images: Images, options: ConvertOptions
) -> Network:
    """`network` (float32) with int8 weights, calibrated on `images`."""
    statistics = input_statistics(graph, images)
    shift = shifts(graph, statistics)
    layers, weights = moved(graph, network.layers, network.weights, network.names, shift)
    source = {layer.name: name for name, layer in weighted_sources(graph)}
    stored, int8 = {}, set()
    for name, floats in weights.items():
        layer = network.names[name]
        moved_by = shift.get(source[layer.name], 0.0)
        seen = statistics[layer.name]
        if source[layer.name] == IMAGE or (isinstance(layer, Conv) and layer.depthwise):
            stored[name] = in_half(floats, seen.mean() - moved_by, options)
        else:
            stored[name] = in_int8(floats, seen.limit(moved_by), seen.mean() - moved_by, options)
            int8.add(name)
    marked = tuple(
        replace(layer, params={**layer.params, _INT8_SCALE_TERM: 1}) if layer.name in int8 else layer
        for layer in layers
    )
    result = Network(marked, stored, network.names, shift)
    return (
        _corrected(graph, result, description, spread(images, CORRECTION_IMAGES)) if options.bias_correction else result
    )


def spread(images: Images, count: int) -> Images:
    """At most `count` images at even distances."""
    chosen: Images = images[np.linspace(0, len(images) - 1, min(count, len(images))).round().astype(int)]
    return chosen


def _corrected(graph: Graph, network: Network, description: Description, images: Images) -> Network:
    """Biases that give every channel the mean it has in the float network: measured in ncnn, layer after layer, so that
    each layer makes up for what those before it leave."""
    wanted: dict[str, Floats] = {}

    def look(layer: Layer, output: Floats) -> None:
        wanted[layer.name] = wanted.get(layer.name, np.float32(0)) + output.sum(0) / np.float32(len(images))

    graph.run_float(images, look)
    weights = dict(network.weights)
    for part in network.layers:
        if part.name in network.names:
            layer = network.names[part.name]
            simulator = NcnnSimulator(replace(network, weights=weights).pack(description))
            rows = [row[0] for row in simulator.blobs(images, [part.outputs[0]])]
            mean = wanted[layer.name] - network.shift.get(layer.name, 0.0)
            error = np.mean(rows, axis=0).reshape(mean.shape) - mean
            bias = weights[part.name].bias
            assert bias is not None
            off = error.mean((1, 2)) if error.ndim == 3 else error
            weights[part.name] = replace(weights[part.name], bias=(bias - off).astype(np.float32))
    return replace(network, weights=weights)
