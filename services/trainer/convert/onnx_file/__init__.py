"""ONNX: the file for onnxruntime and the browser, and the door for networks that were trained elsewhere.

graph ─► write ─► bytes ─► read ─► graph          `to_onnx` and `from_onnx`
                    └────► onnxruntime            the target web-onnx
"""

from __future__ import annotations

from services.trainer.convert.contract import ConvertedModel, ConvertOptions, Footprint, Images, Simulator, Target
from services.trainer.graph import Graph

__all__ = ["TARGET"]

TARGET_ID = "web-onnx"
FORMAT = "onnx"
SUFFIX = ".onnx"


def _convert(graph: Graph, calibration_u8: Images, options: ConvertOptions) -> ConvertedModel:
    from services.trainer.convert.onnx_file.emit import convert  # needs torch; simulators do not

    return convert(graph, calibration_u8, options)


def _simulator(data: bytes) -> Simulator:
    from services.trainer.convert.onnx_file.simulate import OnnxSimulator

    return OnnxSimulator(data)


def _footprint(graph: Graph) -> Footprint:
    from services.trainer.convert.onnx_file.footprint import footprint

    return footprint(graph)


TARGET = Target(
    id=TARGET_ID,
    title="Browser, ONNX",
    description="onnxruntime and onnxruntime-web; float32, pixels in",
    board_type="web",
    format=FORMAT,
    suffix=SUFFIX,
    convert=_convert,
    simulator=_simulator,
    footprint=_footprint,
)
