"""Kendryte K210: kmodel V3, the format that every stock MaixPy-v1 and CanMV firmware loads.

graph ─► lower ─► place maps ─► calibrate (scales, rounding, biases) ─► emit ─► writer ─► file ─► reader ─► simulate
"""

from __future__ import annotations

from services.trainer.convert.contract import ConvertedModel, ConvertOptions, Footprint, Images, Simulator, Target
from services.trainer.graph import Graph

__all__ = ["TARGET"]

TARGET_ID = "k210-kmodel-v3"


def _convert(graph: Graph, calibration_u8: Images, options: ConvertOptions) -> ConvertedModel:
    from services.trainer.convert.kmodel_v3.emit import convert  # needs torch; boards and simulators do not

    return convert(graph, calibration_u8, options)


def _simulator(data: bytes) -> Simulator:
    from services.trainer.convert.kmodel_v3.simulate import KModelSimulator

    return KModelSimulator(data)


def _footprint(graph: Graph) -> Footprint:
    from services.trainer.convert.kmodel_v3.footprint import footprint

    return footprint(graph)


TARGET = Target(
    id=TARGET_ID,
    title="Kendryte K210, kmodel V3",
    description="MaixPy-v1 and CanMV firmware; 8-bit weights and activations on the KPU",
    board_type="k210",
    format="kmodel_v3",
    suffix=".kmodel",
    convert=_convert,
    simulator=_simulator,
    footprint=_footprint,
)
