"""COCO: one or several JSON files with images, annotations and categories (cocodataset.org, "Data format")."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from services.common.errors import InvalidInput
from services.gateway.archives.entries import Entry, Finder, Parsed, RawBox, number
from services.gateway.archives.opening import Archive

__all__ = ["read_coco"]


@dataclass
class _Image:
    name: str
    file: str
    size: tuple[int, int] | None
    boxes: list[RawBox] = field(default_factory=list)
    trouble: str = ""


def read_coco(archive: Archive) -> Parsed | None:
    """None when no JSON of the archive is one of COCO. InvalidInput BAD_ANNOTATION names file and field."""
    classes: dict[str, None] = {}
    images: list[_Image] = []
    notes: list[tuple[str, str]] = []
    found = False
    for name in archive.ending(".json"):
        whole = _json(archive, name)
        if not isinstance(whole, dict) or not isinstance(whole.get("images"), list) or "annotations" not in whole:
            notes.append((name, "this file has no images and annotations of COCO: not read"))
            continue
        found = True
        images += _instances(name, whole, classes, notes)
    if not found:
        return None
    finder = Finder(archive)
    return Parsed("coco", lambda: _entries(finder, images), list(classes), notes)


def _json(archive: Archive, name: str) -> object:
    try:
        return json.loads(archive.read_notes(name))
    except (ValueError, RecursionError) as error:
        raise InvalidInput("BAD_ANNOTATION", f"{name!r} is no JSON: {error}", fix="Mend it.", file=name) from error


def _instances(
    file: str, whole: dict[str, Any], classes: dict[str, None], notes: list[tuple[str, str]]
) -> list[_Image]:
    categories = {_key(one, "id", file): str(one.get("name", "")).strip() for one in _list(whole, "categories", file)}
    images: dict[str, _Image] = {}
    for one in _list(whole, "images", file):
        sides = (one.get("width"), one.get("height"))
        size = (sides[0], sides[1]) if isinstance(sides[0], int) and isinstance(sides[1], int) else None
        images[_key(one, "id", file)] = _Image(str(one.get("file_name", "")), file, size)
    crowds = 0
    for index, one in enumerate(_list(whole, "annotations", file)):
        image = images.get(_key(one, "image_id", file))
        if image is None:
            notes.append((file, f"annotation {index} belongs to image {one.get('image_id')!r}, which is not listed"))
        elif one.get("iscrowd"):
            crowds += 1
        elif not image.trouble:
            try:
                image.boxes.append(_box(one, categories, f"annotation {index}"))
            except InvalidInput as error:
                image.trouble = f"{file}: {error.message}"
    if crowds:
        notes.append((file, f"{crowds} regions of crowds (iscrowd) are left out: they are not one object"))
    classes.update(dict.fromkeys(categories.values()))
    return list(images.values())


def _list(whole: dict[str, Any], key: str, file: str) -> list[dict[str, Any]]:
    found = whole.get(key)
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise InvalidInput("BAD_ANNOTATION", f"{key!r} of {file!r} is no list of objects", fix="Mend it.", file=file)
    return found


def _key(one: dict[str, Any], name: str, file: str) -> str:
    """Ids are numbers or words; 7 and "7" are the same to every reader of COCO."""
    value = one.get(name)
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise InvalidInput("BAD_ANNOTATION", f"{file!r}: {name!r} is {value!r:.40}", fix="Mend it.", file=file)
    return str(value)


def _box(one: dict[str, Any], categories: dict[str, str], where: str) -> RawBox:
    label = categories.get(str(one.get("category_id")), "")
    if not label:
        raise InvalidInput("BAD_ANNOTATION", f"{where} has the category {one.get('category_id')!r}, which has no name")
    box = one.get("bbox")
    if not isinstance(box, list) or len(box) != 4:
        raise InvalidInput("BAD_ANNOTATION", f"{where} has no bbox of four numbers")
    x, y, width, height = (number(value, f"bbox of {where}") for value in box)
    return RawBox(label, x, y, x + width, y + height)


def _entries(finder: Finder, images: list[_Image]) -> Iterator[Entry]:
    seen: set[str] = set()
    for image in images:
        picture = finder.find(image.name, image.file)
        if picture is None:
            yield Entry(image.name or "?", trouble=f"{image.file} lists it, and the archive does not have it")
        elif picture in seen:
            yield Entry(picture, trouble=f"{image.file} lists it a second time")
        else:
            yield Entry(picture, boxes=image.boxes, pixels=True, size=image.size, trouble=image.trouble)
        seen.add(picture or "")
    yield from finder.others(seen)
