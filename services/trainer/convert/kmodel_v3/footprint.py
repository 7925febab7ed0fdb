"""The size of a kmodel V3 before anything is trained: the lowered network with empty numbers, written as ever.

Nothing in the file's layout depends on the values of the weights, so the size is exact.
"""

from __future__ import annotations

import numpy as np

from services.common.errors import UnsupportedModel
from services.trainer.convert.contract import ConvertOptions, Footprint
from services.trainer.convert.kmodel_v3.activation import SEGMENTS, ActivationTable
from services.trainer.convert.kmodel_v3.calibrate import QuantisedStage
from services.trainer.convert.kmodel_v3.detector import check_detector
from services.trainer.convert.kmodel_v3.emit import assemble
from services.trainer.convert.kmodel_v3.firmware import board_memory, check_size
from services.trainer.convert.kmodel_v3.layers import KpuConv
from services.trainer.convert.kmodel_v3.lower import lower
from services.trainer.convert.kmodel_v3.registers import ConvShape, Quantisation
from services.trainer.convert.kmodel_v3.scales import Scale
from services.trainer.convert.kmodel_v3.stages import Stage
from services.trainer.convert.kmodel_v3.writer import write
from services.trainer.graph import Graph

__all__ = ["footprint", "memory_footprint"]

NOTHING = (0,) * SEGMENTS
EMPTY_TABLE = ActivationTable(NOTHING, NOTHING, NOTHING, NOTHING)


def footprint(graph: Graph) -> Footprint:
    """UnsupportedModel, naming the layer, where the KPU cannot follow the network."""
    check_detector(graph)
    lowered = lower(graph)
    stages = [_empty(stage, shape) for stage, shape in zip(lowered.stages, lowered.shapes, strict=True)]
    model = assemble(stages, lowered)
    return memory_footprint(len(write(model)), model.main_memory)


def memory_footprint(file_size: int, main_memory: int) -> Footprint:
    """With the RAM on every firmware, and whether any has that much."""
    too_large = ""
    try:
        check_size(file_size, main_memory, ConvertOptions())
    except UnsupportedModel as error:
        too_large = str(error)
    return Footprint(file_size, main_memory, board_memory(file_size, main_memory), too_large)


def _empty(stage: Stage, shape: ConvShape) -> QuantisedStage:
    """The stage with zeros for everything that calibration finds out."""
    channels = shape.out_channels
    weights = np.zeros(stage.weight.shape, np.uint8)
    norm = np.zeros(channels, np.int64)
    conv = KpuConv(shape, 0, 0, Quantisation(), weights, norm, norm, norm, EMPTY_TABLE)
    scale = Scale(np.ones(channels), np.zeros(channels))
    return QuantisedStage(stage, conv, scale, 0, 0.0)
