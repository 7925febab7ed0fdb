"""Kendryte K210: kmodel V5, for firmware that was built on nncase 1.x. The file and its simulator are nncase's own.

graph ─► prepare ─► onnx_file ─► [ nncase, a Python 3.10 process ] ─► file ─► [ nncase ] ─► floats

A runtime takes only the files of its own version: the operation numbers of the CPU part changed in between.
"""

from __future__ import annotations

from functools import partial

from services.trainer.convert.contract import ConvertedModel, ConvertOptions, Footprint, Images, Simulator, Target
from services.trainer.graph import Graph

__all__ = ["TARGETS"]


def _convert(
    target: str, version: str, graph: Graph, calibration_u8: Images, options: ConvertOptions
) -> ConvertedModel:
    from services.trainer.convert.kmodel_v5.emit import convert  # needs torch and onnx

    return convert(graph, calibration_u8, options, target, version)


def _simulator(version: str, data: bytes) -> Simulator:
    from services.trainer.convert.kmodel_v5.simulate import KModelV5Simulator

    return KModelV5Simulator(data, version)


def _footprint(version: str, graph: Graph) -> Footprint:
    from services.trainer.convert.kmodel_v5.footprint import footprint

    return footprint(version, graph)


def _target(id: str, version: str, firmware: str) -> Target:
    return Target(
        id=id,
        title=f"Kendryte K210, kmodel V5 (nncase {version})",
        description=f"{firmware}; compiled and simulated by nncase {version}, which needs a Python 3.10",
        board_type="k210",
        format="kmodel_v5",
        suffix=".kmodel",
        convert=partial(_convert, id, version),
        simulator=partial(_simulator, version),
        footprint=partial(_footprint, version),
    )


TARGETS = (
    _target("k210-kmodel-v5", "1.9", "Firmware built on the nncase 1.9 runtime"),
    _target("k210-kmodel-v5-nncase1.1", "1.1", "Firmware built on the nncase 1.1 runtime, CanMV's feat/kpu branch"),
)
