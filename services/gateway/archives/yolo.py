"""YOLO: images/, labels/*.txt, and the names of the classes in data.yaml, classes.txt or obj.names.

A line of a label file is `class cx cy w h`, shares of the picture, or a polygon `class x1 y1 x2 y2 x3 y3 …`, whose
bounding box is taken. An empty file says that there is nothing on the picture; no file says nothing.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

import yaml

from services.common.errors import InvalidInput
from services.gateway.archives.entries import Entry, Finder, Parsed, RawBox, number
from services.gateway.archives.opening import MIB, Archive

__all__ = ["read_yolo"]

NAMES = ("classes.txt", "obj.names", "labels.txt", "_darknet.labels")
LABEL_FILE = 4 * MIB


def read_yolo(archive: Archive) -> Parsed | None:
    """None when it is no data set of YOLO. InvalidInput BAD_ANNOTATION when data.yaml cannot be read."""
    finder = Finder(archive)
    pairs = {picture: note for picture in finder.pictures if (note := _label_file(archive, picture))}
    classes = _classes(archive)
    if not pairs or (classes is None and not any("labels/" in note for note in pairs.values())):
        return None
    used = set(pairs.values())
    stray = [name for name in archive.ending(".txt") if name not in used and _is_label_folder(name)]
    notes = [(name, "no picture belongs to this label file") for name in stray]
    if classes is None:
        notes.append(("", "there is no data.yaml and no classes.txt: the labels are called class 0, class 1, …"))

    def entries() -> Iterator[Entry]:
        for picture in finder.pictures:
            note = pairs.get(picture)
            yield Entry(picture) if note is None else _entry(archive, picture, note, classes)

    return Parsed("yolo", entries, classes or (), notes)


def _is_label_folder(name: str) -> bool:
    return "labels" in name.split("/")[:-1]


def _label_file(archive: Archive, picture: str) -> str | None:
    """labels/… for images/…, as YOLO does it, else the file beside the picture."""
    parts = posixpath.splitext(picture)[0].split("/")
    for place in range(len(parts) - 2, -1, -1):
        if parts[place] == "images":
            name = "/".join([*parts[:place], "labels", *parts[place + 1 :]]) + ".txt"
            if name in archive:
                return name
    beside = "/".join(parts) + ".txt"
    return beside if beside in archive and posixpath.basename(beside) not in NAMES else None


def _classes(archive: Archive) -> list[str] | None:
    for name in archive.ending(".yaml", ".yml"):
        try:
            found = yaml.safe_load(archive.read(name, MIB))
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise InvalidInput("BAD_ANNOTATION", f"{name!r} is no YAML: {reason}", fix="Mend it.", file=name) from error
        if isinstance(found, dict) and "names" in found:
            return _named(name, found["names"])
    for name in archive.names:
        if posixpath.basename(name) in NAMES:
            lines = archive.read(name, MIB).decode("utf-8", "replace").splitlines()
            return [line.strip() for line in lines if line.strip()]
    return None


def _named(file: str, names: object) -> list[str]:
    if isinstance(names, dict) and sorted(map(str, names)) == sorted(map(str, range(len(names)))):
        by_index = {str(key): value for key, value in names.items()}
        names = [by_index[str(index)] for index in range(len(by_index))]
    if not isinstance(names, list) or not all(isinstance(name, str | int | float) for name in names):
        raise InvalidInput(
            "BAD_ANNOTATION",
            f"`names` of {file!r} is neither a list nor numbered 0, 1, 2, …",
            fix="Write names: [cat, dog].",
            file=file,
        )
    return [str(name).strip() for name in names]


def _entry(archive: Archive, picture: str, note: str, classes: list[str] | None) -> Entry:
    try:
        lines = archive.read(note, LABEL_FILE).decode("utf-8-sig").splitlines()
        boxes = [_box(line.split(), classes, index) for index, line in enumerate(lines, 1) if line.strip()]
    except (InvalidInput, UnicodeDecodeError) as error:
        return Entry(picture, trouble=f"{note}: {error}")
    return Entry(picture, boxes=boxes)


def _box(words: list[str], classes: list[str] | None, line: int) -> RawBox:
    values = [number(word, f"line {line}, column {column}") for column, word in enumerate(words, 1)]
    index = values[0]
    if index != int(index) or not 0 <= index < (10_000 if classes is None else len(classes)):
        has = "" if classes is None else f"; there are {len(classes)}, from 0"
        raise InvalidInput("BAD_ANNOTATION", f"line {line}: no class {words[0]}{has}")
    label = f"class {int(index)}" if classes is None else classes[int(index)]
    rest = values[1:]
    if len(rest) == 4:
        x, y, width, height = rest
        return RawBox(label, x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    if len(rest) >= 6 and len(rest) % 2 == 0:
        return RawBox(label, min(rest[::2]), min(rest[1::2]), max(rest[::2]), max(rest[1::2]))
    raise InvalidInput("BAD_ANNOTATION", f"line {line} has {len(words)} columns, not 5 (a box) or a polygon's")
