"""Draws a preview: pictures at the input size, changed as a training changes them, with their boxes, as JPEGs."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from services.rpc.boardloop.collector.v1 import collector_pb2
from services.rpc.boardloop.trainer.v1 import trainer_pb2 as pb
from services.trainer.augmentation import Changes, augmented, augmented_scenes
from services.trainer.augmentation.mixup import mixed
from services.trainer.detection import Box, Truth

__all__ = ["draw"]

_QUALITY = 92  # of what is shown; artefacts come from the changes

Scene = tuple[torch.Tensor, list[list[Truth]]]


def draw(
    pictures: Sequence[pb.PreviewPicture],
    inputs: Sequence[npt.NDArray[np.uint8]],
    boxes: Sequence[Sequence[collector_pb2.Box]],
    changes: Changes,
    detection: bool,
    seeds: Sequence[int],
) -> None:
    """Writes original and variants into the messages: a variant for each seed.

    `inputs` (3, h, w) of one shape: they are one batch, so that a mosaic has four to take, and mixup another.
    """
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
            scene = mixed(augmented(x, changes, generator), changes, generator).x, [[]] * len(x)
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
