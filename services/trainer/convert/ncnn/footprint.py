"""The size of an ncnn archive before anything is trained, from the rules of its .bin; pnnx need not run.

    fp16   tag 4 B, 2 B a weight                                  int8   tag 4 B, 1 B a weight, 4 B a channel + 4 B
    each weight array padded to 4 B; then biases, 4 B a channel. Depthwise layers and the one on the image: always fp16

The text of .param has about as many characters a line as pnnx writes for such a layer; all of it is a few kilobytes.
"""

from __future__ import annotations

from services.trainer.convert.common import check_whole
from services.trainer.convert.contract import Footprint
from services.trainer.convert.cpu_report import logits_of, peak_map_bytes
from services.trainer.convert.ncnn import INT8_ID
from services.trainer.convert.ncnn.archive import Archive
from services.trainer.convert.ncnn.emit import description_of
from services.trainer.graph import Add, Conv, FullyConnected, Graph

__all__ = ["footprint"]

TAG = VALUE = 4  # bytes
CONV_LINE, DEPTHWISE_LINE, ADD_LINE, SPLIT_LINE, OTHER_LINE = 128, 150, 66, 64, 80  # characters


def footprint(target: str, graph: Graph) -> Footprint:
    """UnsupportedModel for a network with weights or shapes that do not fit each other."""
    network = logits_of(graph)
    check_whole(network)
    int8 = target == INT8_ID
    weights = sum(
        _layer_bytes(layer, int8 and sources[0] >= 0)
        for layer, sources in zip(network.layers, network.wiring(), strict=True)
        if isinstance(layer, Conv | FullyConnected)
    )
    archive = Archive(b" " * _text_bytes(network), bytes(weights), description_of(network, "int8" if int8 else "fp16"))
    return Footprint(len(archive.pack()), peak_map_bytes(network))


def _layer_bytes(layer: Conv | FullyConnected, int8: bool) -> int:
    small = int8 and not (isinstance(layer, Conv) and layer.depthwise)
    stored = layer.weight.size * (1 if small else 2)
    scales = VALUE * (len(layer.bias) + 1) if small else 0
    return TAG + stored + -stored % 4 + VALUE * len(layer.bias) + scales


def _text_bytes(graph: Graph) -> int:
    total = 2 * OTHER_LINE  # head and input
    for layer in graph.layers:
        if isinstance(layer, Conv):
            total += DEPTHWISE_LINE if layer.depthwise else CONV_LINE
            total += OTHER_LINE if layer.activation.kind == "leaky" else 0
        else:
            total += ADD_LINE if isinstance(layer, Add) else OTHER_LINE
    read = [source for sources in graph.wiring() for source in sources]
    return total + SPLIT_LINE * sum(read.count(source) > 1 for source in set(read))
