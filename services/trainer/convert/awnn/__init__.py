"""Allwinner V831 (Maix-II-Dock with MaixPy3): AWNN int8, the vendor's fork of ncnn for its NPU.

graph ─► lower (float ncnn) ─► calibrate ─► quantise ─► container ─► simulate
         float .param + .bin ─► quantise with a table, as the vendor's closed tool does
"""

from __future__ import annotations

from services.trainer.convert.contract import ConvertedModel, ConvertOptions, Footprint, Images, Simulator, Target
from services.trainer.graph import Graph

__all__ = ["TARGET"]

TARGET_ID = "v831-awnn-int8"


def _convert(graph: Graph, calibration_u8: Images, options: ConvertOptions) -> ConvertedModel:
    from services.trainer.convert.awnn.emit import convert  # needs torch; boards and simulators do not

    return convert(graph, calibration_u8, options)


def _simulator(data: bytes) -> Simulator:
    from services.trainer.convert.awnn.simulate import AwnnSimulator

    return AwnnSimulator(data)


def _unpack(data: bytes, stem: str, suffix: str) -> dict[str, bytes]:
    from services.trainer.convert.awnn.mud import unpack

    return unpack(data, stem, suffix)


def _footprint(graph: Graph) -> Footprint:
    from services.trainer.convert.awnn.footprint import footprint

    return footprint(graph)


TARGET = Target(
    id=TARGET_ID,
    title="Allwinner V831, AWNN int8",
    description="MaixPy3 on the Maix-II-Dock; 8-bit weights and activations on the NPU",
    board_type="v831",
    format="awnn_int8",
    suffix=".awnn",
    convert=_convert,
    simulator=_simulator,
    unpack=_unpack,
    footprint=_footprint,
)
