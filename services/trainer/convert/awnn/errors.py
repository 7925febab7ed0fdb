"""How a file for the V831 is refused: with the byte offset where it went wrong."""

from __future__ import annotations

from services.common.errors import UnsupportedModel

__all__ = ["malformed"]


def malformed(
    part: str, offset: int, what: str, fix: str = "Convert the network again; the file is damaged."
) -> UnsupportedModel:
    """`part`: ".awnn", ".param", ".bin" or ".table", the half that `offset` counts in."""
    return UnsupportedModel("AWNN_MALFORMED", f"{part}: {what} (byte {offset}).", fix=fix, offset=str(offset))
