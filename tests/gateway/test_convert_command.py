"""`boardloop convert MODEL_ID --url …`: the server converts, the command fetches and shows."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from services.common.errors import BoardloopError, InvalidInput
from services.common.i18n import Translator
from services.trainer.choices import Choices
from services.trainer.convert_command import Request, run_convert
from tests.gateway.canned import MODEL_FILE, TARGET, World
from tests.gateway.conftest import Door

COLLECTED = 30


@pytest.fixture
def model(door: Door, world: World) -> str:
    project = world.collector.fill(COLLECTED)
    job = door.admin.post(f"/projects/{project}/jobs", json={"version_id": "000000000001"}).json()
    return world.trainer.finish(job["id"])


def run(door: Door, model: str, out: Path, target: str = TARGET, package: str = "") -> str:
    token = door.admin.headers["Authorization"].removeprefix("Bearer ")
    console = Console(file=io.StringIO(), width=120)
    request = Request(model, target, None, "", "", "", out, Choices(0.05), package, door.gateway.url, token)
    run_convert(request, console, Translator("en"))
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_server_converts_and_the_files_come_here(door: Door, world: World, model: str, tmp_path: Path) -> None:
    printed = run(door, model, tmp_path, package="k210-zip")
    assert "solar-cells-1" in printed and "87.5 %" in printed and "conv7_dw" in printed
    assert world.trainer.conversion.max_accuracy_drop == 0.05
    assert (tmp_path / "solar-cells-1.kmodel").read_bytes() == MODEL_FILE
    assert (tmp_path / "solar-cells-1-k210-zip.zip").exists()
    assert json.loads((tmp_path / "fidelity.json").read_text())["agreement"] == 0.9875
    assert "data:image/jpeg;base64" in (tmp_path / "fidelity.html").read_text()


def test_a_picture_deleted_meanwhile_is_left_out(door: Door, world: World, model: str, tmp_path: Path) -> None:
    del world.collector.captures[f"{3:032x}"]
    run(door, model, tmp_path)
    assert "data:image/jpeg" not in (tmp_path / "fidelity.html").read_text()


def test_what_the_server_refuses_is_said_here(door: Door, model: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="conv7_dw") as told:
        run(door, model, tmp_path / "out", target="web-onnx")
    assert told.value.reason == "ACCURACY_DROP" and not (tmp_path / "out").exists()
    with pytest.raises(BoardloopError, match="There is no model"):
        run(door, "0" * 12, tmp_path / "out")
