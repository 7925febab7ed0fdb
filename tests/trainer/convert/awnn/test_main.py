from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from services.trainer.convert.awnn.__main__ import main
from services.trainer.convert.awnn.simulate import AwnnSimulator


def test_quantize_writes_the_vendors_files(shared: Path, tmp_path: Path) -> None:
    golden = shared / "vectors/awnn/residual_2005"
    out = [tmp_path / "o.param", tmp_path / "o.bin"]
    given = [golden / name for name in ("float.param", "float.bin", "scales.table")]
    assert main(["quantize", *map(str, given + out)]) == 0
    assert out[0].read_bytes() == (golden / "int8.param").read_bytes()
    assert out[1].read_bytes() == (golden / "int8.bin").read_bytes()


def test_inspect_shows_layers_of_a_file_and_of_a_text(
    residual_file: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "m.awnn"
    file.write_bytes(residual_file)
    assert main(["inspect", str(file), "--json"]) == 0
    about = json.loads(capsys.readouterr().out)
    assert about["input_hwc"] == [32, 32, 3] and about["on_cpu"] == [] and about["layers"][1]["name"] == "stem"
    text = tmp_path / "m.param"
    text.write_text("7767517\n2 2\nInput input0 0 1 input0\nClip six 1 1 input0 output0 0=0.0 1=6.0\n")
    assert main(["inspect", str(text)]) == 0
    assert "leaves to the CPU: six" in capsys.readouterr().out


def test_run_writes_what_the_simulator_gives(
    residual_file: bytes, tmp_path: Path, images: npt.NDArray[np.uint8]
) -> None:
    (tmp_path / "m.awnn").write_bytes(residual_file)
    np.savez(tmp_path / "in.npz", input_u8_chw=images)
    assert main(["run", *(str(tmp_path / name) for name in ("m.awnn", "in.npz", "out.npz"))]) == 0
    np.testing.assert_array_equal(np.load(tmp_path / "out.npz")["output_f32"], AwnnSimulator(residual_file).run(images))


def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "m.awnn").write_bytes(b"rubbish")
    assert main(["inspect", str(tmp_path / "m.awnn")]) == 1
    assert main(["inspect", str(tmp_path / "absent")]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and lines[0].startswith("AWNN_MALFORMED: .awnn:") and lines[1].startswith("INPUT_FILE: ")
