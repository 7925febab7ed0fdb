"""From a trained network to a kmodel V3 file with its report.

main memory:  | bytes of the last map | its floats | average | fully connected ... |     each at a multiple of 8
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from services.trainer.convert.common import calibration_images, file_stem, one_blas_thread
from services.trainer.convert.contract import ConvertedModel, ConvertOptions, Images
from services.trainer.convert.kmodel_v3.calibrate import QuantisedStage, calibrate
from services.trainer.convert.kmodel_v3.cpu_base import CpuLayer
from services.trainer.convert.kmodel_v3.cpu_bytes import Dequantize
from services.trainer.convert.kmodel_v3.cpu_float import FullyConnectedLayer, GlobalAveragePool2d
from services.trainer.convert.kmodel_v3.detector import check_detector
from services.trainer.convert.kmodel_v3.firmware import check_size
from services.trainer.convert.kmodel_v3.layers import MAIN_MEM_OUT, KModel, Layer, Output
from services.trainer.convert.kmodel_v3.lower import lower
from services.trainer.convert.kmodel_v3.report import make_report
from services.trainer.convert.kmodel_v3.stages import Lowered
from services.trainer.convert.kmodel_v3.writer import write
from services.trainer.graph import FullyConnected, Graph

__all__ = ["assemble", "convert"]

ACTIVATIONS = {"none": 0, "relu": 1, "relu6": 2}


def convert(graph: Graph, calibration_u8: Images, options: ConvertOptions) -> ConvertedModel:
    """See `services.trainer.convert.convert`. Output of the file: logits (or the last map, CHW) in float32."""
    check_detector(graph)
    lowered = lower(graph)
    images = calibration_images(graph, calibration_u8, options)
    with one_blas_thread(), _one_torch_thread():
        stages = calibrate(lowered, graph.input, images, options)
        model = assemble(stages, lowered)
        data = write(model)
        check_size(len(data), model.main_memory, options)
        report = make_report(graph, lowered, stages, model, data, images, options)
    return ConvertedModel(report.target, "kmodel_v3", f"{file_stem(graph.name)}.kmodel", data, report)


@contextmanager
def _one_torch_thread() -> Iterator[None]:
    """torch's threads spin while they wait for each other: on two cores that somebody else uses too, one thread
    converts more than twice as fast as two."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def assemble(stages: list[QuantisedStage], lowered: Lowered) -> KModel:
    """The whole file: the convolutions, then the float layers, each with its place in main memory."""
    convs = [stage.conv for stage in stages]
    last = replace(convs[-1], flags=MAIN_MEM_OUT, output=0)
    shape, out = last.shape, stages[-1].out
    count = last.output_bytes
    address = _align(count)
    layers: list[Layer] = [*convs[:-1], last]
    scale = float(out.scale[0])
    layers.append(Dequantize(1, 0, address, count, scale, -float(out.zero_point[0]) * scale))
    address, size, end = _append_tail(layers, lowered, address, count, shape.out_height * shape.out_width)
    lowest = min(min(conv.source_row, conv.target_row) for conv in convs)
    return KModel(tuple(layers), (Output(address, 4 * size),), _align(end), lowest)


def _append_tail(layers: list[Layer], lowered: Lowered, address: int, count: int, pixels: int) -> tuple[int, int, int]:
    """Appends the float layers behind `count` floats at `address`; returns address, count of the result, memory end."""
    end = _align(address + 4 * count)
    for part in lowered.tail:
        layer: CpuLayer
        if isinstance(part, FullyConnected):
            weight, bias = part.weight.astype(np.float32), part.bias.astype(np.float32)
            outputs = len(bias)
            kind = ACTIVATIONS[part.activation.kind]
            layer = FullyConnectedLayer(0, address, end, count, outputs, kind, weight, bias)
        else:
            outputs = count // pixels
            layer = GlobalAveragePool2d(1, address, end, pixels, outputs)
        layers.append(layer)
        address, count = end, outputs
        end = _align(address + 4 * count)
    return address, count, end


def _align(size: int) -> int:
    """DMA writes whole groups of eight bytes."""
    return (size + 7) // 8 * 8
