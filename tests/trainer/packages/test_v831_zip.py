"""The V831's files: read as MaixHub's app reads them, and main.py run in CPython over a fake MaixPy3."""

from __future__ import annotations

import ast
import importlib.util
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from services.common.errors import UnsupportedModel
from services.trainer.convert import TARGETS, awnn
from services.trainer.convert.awnn.container import Container, pack, parse
from services.trainer.graph import InputSpec
from services.trainer.packages import PackageContent, build
from tests.ports.conftest import HERE as PORTS
from tests.trainer.packages.conftest import ANCHORS, LABELS, on_card, unpack

TARGET = "v831-awnn-int8"
STEM = "model-1f2e3d4c5b6a"


@pytest.fixture
def v831(monkeypatch: pytest.MonkeyPatch) -> Callable[..., PackageContent]:
    monkeypatch.setitem(TARGETS, TARGET, awnn.TARGET)

    def make(anchors: tuple[tuple[float, float], ...] = (), size: int = 128, **changes: Any) -> PackageContent:
        output = (size // 32, size // 32, len(anchors) * (5 + len(LABELS))) if anchors else (1, 1, len(LABELS))
        model = Container(
            b"7767517\n1 1\nInput input0 0 1 input0\n", b"weights", (size, size, 3), output,
            (127.5,) * 3, (1 / 127.5,) * 3, "shapes", LABELS, anchors,
        )  # fmt: skip
        spec = InputSpec(3, size, size, (0.5,) * 3, (0.5,) * 3)
        return PackageContent("1f2e3d4c5b6a", "shapes", TARGET, pack(model), LABELS, spec, anchors, **changes)

    return make


def forget() -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "maix"]:
        del sys.modules[name]


@pytest.fixture
def board(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Callable[[PackageContent], ModuleType]]:
    """Unpacks a content and imports its main.py over the fake MaixPy3."""
    forget()
    monkeypatch.syspath_prepend(str(PORTS / "fakes" / "v831"))
    monkeypatch.chdir(tmp_path)

    def start(content: PackageContent) -> ModuleType:
        file = on_card(tmp_path / "app", "v831-zip", content) / "main.py"
        ast.parse(file.read_text(), feature_version=(3, 8))
        spec = importlib.util.spec_from_file_location("v831_main", file)
        assert spec is not None and spec.loader is not None
        main = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(main)
        return main

    yield start
    forget()


def vendor(name: str) -> Any:
    return sys.modules[f"maix.{name}"]


def run(main: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Any:
    """main() until the first picture is on the display; that picture."""

    def show(picture: Any) -> None:
        vendor("display").shown.append(picture)
        if len(vendor("display").shown) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(vendor("display"), "show", show)
    with pytest.raises(KeyboardInterrupt):
        main.main()
    return vendor("display").shown[0]


def test_the_archive_is_what_maixhubs_app_loads(v831: Callable[..., PackageContent]) -> None:
    """app: one .mud in the top folder, loaded from there; report.json's labels, inputs, anchors, label_type."""
    name, archive = build("v831-zip", v831(ANCHORS, 224))
    files = unpack(archive)
    assert name == f"{STEM}-v831.zip"
    assert [name for name in files if name.endswith(".mud")] == [f"{STEM}.mud"]
    mud = files[f"{STEM}.mud"].decode()
    assert f"param = {STEM}.param\nbin = {STEM}.bin\n" in mud and {f"{STEM}.param", f"{STEM}.bin"} < set(files)
    report = json.loads(files["report.json"])
    assert report["label_type"] == "detection" and report["labels"] == list(LABELS)
    height, width, channels = report["inputs"][next(iter(report["inputs"]))]
    assert (height, width, channels) == (224, 224, 3) and "input0 = 224,224,3,127.5" in mud
    assert len(report["anchors"]) == 10 and report["outputs"]["output0"] == [width // 32, height // 32, 45]


def test_a_converted_network_keeps_its_files_and_their_shapes(content: Callable[..., PackageContent]) -> None:
    files = unpack(build("v831-zip", content(TARGET))[1])
    model = parse(content(TARGET).data)
    assert (files[f"{STEM}.param"], files[f"{STEM}.bin"]) == (model.param, model.bin)
    settings = files["main.py"].decode()
    assert '"input0": (32, 32, 3)' in settings and '"output0": (1, 1, 4)' in settings
    assert "INPUT = (32, 32)\n" in settings


def test_main_loads_the_model_and_shows_the_label(
    v831: Callable[..., PackageContent],
    board: Callable[[PackageContent], ModuleType],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    main = board(v831())
    vendor("nn").state["outputs"] = [0.0, 3.0, 0.0, 0.0]
    picture = run(main, monkeypatch)
    files, options = vendor("nn").loaded[0]
    assert Path(files["param"]).read_bytes().startswith(b"7767517") and Path(files["bin"]).read_bytes() == b"weights"
    assert options["inputs"] == {"input0": (128, 128, 3)} and options["norm"] == [1 / 127.5] * 3
    assert picture.size == (224, 224) and picture.drawn == [(4, "square 87%")]
    assert capsys.readouterr().out == "1:0.8700:square\n"  # told once: the second picture has the same label


def test_a_label_beyond_ascii_is_drawn_as_its_number(
    v831: Callable[..., PackageContent],
    board: Callable[[PackageContent], ModuleType],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    main = board(v831())
    vendor("nn").state["outputs"] = [0.0, 0.0, 99.0, 0.0]
    assert run(main, monkeypatch).drawn == [(4, "#2 100%")]
    assert capsys.readouterr().out == "2:1.0000:三角\n"


def test_main_waits_while_another_program_holds_the_camera(
    v831: Callable[..., PackageContent],
    board: Callable[[PackageContent], ModuleType],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    main = board(v831())
    vendor("camera").state["busy"] = True
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        vendor("camera").state["busy"] = len(waits) < 3

    monkeypatch.setattr(main, "time", type("Clock", (), {"sleep": staticmethod(sleep)}))
    run(main, monkeypatch)
    assert len(waits) == 3


def test_a_detector_frames_what_maixs_decoder_finds(
    v831: Callable[..., PackageContent],
    board: Callable[[PackageContent], ModuleType],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    main = board(v831(ANCHORS, 224))
    vendor("nn").state.update(boxes=[[10, 20, 30, 40]], probs=[[2, [0.0, 0.1, 0.75, 0.0]]])
    assert run(main, monkeypatch).drawn == [(10, 20, 40, 60), (22, "#2 75%")]
    assert capsys.readouterr().out == "10:20:30:40:2:0.7500:三角\n"
    assert [side for anchor in ANCHORS for side in anchor] == main.ANCHORS


def test_a_detector_whose_cells_the_app_would_miscount_is_refused(v831: Callable[..., PackageContent]) -> None:
    with pytest.raises(UnsupportedModel, match="32 x 32 pixels"):
        build("v831-zip", v831(ANCHORS, 100))
