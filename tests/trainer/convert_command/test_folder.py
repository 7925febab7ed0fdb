from __future__ import annotations

from pathlib import Path

import pytest

from services.common.errors import BoardloopError, InvalidInput
from services.trainer.convert_command.folder import find_pictures, read_images, split
from services.trainer.detection import Box, Truth
from services.trainer.graph import InputSpec
from tests.trainer.convert.networks import SHAPES
from tests.trainer.convert_command.conftest import Folder


def spec(channels: int = 3) -> InputSpec:
    return InputSpec(channels, 16, 24, (0.0,) * channels, (1.0,) * channels)


def test_sub_folders_are_labels(picture_folder: Folder) -> None:
    folder = picture_folder(20)
    (folder / ".hidden").mkdir()
    (folder / "disc" / "notes.md").write_text("no picture")
    found = find_pictures(folder)
    assert len(found) == 20 and {picture.label for picture in found} <= set(SHAPES)
    assert all(picture.name.startswith(f"{picture.label}/") for picture in found)


def test_pictures_become_inputs_in_colour_or_grey(picture_folder: Folder) -> None:
    found = find_pictures(picture_folder(5, flat=True))
    assert read_images(found, spec()).shape == (5, 3, 16, 24)
    assert read_images(found, spec(1)).shape == (5, 1, 16, 24)
    with pytest.raises(InvalidInput, match="4 channels"):
        read_images(found, spec(4))


@pytest.mark.parametrize(("count", "calibration", "measured"), [(8, 8, 8), (39, 39, 39), (40, 20, 20), (200, 64, 136)])
def test_enough_pictures_are_kept_apart(picture_folder: Folder, count: int, calibration: int, measured: int) -> None:
    collection = split(find_pictures(picture_folder(count)))
    assert (len(collection.calibration), len(collection.measured)) == (calibration, measured)
    apart = not {p.path for p in collection.calibration} & {p.path for p in collection.measured}
    assert apart is not collection.shared
    assert {picture.label for picture in collection.calibration} == set(SHAPES) or count < 39


def test_texts_beside_pictures_are_objects(picture_folder: Folder) -> None:
    folder = picture_folder(4, flat=True)
    (folder / "000.txt").write_text("1 0.5 0.5 0.2 0.4\n\n0 0.25 0.5 0.5 1\n")
    found = find_pictures(folder)
    assert found[1].objects is None and found[0].objects is not None
    assert found[0].objects[1] == Truth(0, Box(0.0, 0.0, 0.5, 1.0)) and found[0].objects[0].label == 1


@pytest.mark.parametrize(
    "line", ["0 1 2 3", "x 0.5 0.5 1 1", "-1 0.5 0.5 1 1", "0 nan 0.5 1 1", "0 0.5 0.5 0 1", "\udcff"]
)
def test_objects_that_are_none_are_named_by_their_line(picture_folder: Folder, line: str) -> None:
    folder = picture_folder(4, flat=True)
    (folder / "000.txt").write_bytes(line.encode("utf-8", "surrogateescape"))
    with pytest.raises(InvalidInput, match=r"000\.txt"):
        find_pictures(folder)


def test_folders_that_give_nothing_to_measure_are_refused(picture_folder: Folder, tmp_path: Path) -> None:
    folder = picture_folder(4)
    (folder / "loose.png").write_bytes((next(folder.rglob("*.png"))).read_bytes())
    with pytest.raises(InvalidInput, match="sub-folders"):
        find_pictures(folder)
    (tmp_path / "few").mkdir()
    with pytest.raises(BoardloopError, match="has 0 JPEG"):
        find_pictures(tmp_path / "few")


def test_a_broken_picture_is_named(picture_folder: Folder) -> None:
    folder = picture_folder(4, flat=True)
    (folder / "002.png").write_bytes(b"\x89PNG")
    with pytest.raises(InvalidInput, match=r"002\.png"):
        read_images(find_pictures(folder), spec())
