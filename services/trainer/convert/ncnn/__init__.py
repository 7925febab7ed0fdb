"""ncnn, for Linux boards and phones: one zip of .param, .bin and model.json.

graph ─► ONNX ─► pnnx ─► float16, or our own int8 tables ─► archive ─► the ncnn runtime itself
"""

from __future__ import annotations

from functools import partial

from services.trainer.convert.contract import ConvertedModel, ConvertOptions, Footprint, Images, Simulator, Target
from services.trainer.graph import Graph

__all__ = ["TARGETS"]

FP16_ID, INT8_ID = "linux-ncnn-fp16", "linux-ncnn-int8"
FORMAT = "ncnn"
SUFFIX = ".ncnn.zip"


def _convert(target: str, graph: Graph, calibration_u8: Images, options: ConvertOptions) -> ConvertedModel:
    from services.trainer.convert.ncnn.emit import convert  # needs torch; boards and simulators do not

    return convert(target, graph, calibration_u8, options)


def _simulator(data: bytes) -> Simulator:
    from services.trainer.convert.ncnn.simulate import NcnnSimulator

    return NcnnSimulator(data)


def _unpack(data: bytes, stem: str, suffix: str) -> dict[str, bytes]:
    from services.trainer.convert.ncnn.archive import unpack

    return unpack(data)


def _footprint(target: str, graph: Graph) -> Footprint:
    from services.trainer.convert.ncnn.footprint import footprint

    return footprint(target, graph)


TARGETS = tuple(
    Target(
        id=target,
        title=f"Linux boards and phones, ncnn {precision}",
        description=description,
        board_type="linux",
        format=FORMAT,
        suffix=SUFFIX,
        convert=partial(_convert, target),
        simulator=_simulator,
        unpack=_unpack,
        footprint=partial(_footprint, target),
    )
    for target, precision, description in (
        (FP16_ID, "fp16", "weights in half precision"),
        (INT8_ID, "int8", "8-bit weights and activations, calibrated on training images"),
    )
)
