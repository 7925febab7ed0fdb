from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from services.trainer.convert.kmodel_v3.__main__ import main
from services.trainer.convert.kmodel_v3.simulate import KModelSimulator
from tests.trainer.convert.networks import pictures


@pytest.fixture
def file(small_file: bytes, tmp_path: Path) -> Path:
    path = tmp_path / "m.kmodel"
    path.write_bytes(small_file)
    return path


def test_inspect_lists_the_layers(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(file), "--json"]) == 0
    layers = json.loads(capsys.readouterr().out)["layers"]
    assert [layer["type"] for layer in layers[-3:]] == ["K210_CONV", "DEQUANTIZE", "GLOBAL_AVERAGE_POOL2D"]
    assert layers[0]["input"] == [3, 32, 32] and layers[0]["output"] == [64, 16, 16]
    assert main(["inspect", str(file)]) == 0
    assert "GLOBAL_AVERAGE_POOL2D" in capsys.readouterr().out


def test_inspect_shows_two_maps_side_by_side(
    residual_file: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "r.kmodel").write_bytes(residual_file)
    assert main(["inspect", str(tmp_path / "r.kmodel"), "--json"]) == 0
    layers = json.loads(capsys.readouterr().out)["layers"]
    join = layers[4]
    assert join["input"] == [8, 16, 16] and join["output"] == [4, 16, 16]
    halves = sorted(layer["target_row"] for layer in layers[:4] if layer["output"] == [4, 16, 16])
    assert halves == [join["source_row"], join["source_row"] + 16], "4 channels of 16 lines take 16 rows"


def test_run_writes_what_the_simulator_gives(file: Path, tmp_path: Path) -> None:
    images = pictures(3)[0]
    np.savez(tmp_path / "in.npz", input_u8_chw=images)
    assert main(["run", str(file), str(tmp_path / "in.npz"), str(tmp_path / "out.npz")]) == 0
    with np.load(tmp_path / "out.npz") as arrays:
        assert np.array_equal(arrays["output_f32"], KModelSimulator(file.read_bytes()).run(images))


def test_rewrite_gives_the_same_bytes(file: Path, tmp_path: Path) -> None:
    assert main(["rewrite", str(file), str(tmp_path / "again.kmodel")]) == 0
    assert (tmp_path / "again.kmodel").read_bytes() == file.read_bytes()


def test_a_bad_file_ends_with_status_1_and_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = tmp_path / "bad.kmodel"
    bad.write_bytes(b"LDMK" + bytes(60))
    assert main(["inspect", str(bad)]) == 1
    assert capsys.readouterr().err.startswith("KMODEL_MALFORMED: kmodel: this is kmodel V4 or V5")
    assert main(["inspect", str(tmp_path / "absent")]) == 1
    assert "No such file" in capsys.readouterr().err


def test_an_input_without_images_is_named(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "in.npz", other=np.zeros(1))
    assert main(["run", str(file), str(tmp_path / "in.npz"), str(tmp_path / "out.npz")]) == 1
    assert "input_u8_chw" in capsys.readouterr().err
