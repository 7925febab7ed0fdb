"""QR pictures that are shown once and forgotten: pairing and WiFi codes are secrets."""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Callable

from services.common.errors import NotFound

__all__ = ["QrShelf", "data_url"]

SHELF_SECONDS = 600.0  # how long a pairing code is valid: docs/protocol.md, section 1
SHELF_SIZE = 1000


def data_url(png: bytes) -> str:
    """The picture inside an address, for an <img> without a request."""
    return "data:image/png;base64," + base64.b64encode(png).decode()


class QrShelf:
    """Keeps a PNG under an unguessable key for ten minutes, in memory only."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._pictures: dict[str, tuple[float, bytes]] = {}

    def put(self, png: bytes) -> str:
        """Returns the key."""
        now = self._clock()
        self._pictures = {key: item for key, item in self._pictures.items() if item[0] > now}
        while len(self._pictures) >= SHELF_SIZE:
            self._pictures.pop(next(iter(self._pictures)))
        key = secrets.token_urlsafe(18)
        self._pictures[key] = (now + SHELF_SECONDS, png)
        return key

    def get(self, key: str) -> bytes:
        """Raises NotFound QR_GONE when it is unknown or its ten minutes are over."""
        until, png = self._pictures.get(key, (0.0, b""))
        if until <= self._clock():
            raise NotFound("QR_GONE", "This code is no longer shown.", fix="Make a new code.")
        return png
