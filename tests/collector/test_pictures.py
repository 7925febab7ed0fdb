"""What counts as a JPEG, and thumbnails."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from services.collector.pictures import Size, check_jpeg
from services.collector.thumbnails import Thumbnails
from services.common.errors import InvalidInput
from tests.collector.boards import make_jpeg

LIMIT = 1_000_000


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def test_a_jpeg_tells_its_size() -> None:
    assert check_jpeg(make_jpeg(1, 224, 160), LIMIT) == Size(224, 160)


def test_grey_and_progressive_are_jpeg_too() -> None:
    assert check_jpeg(encoded(Image.new("L", (8, 8)), "JPEG"), LIMIT) == Size(8, 8)
    assert check_jpeg(encoded(Image.new("RGB", (64, 64)), "JPEG", progressive=True), LIMIT) == Size(64, 64)


@pytest.mark.parametrize("keep", [2, 3, 20, 300, 2000, -600])
def test_a_truncated_jpeg_is_refused(keep: int) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_jpeg(make_jpeg(2, 224, 224)[:keep], LIMIT)
    assert refused.value.reason == "NOT_JPEG"


@pytest.mark.parametrize("data", [b"", b"\xff\xd8", b"\xff\xd8 not a picture", encoded(Image.new("L", (8, 8)), "PNG")])
def test_other_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_jpeg(data, LIMIT)
    assert refused.value.reason == "NOT_JPEG"


def test_a_small_file_cannot_claim_gigabytes() -> None:
    jpeg = bytearray(encoded(Image.new("L", (8, 8)), "JPEG"))
    header = jpeg.index(b"\xff\xc0")
    for side, reason in ((5000, "TOO_LARGE"), (12_000, "TOO_LARGE"), (65_000, "TOO_LARGE")):
        jpeg[header + 5 : header + 9] = side.to_bytes(2, "big") * 2
        with pytest.raises(InvalidInput) as refused:
            check_jpeg(bytes(jpeg), LIMIT)
        assert refused.value.reason == reason


def test_a_small_file_cannot_claim_hours() -> None:
    jpeg = encoded(Image.new("RGB", (64, 64)), "JPEG", progressive=True)
    last_scan, end = jpeg.rindex(b"\xff\xda"), len(jpeg) - 2
    check_jpeg(jpeg[:end] + jpeg[last_scan:end] * 20 + jpeg[end:], LIMIT)
    with pytest.raises(InvalidInput) as refused:
        check_jpeg(jpeg[:end] + jpeg[last_scan:end] * 1000 + jpeg[end:], LIMIT)
    assert refused.value.reason == "NOT_JPEG" and "scans" in refused.value.message


def test_scans_in_a_comment_or_behind_the_end_do_not_count() -> None:
    jpeg = make_jpeg(1, 64, 64)
    many = b"\xff\xda\x00\x02" * 1000
    comment = b"\xff\xfe" + (len(many) + 2).to_bytes(2, "big") + many
    assert check_jpeg(jpeg[:2] + comment + jpeg[2:] + many, LIMIT) == Size(64, 64)


def test_a_thumbnail_fits_and_is_made_once() -> None:
    reads = []
    thumbnails = Thumbnails(1_000_000)
    for _ in range(2):
        made = thumbnails.get("key", 64, lambda: reads.append(1) or make_jpeg(3, 320, 160))
    with Image.open(io.BytesIO(made)) as image:
        assert image.size == (64, 32)
    assert len(reads) == 1


def test_a_sideways_picture_is_turned_upright() -> None:
    picture = Image.new("RGB", (320, 160))
    exif = picture.getexif()
    exif[0x0112] = 6  # Exif 2.3 Orientation: row 0 is the right-hand side
    made = Thumbnails(0).get("key", 64, lambda: encoded(picture, "JPEG", exif=exif))
    with Image.open(io.BytesIO(made)) as image:
        assert image.size == (32, 64)


def test_thumbnails_keep_to_their_memory() -> None:
    reads = []
    thumbnails = Thumbnails(4_000)
    for key in ("a", "b", "c", "d", "e", "f", "a"):
        thumbnails.get(key, 64, lambda key=key: reads.append(key) or make_jpeg(3, 320, 320))
    assert reads.count("a") == 2


@pytest.mark.parametrize("size", [15, 513])
def test_a_size_out_of_range_is_refused(size: int) -> None:
    with pytest.raises(InvalidInput, match="16 to 512"):
        Thumbnails(0).get("key", size, lambda: b"")
