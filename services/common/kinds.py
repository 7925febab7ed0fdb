"""The words of the protocol: kinds of frames and reasons of acknowledgements (docs/protocol.md sections 3 and 5)."""

from __future__ import annotations

from enum import IntEnum, StrEnum

from services.common.errors import InvalidInput

__all__ = ["AckReason", "FrameError", "Kind"]


class Kind(IntEnum):
    """0x01 to 0x7f go up to the server, 0x81 and above go down to the board."""

    HELLO = 0x01
    CAPTURE = 0x02
    PULL = 0x03
    REPORT = 0x04
    RESULT = 0x05
    WELCOME = 0x81
    ACK = 0x82
    BLOCK = 0x83
    PROJECT = 0x84
    DESIRED = 0x85

    @property
    def uplink(self) -> bool:
        return self < 0x80


class AckReason(StrEnum):
    """The closed list of section 5."""

    STORED = "STORED"
    DUPLICATE = "DUPLICATE"
    MISSING = "MISSING"
    REPLAYED = "REPLAYED"
    BAD_MAC = "BAD_MAC"
    MALFORMED = "MALFORMED"
    TOO_LARGE = "TOO_LARGE"
    NOT_JPEG = "NOT_JPEG"
    UNKNOWN_LABEL = "UNKNOWN_LABEL"
    UNKNOWN_BOARD = "UNKNOWN_BOARD"
    STORAGE_FULL = "STORAGE_FULL"
    BUSY = "BUSY"
    UNAVAILABLE = "UNAVAILABLE"


class FrameError(InvalidInput):
    """A frame or what is in it cannot be right; `ack` is the reason for the board's ACK, also `reason`."""

    def __init__(self, ack: AckReason, message: str, *, fix: str = "", **metadata: str) -> None:
        super().__init__(ack.value, message, fix=fix, **metadata)
        self.ack = ack
