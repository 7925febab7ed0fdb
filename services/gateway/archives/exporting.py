"""A data set version as a zip: YOLO, COCO or Pascal VOC for detection, one folder a label for classification.

yolo     data.yaml, images/{train,val}/ID.jpg, labels/{train,val}/ID.txt
coco     annotations/instances_{train,val}.json, images/{train,val}/ID.jpg
voc      JPEGImages/ID.jpg, Annotations/ID.xml, ImageSets/Main/{train,val}.txt
folders  {train,val}/LABEL/ID.jpg
"""

from __future__ import annotations

import asyncio
import json
import tempfile
import zipfile
from collections.abc import AsyncIterable, Sequence
from dataclasses import dataclass
from typing import IO, Protocol
from xml.etree import ElementTree

from services.common.errors import InvalidInput
from services.gateway.archives.pictures import to_jpeg
from services.rpc.boardloop.collector.v1 import collector_pb2 as pb

__all__ = ["FORMS", "export"]

SPLITS = ("train", "val")
SPOOL = 4 * 1024 * 1024  # bytes in memory before the disk is used


@dataclass(frozen=True)
class Shot:
    """A picture of the version, upright; sizes in pixels."""

    id: str
    split: str
    label: str
    boxes: Sequence[pb.Box]
    jpeg: bytes
    width: int
    height: int


class Writer(Protocol):
    """One form: `add` each picture, then `finish`."""

    def add(self, shot: Shot) -> None: ...
    def finish(self) -> None: ...


class Yolo:
    def __init__(self, zipped: zipfile.ZipFile, labels: Sequence[str]) -> None:
        self._zip, self._labels = zipped, list(labels)

    def add(self, shot: Shot) -> None:
        lines = [
            f"{self._labels.index(box.label)} {box.x + box.width / 2:.8f} {box.y + box.height / 2:.8f} "
            f"{box.width:.8f} {box.height:.8f}\n"
            for box in shot.boxes
        ]
        self._zip.writestr(f"images/{shot.split}/{shot.id}.jpg", shot.jpeg, zipfile.ZIP_STORED)
        self._zip.writestr(f"labels/{shot.split}/{shot.id}.txt", "".join(lines))

    def finish(self) -> None:
        names = "".join(f"  {index}: {json.dumps(name)}\n" for index, name in enumerate(self._labels))  # valid YAML
        self._zip.writestr("data.yaml", f"path: .\ntrain: images/train\nval: images/val\nnames:\n{names}")


class Coco:
    def __init__(self, zipped: zipfile.ZipFile, labels: Sequence[str]) -> None:
        self._zip, self._labels = zipped, list(labels)
        self._parts = {(split, part): tempfile.SpooledTemporaryFile(SPOOL) for split in SPLITS for part in PARTS}  # noqa: SIM115
        self._made = dict.fromkeys(self._parts, 0)

    def add(self, shot: Shot) -> None:
        self._zip.writestr(f"images/{shot.split}/{shot.id}.jpg", shot.jpeg, zipfile.ZIP_STORED)
        name = f"{shot.split}/{shot.id}.jpg"
        image = self._put(shot.split, "images", {"file_name": name, "width": shot.width, "height": shot.height})
        for box in shot.boxes:
            edges = (box.x * shot.width, box.y * shot.height, box.width * shot.width, box.height * shot.height)
            bbox = [round(edge, 4) for edge in edges]
            about = {"image_id": image, "category_id": self._labels.index(box.label) + 1, "bbox": bbox}
            self._put(shot.split, "annotations", about | {"area": round(bbox[2] * bbox[3], 4), "iscrowd": 0})

    def _put(self, split: str, part: str, value: dict[str, object]) -> int:
        self._made[split, part] += 1
        number = self._made[split, part]
        line = json.dumps({"id": number} | value)
        self._parts[split, part].write(("" if number == 1 else ",\n").encode() + line.encode())
        return number

    def finish(self) -> None:
        categories = [{"id": index, "name": name} for index, name in enumerate(self._labels, 1)]
        for split in SPLITS:
            with self._zip.open(f"annotations/instances_{split}.json", "w") as out:
                out.write(b"{" + f'"categories": {json.dumps(categories)}'.encode())
                for part in PARTS:
                    out.write(f',\n"{part}": [\n'.encode())
                    self._parts[split, part].seek(0)
                    while block := self._parts[split, part].read(SPOOL):
                        out.write(block)
                    out.write(b"]")
                    self._parts[split, part].close()
                out.write(b"}\n")


PARTS = ("images", "annotations")


class Voc:
    def __init__(self, zipped: zipfile.ZipFile, labels: Sequence[str]) -> None:
        self._zip = zipped
        self._sets: dict[str, list[str]] = {split: [] for split in SPLITS}

    def add(self, shot: Shot) -> None:
        self._zip.writestr(f"JPEGImages/{shot.id}.jpg", shot.jpeg, zipfile.ZIP_STORED)
        root = ElementTree.Element("annotation")
        _text(root, "filename", f"{shot.id}.jpg")
        size = ElementTree.SubElement(root, "size")
        for name, value in (("width", shot.width), ("height", shot.height), ("depth", 3)):
            _text(size, name, str(value))
        for box in shot.boxes:
            self._object(root, box, shot)
        self._zip.writestr(f"Annotations/{shot.id}.xml", ElementTree.tostring(root))
        self._sets[shot.split].append(shot.id)

    @staticmethod
    def _object(root: ElementTree.Element, box: pb.Box, shot: Shot) -> None:
        one = ElementTree.SubElement(root, "object")
        for name, value in (("name", box.label), ("truncated", "0"), ("difficult", "0")):
            _text(one, name, value)
        bounds = ElementTree.SubElement(one, "bndbox")
        low = round(box.x * shot.width) + 1, round(box.y * shot.height) + 1  # the first pixel is 1
        high = round((box.x + box.width) * shot.width), round((box.y + box.height) * shot.height)
        high = max(low[0], high[0]), max(low[1], high[1])  # what rounding would leave without a pixel
        for name, edge in zip(("xmin", "ymin", "xmax", "ymax"), low + high, strict=True):
            _text(bounds, name, str(edge))

    def finish(self) -> None:
        for split, ids in self._sets.items():
            self._zip.writestr(f"ImageSets/Main/{split}.txt", "".join(f"{one}\n" for one in ids))


def _text(parent: ElementTree.Element, name: str, text: str) -> None:
    ElementTree.SubElement(parent, name).text = text


class Folders:
    def __init__(self, zipped: zipfile.ZipFile, labels: Sequence[str]) -> None:
        self._zip = zipped
        self._folders: dict[str, str] = {}
        for label in labels:  # two labels may differ only in what no folder can be called
            plain = "".join("_" if letter in '/\\:*?"<>|' else letter for letter in label).strip(". ") or "_"
            taken = {one.lower() for one in self._folders.values()}
            self._folders[label] = plain if plain.lower() not in taken else f"{plain}_{len(taken)}"

    def add(self, shot: Shot) -> None:
        self._zip.writestr(f"{shot.split}/{self._folders[shot.label]}/{shot.id}.jpg", shot.jpeg, zipfile.ZIP_STORED)

    def finish(self) -> None:
        return None


FORMS: dict[str, type[Yolo] | type[Coco] | type[Voc] | type[Folders]] = {
    "yolo": Yolo, "coco": Coco, "voc": Voc, "folders": Folders,
}  # fmt: skip


async def export(
    version: pb.DatasetVersion, items: AsyncIterable[pb.StreamVersionResponse], form: str, out: IO[bytes]
) -> None:
    """Writes the zip to `out`. InvalidInput WRONG_FORM for a form that the version's task has no use for."""
    detection = version.task == pb.TASK_DETECTION
    if detection == (form == "folders"):
        task, forms = ("detection", "yolo, coco or voc") if detection else ("classification", "folders")
        raise InvalidInput("WRONG_FORM", f"version {version.number} is for {task}: no {form}", fix=f"Ask for {forms}.")
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as zipped:
        writer: Writer = FORMS[form](zipped, version.labels)
        async for item in items:
            await asyncio.to_thread(writer.add, await asyncio.to_thread(_shot, item))
        await asyncio.to_thread(writer.finish)


def _shot(item: pb.StreamVersionResponse) -> Shot:
    """Other tools do not all turn a picture by its EXIF, so it is turned for them."""
    picture = to_jpeg(item.jpeg)
    split = "val" if item.split == pb.SPLIT_VALIDATION else "train"
    return Shot(item.capture_id, split, item.label, item.boxes, picture.jpeg, picture.width, picture.height)
