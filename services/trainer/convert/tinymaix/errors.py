"""The two ways a .tmdl file can be refused, each with the byte offset where it went wrong."""

from __future__ import annotations

from services.common.errors import UnsupportedModel

__all__ = ["malformed", "truncated"]


def truncated(offset: int, wanted: int, what: str) -> UnsupportedModel:
    """The file ends before `wanted` bytes of `what` that begin at `offset`."""
    return UnsupportedModel(
        "TMDL_TRUNCATED",
        f"tmdl: the file ends inside {what}: {wanted} bytes are needed at byte {offset}.",
        fix="Transfer or convert the file again.",
        offset=str(offset),
    )


def malformed(offset: int, what: str, fix: str = "Convert the network again; the file is damaged.") -> UnsupportedModel:
    """What stands at `offset` cannot be run by TinyMaix, or not by this simulator."""
    return UnsupportedModel("TMDL_MALFORMED", f"tmdl: {what} (byte {offset}).", fix=fix, offset=str(offset))
