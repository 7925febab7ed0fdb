"""From a trained network to a .tmdl file with its report."""

from __future__ import annotations

import numpy as np

from services.trainer.convert.common import calibration_images, file_stem
from services.trainer.convert.contract import ConvertedModel, ConvertOptions, Images
from services.trainer.convert.tinymaix import INT8_ID
from services.trainer.convert.tinymaix.calibrate import QuantisedStep, calibrate
from services.trainer.convert.tinymaix.floats import check_relu6, float_layers
from services.trainer.convert.tinymaix.fold import float_code, int8_code, with_right_border
from services.trainer.convert.tinymaix.layers import FileLayer, Head, Kind, MdlType, Model, PlainLayer, elements
from services.trainer.convert.tinymaix.limits import check_size
from services.trainer.convert.tinymaix.lower import Step, dims, lower
from services.trainer.convert.tinymaix.memory import Plan, plan
from services.trainer.convert.tinymaix.report import make_report
from services.trainer.convert.tinymaix.writer import write
from services.trainer.graph import Graph

__all__ = ["emit", "model_of"]

CALIBRATION_ELEMENTS = 1 << 25  # of the largest map over all images: 128 MiB of floats


def emit(graph: Graph, calibration_u8: Images, options: ConvertOptions, target: str) -> ConvertedModel:
    """See `services.trainer.convert.convert`. Output of the file: logits (or the last map) in float32."""
    int8 = target == INT8_ID
    code = int8_code(graph.input) if int8 else float_code(graph.input)
    steps = with_right_border(lower(graph), graph.input, code)
    images = _affordable(calibration_images(graph, calibration_u8, options), steps)
    place = plan(steps, 1 if int8 else 4, dequantise=int8)
    check_size(steps, place.size)
    done: list[QuantisedStep] = []
    if int8:
        done = list(calibrate(steps, place, graph.input, images, options))
        layers: list[FileLayer] = [*(quantised.layer for quantised in done), _output(done[-1])]
        warnings: tuple[str, ...] = ()
    else:
        warnings = check_relu6(graph, images)
        layers = float_layers(graph, steps, place, code)
    model = model_of(graph, steps, place, MdlType.INT8 if int8 else MdlType.FP32, layers)
    data = write(model)
    report = make_report(graph, target, steps, done, model, data, images, warnings)
    return ConvertedModel(target, "tinymaix", f"{file_stem(graph.name)}.tmdl", data, report)


def _affordable(images: Images, steps: tuple[Step, ...]) -> Images:
    largest = max(max(elements(step.in_dims), elements(step.out_dims)) for step in steps)
    count = min(len(images), max(4, CALIBRATION_ELEMENTS // largest))
    chosen: Images = images[np.linspace(0, len(images) - 1, count).round().astype(int)]
    return chosen


def model_of(graph: Graph, steps: tuple[Step, ...], place: Plan, mdl_type: MdlType, layers: list[FileLayer]) -> Model:
    """The whole file in memory; `place` says where its maps lie."""
    spec = graph.input
    image = dims((spec.channels, spec.height, spec.width))
    return Model(mdl_type, mdl_type is MdlType.INT8, place.size, image, steps[-1].out_dims, tuple(layers))


def _output(last: QuantisedStep) -> PlainLayer:
    """A reshape that changes nothing: it carries the output's real scale, which the last layer's ReLU6 has hidden."""
    head, levels = last.layer.head, last.levels
    dims, scale = (head.out_dims, head.out_dims), (levels.step, levels.zero_point)
    return PlainLayer(Head(Kind.RESHAPE, True, head.out_oft, head.out_oft, *dims, *scale, *scale))
