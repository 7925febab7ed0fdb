"""TinyMaix compiled by gcc, as the judge of what the simulator says. TINYMAIX_SRC names a checkout of its source."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from services.trainer.convert import convert
from services.trainer.convert.tinymaix.limits import needs
from services.trainer.convert.tinymaix.reader import read
from services.trainer.graph import Activation
from tests.trainer.convert.networks import pictures, small
from tests.trainer.convert.tinymaix.judge import MACROS, Judge, compile_judge
from tests.trainer.convert.tinymaix.nets import noise, residual


@pytest.fixture(scope="session")
def tinymaix_source() -> Path:
    source = os.environ.get("TINYMAIX_SRC", "")
    if not source:
        pytest.skip("TINYMAIX_SRC names no checkout of github.com/sipeed/TinyMaix")
    if not (Path(source) / "include" / "tm_port.h").is_file():
        pytest.fail(f"TINYMAIX_SRC={source} has no include/tm_port.h")
    if shutil.which("gcc") is None:
        pytest.skip("there is no gcc to compile TinyMaix with")
    return Path(source)


@pytest.fixture(scope="session")
def judge(tinymaix_source: Path, tmp_path_factory: pytest.TempPathFactory) -> Judge:
    """`judge(tmdl, images (n, c, h, w))` gives TinyMaix's outputs (n, outputs), maps in CHW order."""
    folder = tmp_path_factory.mktemp("tinymaix")
    programs: dict[tuple[int, int], Path] = {}

    def run(data: bytes, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        model = read(data)
        assert all(need.value <= MACROS[macro] for macro, need in needs(model).items())
        key = int(model.mdl_type), int(model.preprocess)
        if key not in programs:
            programs[key] = compile_judge(tinymaix_source, folder, *key)
        path = folder / "model.tmdl"
        path.write_bytes(data)
        _, height, width, channels = model.out_dims
        count = height * width * channels
        pixels = images.transpose(0, 2, 3, 1).tobytes()
        done = subprocess.run([programs[key], path, str(count)], input=pixels, stdout=subprocess.PIPE, check=True)
        out = np.frombuffer(done.stdout, np.float32).reshape(len(images), height, width, channels)
        return out.transpose(0, 3, 1, 2).reshape(len(images), count)

    return run


@pytest.fixture(scope="session")
def int8_file() -> bytes:
    return convert(small(), "mcu-tinymaix-int8", pictures(8)[0]).data


@pytest.fixture(scope="session")
def residual_file() -> bytes:
    graph = residual()
    return convert(graph, "mcu-tinymaix-int8", noise(graph, 8)).data


@pytest.fixture(scope="session")
def fp32_file() -> bytes:
    return convert(small(Activation.relu()), "mcu-tinymaix-fp32", pictures(8)[0]).data
