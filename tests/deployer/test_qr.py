"""Codes as pictures, read back by another library than the one that draws them."""

from __future__ import annotations

import io
from itertools import groupby

import pytest
import zxingcpp
from PIL import Image

from services.common.errors import InvalidInput
from services.deployer.qr import qr_png, wifi_code

LONGEST = "BL1:192.168.100.200:18831:k7q2mzx4ab:AAAQEAYEAUDAOCAJBIFQYDIOB4"[:64]


@pytest.mark.parametrize("text", ["BL1:x", LONGEST, wifi_code('a;b\\c,d:e"f', "p;w:12345"), wifi_code("车间网络", "")])
def test_a_code_reads_back_from_pixels(text: str) -> None:
    picture = Image.open(io.BytesIO(qr_png(text)))
    assert zxingcpp.read_barcode(picture).text == text


def test_modules_are_large_and_the_quiet_zone_is_there() -> None:
    picture = Image.open(io.BytesIO(qr_png(LONGEST))).convert("L")
    assert set(picture.tobytes()) == {0, 255} and picture.width >= 320
    runs = [len(list(run)) for y in range(picture.height) for value, run in groupby(picture.crop((0, y, picture.width, y + 1)).tobytes())]  # fmt: skip # noqa: E501
    module = min(runs)
    assert module >= 8
    border = picture.crop((0, 0, picture.width, 4 * module))
    assert set(border.tobytes()) == {255}


def test_special_characters_are_escaped() -> None:
    assert wifi_code("a;b\\c", 'p:q,r"s12') == r"WIFI:T:WPA;S:a\;b\\c;P:p\:q\,r\"s12;;"
    assert wifi_code("guests", "") == "WIFI:T:nopass;S:guests;;"


@pytest.mark.parametrize("ssid", ["", "x" * 33, "网" * 11, "a\nb"])
def test_a_network_name_that_no_access_point_has(ssid: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        wifi_code(ssid, "correct horse")
    assert caught.value.reason == "BAD_SSID"


@pytest.mark.parametrize("password", ["short12", "x" * 64, "pässword1", "tab\tinside"])
def test_a_password_that_wpa_does_not_allow(password: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        wifi_code("workshop", password)
    assert caught.value.reason == "BAD_WIFI_PASSWORD"
