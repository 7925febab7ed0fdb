"""What the boards' YOLOv2 decoders ask of a detector's last map.

Sources: MaixPy-v1, Maix_kpu.c (`run_yolo2` takes channels/5 - 5 for the number of classes, so it needs five anchors);
CanMV's `init_yolo2` is told the number of anchors.
"""

from __future__ import annotations

from services.trainer.convert.common import unsupported
from services.trainer.graph import Graph

__all__ = ["MAIXPY_ANCHORS", "check_detector", "detector_warnings"]

MAIXPY_ANCHORS = 5
BOX_VALUES = 5  # x, y, w, h, objectness


def check_detector(graph: Graph) -> None:
    """Raises UnsupportedModel if the last map of a network with anchors is not one that a decoder can read."""
    if not graph.anchors:
        return
    shape, name = graph.shapes()[-1], graph.layers[-1].name
    wanted = len(graph.anchors) * (BOX_VALUES + len(graph.labels))
    if len(shape) != 3 or shape[0] != wanted:
        raise unsupported(
            name,
            f"an output {shape} for {len(graph.anchors)} anchors and {len(graph.labels)} labels; a YOLOv2 detector "
            f"gives anchors*(5 + labels) = {wanted} channels of a map",
            "End the network with a 1x1 convolution of that many channels.",
            "DETECTOR_SHAPE",
        )


def detector_warnings(graph: Graph) -> tuple[str, ...]:
    count = len(graph.anchors)
    if count in (0, MAIXPY_ANCHORS):
        return ()
    return (f"{count} anchors: MaixPy's run_yolo2 reads maps of exactly {MAIXPY_ANCHORS}; only CanMV can decode this.",)
