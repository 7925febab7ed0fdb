"""Pascal VOC: Annotations/*.xml beside JPEGImages/. Pixels count from 1, and the last one belongs to the box
(VOC2012 development kit, section 8.2)."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree
from xml.parsers import expat

from services.common.errors import InvalidInput
from services.gateway.archives.entries import Entry, Finder, Parsed, RawBox, number, stem
from services.gateway.archives.opening import MIB, Archive

__all__ = ["read_voc", "safe_xml"]

XML_FILE = 4 * MIB


def safe_xml(data: bytes) -> ElementTree.Element:
    """The document's root. InvalidInput BAD_ANNOTATION for broken XML, and for any DOCTYPE: annotations need none, and
    entities are how a small file reads others or becomes a huge one."""

    def refuse(*_: object) -> None:
        raise InvalidInput("BAD_ANNOTATION", "the XML has a DOCTYPE, which could name entities", fix="Take it out.")

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(data, True)
        return ElementTree.fromstring(data)
    except (expat.ExpatError, ElementTree.ParseError, ValueError, LookupError, RecursionError) as error:
        raise InvalidInput("BAD_ANNOTATION", f"the XML is broken: {error}", fix="Mend it.") from error


def read_voc(archive: Archive) -> Parsed | None:
    """None when no XML of the archive is an annotation."""
    files = [name for name in archive.ending(".xml") if b"<annotation" in archive.read(name, XML_FILE)[:4096]]
    if not files:
        return None
    finder = Finder(archive)

    def entries() -> Iterator[Entry]:
        seen: set[str] = set()
        for name in files:
            entry = _entry(archive, finder, name)
            if entry.picture in seen:
                yield Entry(entry.picture, trouble=f"{name} describes it a second time")
            else:
                yield entry
            seen.add(entry.picture)
        yield from finder.others(seen)

    others = [name for name in archive.ending(".xml") if name not in set(files)]
    return Parsed("voc", entries, (), [(name, "this file is no annotation: not read") for name in others])


def _entry(archive: Archive, finder: Finder, name: str) -> Entry:
    picture = finder.find(stem(name), name)
    try:
        root = safe_xml(archive.read(name, XML_FILE))
        picture = finder.find(root.findtext("filename", "").strip(), name) or picture
        boxes = [_box(one, index) for index, one in enumerate(root.findall("object"), 1)]
        size = _size(root)
    except InvalidInput as error:
        return Entry(picture or name, trouble=f"{name}: {error.message}")
    if picture is None:
        return Entry(name, trouble="the archive does not have its picture")
    return Entry(picture, boxes=boxes, pixels=True, size=size)


def _size(root: ElementTree.Element) -> tuple[int, int] | None:
    """Some tools write 0 where they do not know."""
    width, height = (root.findtext(f"size/{side}", "0").strip() for side in ("width", "height"))
    sides = int(number(width or "0", "width")), int(number(height or "0", "height"))
    return sides if min(sides) > 0 else None


def _box(one: ElementTree.Element, index: int) -> RawBox:
    label = one.findtext("name", "").strip()
    if not label:
        raise InvalidInput("BAD_ANNOTATION", f"object {index} has no name")
    edges = (number(one.findtext(f"bndbox/{edge}"), f"{edge} of object {index}") for edge in EDGES)
    left, top, right, bottom = edges
    return RawBox(label, left - 1, top - 1, right, bottom)


EDGES = ("xmin", "ymin", "xmax", "ymax")
