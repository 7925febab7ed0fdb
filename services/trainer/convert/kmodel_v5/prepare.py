"""The network rewritten so that nncase keeps it on the KPU; its outputs stay what they are.

    average, fully connected      ─►  1x1 convolution, average           one run of the KPU, no padding to 4x4
    depthwise stride 2, 1x1       ─►  depthwise stride 1, 1x1 stride 2   else ReLU there costs a slice on the CPU
    … softmax                     ─►  …                                  the script on the board takes it
    x = (u8/255 - mean[c])/std[c] ─►  x = scale*(u8 - zero)              the bytes go into the KPU as they come

nncase reads a byte u as low + u/255*(high - low), its `input_range`. With low = -zero*scale and a whole `zero` that is
its own quantisation: nothing is left to compute, and it pads with the byte `zero`. Scales by channel, and what the
means differ from `zero`, go into the first convolution; only where that pads, a mean between two bytes is not met.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

from services.trainer.convert.common import unsupported
from services.trainer.graph import IMAGE, Add, Conv, FullyConnected, GlobalAveragePool, Graph, InputSpec, Layer, Softmax

__all__ = ["Normalisation", "Prepared", "prepare"]

KPU_MIN_SIZE, KPU_MAX_CHANNELS = 4, 1024  # nncase v1.9.0, modules/k210, kpu_utils.h
BORDER_BYTES = 1.0  # means closer than this to the padding byte are not worth a warning

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Normalisation:
    """x = (low + u8/255*(high - low) - mean)/std; a std of 0 leaves out mean and std."""

    input_range: tuple[float, float] = (0.0, 1.0)
    mean: Triple = (0.0, 0.0, 0.0)
    std: Triple = (0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Prepared:
    graph: Graph
    normalisation: Normalisation
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def prepare(graph: Graph) -> Prepared:
    """Raises UnsupportedModel, naming the layer, for a network that cannot be told to nncase."""
    layers, notes = _without_softmax(graph)
    graph = replace(graph, layers=_named(replace(graph, layers=layers)))
    graph = replace(graph, layers=_head_before_average(graph))
    graph = replace(graph, layers=_stride_behind_depthwise(graph))
    readers = _readers(graph)[-1]
    first = graph.layers[readers[0]] if len(readers) == 1 else None
    if isinstance(first, Conv):
        graph, normalisation, warnings = _bytes_as_they_come(graph, first)
    else:
        normalisation, warnings = _on_the_cpu(graph.input, graph.layers[0].name)
    return Prepared(graph, normalisation, notes, warnings)


def _without_softmax(graph: Graph) -> tuple[tuple[Layer, ...], tuple[str, ...]]:
    layers, wiring = graph.layers, graph.wiring()
    last = layers[-1] if layers else None
    if not isinstance(last, Softmax):
        return layers, ()
    if len(layers) < 2 or wiring[-1] != (len(layers) - 2,):
        raise unsupported(last.name, "a softmax that does not read the layer before it", "Put it behind that layer.")
    note = f"{last.name}: left out; the file gives logits, the script on the board takes the softmax"
    return layers[:-1], (note,)


def _named(graph: Graph) -> tuple[Layer, ...]:
    """Every layer with its source by name, so that layers can change places."""
    names = [*(layer.name for layer in graph.layers), IMAGE]  # -1 is the image
    return tuple(replace(x, source=names[s[0]]) for x, s in zip(graph.layers, graph.wiring(), strict=True))


def _readers(graph: Graph) -> list[list[int]]:
    """For every layer which layers read it; the image is the last entry."""
    readers: list[list[int]] = [[] for _ in range(len(graph.layers) + 1)]
    for i, sources in enumerate(graph.wiring()):
        for source in sources:
            readers[source].append(i)
    return readers


def _head_before_average(graph: Graph) -> tuple[Layer, ...]:
    """A linear classifier behind the average becomes a 1x1 convolution before it: the sums are the same."""
    layers, wiring, readers, shapes = list(graph.layers), graph.wiring(), _readers(graph), graph.shapes()
    for i, (pool, head) in enumerate(pairwise(layers)):
        if not isinstance(pool, GlobalAveragePool) or not isinstance(head, FullyConnected) or readers[i] != [i + 1]:
            continue
        shape = shapes[wiring[i][0]] if wiring[i][0] >= 0 else (graph.input.channels, graph.input.height)
        fits = min(shape[1:]) >= KPU_MIN_SIZE and max(shape[0], len(head.bias)) <= KPU_MAX_CHANNELS
        if head.activation.kind != "none" or not fits:
            continue
        weight = np.ascontiguousarray(head.weight[:, :, None, None], np.float32)
        layers[i] = Conv(head.name, weight, head.bias, source=pool.source)
        layers[i + 1] = replace(pool, source=head.name)
        layers[i + 2 :] = [_reading(layer, head.name, pool.name) for layer in layers[i + 2 :]]
    return tuple(layers)


def _reading(layer: Layer, old: str, new: str) -> Layer:
    """`layer` with `new` wherever it read `old`."""
    source = new if layer.source == old else layer.source
    if isinstance(layer, Add):
        return replace(layer, source=source, other=new if layer.other == old else layer.other)
    return replace(layer, source=source)


def _stride_behind_depthwise(graph: Graph) -> tuple[Layer, ...]:
    """The stride of a depthwise convolution moves to the 1x1 convolution that alone reads it."""
    layers, readers = list(graph.layers), _readers(graph)
    for i, layer in enumerate(graph.layers):
        if not isinstance(layer, Conv) or not layer.depthwise or layer.stride != 2 or len(readers[i]) != 1:
            continue
        reader = layers[readers[i][0]]
        pointwise = isinstance(reader, Conv) and not reader.depthwise and reader.weight.shape[2:] == (1, 1)
        if isinstance(reader, Conv) and pointwise and (reader.stride, reader.padding) == (1, 0):
            layers[i] = replace(layer, stride=1)
            layers[readers[i][0]] = replace(reader, stride=2)
    return tuple(layers)


def _bytes_as_they_come(graph: Graph, first: Conv) -> tuple[Graph, Normalisation, tuple[str, ...]]:
    """(u8/255 - mean)/std = factor*x + offset with x = (u8 - zero)/255/scale, by channel; both go into `first`."""
    spec = graph.input
    mean, std = np.asarray(spec.mean, np.float64), np.asarray(spec.std, np.float64)
    scale, zero = float(std.mean()), int(np.clip(round(255 * float(mean.mean())), 0, 255))
    axis = (-1, 1, 1, 1) if first.depthwise else (1, -1, 1, 1)
    factor, offset = (scale / std).reshape(axis), ((zero / 255 - mean) / std).reshape(axis)
    weight = first.weight.astype(np.float64)
    bias = first.bias + (weight * offset).sum((1, 2, 3))
    folded = replace(first, weight=(weight * factor).astype(np.float32), bias=bias.astype(np.float32))
    plain = InputSpec(spec.channels, spec.height, spec.width, (zero / 255,) * spec.channels, (scale,) * spec.channels)
    layers = tuple(folded if layer is first else layer for layer in graph.layers)
    apart = float(np.abs(255 * mean - zero).max())
    warnings: tuple[str, ...] = ()
    if first.padding and apart > BORDER_BYTES:
        warnings = (
            f"{first.name}: the KPU pads all channels with one byte, {zero}; a channel's mean lies {apart:.0f} bytes "
            "from it, so the border of the first map differs. Train with one mean.",
        )
    limits = (-zero / 255 / scale, (255 - zero) / 255 / scale)
    return replace(graph, input=plain, layers=layers), Normalisation(limits), warnings


def _on_the_cpu(spec: InputSpec, first: str) -> tuple[Normalisation, tuple[str, ...]]:
    """nncase normalises in float, before anything runs on the KPU."""
    if spec.channels != 3 and (len(set(spec.mean)) > 1 or len(set(spec.std)) > 1):
        raise unsupported(
            first,
            f"{spec.channels} channels with means and standard deviations of their own",
            "Use one mean and one standard deviation, or begin with a convolution.",
        )
    mean, std = ((*values, *values, *values)[:3] for values in (spec.mean, spec.std))
    warning = f"{first}: the image is normalised on the CPU, because not just one convolution reads it."
    return Normalisation((0.0, 1.0), (mean[0], mean[1], mean[2]), (std[0], std[1], std[2])), (warning,)
