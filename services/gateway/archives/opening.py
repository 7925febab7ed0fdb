"""A zip that a stranger made: listed and read within bounds, and never unpacked to the disk."""

from __future__ import annotations

import posixpath
import re
import stat
import zipfile
import zlib
from dataclasses import dataclass
from typing import IO

from services.common.errors import InvalidInput

__all__ = ["Archive", "Bounds"]

MIB = 1024 * 1024
ENTRY = b"PK\x01\x02"  # of the central directory (PKWARE APPNOTE 4.3.12)
FLAG_ENCRYPTED = 0x1
DRIVE = re.compile(r"^[A-Za-z]:")
UNMEANT = ("__MACOSX/", ".DS_Store", "Thumbs.db", "desktop.ini")  # what systems add by themselves


@dataclass(frozen=True)
class Bounds:
    """What an archive may hold. Sizes in bytes, unpacked."""

    files: int = 250_000
    directory: int = 48 * MIB
    picture: int = 64 * MIB
    notes: int = 64 * MIB  # a file of annotations
    total: int = 16 * 1024 * MIB


class Archive:
    """Read only; one thread at a time. `names`: the files, sorted, without what systems add by themselves."""

    def __init__(self, file: IO[bytes], bounds: Bounds | None = None) -> None:
        """InvalidInput ARCHIVE_BROKEN, ARCHIVE_TOO_LARGE or ARCHIVE_UNSAFE, naming the entry."""
        self.bounds = bounds or Bounds()
        try:
            self._zip = zipfile.ZipFile(_Careful(file, self.bounds))
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, EOFError) as error:
            raise _broken(f"the file is no zip archive: {error}") from error
        self._infos: dict[str, zipfile.ZipInfo] = {}
        for info in self._zip.infolist():
            name = _safe_name(info)
            if info.is_dir() or name.startswith(UNMEANT) or posixpath.basename(name).startswith((".", *UNMEANT)):
                continue
            if name in self._infos:
                raise _unsafe(name, "is there twice")
            self._infos[name] = info
        self.names = sorted(self._infos)
        self._present = set(self.names)
        self._read: dict[str, int] = {}
        self._unpacked = 0
        self._check_total(sum(info.file_size for info in self._infos.values()))

    def __contains__(self, name: str) -> bool:
        return name in self._present

    def ending(self, *ends: str) -> list[str]:
        """The names that end so, in lower case; sorted."""
        return [name for name in self.names if name.lower().endswith(ends)]

    def read(self, name: str, limit: int) -> bytes:
        """The file, whatever the zip says of its size. InvalidInput ARCHIVE_BROKEN or ARCHIVE_TOO_LARGE, by name."""
        try:
            with self._zip.open(self._infos[name]) as member:
                data = member.read(limit + 1)
        except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, NotImplementedError) as error:
            raise _broken(f"{name!r} cannot be unpacked: {error}", file=name) from error
        except Exception as error:  # lzma.LZMAError and what else a decompressor may raise
            raise _broken(f"{name!r} cannot be unpacked: {error!r}", file=name) from error
        if len(data) > limit:
            raise InvalidInput(
                "ARCHIVE_TOO_LARGE",
                f"{name!r} has over {limit} bytes",
                fix="Leave it out or make it smaller.",
                file=name,
            )
        self._unpacked += len(data) - self._read.get(name, 0)
        self._read[name] = len(data)
        self._check_total(self._unpacked)
        return data

    def read_notes(self, name: str) -> bytes:
        """A file of annotations."""
        return self.read(name, self.bounds.notes)

    def _check_total(self, total: int) -> None:
        if total > self.bounds.total:
            raise InvalidInput(
                "ARCHIVE_TOO_LARGE",
                f"the archive holds {total} bytes unpacked, the limit is {self.bounds.total}",
                fix="Split it into several archives.",
            )


class _Careful:
    """The file under ZipFile: its directory is looked at before zipfile makes an object of every entry."""

    def __init__(self, file: IO[bytes], bounds: Bounds) -> None:
        self._file, self._bounds = file, bounds
        self.seek, self.tell, self.seekable = file.seek, file.tell, lambda: True

    def read(self, size: int = -1) -> bytes:
        most = self._bounds.directory
        if size > most:
            raise _too_many(f"a directory of {size} bytes, the limit is {most}")
        data = self._file.read(size if size >= 0 else most)
        if data.startswith(ENTRY) and (count := data.count(ENTRY)) > self._bounds.files:
            raise _too_many(f"{count} files, the limit is {self._bounds.files}")
        return data


def _safe_name(info: zipfile.ZipInfo) -> str:
    """The entry's path, slashes forward. ARCHIVE_UNSAFE for what a careful tool would not unpack either."""
    name = info.filename.replace("\\", "/")
    if name.startswith("/") or DRIVE.match(name) or ".." in name.split("/"):
        raise _unsafe(name, "leads out of the archive")
    if stat.S_ISLNK(info.external_attr >> 16):
        raise _unsafe(name, "is a link")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):  # the others unpack without a bound
        raise _unsafe(name, "is packed by another method than deflate")
    if info.flag_bits & FLAG_ENCRYPTED:
        raise _unsafe(name, "is encrypted")
    if not name.isprintable():
        raise _unsafe(name, "has control characters in its name")
    return posixpath.normpath(name) + ("/" if info.is_dir() else "")


def _broken(what: str, **more: str) -> InvalidInput:
    return InvalidInput("ARCHIVE_BROKEN", what, fix="Pack it anew as a plain zip.", **more)


def _unsafe(name: str, what: str) -> InvalidInput:
    return InvalidInput("ARCHIVE_UNSAFE", f"{name!r} {what}", fix="Pack it anew without that.", file=name[:200])


def _too_many(what: str) -> InvalidInput:
    return InvalidInput("ARCHIVE_TOO_LARGE", f"the archive has {what}", fix="Split it into several archives.")
