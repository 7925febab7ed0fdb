from __future__ import annotations

import io
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from services.common.errors import InvalidInput
from services.trainer import imaging


def encoded(picture: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def test_planes_are_red_green_blue_and_rows_run_down() -> None:
    picture = Image.new("RGB", (40, 20), (200, 100, 50))
    picture.paste((0, 0, 0), (0, 10, 40, 20))
    pixels = imaging.to_input(encoded(picture, "PNG"), 40, 20)
    assert pixels.shape == (3, 20, 40) and pixels.dtype == np.uint8
    assert pixels[:, 0, 0].tolist() == [200, 100, 50]
    assert pixels[:, 19, 39].tolist() == [0, 0, 0]


def test_resizes_as_pillow_bilinear_does() -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8))
    expected = np.asarray(noise.resize((32, 48), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
    assert np.array_equal(imaging.to_input(encoded(noise, "PNG"), 32, 48), expected)


def test_exif_orientation_is_applied() -> None:
    picture = Image.new("RGB", (64, 32), (0, 0, 0))
    picture.paste((255, 255, 255), (0, 0, 32, 32))  # left half white
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show rotated by 90° clockwise
    pixels = imaging.to_input(encoded(picture, quality=95, exif=exif), 32, 64)
    assert pixels[:, :28].min() > 240 and pixels[:, 36:].max() < 15  # top half white


def test_grey_pictures_have_three_equal_planes() -> None:
    pixels = imaging.to_input(encoded(Image.new("L", (16, 16), 77), "PNG"), 8, 8)
    assert (pixels == 77).all()


@pytest.mark.parametrize("keep", [0, 1, 3, 20, 200, 0.5, 0.95])
def test_a_cut_off_jpeg_is_named(keep: float) -> None:
    whole = encoded(Image.effect_noise((120, 90), 60).convert("RGB"))
    cut = whole[: keep if isinstance(keep, int) else int(len(whole) * keep)]
    with pytest.raises(InvalidInput, match=r"img_7\.jpg") as caught:
        imaging.to_input(cut, 32, 32, "img_7.jpg")
    assert caught.value.reason == "PICTURE_BROKEN"


@pytest.mark.parametrize(
    "data", [b"GIF89a" + bytes(50), b"<html>", bytes(1000), encoded(Image.new("RGB", (4, 4)), "BMP")]
)
def test_other_files_are_refused(data: bytes) -> None:
    with pytest.raises(InvalidInput, match="not a whole JPEG or PNG picture: it does not begin like one"):
        imaging.to_input(data, 32, 32)


@pytest.mark.parametrize("side", [6_000, 12_000, 14_000])
def test_huge_pictures_are_refused_before_they_are_decoded(side: int) -> None:
    bomb = encoded(Image.new("1", (side, side)), "PNG")
    with pytest.raises(InvalidInput, match="bomb"):
        imaging.to_input(bomb, 32, 32, "bomb.png")


def test_too_many_bytes_are_refused() -> None:
    with pytest.raises(InvalidInput, match="too large"):
        imaging.to_input(bytes(imaging.MAX_PICTURE_BYTES + 1), 32, 32)


def test_a_picture_of_a_thousand_scans_is_refused_before_it_is_decoded() -> None:
    out = io.BytesIO()
    Image.new("RGB", (32, 32)).save(out, "JPEG", progressive=True)
    jpeg = out.getvalue()
    last_scan, end = jpeg.rindex(b"\xff\xda"), len(jpeg) - 2
    with pytest.raises(InvalidInput, match="64 scans"):
        imaging.to_input(jpeg[:end] + jpeg[last_scan:end] * 1000 + jpeg[end:], 32, 32)
    assert imaging.to_input(jpeg, 32, 32).shape == (3, 32, 32)


def test_needs_no_torch() -> None:
    code = "import sys, services.trainer.imaging; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_sixteen_bits_become_the_upper_eight() -> None:
    levels = np.array([[0, 255, 256], [32768, 65279, 65535]], np.uint16)
    pixels = imaging.to_input(encoded(Image.fromarray(levels), "PNG"), 3, 2)
    assert pixels[1].tolist() == [[0, 0, 1], [128, 254, 255]]


def test_cmyk_becomes_rgb() -> None:
    pixels = imaging.to_input(encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), quality=95), 8, 8)
    assert pixels[0].min() > 245 and pixels[1:].max() < 10


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_becomes_white(mode: str) -> None:
    picture = Image.new("RGBA", (8, 8), (10, 10, 10, 255))
    picture.paste((10, 10, 10, 0), (0, 0, 8, 4))
    pixels = imaging.to_input(encoded(picture.convert(mode), "PNG"), 8, 8)
    assert (pixels[:, :4] == 255).all() and (pixels[:, 4:] == 10).all()


def test_of_an_animation_the_first_frame_is_taken() -> None:
    first, second = Image.new("RGB", (8, 8), (200, 0, 0)), Image.new("RGB", (8, 8), (0, 200, 0))
    data = encoded(first, "PNG", save_all=True, append_images=[second])
    assert imaging.to_input(data, 4, 4)[:, 0, 0].tolist() == [200, 0, 0]


def test_a_picture_without_pixels_is_broken() -> None:
    whole = encoded(Image.new("RGB", (16, 16)))
    size = whole.index(b"\xff\xc0") + 5
    for data in (b"", whole[:size] + bytes(4) + whole[size + 4 :]):
        with pytest.raises(InvalidInput, match="not a whole JPEG or PNG"):
            imaging.to_input(data, 8, 8)


def test_a_large_photograph_is_decoded_smaller_and_hardly_differs() -> None:
    y, x = np.mgrid[0:1536, 0:2048]
    planes = [120 + 100 * np.sin(np.hypot(x - 900, y - 700) / 40), x / 8, (x // 64 + y // 64) % 2 * 200]
    data = encoded(Image.fromarray(np.stack(planes, 2).clip(0, 255).astype(np.uint8)), quality=90)
    assert imaging.open_rgb(data, least=(256, 256)).size == (512, 384)
    exact = np.asarray(imaging.open_rgb(data).resize((128, 128), Image.Resampling.BILINEAR)).transpose(2, 0, 1)
    assert np.abs(imaging.to_input(data, 128, 128).astype(int) - exact).mean() < 1
