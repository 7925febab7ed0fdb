"""What a hostile zip cannot do."""

from __future__ import annotations

import io
import struct
import zipfile

import pytest

from services.common.errors import InvalidInput
from services.gateway.archives.opening import Archive, Bounds
from tests.gateway.archives.making import pack


def refused(file: io.BytesIO, bounds: Bounds | None = None) -> InvalidInput:
    with pytest.raises(InvalidInput) as caught:
        archive = Archive(file, bounds)
        for name in archive.names:
            archive.read_notes(name)
    assert caught.value.fix
    return caught.value


def test_the_files_are_listed_without_what_systems_add() -> None:
    files = {"b/1.jpg": b"1", "a.txt": "2", "__MACOSX/._a.txt": b"", "b/.DS_Store": b"", "b/Thumbs.db": b"", "d/": b""}
    archive = Archive(pack(files))
    assert archive.names == ["a.txt", "b/1.jpg"]
    assert archive.read("a.txt", 1) == b"2"


@pytest.mark.parametrize(
    "name", ["../evil.jpg", "a/../../evil.jpg", "/etc/evil.jpg", "C:/evil.jpg", "a\\..\\..\\evil.jpg"]
)
def test_a_path_that_leads_out_is_refused(name: str) -> None:
    error = refused(pack({"good.jpg": b"x", name: b"x"}))
    assert (error.reason, "evil.jpg" in error.message) == ("ARCHIVE_UNSAFE", True)


def test_a_link_is_refused() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as zipped:
        link = zipfile.ZipInfo("link.jpg")
        link.external_attr = 0o120777 << 16
        zipped.writestr(link, "/etc/passwd")
    assert "'link.jpg' is a link" in refused(out).message


def test_a_name_that_is_there_twice_is_refused() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as zipped:
        zipped.writestr("a.jpg", b"1")
        zipped.writestr("./a.jpg", b"2")
    assert "'a.jpg' is there twice" in refused(out).message


def test_an_encrypted_file_is_refused() -> None:
    raw = bytearray(pack({"a.jpg": b"x"}).getvalue())
    raw[raw.index(b"PK\x01\x02") + 8] |= 1
    assert "encrypted" in refused(io.BytesIO(raw)).message


def test_a_method_that_unpacks_without_a_bound_is_refused() -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_LZMA) as zipped:
        zipped.writestr("a.jpg", bytes(1000))
    assert "another method than deflate" in refused(out).message


def test_a_bomb_is_not_unpacked() -> None:
    bomb = {f"{index}.jpg": bytes(10_000_000) for index in range(3)}
    assert refused(pack(bomb), Bounds(total=20_000_000)).reason == "ARCHIVE_TOO_LARGE"
    assert "'0.jpg' has over 1000000 bytes" in refused(pack(bomb), Bounds(notes=1_000_000)).message


def test_a_bomb_that_lies_about_its_size_is_cut_at_what_it_says() -> None:
    raw = bytearray(pack({"a.jpg": bytes(5_000_000)}).getvalue())
    place = raw.index(b"PK\x01\x02")
    raw[place + 24 : place + 28] = struct.pack("<I", 10)
    assert refused(io.BytesIO(raw)).reason == "ARCHIVE_BROKEN"


def test_too_many_files_are_refused_before_they_are_listed() -> None:
    many = pack({f"{index}.txt": b"" for index in range(50)})
    assert "50 files, the limit is 20" in refused(many, Bounds(files=20)).message
    many.seek(0)
    assert "a directory of" in refused(many, Bounds(directory=500)).message


@pytest.mark.parametrize("damage", ["cut", "no zip", "flipped"])
def test_a_broken_archive_is_refused_in_words(damage: str) -> None:
    raw = bytearray(pack({"a.jpg": bytes(range(256)) * 40}).getvalue())
    if damage == "flipped":
        raw[60] ^= 0xFF
    data = {"cut": raw[: len(raw) // 2], "no zip": b"hello", "flipped": raw}[damage]
    assert refused(io.BytesIO(data)).reason == "ARCHIVE_BROKEN"
