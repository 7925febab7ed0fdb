"""From a trained network to the ONNX file of a web page, with its report."""

from __future__ import annotations

from services.trainer.convert.common import calibration_images, check_whole, file_stem
from services.trainer.convert.contract import ConvertedModel, ConvertOptions, Images
from services.trainer.convert.cpu_report import cpu_report
from services.trainer.convert.onnx_file import FORMAT, SUFFIX, TARGET_ID
from services.trainer.convert.onnx_file.simulate import OnnxSimulator
from services.trainer.convert.onnx_file.write import to_onnx
from services.trainer.graph import Graph

__all__ = ["convert"]

NOTE = 'Input "input": uint8 (1, c, h, w), RGB, channels first; the normalisation is part of the file. Output "output".'


def convert(graph: Graph, calibration_u8: Images, options: ConvertOptions) -> ConvertedModel:
    """See `services.trainer.convert.convert`. Float32 throughout: the calibration images only measure."""
    check_whole(graph)
    images = calibration_images(graph, calibration_u8, options)
    data = to_onnx(graph, pixels="uint8")
    report = cpu_report(TARGET_ID, graph, data, images, OnnxSimulator(data), notes=(NOTE,))
    return ConvertedModel(TARGET_ID, FORMAT, f"{file_stem(graph.name)}{SUFFIX}", data, report)
