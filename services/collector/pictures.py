"""Whether bytes are a JPEG that a trainer will be able to read, and how large it is."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass

from PIL import ExifTags, Image, UnidentifiedImageError

from services.common.errors import InvalidInput
from services.common.jpeg import MAX_SCANS, START, has_too_many_scans

__all__ = ["Size", "check_jpeg"]


LYING = (5, 6, 7, 8)  # EXIF orientations that swap width and height


@dataclass(frozen=True)
class Size:
    """Width and height in pixels of the picture upright: as a person, a thumbnail and the trainer see it."""

    width: int
    height: int


def _orientation(image: Image.Image) -> object:
    """The EXIF orientation, 1 where there is none to be read: a broken EXIF block does not make a bad picture."""
    try:
        return image.getexif().get(ExifTags.Base.Orientation, 1)
    except (OSError, SyntaxError, ValueError, struct.error, IndexError, KeyError):
        return 1


def _too_large(what: str, max_pixels: int) -> InvalidInput:
    return InvalidInput("TOO_LARGE", f"the picture {what}, the limit is {max_pixels} pixels", fix="Send a smaller one.")


def check_jpeg(data: bytes, max_pixels: int) -> Size:
    """Reads the picture to its end: a header alone does not show that the link lost nothing.

    Size and number of scans are looked at before the pixels are, so that a small file cannot claim gigabytes or hours.
    Raises InvalidInput NOT_JPEG or TOO_LARGE.
    """
    if data[:2] != START:
        raise InvalidInput("NOT_JPEG", "the picture does not begin with FF D8", fix="Send a JPEG.")
    if has_too_many_scans(data):
        raise InvalidInput("NOT_JPEG", f"the picture has over {MAX_SCANS} scans", fix="Save it anew as a plain JPEG.")
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            width, height = image.size
            if width * height > max_pixels:
                raise _too_large(f"has {width} x {height} pixels", max_pixels)
            image.draft(None, (1, 1))  # every coded byte is read; only the inverse DCT is left out, which cannot fail
            image.load()
            lies = _orientation(image) in LYING
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large("is a decompression bomb", max_pixels) from error
    except UnidentifiedImageError as error:
        raise InvalidInput("NOT_JPEG", "the picture has no header of a JPEG", fix="Send a JPEG.") from error
    except (OSError, SyntaxError, ValueError, struct.error, IndexError, KeyError) as error:
        raise InvalidInput("NOT_JPEG", f"the picture does not decode: {error}", fix="Send a whole JPEG.") from error
    return Size(height, width) if lies else Size(width, height)
