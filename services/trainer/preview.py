"""PreviewService: a person's own pictures through the very code that changes them in a training.

collector ──► JPEGs, boxes ──► to_input ──► augmented or augmented_scenes, seed by seed ──► JPEGs, boxes
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import grpc
import numpy as np
import numpy.typing as npt

from services.common.errors import FailedPrecondition, InvalidInput
from services.rpc.boardloop.collector.v1 import collector_pb2
from services.rpc.boardloop.trainer.v1 import trainer_pb2 as pb
from services.rpc.boardloop.trainer.v1 import trainer_pb2_grpc
from services.trainer import parameters
from services.trainer.config import TrainingConfig
from services.trainer.datasets import Datasets
from services.trainer.imaging import to_input

__all__ = ["PreviewService"]

MOST_PICTURES, MOST_VARIANTS = 12, 8
_PICTURES, _VARIANTS = 4, 3


@dataclass(frozen=True)
class _Source:
    capture_id: str
    label: str
    jpeg: bytes
    boxes: Sequence[collector_pb2.Box]


class PreviewService(trainer_pb2_grpc.PreviewServiceServicer):
    def __init__(self, datasets: Datasets) -> None:
        self._datasets = datasets

    def PreviewAugmentation(
        self, request: pb.PreviewAugmentationRequest, context: grpc.ServicerContext
    ) -> pb.PreviewAugmentationResponse:
        count, variants = request.pictures or _PICTURES, request.variants or _VARIANTS
        if count > MOST_PICTURES or variants > MOST_VARIANTS or len(request.capture_ids) > MOST_PICTURES:
            raise InvalidInput(
                "PREVIEW_TOO_LARGE",
                f"A preview has at most {MOST_PICTURES} pictures and {MOST_VARIANTS} variants of each.",
                fix="Ask for fewer.",
            )
        size = request.parameters.input_size or TrainingConfig().input_size
        height = request.parameters.input_height or size
        if not (32 <= size <= 512 and 32 <= height <= 512):
            raise InvalidInput("TRAINING_PARAMETERS", f"The input is {size}x{height}.", fix="Choose 96 to 320.")
        sources, detection = self._sources(request, count)
        changes = parameters.changes(request.parameters, detection)
        pictures = [pb.PreviewPicture(capture_id=one.capture_id, label=one.label) for one in sources]
        inputs: list[npt.NDArray[np.uint8]] = []
        readable: list[int] = []
        for index, source in enumerate(sources):
            try:
                inputs.append(to_input(source.jpeg, size, height, f"capture {source.capture_id}"))
                readable.append(index)
            except InvalidInput as error:
                pictures[index].error = str(error)
        if readable:
            from services.trainer.preview_drawing import draw  # torch: two seconds, only when it is needed

            draw(
                [pictures[i] for i in readable], inputs, [sources[i].boxes for i in readable],
                changes, detection, [request.seed + number for number in range(variants)],
            )  # fmt: skip
        return pb.PreviewAugmentationResponse(pictures=pictures)

    def _sources(self, request: pb.PreviewAugmentationRequest, count: int) -> tuple[list[_Source], bool]:
        """The pictures, and whether they are for a detection."""
        if request.version_id:
            version = self._datasets.version(request.version_id)
            _check_project(request, version.project_id, f"Data set version {request.version_id}")
            first = self._datasets.first(request.version_id, count)
            detection = version.task == collector_pb2.TASK_DETECTION
            return [_Source(one.capture_id, one.label, one.jpeg, one.boxes) for one in first], detection
        if not request.capture_ids:
            raise InvalidInput("PREVIEW_EMPTY", "No pictures are named.", fix="Give a version_id or capture_ids.")
        captures = [self._datasets.capture(capture_id) for capture_id in request.capture_ids]
        for capture, _ in captures:
            _check_project(request, capture.project_id, f"Capture {capture.id}")
        detection = any(capture.boxed for capture, _ in captures)
        return [_Source(capture.id, capture.label, jpeg, capture.boxes) for capture, jpeg in captures], detection


def _check_project(request: pb.PreviewAugmentationRequest, project_id: str, what: str) -> None:
    if request.project_id not in ("", project_id):
        raise FailedPrecondition(
            "PICTURES_OF_ANOTHER_PROJECT",
            f"{what} does not belong to project {request.project_id}.",
            fix="Choose a version or captures of the same project.",
        )
