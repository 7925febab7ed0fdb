"""Small pictures for pages, kept in memory within a bound."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from collections.abc import Callable

from PIL import Image, ImageOps

from services.common.errors import InvalidInput

__all__ = ["LARGEST", "SMALLEST", "Thumbnails", "make_thumbnail"]

SMALLEST, LARGEST = 16, 512  # pixels, collector.proto GetImageRequest
QUALITY = 80


def make_thumbnail(jpeg: bytes, size: int) -> bytes:
    """A JPEG, longest side at most `size` pixels, upright by its EXIF orientation; never larger than the picture."""
    with Image.open(io.BytesIO(jpeg), formats=("JPEG",)) as image:
        image.draft("RGB", (size, size))  # libjpeg scales by 1/2, 1/4 or 1/8 while it decodes
        upright = ImageOps.exif_transpose(image).convert("RGB")
        upright.thumbnail((size, size))
        out = io.BytesIO()
        upright.save(out, "JPEG", quality=QUALITY)
    return out.getvalue()


class Thumbnails:
    """The thumbnails used last, at most `max_bytes` of them. Thread-safe."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._kept: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, object_key: str, size: int, read: Callable[[], bytes]) -> bytes:
        """The thumbnail of the object; `read` fetches its JPEG when need be. InvalidInput for a wrong size."""
        if not SMALLEST <= size <= LARGEST:
            raise InvalidInput(
                "BAD_THUMBNAIL_SIZE",
                f"thumbnail_size {size} is not within {SMALLEST} to {LARGEST}",
                fix="Ask for a size in that range, or 0 for the stored picture.",
            )
        with self._lock:
            found = self._kept.get((object_key, size))
            if found is not None:
                self._kept.move_to_end((object_key, size))
                return found
        made = make_thumbnail(read(), size)
        self._keep((object_key, size), made)
        return made

    def _keep(self, key: tuple[str, int], made: bytes) -> None:
        with self._lock:
            before = self._kept.pop(key, b"")
            self._kept[key] = made
            self._bytes += len(made) - len(before)
            while self._bytes > self._max_bytes:
                _, oldest = self._kept.popitem(last=False)
                self._bytes -= len(oldest)
