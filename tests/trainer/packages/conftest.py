"""Contents to pack, and boards to run the programs on: MicroPython and CPython over tests/ports/fakes."""

from __future__ import annotations

import functools
import io
import os
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.trainer.convert import ConvertOptions, convert
from services.trainer.graph import Graph
from services.trainer.packages import PackageContent, build
from tests.ports.conftest import HERE as PORTS
from tests.trainer.convert.networks import conv, graph, pictures, small

ANCHORS = ((1.0, 1.0), (2.0, 2.0), (3.0, 3.0), (2.0, 1.0), (1.0, 2.0))
LABELS = ("disc", "square", "三角", "cross 十")


def detector(anchors: tuple[tuple[float, float], ...] = ANCHORS) -> Graph:
    """96 x 128 to a map of 3 x 4 cells would be too small for the KPU: 128 x 160 and 4 x 5."""
    network = graph(
        conv("a", (3, 8), stride=2),
        conv("b", (8, 8), stride=2),
        conv("c", (8, 8), stride=2),
        conv("d", (8, 8), stride=2),
        conv("e", (8, 16), stride=2),
        conv("map", (16, len(anchors) * (5 + len(LABELS))), kernel=1),
        size=(128, 160),
    )
    return replace(network, labels=LABELS, anchors=anchors)


@functools.cache
def converted(target: str, task: str) -> tuple[Graph, bytes, dict[str, Any]]:
    network = detector() if task == "detection" else small()
    spec = network.input
    images = np.random.default_rng(0).integers(0, 256, (4, 3, spec.height, spec.width), dtype=np.uint8)
    calibration = images if network.anchors else pictures(4)[0]
    model = convert(network, target, calibration, ConvertOptions(bias_correction=False))
    return network, model.data, model.report.to_json()


@pytest.fixture
def content() -> Callable[..., PackageContent]:
    """content("k210-kmodel-v3", "detection", labels=...)."""

    def make(target: str = "k210-kmodel-v3", task: str = "classification", **changes: Any) -> PackageContent:
        network, data, report = converted(target, task)
        known = PackageContent(
            "1f2e3d4c5b6a", "shapes", target, data, LABELS, network.input, network.anchors, report, FIDELITY
        )
        return replace(known, **changes)

    return make


FIDELITY = {
    "images": 40,
    "scores": [{"name": "accuracy", "floating": 0.95, "converted": 0.925}],
    "agreement": 0.975,
    "changed": [{"capture_id": "c1"}],
}


def unpack(archive: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(archive)) as opened:
        assert opened.testzip() is None
        return {name: opened.read(name) for name in opened.namelist()}


def on_card(folder: Path, kind: str, content: PackageContent) -> Path:
    """The archive's files in `folder`, as on the card."""
    with zipfile.ZipFile(io.BytesIO(build(kind, content)[1])) as opened:
        opened.extractall(folder)
    return folder


K210 = """
import sys
sys.path.insert(0, FAKES)
import rig
rig.firmware()
import VENDOR as vendor
import image, lcd, machine, sensor
def shown(picture):
    assert not picture.jpeg_size
    lcd.pictures.append(picture)
    raise KeyboardInterrupt
lcd.display = shown
def run():
    with open("main.py") as file:
        program = file.read()
    try:
        exec(program, {"__name__": "__main__"})
    except KeyboardInterrupt:
        pass
"""


@pytest.fixture(params=["KPU", "maix"])
def k210(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Path, str], None]:
    """Runs a program in the folder `card`, where run() is main.py until it has shown one picture, for both firmwares.

    `vendor` is the fake of the firmware's AI module.
    """
    fakes = tmp_path / "fakes"
    fakes.mkdir()
    for path in (PORTS / "fakes" / "k210").glob("*.py"):
        if path.stem != ("maix" if request.param == "KPU" else "KPU"):
            (fakes / path.name).symlink_to(path)

    def run(card: Path, program: str) -> None:
        head = K210.replace("FAKES", repr(str(fakes))).replace("VENDOR", request.param)
        script = tmp_path / "script.py"
        script.write_text(f"{head}{textwrap.dedent(program)}\nprint('reached the end')\n")
        done = subprocess.run(
            [sys.executable, "-I", "-m", "micropython_unix", "-X", "heapsize=2M", str(script)],
            cwd=card,
            env=dict(os.environ, MICROPYPATH=""),
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.stdout.endswith("reached the end\n"), done.stdout + done.stderr

    return run
