"""Detection without a framework: boxes, decoders of the maps, average precision, anchors. Needs numpy only."""

from services.trainer.detection.anchors import fit_anchors
from services.trainer.detection.boxes import Box, Detection, Truth, iou
from services.trainer.detection.maps import DetectorMap
from services.trainer.detection.metrics import ClassDetectionScore, DetectionScore, average_precision
from services.trainer.detection.yolo2 import decode

__all__ = [
    "Box",
    "ClassDetectionScore",
    "Detection",
    "DetectionScore",
    "DetectorMap",
    "Truth",
    "average_precision",
    "decode",
    "fit_anchors",
    "iou",
]
