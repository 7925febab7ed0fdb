"""What a data set's form says of one picture, before the picture has been looked at."""

from __future__ import annotations

import math
import posixpath
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from services.common.errors import InvalidInput
from services.gateway.archives.opening import Archive

__all__ = ["PICTURES", "Entry", "Finder", "Parsed", "RawBox", "number", "stem"]

PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif")  # the last three are refused by name


@dataclass(frozen=True)
class RawBox:
    """Edges as the form gives them: pixels, or shares of the picture."""

    label: str
    left: float
    top: float
    right: float
    bottom: float


@dataclass(frozen=True)
class Entry:
    """One picture. `boxes`: None = the form says nothing of it; [] = there is nothing on it. `trouble`: why the picture
    must be refused. `size`: width and height that its boxes are for, where the form says so."""

    picture: str
    label: str = ""
    boxes: Sequence[RawBox] | None = None
    pixels: bool = False
    size: tuple[int, int] | None = None
    trouble: str = ""


@dataclass(frozen=True)
class Parsed:
    """An archive in a known form. `entries` reads the annotations anew each time, so that they need not stay in memory.

    `classes`: labels in the archive's own order, used or not. `notes`: (file, what a person should know of it).
    """

    form: str
    entries: Callable[[], Iterable[Entry]]
    classes: Sequence[str] = ()
    notes: list[tuple[str, str]] = field(default_factory=list)

    def labels(self) -> list[str]:
        """The labels in use: in the order of `classes`, then as they come."""
        used: dict[str, None] = {}
        for entry in self.entries():
            if not entry.trouble:
                used.update(dict.fromkeys([entry.label] if entry.label else []))
                used.update(dict.fromkeys(box.label for box in entry.boxes or ()))
        return [name for name in self.classes if name in used] + [name for name in used if name not in self.classes]


class Finder:
    """Pictures by the names that annotations use: whole paths, ends of paths, names without folder or ending."""

    def __init__(self, archive: Archive) -> None:
        self.pictures = archive.ending(*PICTURES)
        self._present = set(self.pictures)
        self._by_name: dict[str, list[str]] = {}
        for name in self.pictures:
            base = posixpath.basename(name)
            for key in {base, stem(base)}:
                self._by_name.setdefault(key, []).append(name)

    def find(self, wanted: str, beside: str = "") -> str | None:
        """The picture, or None when there is none or several that it could be. `beside`: the annotations' own path;
        of several the one with which it shares most of its folders is meant."""
        wanted = wanted.replace("\\", "/").lstrip("./")
        if wanted in self._present:
            return wanted
        found = self._by_name.get(posixpath.basename(wanted), [])
        ending = [name for name in found if name.endswith("/" + wanted)]
        found = ending or found
        if len(found) > 1 and beside:
            parts = set(beside.split("/")[:-1])
            shared = [len(parts & set(name.split("/"))) for name in found]
            best = max(shared)
            found = [name for name, count in zip(found, shared, strict=True) if count == best]
        return found[0] if len(found) == 1 else None

    def others(self, seen: set[str]) -> Iterator[Entry]:
        """The pictures that no annotation has named: they come without boxes."""
        return (Entry(name) for name in self.pictures if name not in seen)


def stem(path: str) -> str:
    """The name without folders and ending."""
    return posixpath.splitext(posixpath.basename(path))[0]


def number(value: object, what: str) -> float:
    """A finite number; InvalidInput BAD_ANNOTATION says what `what` is instead."""
    if isinstance(value, str):
        try:
            return number(float(value), what)
        except ValueError:
            value = value[:40]
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InvalidInput("BAD_ANNOTATION", f"{what} is {value!r}, not a number", fix="Mend the annotations.")
    return float(value)
