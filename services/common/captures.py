"""Capture records and the chunks that carry them (docs/protocol.md section 4)."""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Self

from services.common.kinds import AckReason, FrameError

__all__ = ["CAPTURE_MAX_BYTES", "CaptureChunk", "CaptureMetadata", "CaptureRecord"]

CAPTURE_MAX_BYTES = 4 * 1024 * 1024
CHUNK = struct.Struct(">16sIHH")
RECORD = struct.Struct(">4sH")
MAGIC = b"BLC1"
JPEG_START = b"\xff\xd8"
LATEST = 253402300799  # 9999-12-31T23:59:59Z, the last second a datetime holds


@dataclass(frozen=True)
class CaptureChunk:
    """CAPTURE plaintext.

    offset  0            16       20      22      24
            +------------+--------+-------+-------+------ - - ---+
            | capture id | total  | index | count | data         |
            | 16 B       | u32    | u16   | u16   |              |
            +------------+--------+-------+-------+------ - - ---+
    """

    capture_id: bytes
    total: int
    index: int
    count: int
    data: bytes = field(repr=False)

    @property
    def offset(self) -> int:
        """Where `data` lies in the record."""
        return self.total - len(self.data) if self.index == self.count - 1 else self.index * len(self.data)

    def pack(self) -> bytes:
        return CHUNK.pack(self.capture_id, self.total, self.index, self.count) + self.data

    @classmethod
    def parse(cls, plaintext: bytes, limit: int = CAPTURE_MAX_BYTES) -> Self:
        """FrameError TOO_LARGE (record over `limit` bytes) or MALFORMED (fields that contradict each other)."""
        if len(plaintext) <= CHUNK.size:
            raise FrameError(AckReason.MALFORMED, f"A CAPTURE of {len(plaintext)} bytes holds no chunk.")
        capture_id, total, index, count = CHUNK.unpack_from(plaintext)
        chunk = cls(capture_id, total, index, count, plaintext[CHUNK.size :])
        if chunk.total > limit:
            raise FrameError(AckReason.TOO_LARGE, f"The capture has {chunk.total} bytes, over the limit of {limit}.")
        if not chunk._consistent():
            numbers = f"index {chunk.index} of {chunk.count}, {len(chunk.data)} of {chunk.total} bytes"
            raise FrameError(AckReason.MALFORMED, f"A chunk that cannot be: {numbers}.")
        return chunk

    def _consistent(self) -> bool:
        """Every chunk but the last has the same length, and together they are `total` bytes."""
        size, others = len(self.data), self.count - 1
        if self.index > others:
            return False
        if self.index < others:
            return others * size < self.total <= self.count * size
        rest = self.total - size
        return rest == 0 if others == 0 else rest > 0 and rest % others == 0 and rest // others >= size


@dataclass(frozen=True)
class CaptureMetadata:
    """`at`: seconds since 1970 by the server's time, 0 = unknown. `label`: "" = not labelled. Sizes in pixels."""

    seq: int
    label: str
    at: int
    width: int
    height: int

    def to_json(self) -> bytes:
        fields = {"seq": self.seq, "label": self.label, "at": self.at, "w": self.width, "h": self.height}
        return json.dumps(fields, ensure_ascii=False).encode()

    @classmethod
    def from_json(cls, data: bytes) -> Self:
        """FrameError MALFORMED, naming the field that is wrong."""
        try:
            fields = json.loads(data.decode())
        except (ValueError, RecursionError) as error:
            raise FrameError(AckReason.MALFORMED, "The metadata of the capture record is no JSON.") from error
        if not isinstance(fields, dict):
            raise FrameError(AckReason.MALFORMED, "The metadata of the capture record is no JSON object.")
        seq, at = _number(fields, "seq", 0, 2**32 - 1), _number(fields, "at", 0, LATEST)
        return cls(seq, _label(fields), at, _number(fields, "w", 1, 65535), _number(fields, "h", 1, 65535))


def _number(fields: dict[str, Any], name: str, low: int, high: int) -> int:
    value = fields.get(name)
    if type(value) is not int or not low <= value <= high:
        raise FrameError(AckReason.MALFORMED, f"{name!r} of the capture record is no whole number in {low} to {high}.")
    return value


def _label(fields: dict[str, Any]) -> str:
    value = fields.get("label")
    if not isinstance(value, str) or (not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value)):
        raise FrameError(AckReason.MALFORMED, "'label' of the capture record is no text.")
    return value


@dataclass(frozen=True)
class CaptureRecord:
    """What a board keeps in its outbox until it is acknowledged.

    offset  0        4      6         6+n
            +--------+------+---------+------ - - ---+
            | "BLC1" | n    | n B     | JPEG         |
            | 4 B    | u16  | JSON    | (FF D8 ..)   |
            +--------+------+---------+------ - - ---+
    """

    metadata: CaptureMetadata
    jpeg: bytes = field(repr=False)
    capture_id: bytes = b""
    """First 16 bytes of SHA-256 of the record as it came; made from `pack()` when not given."""

    def __post_init__(self) -> None:
        if not self.capture_id:
            object.__setattr__(self, "capture_id", sha256(self.pack()).digest()[:16])

    def pack(self) -> bytes:
        encoded = self.metadata.to_json()
        return RECORD.pack(MAGIC, len(encoded)) + encoded + self.jpeg

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """FrameError MALFORMED (no record) or NOT_JPEG (the picture does not start as one; it is not decoded here)."""
        if len(data) < RECORD.size:
            raise FrameError(AckReason.MALFORMED, f"A capture record of {len(data)} bytes is too short.")
        magic, length = RECORD.unpack_from(data)
        end = RECORD.size + length
        if magic != MAGIC or end > len(data):
            raise FrameError(AckReason.MALFORMED, "Not a capture record: it does not begin with BLC1 and its metadata.")
        metadata, jpeg = CaptureMetadata.from_json(data[RECORD.size : end]), data[end:]
        if not jpeg.startswith(JPEG_START):
            raise FrameError(AckReason.NOT_JPEG, "The picture of the capture record is no JPEG.")
        return cls(metadata, jpeg, sha256(data).digest()[:16])
