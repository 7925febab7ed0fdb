"""The size of a V831 model before anything is trained: the lowered network with one scale for everything.

Weights, biases and factors take their exact room; the text beside them has numbers whose length differs by some digits.
"""

from __future__ import annotations

import numpy as np

from services.common.errors import UnsupportedModel
from services.trainer.convert.awnn.calibrate import INPUT_SCALE, Calibrated
from services.trainer.convert.awnn.container import pack
from services.trainer.convert.awnn.emit import check_file_size, container_of
from services.trainer.convert.awnn.lower import Lowered, lower
from services.trainer.convert.awnn.network import peak_values
from services.trainer.convert.awnn.quantise import Quantised, quantise
from services.trainer.convert.awnn.shapes import blob_shapes
from services.trainer.convert.awnn.table import Scales
from services.trainer.convert.contract import BoardMemory, ConvertOptions, Footprint
from services.trainer.graph import Graph

__all__ = ["footprint"]

BLOB_SCALE, WEIGHT_SCALE = np.float32(21.166667), np.float32(211.166667)  # as long as most, in digits


def footprint(graph: Graph) -> Footprint:
    """UnsupportedModel, naming the layer, for what the NPU cannot follow."""
    lowered = lower(graph)
    quantised = _quantised(lowered)
    size = len(pack(container_of(graph, lowered, Calibrated(quantised, Scales(), {}))))
    memory = peak_values(quantised.layers, blob_shapes(quantised.layers))
    too_large = ""
    try:
        check_file_size(size, ConvertOptions())
    except UnsupportedModel as error:
        too_large = str(error)
    return Footprint(size, memory, (BoardMemory("MaixPy3", size + memory),), too_large)


def _quantised(lowered: Lowered) -> Quantised:
    blobs = {blob: BLOB_SCALE for layer in lowered.layers for blob in layer.outputs}
    blobs |= {blob: INPUT_SCALE for layer in lowered.layers if layer.type == "Input" for blob in layer.outputs}
    weights = {name: np.full(len(given.weight), WEIGHT_SCALE, np.float32) for name, given in lowered.weights.items()}
    return quantise(lowered.layers, lowered.weights, Scales(blobs, weights))
