"""The one way a picture becomes network input: training, evaluation, prediction and the virtual boards all call it.

    JPEG or PNG bytes ──► RGB, upright by its EXIF tag ──► resized (Pillow BILINEAR) ──► uint8 (3, height, width)

Grey and CMYK become RGB, 16 bits become 8 (the upper ones), what is transparent becomes white, of an animation the
first frame is taken. The resize fills the whole input and does not keep the aspect ratio, as the boards' own resize
does. A JPEG over four times as wide and as high as the input is decoded at a half, a quarter or an eighth, never below
twice the input: on average that is less than one of 255 levels off, and a 12 Mpx photograph takes a tenth of the time
and a sixteenth of the memory. Needs Pillow and numpy only, so that a virtual board can use it without torch.
"""

from __future__ import annotations

import io
import struct

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from services.common.errors import InvalidInput
from services.common.jpeg import MAX_SCANS, has_too_many_scans

__all__ = ["MAX_PICTURE_BYTES", "MAX_PICTURE_PIXELS", "open_rgb", "to_input", "to_png"]

MAX_PICTURE_BYTES = 16 * 1024 * 1024
MAX_PICTURE_PIXELS = 32_000_000  # a 24 Mpx camera fits; beyond it a small file could still fill the memory (3 B/px)

_MARGIN = 2  # what is decoded is at least so many times the input: bilinear resizing then averages over all of it

_BROKEN = (
    OSError,
    ValueError,
    SyntaxError,  # Pillow's word for a broken PNG chunk
    EOFError,
    struct.error,
    Image.DecompressionBombError,
    Image.DecompressionBombWarning,
)


def open_rgb(data: bytes, name: str = "picture", least: tuple[int, int] | None = None) -> Image.Image:
    """Decode a whole JPEG or PNG to an upright RGB picture. InvalidInput (too big, cut off, no picture) says `name`.

    With `least`, width and height, a JPEG may come smaller than it is, but not below them.
    """
    if len(data) > MAX_PICTURE_BYTES:
        raise _too_large(name, f"{len(data)} bytes, the limit is {MAX_PICTURE_BYTES}")
    if has_too_many_scans(data):
        raise _too_large(name, f"over {MAX_SCANS} scans, which would take hours")
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG", "PNG")) as picture:
            width, height = picture.size
            if width * height > MAX_PICTURE_PIXELS:
                raise _too_large(name, f"{width}x{height} pixels, the limit is {MAX_PICTURE_PIXELS} in all")
            if least is not None:
                picture.draft(None, (max(least), max(least)))  # of both sides: it may yet be turned upright
            picture.load()
            return _rgb(ImageOps.exif_transpose(picture))
    except _BROKEN as error:
        # Pillow's sentence names a buffer by its address in memory
        why = "it does not begin like one" if isinstance(error, UnidentifiedImageError) else error
        raise InvalidInput(
            "PICTURE_BROKEN",
            f"{name} is not a whole JPEG or PNG picture: {why}.",
            fix="Take a whole JPEG or PNG. In a training: mend the file or remove it from the data set, and resume; or "
            "start the job with skip_unreadable.",
            file=name,
        ) from error


def to_input(data: bytes, width: int, height: int, name: str = "picture") -> npt.NDArray[np.uint8]:
    """JPEG or PNG bytes to uint8 (3, height, width), RGB planar. Raises InvalidInput like `open_rgb`."""
    picture = open_rgb(data, name, (_MARGIN * width, _MARGIN * height)).resize(
        (width, height), Image.Resampling.BILINEAR
    )
    return np.ascontiguousarray(np.asarray(picture, dtype=np.uint8).transpose(2, 0, 1))


def to_png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """What `to_input` gave, as a picture for people; no pixel changes."""
    out = io.BytesIO()
    Image.fromarray(pixels.transpose(1, 2, 0)).save(out, "PNG")
    return out.getvalue()


def _rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I"):  # 16 bits a pixel; Pillow's own conversion would make 255 of all above
        levels = np.asarray(picture).astype(np.int64) >> 8
        return Image.fromarray(levels.clip(0, 255).astype(np.uint8)).convert("RGB")
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")
    return picture.convert("RGB")


def _too_large(name: str, size: str) -> InvalidInput:
    return InvalidInput("PICTURE_TOO_LARGE", f"{name} is too large: {size}.", fix="Send a smaller picture.", file=name)
