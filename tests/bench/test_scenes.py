"""The scenes of bench/scenes.py: with stand-in stamps always, with the true ones where they lie in the cache."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench import scenes
from bench.scenes import LABELS, MAX_OBJECTS, make_scenes, stamps_folder
from services.common.errors import Unavailable
from services.trainer.settings import user_cache_dir


def test_the_same_arguments_give_the_same_scenes(stamps: Path) -> None:
    first, again = (make_scenes(stamps, 4, 64, 5, "train") for _ in range(2))
    assert np.array_equal(first.images, again.images) and first.truths == again.truths
    assert first.images.shape == (4, 3, 64, 64) and first.images.dtype == np.uint8
    longer = make_scenes(stamps, 6, 64, 5, "train")
    assert np.array_equal(longer.images[:4], first.images)


def test_scenes_hold_one_to_five_objects_of_all_labels_within_the_picture(stamps: Path) -> None:
    truths = make_scenes(stamps, 60, 64, 0, "train").truths
    assert {truth.label for items in truths for truth in items} == set(range(len(LABELS)))
    assert {len(items) for items in truths} == set(range(1, MAX_OBJECTS + 1))
    assert all(0 <= edge <= 1 for items in truths for truth in items for edge in truth.box)


def test_boxes_are_exact(stamps: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenes, "MAX_OBJECTS", 1)
    monkeypatch.setattr(scenes, "_background", lambda photograph, size, rng: Image.new("RGB", (size, size), "black"))
    made = make_scenes(stamps, 20, 128, 0, "test")
    for image, (truth,) in zip(made.images, made.truths, strict=True):
        rows, columns = np.nonzero(image[0] > 90)  # the discs are bright red
        seen = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert np.abs(np.array(truth.box) * 128 - seen).max() <= 1


def test_no_stamp_and_no_part_of_a_photograph_is_in_both_parts(stamps: Path) -> None:
    kept = {part: scenes._stamps(stamps, part) for part in ("train", "test")}
    assert [len(each) for each in kept["train"]] == [6] * 8  # a to h without d and h, no mirror image, no "whole"
    assert [len(each) for each in kept["test"]] == [2] * 8
    for left, right in zip(scenes._photographs("train"), scenes._photographs("test"), strict=True):
        assert left.height == right.height and left.width > right.width


def test_absent_stamps_are_told_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenes, "INSTALLED", Path("/usr/share/tuxpaint/none"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unavailable, match="no apt-get") as caught:
        stamps_folder(tmp_path)
    assert "apt-get install tuxpaint-stamps-default" in caught.value.fix


def test_the_true_stamps_have_every_label_in_both_parts() -> None:
    folder = user_cache_dir() / scenes.PACKAGE
    if not folder.is_dir() and not scenes.INSTALLED.is_dir():
        pytest.skip("no stamps here; python -m bench.scene_detector fetches them")
    stamps = stamps_folder(user_cache_dir())
    assert min(map(len, scenes._stamps(stamps, "train"))) >= 12
    assert min(map(len, scenes._stamps(stamps, "test"))) >= 4
