"""Microcontrollers through TinyMaix (github.com/sipeed/TinyMaix): one .tmdl file, or the same bytes as a C header.

graph ─► lower ─► calibrate (int8 only) ─► memory ─► emit ─► writer ─► file ─► reader ─► simulate
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from services.trainer.convert.contract import ConvertedModel, ConvertOptions, Footprint, Images, Simulator, Target
from services.trainer.graph import Graph

__all__ = ["FP32_ID", "INT8_ID", "TARGETS"]

INT8_ID = "mcu-tinymaix-int8"
FP32_ID = "mcu-tinymaix-fp32"


def _converter(target: str) -> Callable[[Graph, Images, ConvertOptions], ConvertedModel]:
    def convert(graph: Graph, calibration_u8: Images, options: ConvertOptions) -> ConvertedModel:
        from services.trainer.convert.tinymaix.emit import emit  # needs torch; boards and simulators do not

        return emit(graph, calibration_u8, options, target)

    return convert


def _simulator(data: bytes) -> Simulator:
    from services.trainer.convert.tinymaix.simulate import TmdlSimulator

    return TmdlSimulator(data)


def _unpack(data: bytes, stem: str, suffix: str) -> dict[str, bytes]:
    from services.trainer.convert.tinymaix.header import c_header

    return {f"{stem}{suffix}": data, f"{stem}.h": c_header(data).encode()}


def _footprint(target: str, graph: Graph) -> Footprint:
    from services.trainer.convert.tinymaix.footprint import footprint

    return footprint(target, graph)


TARGETS = tuple(
    Target(
        id=target,
        title=f"Microcontroller, TinyMaix {kind}",
        description=description,
        board_type="mcu",
        format="tinymaix",
        suffix=".tmdl",
        convert=_converter(target),
        simulator=_simulator,
        unpack=_unpack,
        footprint=partial(_footprint, target),
    )
    for target, kind, description in (
        (INT8_ID, "int8", "any C compiler; 8-bit weights and activations, a quarter of the float model's memory"),
        (FP32_ID, "fp32", "any C compiler; float weights and activations, for chips with a float unit"),
    )
)
