"""Pictures of every kind become upright JPEGs, and their boxes go with them."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from services.common.errors import InvalidInput
from services.gateway.archives.entries import Entry, RawBox
from services.gateway.archives.geometry import place
from services.gateway.archives.pictures import Picture, to_jpeg
from tests.gateway.archives.making import RED, picture

TAG = 0x0112


def rotated(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[TAG] = orientation
    return picture(exif=exif)


def pixels(jpeg: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(jpeg), formats=("JPEG",)) as image:
        assert image.mode == "RGB" and image.getexif().get(TAG, 1) == 1
        return np.asarray(image, np.int64)


def is_red(values: np.ndarray) -> bool:
    return bool((np.abs(values - RED) < 40).all())


def test_a_jpeg_that_is_upright_stays_byte_for_byte() -> None:
    data = picture()
    assert to_jpeg(data) == Picture(data, 80, 40, 1)


@pytest.mark.parametrize(
    ("kind", "mode"),
    [("PNG", "RGB"), ("PNG", "P"), ("PNG", "RGBA"), ("BMP", "RGB"), ("WEBP", "RGB"), ("JPEG", "CMYK"), ("PNG", "L")],
)
def test_other_kinds_are_converted(kind: str, mode: str) -> None:
    made = to_jpeg(picture(kind=kind, mode=mode))
    shown = pixels(made.jpeg)
    assert shown.shape == (40, 80, 3)
    assert is_red(shown[4:16, 4:36]) or mode == "L"


def test_sixteen_bits_become_the_upper_eight_and_clear_becomes_white() -> None:
    deep = Image.fromarray(np.full((8, 8), 0x8000, np.uint16))
    clear = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    for image, value in ((deep, 128), (clear, 255)):
        out = io.BytesIO()
        image.save(out, "PNG")
        assert np.abs(pixels(to_jpeg(out.getvalue()).jpeg) - value).max() <= 2


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("pixel_boxes", [True, False])
def test_a_box_stays_on_its_thing_when_the_picture_is_turned(orientation: int, pixel_boxes: bool) -> None:
    made = to_jpeg(rotated(orientation))
    assert (made.width, made.height) == ((40, 80) if orientation >= 5 else (80, 40))
    box = RawBox("cat", 0, 0, 40, 20) if pixel_boxes else _red_share(made)
    [placed], lines = place(Entry("a", boxes=[box], pixels=pixel_boxes, size=(80, 40) if pixel_boxes else None), made)
    left, top = round(placed.x * made.width), round(placed.y * made.height)
    inside = pixels(made.jpeg)[top + 3 : top + round(placed.height * made.height) - 3,
                               left + 3 : left + round(placed.width * made.width) - 3]  # fmt: skip
    assert is_red(inside) and inside.size > 0 and lines == []


def _red_share(made: Picture) -> RawBox:
    """YOLO's boxes are drawn on the upright picture: where the red is there."""
    red = (np.abs(pixels(made.jpeg) - RED) < 40).all(axis=2)
    rows, columns = np.flatnonzero(red.any(axis=1)), np.flatnonzero(red.any(axis=0))
    return RawBox("cat", columns[0] / made.width, rows[0] / made.height,
                  (columns[-1] + 1) / made.width, (rows[-1] + 1) / made.height)  # fmt: skip


def test_a_form_may_name_the_upright_size() -> None:
    made = to_jpeg(rotated(6))
    [placed], _ = place(Entry("a", boxes=[RawBox("cat", 20, 0, 40, 40)], pixels=True, size=(40, 80)), made)
    assert (placed.x, placed.y, placed.width, placed.height) == (0.5, 0, 0.5, 0.5)


def test_boxes_for_another_size_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"for \(160, 80\) pixels, and it has \(80, 40\)"):
        place(Entry("a", boxes=[], pixels=True, size=(160, 80)), to_jpeg(picture()))


def test_boxes_are_clipped_or_left_out_and_each_says_so() -> None:
    boxes = [RawBox("cat", -10, 0, 40, 20), RawBox("cat", 90, 0, 99, 20), RawBox("cat", 1, 1, 1.5, 20),
             RawBox("cat", 0, 0, 80.5, 40)]  # fmt: skip
    placed, lines = place(Entry("a", boxes=boxes, pixels=True), to_jpeg(picture()))
    assert [(box.x, box.width) for box in placed] == [(0, 0.5), (0, 1)]
    assert [line.split(" (")[0] for line in lines] == ["box 1", "box 2", "box 3"]
    assert "clipped" in lines[0] and "left out" in lines[1] and "left out" in lines[2]


def bomb() -> bytes:
    """A PNG that says 30,000 x 30,000."""
    raw = bytearray(picture(kind="PNG"))
    raw[16:24] = (30_000).to_bytes(4, "big") * 2
    import zlib

    raw[29:33] = zlib.crc32(bytes(raw[12:29])).to_bytes(4, "big")
    return bytes(raw)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "BAD_PICTURE"),
        (b"GIF89a" + bytes(40), "BAD_PICTURE"),
        (picture()[:300], "BAD_PICTURE"),
        (picture(kind="PNG")[:-30], "BAD_PICTURE"),
        (bomb(), "TOO_LARGE"),
    ],
    ids=["empty", "another kind", "cut JPEG", "cut PNG", "bomb"],
)
def test_what_is_no_picture_is_refused_in_words(data: bytes, reason: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        to_jpeg(data)
    assert caught.value.reason == reason and caught.value.fix
