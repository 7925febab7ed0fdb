"""The frames between the virtual boards and their peripherals; the other end is `device/ports/sim.py`.

+-------------+-------------+------ - - ------+------ - - ------+
| JSON length | blob length | JSON, UTF-8     | blob            |
| u32 BE      | u32 BE      |                 | bytes           |
+-------------+-------------+------ - - ------+------ - - ------+
"""

from __future__ import annotations

import asyncio
import json
import struct
from typing import Any

from services.common.errors import InvalidInput

__all__ = ["LARGEST_PART", "Fields", "pack", "receive"]

Fields = dict[str, Any]
LARGEST_PART = 4 * 1024 * 1024  # bytes of the JSON or the blob; a golden input of 512x256 has 384 KiB
LENGTHS = struct.Struct(">II")


def pack(fields: Fields, blob: bytes = b"") -> bytes:
    """One frame."""
    head = json.dumps(fields).encode()
    return LENGTHS.pack(len(head), len(blob)) + head + blob


async def receive(reader: asyncio.StreamReader) -> tuple[Fields, bytes]:
    """The next frame. asyncio.IncompleteReadError at the end of the connection, InvalidInput for another form."""
    head, blob = LENGTHS.unpack(await reader.readexactly(LENGTHS.size))
    if max(head, blob) > LARGEST_PART:
        raise InvalidInput(
            "FRAME_TOO_LARGE", f"A board sent a frame of {head} + {blob} bytes.", fix="Use ports/sim.py."
        )
    try:
        fields = json.loads(await reader.readexactly(head))
    except ValueError as error:
        raise InvalidInput("FRAME_BROKEN", f"A board sent no JSON: {error}.", fix="Use ports/sim.py.") from error
    if not isinstance(fields, dict):
        raise InvalidInput("FRAME_BROKEN", "A board sent JSON that is no object.", fix="Use ports/sim.py.")
    return fields, await reader.readexactly(blob)
