"""Pictures of any common kind as upright RGB JPEGs, the kind that the collector keeps."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from services.common.errors import InvalidInput
from services.common.jpeg import MAX_SCANS, START, has_too_many_scans

__all__ = ["Picture", "to_jpeg"]

FORMATS = ("JPEG", "PNG", "BMP", "WEBP")
MAX_PIXELS = 50_000_000  # the collector's own default
QUALITY = 95
BROKEN = (OSError, SyntaxError, ValueError, struct.error, IndexError, KeyError, EOFError, OverflowError)


@dataclass(frozen=True)
class Picture:
    """`width`, `height`: upright, in pixels. `orientation`: EXIF, 1 to 8, of the file that it came from."""

    jpeg: bytes
    width: int
    height: int
    orientation: int


def to_jpeg(data: bytes) -> Picture:
    """An upright RGB or grey JPEG stays as it is, byte for byte; anything else is made one.

    CMYK becomes RGB, 16 bits become 8 (the upper ones), what is transparent becomes white, of an animation the first
    frame is taken. Raises InvalidInput BAD_PICTURE or TOO_LARGE.
    """
    if data[:2] == START and has_too_many_scans(data):
        raise _bad(f"it has over {MAX_SCANS} scans")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise InvalidInput(
                    "TOO_LARGE",
                    f"the picture has {image.width} x {image.height} pixels, the limit is {MAX_PIXELS}",
                    fix="Make it smaller.",
                )
            orientation = _orientation(image)
            image.load()
            if image.format == "JPEG" and image.mode in ("RGB", "L") and orientation == 1:
                return Picture(data, image.width, image.height, 1)
            return _made(ImageOps.exif_transpose(image) if orientation != 1 else image, orientation)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InvalidInput("TOO_LARGE", "the picture is a decompression bomb", fix="Leave it out.") from error
    except UnidentifiedImageError as error:
        raise _bad("it is not a JPEG, PNG, BMP or WebP") from error
    except BROKEN as error:
        raise _bad(f"it does not decode: {error}") from error


def _made(image: Image.Image, orientation: int) -> Picture:
    upright = _rgb(image)
    out = io.BytesIO()
    upright.save(out, "JPEG", quality=QUALITY)
    return Picture(out.getvalue(), upright.width, upright.height, orientation)


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits of grey, which Pillow would clip at 255
        pixels: Any = np.asarray(image).astype(np.int64)
        return Image.fromarray((np.clip(pixels, 0, 65535) >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        shown = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", shown.size, "white"), shown).convert("RGB")
    return image.convert("RGB")


def _orientation(image: Image.Image) -> int:
    """1 where there is none to be read: a broken EXIF block does not make a bad picture."""
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except BROKEN:
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _bad(what: str) -> InvalidInput:
    return InvalidInput("BAD_PICTURE", f"the picture cannot be used: {what}", fix="Save it anew, or leave it out.")
