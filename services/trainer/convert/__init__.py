"""Converters, one package per target format, in one table.

model = convert(graph, "k210-kmodel-v3", calibration_u8)       ConvertedModel with file and report
logits = simulator("k210-kmodel-v3", model.data).run(images)   what the chip will answer, on numpy alone
"""

from __future__ import annotations

from services.common.errors import InvalidInput, UnsupportedModel
from services.trainer.config import HEADS
from services.trainer.convert import awnn, kmodel_v3, kmodel_v5, ncnn, onnx_file, tinymaix
from services.trainer.convert.contract import (
    ConversionReport,
    ConvertedModel,
    ConvertOptions,
    Images,
    LayerReport,
    Simulator,
    Target,
)
from services.trainer.graph import Graph

__all__ = [
    "TARGETS",
    "ConversionReport",
    "ConvertOptions",
    "ConvertedModel",
    "LayerReport",
    "Simulator",
    "Target",
    "check_head",
    "convert",
    "heads_of",
    "simulator",
]

TARGETS: dict[str, Target] = {
    target.id: target
    for target in (
        kmodel_v3.TARGET,
        *kmodel_v5.TARGETS,
        awnn.TARGET,
        onnx_file.TARGET,
        *tinymaix.TARGETS,
        *ncnn.TARGETS,
    )
}

_FREE = ("linux", "web")  # boards whose programs decode the map themselves


def convert(graph: Graph, target: str, calibration_u8: Images, options: ConvertOptions | None = None) -> ConvertedModel:
    """`graph` as a file for `target`, calibrated on uint8 images (n, c, h, w) of the network's input size.

    Raises UnsupportedModel (naming the layer) where the chip cannot follow, InvalidInput for an unknown target or
    calibration images of the wrong shape or number.
    """
    check_head(graph.kind, target)
    return _target(target).convert(graph, calibration_u8, options or ConvertOptions())


def heads_of(target: str) -> tuple[str, ...]:
    """Those of services.trainer.config.HEADS whose output the programs of the target's boards can read.

    InvalidInput for an unknown target.
    """
    free = _target(target).board_type in _FREE
    return tuple(head for head in HEADS if free or head != "anchor_free")


def check_head(head: str, target: str) -> None:
    """UnsupportedModel for a head that is not of `heads_of`; InvalidInput for an unknown target."""
    if head not in heads_of(target):
        able = ", ".join(one for one in TARGETS if head in heads_of(one))
        raise UnsupportedModel(
            "HEAD_NOT_FOR_TARGET",
            f"The head puts out an anchor-free map, and the decoders of {target} know YOLOv2 only.",
            fix=f"Train with the head yolo2, or convert for {able}.",
        )


def simulator(target: str, data: bytes) -> Simulator:
    """The chip's host simulator with the file `data` loaded; raises UnsupportedModel for a file it cannot run."""
    return _target(target).simulator(data)


def _target(target: str) -> Target:
    if target not in TARGETS:
        known = ", ".join(sorted(TARGETS))
        raise InvalidInput("UNKNOWN_TARGET", f"there is no target {target!r}.", fix=f"Choose one of: {known}.")
    return TARGETS[target]
