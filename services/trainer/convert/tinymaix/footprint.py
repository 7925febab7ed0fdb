"""The size of a .tmdl before anything is trained: the steps with empty numbers, written as ever."""

from __future__ import annotations

import numpy as np

from services.trainer.convert.contract import Footprint
from services.trainer.convert.tinymaix import INT8_ID
from services.trainer.convert.tinymaix.calibrate import KINDS
from services.trainer.convert.tinymaix.emit import model_of
from services.trainer.convert.tinymaix.floats import float_layers
from services.trainer.convert.tinymaix.fold import float_code, int8_code, with_right_border
from services.trainer.convert.tinymaix.layers import (
    Act,
    AddLayer,
    ConvLayer,
    FileLayer,
    Head,
    Kind,
    MdlType,
    PlainLayer,
)
from services.trainer.convert.tinymaix.limits import check_size
from services.trainer.convert.tinymaix.lower import Step, lower
from services.trainer.convert.tinymaix.memory import Plan, plan
from services.trainer.convert.tinymaix.writer import write
from services.trainer.graph import Graph

__all__ = ["footprint"]


def footprint(target: str, graph: Graph) -> Footprint:
    """Exact. UnsupportedModel, naming the layer, for what TinyMaix has not or no microcontroller holds."""
    int8 = target == INT8_ID
    code = int8_code(graph.input) if int8 else float_code(graph.input)
    steps = with_right_border(lower(graph), graph.input, code)
    place = plan(steps, 1 if int8 else 4, dequantise=int8)
    check_size(steps, place.size)
    layers = _empty_layers(steps, place) if int8 else float_layers(graph, steps, place, code)
    model = model_of(graph, steps, place, MdlType.INT8 if int8 else MdlType.FP32, layers)
    return Footprint(len(write(model)), place.size)


def _empty_layers(steps: tuple[Step, ...], place: Plan) -> list[FileLayer]:
    """What calibration makes of the steps, with zeros for its numbers, and the reshape that marks the output."""
    layers: list[FileLayer] = []
    for i, step in enumerate(steps):
        sources = [0 if source < 0 else place.offsets[source] for source in step.sources]
        head = Head(KINDS[step.kind], False, sources[0], place.offsets[i], step.in_dims, step.out_dims)
        if step.kind == "add":
            layers.append(AddLayer(head, sources[1]))
        elif step.kind in ("average", "reshape"):
            layers.append(PlainLayer(head))
        else:
            channels, pad = len(step.bias), (step.padding,) * 4
            weight, bias = np.zeros(step.weight.shape, np.int8), np.zeros(channels, np.int32)
            stride = (step.stride, step.stride)
            layers.append(ConvLayer(head, stride, Act.RELU6, pad, weight, bias, np.ones(channels, np.float32)))
    dims, at = steps[-1].out_dims, place.offsets[-1]
    return [*layers, PlainLayer(Head(Kind.RESHAPE, True, at, at, dims, dims))]
