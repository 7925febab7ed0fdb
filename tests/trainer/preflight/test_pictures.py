"""Problems found in real JPEGs."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from services.rpc.boardloop.collector.v1 import collector_pb2 as c
from services.trainer.preflight.look import Looks, look_at
from services.trainer.preflight.pictures import picture_problems
from services.trainer.preflight.problems import Problem
from tests.trainer.conftest import jpeg


def sent(index: int, data: bytes, label: str = "ring", validation: bool = False) -> c.StreamVersionResponse:
    split = c.SPLIT_VALIDATION if validation else c.SPLIT_TRAIN
    return c.StreamVersionResponse(capture_id=f"{index:032x}", label=label, split=split, jpeg=data)


def problems(*pictures: c.StreamVersionResponse, width: int = 128, height: int = 128) -> dict[str, Problem]:
    return {one.code: one for one in picture_problems(look_at(pictures).seen, width, height)}


def blank(width: int, height: int, quality: int = 85, seed: int = 0) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 255, (height // 8 + 1, width // 8 + 1, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).resize((width, height)).save(out, "JPEG", quality=quality)
    return out.getvalue()


def test_good_pictures_have_no_problem() -> None:
    assert not problems(*(sent(i, jpeg(("ring", "bars")[i % 2], i), validation=i > 8) for i in range(12)))


def test_a_truncated_picture_is_an_error_that_names_it() -> None:
    found = problems(sent(1, jpeg("ring", 1)), sent(2, jpeg("ring", 2)[:900]))["unreadable"]
    assert found.severity.name == "ERROR" and found.captures == (f"{2:032x}",) and f"{2:032x}" in found.message


def test_a_picture_that_the_training_leaves_out_is_a_warning_unless_none_is_left() -> None:
    good, broken = sent(1, jpeg("ring", 1)), sent(2, jpeg("ring", 2)[:900])
    found = picture_problems(look_at([good, broken]).seen, 128, 128, skip_unreadable=True)
    assert [(one.code, one.severity.name, one.captures) for one in found] == [("left_out", "WARNING", (f"{2:032x}",))]
    assert [one.code for one in picture_problems(look_at([broken]).seen, 128, 128, True)] == ["unreadable"]


def test_the_same_pixels_in_both_splits_are_a_leak() -> None:
    found = problems(sent(1, jpeg("ring", 1)), sent(2, jpeg("ring", 1), validation=True), sent(3, jpeg("ring", 3)))
    assert found["leak"].facts == {"count": "1", "share": "100%"} and "near_leak" not in found


def test_the_same_picture_at_another_quality_is_nearly_a_leak() -> None:
    found = problems(sent(1, blank(160, 120, 90)), sent(2, blank(160, 120, 60), validation=True))
    assert "near_leak" in found and "leak" not in found
    assert "near_leak" not in problems(sent(1, blank(160, 120)), sent(2, blank(160, 120, seed=1), validation=True))


def test_one_picture_with_two_labels_is_a_conflict() -> None:
    assert "conflict" in problems(sent(1, jpeg("ring", 1)), sent(2, jpeg("ring", 1), "bars"))


def test_sizes_and_shapes_far_from_the_input_are_said() -> None:
    assert "tiny" in problems(sent(1, blank(24, 24)))
    assert "smaller" in problems(sent(1, blank(100, 100)), width=224, height=224)
    assert "huge" in problems(sent(1, blank(2400, 2000)))
    assert "stretched" in problems(sent(1, blank(320, 160))) and "stretched" not in problems(sent(1, blank(160, 120)))
    assert "stretched" not in problems(sent(1, blank(320, 160)), width=320, height=160)


def test_a_look_is_bounded_and_remembered() -> None:
    pictures = [sent(i, jpeg("ring", i)) for i in range(5)]
    assert len(look_at(pictures, most=3).seen) == 3 and len(look_at(pictures, seconds=0).seen) == 1
    looks = Looks()
    assert looks.known("v") is None
    assert looks.look("v", pictures) is looks.look("v", iter(())) is looks.known("v")
