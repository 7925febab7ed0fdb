"""What the 8-bit targets' converters round, as far as a fine-tuning has to know it.

            weights                  maps                                     not rounded
K210        127 steps by channel     0 to 255 between the extremes seen       what follows the average, on the CPU
AWNN        127 steps by channel     -127 to 127, least squared error         nothing
TinyMaix    127 steps by channel     0 to 255 between the extremes seen       nothing
ncnn        127 steps by channel     -127 to 127, least squared error, and    depthwise layers, those on the image, the
                                     moved to the middle where that is free   output

The converters do finer things besides: scales of single channels, copies of channels, roundings that make up for each
other. A network that lives with these rules lives with theirs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from services.common.errors import InvalidInput
from services.trainer.graph import Conv, FullyConnected, GlobalAveragePool, Graph, Layer

__all__ = ["SCHEMES", "Scheme", "check_tunable"]


@dataclass(frozen=True)
class Scheme:
    """Rules of one converter. `image`: whether it is rounded (its bytes are exact elsewhere)."""

    maps: Literal["unsigned", "signed"]
    image: bool = False
    behind_average: bool = True  # 8 bits there too
    half: bool = False  # depthwise layers and those on the image have float16 weights and read unrounded maps

    def rounds_weights(self, layer: Layer, source: int) -> bool:
        """Whether `layer`, which reads layer `source` (-1: the image), has 8-bit weights."""
        return isinstance(layer, Conv | FullyConnected) and not (self.half and _in_half(layer, source))

    def rounds_input(self, layer: Layer, source: int) -> bool:
        """Whether `layer` reads 8 bits of layer `source`."""
        if source < 0:
            return self.image
        if self.half:
            return self.rounds_weights(layer, source)
        return self.behind_average or not isinstance(layer, FullyConnected)

    def rounds_output(self, last: Layer) -> bool:
        """Whether the network's output, that of its last layer, has 8 bits."""
        return not self.half and (self.behind_average or not isinstance(last, FullyConnected | GlobalAveragePool))

    def moves(self, graph: Graph, index: int) -> bool:
        """Whether the map of layer `index` is moved to the middle of the codes: see services.trainer.convert.ncnn."""
        layer = graph.layers[index]
        readers = [reader for reader, sources in zip(graph.layers, graph.wiring(), strict=True) if index in sources]
        rectified = isinstance(layer, Conv | FullyConnected) and layer.activation.kind in ("relu", "relu6")
        return self.half and rectified and all(_sums_up(reader) for reader in readers)


def _in_half(layer: Layer, source: int) -> bool:
    return source < 0 or (isinstance(layer, Conv) and layer.depthwise)


def _sums_up(reader: Layer) -> bool:
    """Every value it gives is a sum over all its weights."""
    if isinstance(reader, Conv):
        return reader.padding == 0 and not reader.depthwise
    return isinstance(reader, FullyConnected)


_K210 = Scheme("unsigned", behind_average=False)
SCHEMES = {
    "k210-kmodel-v3": _K210,
    "v831-awnn-int8": Scheme("signed", image=True),
    "mcu-tinymaix-int8": Scheme("unsigned"),
    "linux-ncnn-int8": Scheme("signed", half=True),
}


def check_tunable(target: str) -> None:
    """InvalidInput (QAT_TARGET) for a target without 8-bit rules."""
    if target not in SCHEMES:
        raise InvalidInput(
            "QAT_TARGET",
            f"qat_epochs: there is no quantisation-aware fine-tuning for {target}.",
            fix=f"Set qat_epochs to 0, or choose one of: {', '.join(SCHEMES)}.",
            field="qat_epochs",
        )
