"""PreviewService: a person's own pictures through the very code that changes them in a training.

collector ──► JPEGs, boxes ──► to_input ──► augmented or augmented_scenes, seed by seed ──► JPEGs, boxes
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

import grpc
import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from services.common.errors import InvalidInput
from services.rpc.boardloop.collector.v1 import collector_pb2
from services.rpc.boardloop.trainer.v1 import trainer_pb2 as pb
from services.rpc.boardloop.trainer.v1 import trainer_pb2_grpc
from services.trainer import parameters
from services.trainer.augmentation import Changes, augmented, augmented_scenes
from services.trainer.config import TrainingConfig
from services.trainer.datasets import Datasets
from services.trainer.detection import Box, Truth
from services.trainer.imaging import to_input

__all__ = ["PreviewService"]

MOST_PICTURES, MOST_VARIANTS = 12, 8
_PICTURES, _VARIANTS = 4, 3
_QUALITY = 92  # of what is shown; artefacts come from the changes

Scene = tuple[torch.Tensor, list[list[Truth]]]


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
            _fill(
                [pictures[i] for i in readable], inputs, [sources[i].boxes for i in readable],
                changes, detection, [request.seed + number for number in range(variants)],
            )  # fmt: skip
        return pb.PreviewAugmentationResponse(pictures=pictures)

    def _sources(self, request: pb.PreviewAugmentationRequest, count: int) -> tuple[list[_Source], bool]:
        """The pictures, and whether they are for a detection."""
        if request.version_id:
            task = self._datasets.version(request.version_id).task
            first = self._datasets.first(request.version_id, count)
            detection = task == collector_pb2.TASK_DETECTION
            return [_Source(one.capture_id, one.label, one.jpeg, one.boxes) for one in first], detection
        if not request.capture_ids:
            raise InvalidInput("PREVIEW_EMPTY", "No pictures are named.", fix="Give a version_id or capture_ids.")
        captures = [self._datasets.capture(capture_id) for capture_id in request.capture_ids]
        detection = any(capture.boxed for capture, _ in captures)
        return [_Source(capture.id, capture.label, jpeg, capture.boxes) for capture, jpeg in captures], detection


def _fill(
    pictures: Sequence[pb.PreviewPicture],
    inputs: Sequence[npt.NDArray[np.uint8]],
    boxes: Sequence[Sequence[collector_pb2.Box]],
    changes: Changes,
    detection: bool,
    seeds: Sequence[int],
) -> None:
    """Writes original and variants into the messages; the pictures are one batch, so that a mosaic has four to take."""
    names = sorted({box.label for marked in boxes for box in marked})
    truths = [[_truth(box, names) for box in marked] for marked in boxes]
    x = torch.from_numpy(np.stack(inputs)).float() / 255
    for message, original in zip(pictures, _variants((x, truths if detection else [[]] * len(x)), names), strict=True):
        message.original.CopyFrom(original)
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed % 2**63)
        if detection:
            scene = augmented_scenes(x, truths, changes, generator)
        else:
            scene = augmented(x, changes, generator), [[]] * len(x)
        for message, variant in zip(pictures, _variants(scene, names), strict=True):
            message.variants.append(variant)


def _truth(box: collector_pb2.Box, names: Sequence[str]) -> Truth:
    return Truth(names.index(box.label), Box(box.x, box.y, box.x + box.width, box.y + box.height))


def _variants(scene: Scene, names: Sequence[str]) -> list[pb.PreviewVariant]:
    x, truths = scene
    pixels = (x * 255).round().byte().permute(0, 2, 3, 1).numpy()
    return [
        pb.PreviewVariant(
            jpeg=_jpeg(picture),
            boxes=[
                pb.PreviewBox(label=names[truth.label], **truth.box._asdict()) for truth in marked
            ],
        )
        for picture, marked in zip(pixels, truths, strict=True)
    ]  # fmt: skip


def _jpeg(pixels: npt.NDArray[np.uint8]) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=_QUALITY, subsampling="4:4:4")
    return out.getvalue()
