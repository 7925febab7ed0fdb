from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest

from services.common.errors import InvalidInput
from services.demo.cells import read_cells

LABELS = "images/cell0001.png  1.0   mono\nimages/cell0002.png  0.0   mono\n"
LABELS += "images/cell0003.png  0.3333333333333333  poly\nimages/cell0004.png  0.6666666666666666  poly\n"


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    path = tmp_path / "cells.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("elpv_dataset/data/labels.csv", LABELS)
        for number in range(1, 5):
            archive.writestr(f"elpv_dataset/data/images/cell000{number}.png", b"picture %d" % number)
    return path


def test_a_probability_of_one_half_or_more_is_defective(wheel: Path) -> None:
    labels = {cell.name: cell.label for cell in read_cells(wheel, 4, seed=0)}
    expected = {"cell0001": "defective", "cell0002": "functional", "cell0003": "functional", "cell0004": "defective"}
    assert labels == expected


def test_each_cell_comes_with_its_own_picture(wheel: Path) -> None:
    assert {(cell.name, cell.png) for cell in read_cells(wheel, 2, seed=1)} < {
        (f"cell000{n}", b"picture %d" % n) for n in range(1, 5)
    }


def test_the_seed_fixes_the_order(wheel: Path) -> None:
    assert read_cells(wheel, 4, seed=3) == read_cells(wheel, 4, seed=3)
    assert len({tuple(cell.name for cell in read_cells(wheel, 4, seed=s)) for s in range(20)}) > 1


def test_asking_for_more_than_there_are_is_refused(wheel: Path) -> None:
    with pytest.raises(InvalidInput, match="has 4 pictures, 5 were asked for"):
        read_cells(wheel, 5, seed=0)


@pytest.mark.parametrize("content", [b"", b"no zip at all", b"PK"])
def test_another_file_is_refused_by_name(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.whl"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=r"other\.whl is not the ELPV wheel"):
        read_cells(path, 1, seed=0)


def test_a_zip_without_the_data_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "empty.whl"
    buffer = io.BytesIO()
    zipfile.ZipFile(buffer, "w").close()
    path.write_bytes(buffer.getvalue())
    with pytest.raises(InvalidInput, match=r"empty\.whl is not the ELPV wheel"):
        read_cells(path, 1, seed=0)
