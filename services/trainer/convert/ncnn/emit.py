"""From a trained network to an ncnn archive with its report.

graph ─► ONNX ─► pnnx ─► param + bin in float32 ─► float16 or int8 weights ─► archive ─► the ncnn runtime measures it
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from services.common.errors import Internal
from services.trainer.convert.common import calibration_images, check_whole, file_stem, snr_db, unsupported
from services.trainer.convert.contract import ConvertedModel, ConvertOptions, Images
from services.trainer.convert.cpu_report import cpu_report, logits_of
from services.trainer.convert.ncnn import FORMAT, INT8_ID, SUFFIX
from services.trainer.convert.ncnn.archive import Description
from services.trainer.convert.ncnn.int8 import Network, quantised, spread
from services.trainer.convert.ncnn.pnnx_run import run_pnnx
from services.trainer.convert.ncnn.quantise import in_half
from services.trainer.convert.ncnn.ranges import Floats, input_statistics
from services.trainer.convert.ncnn.simulate import NcnnSimulator
from services.trainer.convert.ncnn_bin import LayerWeights, read_weights
from services.trainer.convert.ncnn_text import read_param
from services.trainer.convert.onnx_file.write import to_onnx
from services.trainer.graph import Conv, FullyConnected, Graph

__all__ = ["convert", "description_of"]

INPUT, OUTPUT = "in0", "out0"  # pnnx's names
SNR_IMAGES = 8
_LARGEST_HALF = 65504


def convert(target: str, graph: Graph, calibration_u8: Images, options: ConvertOptions) -> ConvertedModel:
    """See `services.trainer.convert.convert`. Output of the file: logits, or the last map."""
    network = logits_of(graph)
    check_whole(network)
    _check_half(network)
    images = calibration_images(network, calibration_u8, options)
    description = description_of(network, "int8" if target == INT8_ID else "fp16")
    exported = _exported(network)
    if target == INT8_ID:
        stored = quantised(network, exported, description, images, options)
    else:
        stored = _halved(network, exported, images, options)
    data = stored.pack(description)
    simulator = NcnnSimulator(data)
    snr = _layer_snr(network, stored, simulator, spread(images, SNR_IMAGES))
    report = cpu_report(target, network, data, images, simulator, snr)
    return ConvertedModel(target, FORMAT, f"{file_stem(graph.name)}{SUFFIX}", data, report)


def _check_half(graph: Graph) -> None:
    for layer in graph.layers:
        if isinstance(layer, Conv | FullyConnected) and np.abs(layer.weight).max(initial=0) > _LARGEST_HALF:
            raise unsupported(
                layer.name,
                f"a weight is above {_LARGEST_HALF}, the largest float16",
                "Train with a lower learning rate.",
            )


def description_of(graph: Graph, weights: str) -> Description:
    """model.json of the archive; `weights`: "fp16" or "int8"."""
    spec = graph.input
    return Description(
        name=graph.name,
        weights=weights,
        input=INPUT,
        shape=(spec.channels, spec.height, spec.width),
        mean=tuple(255 * mean for mean in spec.mean),
        norm=tuple(1 / (255 * std) for std in spec.std),
        output=OUTPUT,
        labels=graph.labels,
        anchors=graph.anchors,
        head=graph.head,
    )


def _exported(graph: Graph) -> Network:
    """The network as pnnx writes it, float32."""
    param, data = run_pnnx(to_onnx(graph))
    layers = read_param(param)
    weights = read_weights(layers, data)
    return Network(layers, weights, _graph_layers(graph, weights), {})


def _graph_layers(graph: Graph, weights: Mapping[str, LayerWeights]) -> dict[str, Conv | FullyConnected]:
    """The graph's layer behind every ncnn layer with weights: pnnx names and orders them by its own rules."""
    rest = [layer for layer in graph.layers if isinstance(layer, Conv | FullyConnected)]
    found = {}
    for name, stored in weights.items():
        for i, layer in enumerate(rest):
            same_bias = stored.bias is None or np.array_equal(layer.bias, stored.bias)
            if same_bias and np.array_equal(layer.weight, stored.weight):
                found[name] = rest.pop(i)
                break
    if rest or len(found) != len(weights):
        raise Internal(
            "PNNX_WEIGHTS",
            f"pnnx wrote {len(weights)} layers with weights; {len(rest)} of the network's are not among them.",
            fix="Use the pnnx version that Boardloop was tested with (docs/targets.md).",
        )
    return found


def _halved(graph: Graph, network: Network, images: Images, options: ConvertOptions) -> Network:
    seen = input_statistics(graph, images, histogram=False)
    weights = {
        name: in_half(stored, seen[network.names[name].name].mean(), options)
        for name, stored in network.weights.items()
    }
    return Network(network.layers, weights, network.names, {})


def _layer_snr(graph: Graph, network: Network, simulator: NcnnSimulator, images: Images) -> dict[str, float]:
    """By graph layer, of the layers with weights: the runtime gives their outputs by name."""
    blobs = {
        layer.outputs[0]: network.names[layer.name].name for layer in network.layers if layer.name in network.names
    }
    wanted: dict[str, list[Floats]] = {name: [] for name in blobs.values()}
    graph.run_float(images, lambda layer, y: wanted[layer.name].append(y.copy()) if layer.name in wanted else None)
    rows = simulator.blobs(images, list(blobs))
    found = {}
    for i, name in enumerate(blobs.values()):
        reference = np.concatenate(wanted[name]).reshape(len(images), -1)
        found[name] = snr_db(reference, np.stack([row[i] for row in rows]) + np.float32(network.shift.get(name, 0.0)))
    return found
