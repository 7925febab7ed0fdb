"""Zip archives that every board and computer unpacks alike, and that are equal when their files are.

Archives with backslashes in their names, made on Windows, are a known trouble of MaixHub's users: names here have
forward slashes only.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import PurePosixPath

from services.common.errors import Internal

__all__ = ["pack"]

EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest time that a zip can hold
MODE = 0o644
UNIX = 3  # "made by", APPNOTE.TXT 4.4.2


def pack(files: dict[str, bytes]) -> bytes:
    """The files by name, in that order, as one zip. Raises Internal for a name that leads out of the folder."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            path = PurePosixPath(name)
            if "\\" in name or path.is_absolute() or ".." in path.parts or str(path) != name:
                raise Internal("PACKAGE_NAME", f"{name!r} is no name for a file in a package.")
            about = zipfile.ZipInfo(name, EPOCH)
            about.create_system = UNIX
            about.external_attr = MODE << 16
            about.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(about, data)
    return out.getvalue()
