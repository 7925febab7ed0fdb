"""Which form a data set has, by what is in the archive."""

from __future__ import annotations

from services.common.errors import InvalidInput
from services.gateway.archives.coco import read_coco
from services.gateway.archives.entries import Parsed
from services.gateway.archives.folders import read_folders
from services.gateway.archives.opening import Archive
from services.gateway.archives.voc import read_voc
from services.gateway.archives.yolo import read_yolo

__all__ = ["recognise"]

READERS = (read_coco, read_voc, read_yolo, read_folders)  # the surest sign first


def recognise(archive: Archive) -> Parsed:
    """InvalidInput ARCHIVE_UNKNOWN when there is no picture in it; BAD_ANNOTATION when a file for all is broken."""
    for read in READERS:
        parsed = read(archive)
        if parsed is not None:
            return parsed
    raise InvalidInput(
        "ARCHIVE_UNKNOWN",
        f"the archive has {len(archive.names)} files and no picture (JPEG, PNG, BMP, WebP) among them",
        fix="Pack the folder with the pictures: YOLO, COCO, Pascal VOC, or one folder a label.",
    )
