"""Brings a data set version from the collector into a job folder, every JPEG checked against its sha256.

collector ──StreamVersion──► JOB_DIR/images/<capture id>.jpg, labels.json, and last of all items.json
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path

import grpc

from services.common.errors import InvalidInput, StorageFull
from services.rpc.boardloop.collector.v1 import collector_pb2, collector_pb2_grpc
from services.trainer.detection.boxes import Box
from services.trainer.pictures import Item, Marked

__all__ = ["Datasets"]

Progress = Callable[[int, int], None]

_CAPTURE_ID = re.compile(r"[0-9a-f]{32}")
_ROUNDING = 1e-9  # 0.7 + 0.3 may be a little more than 1
_SPLITS = {collector_pb2.SPLIT_TRAIN: "train", collector_pb2.SPLIT_VALIDATION: "validation"}


class Datasets:
    """Client of the collector's DatasetService; calls raise the BoardloopError that the collector meant."""

    def __init__(self, channel: grpc.Channel, deadline: float, max_bytes: int) -> None:
        """`deadline` in seconds for a whole version, `max_bytes` of JPEG in one."""
        self._service = collector_pb2_grpc.DatasetServiceStub(channel)
        self._captures = collector_pb2_grpc.CaptureServiceStub(channel)
        self._deadline = deadline
        self._max_bytes = max_bytes

    def version(self, version_id: str) -> collector_pb2.DatasetVersion:
        """NotFound when the collector does not know it."""
        request = collector_pb2.GetVersionRequest(version_id=version_id)
        answer: collector_pb2.GetVersionResponse = self._service.GetVersion(request)
        return answer.version

    def training_captures(self, version_id: str) -> set[str]:
        """Ids of the captures in the version's training split; NotFound when the collector does not know it."""
        request = collector_pb2.StreamVersionRequest(version_id=version_id, damaged_too=True)
        stream = self._service.StreamVersion(request, timeout=self._deadline)
        return {picture.capture_id for picture in stream if picture.split == collector_pb2.SPLIT_TRAIN}

    def pictures(self, version_id: str) -> Iterator[collector_pb2.StreamVersionResponse]:
        """The version's pictures one by one, in the order of their hashes: the first ones are a fair sample.

        One that is damaged in the collector's store comes with an empty JPEG.
        """
        request = collector_pb2.StreamVersionRequest(version_id=version_id, damaged_too=True)
        yield from self._service.StreamVersion(request, timeout=self._deadline)

    def unlabelled(self, project_id: str) -> int:
        """How many captures of the project have no label."""
        answer = self._captures.CountCaptures(collector_pb2.CountCapturesRequest(project_id=project_id))
        return sum(one.count for one in answer.labels if not one.label)

    def first(self, version_id: str, count: int) -> list[collector_pb2.StreamVersionResponse]:
        """At most `count` pictures of a version, in the order of their hashes: as good as drawn."""
        request = collector_pb2.StreamVersionRequest(version_id=version_id)
        stream = self._service.StreamVersion(request, timeout=self._deadline)
        pictures = list(islice(stream, count))
        stream.cancel()
        return pictures

    def capture(self, capture_id: str) -> tuple[collector_pb2.Capture, bytes]:
        """A capture and its JPEG; NotFound when the collector does not know it."""
        asked = collector_pb2.GetCaptureRequest(capture_id=capture_id)
        capture: collector_pb2.Capture = self._captures.GetCapture(asked).capture
        image = self._captures.GetImage(collector_pb2.GetImageRequest(capture_id=capture_id))
        return capture, bytes(image.jpeg)

    def fetch(
        self,
        version_id: str,
        folder: Path,
        progress: Progress = lambda done, total: None,
        left_out: Callable[[str], None] | None = None,
    ) -> None:
        """Fill `folder`; does nothing when it is filled already. `progress(pictures so far, pictures in all)`.

        `left_out(words)` is told of each picture that does not have its sha256, which is then left out; without it
        such a picture ends all. InvalidInput: that, or the stream ended early. StorageFull: too many bytes.
        """
        if (folder / "items.json").exists():
            return
        version = self.version(version_id)
        total = version.train_count + version.validation_count
        (folder / "images").mkdir(parents=True, exist_ok=True)
        items: list[Item] = []
        received = came = 0
        request = collector_pb2.StreamVersionRequest(version_id=version_id, damaged_too=left_out is not None)
        for picture in self._service.StreamVersion(request, timeout=self._deadline):
            received += len(picture.jpeg)
            if received > self._max_bytes:
                raise StorageFull(
                    "DATASET_TOO_LARGE",
                    f"Data set version {version_id} has more than {self._max_bytes} bytes of pictures.",
                    fix="Raise BOARDLOOP_DATASET_MAX_BYTES, or make a smaller version.",
                )
            came += 1
            if left_out is not None and not _whole(picture):
                left_out(f"Left out: {_damage(picture)}")
            else:
                items.append(_stored(picture, folder, version.task == collector_pb2.TASK_DETECTION))
            progress(came, total)
        if came != total:
            raise InvalidInput(
                "DATASET_INCOMPLETE",
                f"Data set version {version_id} has {total} pictures, but {came} came.",
                fix="Start the job again.",
            )
        (folder / "labels.json").write_text(json.dumps(list(version.labels)))
        part = folder / "items.json.part"
        part.write_text(json.dumps([asdict(item) for item in items]))
        part.replace(folder / "items.json")


def _stored(picture: collector_pb2.StreamVersionResponse, folder: Path, boxed: bool) -> Item:
    if not _CAPTURE_ID.fullmatch(picture.capture_id) or picture.split not in _SPLITS:
        raise InvalidInput("DATASET_BROKEN", f"The collector sent a picture with the id {picture.capture_id[:40]!r}.")
    if not _whole(picture):
        raise InvalidInput(
            "PICTURE_SHA256",
            _damage(picture),
            fix="Delete the capture and make a new version, or leave out what is unreadable (skip_unreadable).",
        )
    file = f"images/{picture.capture_id}.jpg"
    (folder / file).write_bytes(picture.jpeg)
    boxes = tuple(map(_marked, picture.boxes)) if boxed else None
    return Item(picture.capture_id, file, picture.label, _SPLITS[picture.split], picture.board_id, boxes)


def _whole(picture: collector_pb2.StreamVersionResponse) -> bool:
    return hashlib.sha256(picture.jpeg).hexdigest() == picture.sha256


def _damage(picture: collector_pb2.StreamVersionResponse) -> str:
    return f"The stored picture of capture {picture.capture_id} is damaged: it has not the sha256 {picture.sha256}."


def _marked(box: collector_pb2.Box) -> Marked:
    right, bottom = (min(end, 1.0) if end < 1 + _ROUNDING else end for end in (box.x + box.width, box.y + box.height))
    return Marked(box.label, Box(box.x, box.y, right, bottom))
