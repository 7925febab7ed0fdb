"""Archives damaged at random: what is wrong is said in words, by picture or for all, and nothing else happens."""

from __future__ import annotations

import io
import json
import random

from services.common.errors import InvalidInput
from services.gateway.archives.geometry import place
from services.gateway.archives.opening import Archive
from services.gateway.archives.pictures import to_jpeg
from services.gateway.archives.recognise import recognise
from tests.gateway.archives.making import pack, picture, voc, yolo

ROUNDS = 400  # one seed of 6,000 was run once, with no other outcome
WORDS = [b"NaN", b"null", b"-1", b"1e999", b'"', b"{", b"[", b"<", b"&x;", b"\xff", b"true", b"9" * 30]
COCO = {
    "images": [{"id": 1, "file_name": "a.jpg", "width": 80, "height": 40}],
    "annotations": [{"image_id": 1, "category_id": 7, "bbox": [8, 4, 16, 12]}],
    "categories": [{"id": 7, "name": "cat"}],
}
SETS: list[dict[str, bytes | str]] = [
    yolo(2),
    {"a.xml": voc(), "a.jpg": picture()},
    {"t.json": json.dumps(COCO), "a.jpg": picture()},
    {f"cat/{kind}.{kind}": picture(kind=kind) for kind in ("PNG", "WEBP", "BMP")},
]


def damaged(chance: random.Random, data: bytearray) -> bytes:
    for _ in range(chance.randint(1, 5)):
        place_, what = chance.randrange(len(data) + 1), chance.random()
        if what < 0.4 and place_ < len(data):
            data[place_] = chance.randrange(256)
        elif what < 0.6:
            del data[place_ : place_ + chance.randint(1, 20)]
        elif what < 0.9:
            data[place_:place_] = chance.choice(WORDS)
        else:
            del data[place_:]
    return bytes(data)


def read_all(data: bytes) -> int:
    """How many pictures could be used."""
    used = 0
    archive = Archive(io.BytesIO(data))
    parsed = recognise(archive)
    for entry in parsed.entries():
        try:
            if not entry.trouble:
                place(entry, to_jpeg(archive.read(entry.picture, archive.bounds.picture)))
                used += 1
        except InvalidInput as error:
            assert error.message
    return used


def test_damage_never_does_more_than_be_refused_in_words() -> None:
    chance = random.Random(11)
    refused = used = 0
    for _ in range(ROUNDS):
        files = dict(chance.choice(SETS))
        name = chance.choice(list(files))
        inside = chance.random() < 0.7
        if inside:
            whole = files[name]
            files[name] = damaged(chance, bytearray(whole if isinstance(whole, bytes) else whole.encode()))
        data = pack(files).getvalue()
        try:
            used += read_all(data if inside else damaged(chance, bytearray(data)))
        except InvalidInput as error:
            assert error.reason in ("ARCHIVE_BROKEN", "ARCHIVE_UNSAFE", "ARCHIVE_UNKNOWN", "BAD_ANNOTATION")
            refused += 1
    assert used > ROUNDS / 4 and refused > ROUNDS / 20
