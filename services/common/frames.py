"""Frames between boards and services (docs/protocol.md section 3).

    offset  0      2      3      4           8           12                 28               n
            +------+------+------+-----------+-----------+------------------+----- - - ------+------------------+
            | "BL" | ver  | kind | session   | sequence  | IV               | ciphertext     | HMAC-SHA256      |
            | 2 B  | 0x01 | 1 B  | u32       | u32       | 16 B             | 16 m B, m >= 1 | 32 B             |
            +------+------+------+-----------+-----------+------------------+----- - - ------+------------------+

What captures and blocks put into a frame is in captures.py and blocks.py, and can be imported from here too.
"""

from __future__ import annotations

import hmac
import secrets
import struct
from dataclasses import dataclass, field
from hashlib import sha256

from services.common import cipher
from services.common.blocks import Block, BlockRequest, Part
from services.common.captures import CAPTURE_MAX_BYTES, CaptureChunk, CaptureMetadata, CaptureRecord
from services.common.keys import BoardKeys
from services.common.kinds import AckReason, FrameError, Kind

__all__ = [
    "CAPTURE_MAX_BYTES",
    "FRAME_MAX",
    "FRAME_MIN",
    "PLAINTEXT_MAX",
    "AckReason",
    "Block",
    "BlockRequest",
    "CaptureChunk",
    "CaptureMetadata",
    "CaptureRecord",
    "Frame",
    "FrameError",
    "Kind",
    "Part",
    "ReplayWindow",
    "open_frame",
    "seal_downlink",
    "seal_uplink",
]

HEADER = struct.Struct(">2sBBII")
MAGIC = b"BL"
VERSION = 1
IV_END = HEADER.size + 16
MAC_BYTES = 32
FRAME_MIN = IV_END + 16 + MAC_BYTES
FRAME_MAX = 65536
PLAINTEXT_MAX = (FRAME_MAX - IV_END - MAC_BYTES) // 16 * 16 - 1  # 65,471 bytes: at least one byte of padding


@dataclass(frozen=True)
class Frame:
    """An opened frame: verified and decrypted."""

    kind: Kind
    session: int
    sequence: int
    plaintext: bytes = field(repr=False)


def open_frame(data: bytes, enc: bytes, mac: bytes, *, uplink: bool) -> Frame:
    """Verifies and decrypts one frame under `up-enc`, `up-mac` (uplink) or `down-enc`, `down-mac`.

    Raises FrameError: TOO_LARGE (over 65,536 bytes), MALFORMED (too short, no whole cipher blocks, wrong magic, wrong
    version or, with a right MAC, wrong kind or direction), BAD_MAC (MAC or padding). Session and sequence are for
    ReplayWindow to judge.
    """
    if len(data) > FRAME_MAX:
        raise FrameError(AckReason.TOO_LARGE, f"The frame has {len(data)} bytes, over the limit of {FRAME_MAX}.")
    if len(data) < FRAME_MIN or (len(data) - FRAME_MIN) % 16:
        raise FrameError(AckReason.MALFORMED, f"No frame has {len(data)} bytes (76 + a multiple of 16).")
    magic, version, kind, session, sequence = HEADER.unpack_from(data)
    if magic != MAGIC or version != VERSION:
        raise FrameError(AckReason.MALFORMED, f"The frame begins with {data[:3].hex()}, not 424c01 (BL, version 1).")
    body, tag = data[:-MAC_BYTES], data[-MAC_BYTES:]
    if not hmac.compare_digest(tag, hmac.digest(mac, body, sha256)):
        raise FrameError(
            AckReason.BAD_MAC, "The MAC of the frame is wrong.", fix="Pair the board again if it stays so."
        )
    if kind not in Kind.__members__.values() or Kind(kind).uplink != uplink:
        way = "up" if uplink else "down"
        raise FrameError(AckReason.MALFORMED, f"No frame of kind 0x{kind:02x} goes {way}.")
    try:
        plaintext = cipher.decrypt(enc, body[HEADER.size : IV_END], body[IV_END:])
    except ValueError as error:
        raise FrameError(AckReason.BAD_MAC, "The padding of the frame is wrong.") from error
    return Frame(Kind(kind), session, sequence, plaintext)


def seal_uplink(kind: Kind, session: int, sequence: int, plaintext: bytes, keys: BoardKeys) -> bytes:
    """The frame as a board makes it; its IV is the start of HMAC(up-iv, header)."""
    header = _header(kind, session, sequence)
    return _seal(header, hmac.digest(keys.up_iv, header, sha256)[:16], plaintext, keys.up_enc, keys.up_mac)


def seal_downlink(kind: Kind, plaintext: bytes, enc: bytes, mac: bytes, session: int = 0, sequence: int = 0) -> bytes:
    """A frame to the board under `down-enc` and `down-mac`; session and sequence are those of the frame it answers."""
    return _seal(_header(kind, session, sequence), secrets.token_bytes(16), plaintext, enc, mac)


def _header(kind: Kind, session: int, sequence: int) -> bytes:
    return HEADER.pack(MAGIC, VERSION, kind, session, sequence)


def _seal(header: bytes, iv: bytes, plaintext: bytes, enc: bytes, mac: bytes) -> bytes:
    body = header + iv + cipher.encrypt(enc, iv, plaintext)
    if len(body) + MAC_BYTES > FRAME_MAX:
        raise FrameError(AckReason.TOO_LARGE, f"{len(plaintext)} bytes do not fit into a frame of {FRAME_MAX}.")
    return body + hmac.digest(mac, body, sha256)


class ReplayWindow:
    """Accepts each (session, sequence) of one board once and only upwards. Not for HELLO, which is not counted."""

    def __init__(self, last: tuple[int, int] = (0, 0)) -> None:
        self.last = last

    def accept(self, session: int, sequence: int) -> bool:
        """False: not above the last one accepted (REPLAYED)."""
        if (session, sequence) <= self.last:
            return False
        self.last = (session, sequence)
        return True
