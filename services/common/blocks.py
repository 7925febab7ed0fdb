"""Blocks of a release's bundle that boards pull (docs/protocol.md section 7)."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Self

from services.common.kinds import AckReason, FrameError

__all__ = ["Block", "BlockRequest", "Part"]

REQUEST = struct.Struct(">16sBII")
BLOCK = struct.Struct(">16sBI")


class Part(IntEnum):
    """The parts of a bundle."""

    MANIFEST = 0
    SIGNATURE = 1
    PAYLOAD = 2


@dataclass(frozen=True)
class BlockRequest:
    """PULL plaintext: release id (16) || part u8 || offset u32 || length u32."""

    release_id: bytes
    part: Part
    offset: int
    length: int

    def pack(self) -> bytes:
        return REQUEST.pack(self.release_id, self.part, self.offset, self.length)

    @classmethod
    def parse(cls, plaintext: bytes) -> Self:
        """FrameError MALFORMED: wrong length, unknown part, 0 bytes asked for. The range is the caller's to check."""
        if len(plaintext) != REQUEST.size:
            raise FrameError(AckReason.MALFORMED, f"A PULL has {REQUEST.size} bytes, not {len(plaintext)}.")
        release_id, part, offset, length = REQUEST.unpack(plaintext)
        if length == 0:
            raise FrameError(AckReason.MALFORMED, "A PULL asks for 0 bytes.")
        return cls(release_id, _part(part), offset, length)


@dataclass(frozen=True)
class Block:
    """BLOCK plaintext: release id (16) || part u8 || offset u32 || data."""

    release_id: bytes
    part: Part
    offset: int
    data: bytes = field(repr=False)

    def pack(self) -> bytes:
        return BLOCK.pack(self.release_id, self.part, self.offset) + self.data

    @classmethod
    def parse(cls, plaintext: bytes) -> Self:
        """FrameError MALFORMED for a wrong length or an unknown part."""
        if len(plaintext) <= BLOCK.size:
            raise FrameError(AckReason.MALFORMED, f"A BLOCK of {len(plaintext)} bytes holds no data.")
        release_id, part, offset = BLOCK.unpack_from(plaintext)
        return cls(release_id, _part(part), offset, plaintext[BLOCK.size :])


def _part(number: int) -> Part:
    if number not in Part.__members__.values():
        raise FrameError(AckReason.MALFORMED, f"A bundle has the parts 0, 1 and 2, not {number}.")
    return Part(number)
