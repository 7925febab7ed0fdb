"""What a JPEG may cost: a progressive one of thousands of empty scans decodes for hours, however small it is."""

from __future__ import annotations

import re

__all__ = ["MAX_SCANS", "START", "has_too_many_scans"]

START = b"\xff\xd8"  # SOI marker, ITU-T T.81 table B.1
SOS, EOI = b"\xda", b"\xd9"
ALONE = (b"\x01", b"\xd8")  # TEM, SOI: without a length
MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")  # behind coded data: no stuffed zero, no restart, no fill byte
MAX_SCANS = 64  # libjpeg writes 10; each of a large picture's scans costs as much as the whole picture


def has_too_many_scans(data: bytes) -> bool:
    """Whether the JPEG has over 64 scans (ITU-T T.81 annex B: marker, length, bytes); False for other bytes."""
    found, at = 0, len(START)
    if not data.startswith(START):
        return False
    while found <= MAX_SCANS and (marker := MARKER.search(data, at)) and marker[1] != EOI:
        found += marker[1] == SOS
        at = marker.end()
        if marker[1] not in ALONE:
            at += int.from_bytes(data[at : at + 2])
    return found > MAX_SCANS
