"""Which layer costs the accuracy, for targets whose converters cannot look into single layers.

layers 0 … k of the network are a network too: converted and simulated, its last map has a signal-to-noise ratio

ratio  ▔▔▔╲          halving: probe the middle, and go on in the half where the ratio falls more;
           ╲▁▁▁      a network of 30 layers takes 5 conversions, and only one that has failed is probed
layer  0 … k … n
"""

from __future__ import annotations

from dataclasses import replace

from services.common.errors import BoardloopError
from services.common.fidelity import Fidelity, LayerNoise
from services.trainer.convert import ConvertOptions, convert
from services.trainer.convert.common import snr_db
from services.trainer.convert.contract import Images
from services.trainer.fidelity import GOOD_DB, costs_too_much, float_outputs, simulate
from services.trainer.graph import Graph, Softmax

__all__ = ["blamed"]

_IMAGES = 16  # enough for a ratio


def blamed(fidelity: Fidelity, graph: Graph, calibration: Images, options: ConvertOptions) -> Fidelity:
    """`fidelity` with the probed layers and the weakest one, when it costs too much and names no layer yet."""
    if not costs_too_much(fidelity) or fidelity.weakest_layer:
        return fidelity
    names = [layer.name for layer in graph.layers if not isinstance(layer, Softmax)]
    probed: dict[int, float] = {len(names) - 1: fidelity.output_snr_db}
    low, high, ratio_low = -1, len(names) - 1, GOOD_DB
    while high - low > 1:
        middle = _probe(graph, fidelity.target, calibration, options, low, high, probed)
        if middle is None:
            break  # the chip takes none of the networks in between
        if ratio_low - probed[middle] > probed[middle] - probed[high]:
            high = middle
        else:
            low, ratio_low = middle, probed[middle]
    layers = tuple(
        LayerNoise(layer.name, type(layer).__name__, "", probed.get(index))
        for index, layer in enumerate(graph.layers[: len(names)])
    )
    return replace(fidelity, layers=layers, weakest_layer=names[high])


def _probe(
    graph: Graph,
    target: str,
    calibration: Images,
    options: ConvertOptions,
    low: int,
    high: int,
    probed: dict[int, float],
) -> int | None:
    """The layer nearest the middle between `low` and `high` that can end a network; its ratio goes into `probed`."""
    middle = (low + high) // 2
    for index in sorted(range(low + 1, high), key=lambda one: abs(one - middle)):
        part = replace(graph, layers=graph.layers[: index + 1], labels=(), anchors=(), head="")
        try:
            model = convert(part, target, calibration, options)
            images = calibration[:_IMAGES]
            probed[index] = snr_db(float_outputs(part, images), simulate(model, images))
        except BoardloopError:
            continue
        return index
    return None
