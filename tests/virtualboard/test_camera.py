"""What a virtual board's camera makes of the picture before it."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from services.common.errors import InvalidInput
from services.virtualboard import VirtualBoards, camera

PAIRING = "BL1:192.168.100.200:18830:abcdefghij:ABCDEFGHIJKLMNOPQRSTUVWXYZ"  # 64 bytes, the longest there is


def test_the_longest_pairing_code_is_read_from_pixels_at_nearly_every_look() -> None:
    picture = camera.qr_picture(PAIRING)
    assert [camera.scan(picture, look) for look in range(20)].count(PAIRING) >= 18


def test_the_lens_really_disturbs_the_picture_and_differs_from_look_to_look() -> None:
    with Image.open(io.BytesIO(camera.qr_picture(PAIRING))) as code:
        first, again, other = (camera.through_lens(code.convert("RGB"), look) for look in (1, 1, 2))
    assert first.shape == (240, 320)
    assert len(np.unique(first)) > 100
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_photo_holds_no_code(photo: bytes) -> None:
    assert camera.scan(photo) is None


def test_a_capture_is_a_jpeg_of_the_size_asked_for_and_always_the_same(photo: bytes) -> None:
    shot = camera.capture(photo)
    with Image.open(io.BytesIO(shot)) as picture:
        assert (picture.format, picture.size) == ("JPEG", (224, 224))
    assert shot == camera.capture(photo)


def test_a_broken_picture_is_refused_before_a_board_sees_it(boards: VirtualBoards) -> None:
    with pytest.raises(InvalidInput) as caught:
        boards.add("board").look_at(b"\xff\xd8 no picture")
    assert caught.value.reason == "PICTURE_BROKEN"
