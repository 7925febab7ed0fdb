"""The size of the ONNX file before anything is trained: the file itself, with random weights."""

from __future__ import annotations

from services.trainer.convert.common import check_whole
from services.trainer.convert.contract import Footprint
from services.trainer.convert.cpu_report import logits_of, peak_map_bytes
from services.trainer.convert.onnx_file.write import to_onnx
from services.trainer.graph import Graph

__all__ = ["footprint"]


def footprint(graph: Graph) -> Footprint:
    """Exact: float32 numbers take four bytes, whatever they are."""
    check_whole(graph)
    return Footprint(len(to_onnx(graph, pixels="uint8")), peak_map_bytes(logits_of(graph)))
