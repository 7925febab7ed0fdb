"""The trainer's own PreviewService over the captures in memory: what is shown is what a training would see."""

from __future__ import annotations

from typing import TYPE_CHECKING

from services.rpc.boardloop.collector.v1 import collector_pb2 as c
from services.trainer.preview import PreviewService

if TYPE_CHECKING:
    from tests.gateway.canned_collector import Collector

__all__ = ["canned_preview"]


class _Datasets:
    def __init__(self, collector: Collector) -> None:
        self._collector = collector

    def version(self, version_id: str) -> c.DatasetVersion:
        return self._collector.GetVersion(c.GetVersionRequest(version_id=version_id), None).version

    def first(self, version_id: str, count: int) -> list[c.StreamVersionResponse]:
        captures = [capture for capture in self._collector.captures.values() if capture.label][:count]
        jpegs = self._collector.jpegs
        return [
            c.StreamVersionResponse(capture_id=one.id, label=one.label, jpeg=jpegs[one.id], boxes=one.boxes)
            for one in captures
        ]

    def capture(self, capture_id: str) -> tuple[c.Capture, bytes]:
        request = c.GetCaptureRequest(capture_id=capture_id)
        return self._collector.GetCapture(request, None).capture, self._collector.jpegs[capture_id]


def canned_preview(collector: Collector) -> PreviewService:
    """Serves `collector`'s captures."""
    return PreviewService(_Datasets(collector))  # type: ignore[arg-type]
