"""The report of a converted model that a general processor runs, layer by layer as the graph has them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from services.trainer.convert.common import agreement, snr_db
from services.trainer.convert.contract import ConversionReport, Images, LayerReport, Simulator
from services.trainer.graph import Conv, Graph, Softmax

__all__ = ["cpu_report", "logits_of", "peak_map_bytes"]

FLOAT_BYTES = 4
LOW_AGREEMENT = 0.9


def logits_of(graph: Graph) -> Graph:
    """The network without a softmax at its end, which no file has."""
    if isinstance(graph.layers[-1], Softmax):
        return replace(graph, layers=graph.layers[:-1])
    return graph


def peak_map_bytes(graph: Graph) -> int:
    """Float32 bytes of all maps that are needed at once at the worst moment of one image."""
    sizes = [FLOAT_BYTES * math.prod(shape) for shape in graph.shapes()]
    wires, last = graph.wiring(), graph.last_uses()
    image = FLOAT_BYTES * graph.input.channels * graph.input.height * graph.input.width
    image_until = max((i for i, sources in enumerate(wires) if -1 in sources), default=0)
    live, peak = image, image
    for i, sources in enumerate(wires):
        live += sizes[i]
        peak = max(peak, live)
        live -= sum(sizes[source] for source in set(sources) if source >= 0 and last[source] == i)
        live -= image if i == image_until else 0
    return peak


def cpu_report(
    target: str,
    graph: Graph,
    data: bytes,
    images: Images,
    simulator: Simulator,
    layer_snr: Mapping[str, float] | None = None,
    notes: tuple[str, ...] = (),
) -> ConversionReport:
    """Runs float network and file on the calibration images and writes down what differs. Needs torch."""
    network = logits_of(graph)
    wanted, got = network.run_float(images), simulator.run(images)
    agreed, snr = agreement(wanted, got), layer_snr or {}
    warnings: tuple[str, ...] = ()
    if agreed < LOW_AGREEMENT:
        warnings = (f"only {agreed:.0%} of the calibration images get the float network's answer.",)
    layers = [
        LayerReport(layer.name, _kind(layer), "CPU", shape, (0.0, 0.0), snr.get(layer.name))
        for layer, shape in zip(network.layers, network.shapes(), strict=True)
    ]
    return ConversionReport(
        target=target,
        file_size=len(data),
        main_memory=peak_map_bytes(network),
        layers=tuple(layers),
        calibration_images=len(images),
        agreement=agreed,
        output_snr_db=snr_db(wanted, got),
        warnings=warnings,
        notes=notes,
    )


def _kind(layer: object) -> str:
    if isinstance(layer, Conv):
        size = layer.weight.shape[2]
        return f"{'depthwise' if layer.depthwise else 'conv'} {size}x{size}"
    return type(layer).__name__
