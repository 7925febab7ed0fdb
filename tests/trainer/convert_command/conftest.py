"""A small network that knows four shapes, as an ONNX file and as a checkpoint, and folders of such pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from services.trainer.convert.onnx_file.write import to_onnx
from services.trainer.graph import Activation, Graph
from tests.trainer.convert.networks import SHAPES, pictures, small, train

Folder = Callable[..., Path]


@pytest.fixture(scope="session")
def network() -> Graph:
    return replace(train(small(Activation.leaky(0.1))), labels=SHAPES)


@pytest.fixture(scope="session")
def onnx_file(network: Graph, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "shapes.onnx"
    path.write_bytes(to_onnx(network))
    return path


@pytest.fixture
def picture_folder(tmp_path: Path) -> Folder:
    """Writes `count` PNG files, one sub-folder a label or all in one."""

    def write(count: int, flat: bool = False, size: int = 32) -> Path:
        folder = tmp_path / "pictures"
        images, labels = pictures(count, size, seed=21)
        for index, (image, label) in enumerate(zip(images, labels, strict=True)):
            inner = folder if flat else folder / SHAPES[label]
            inner.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image.transpose(1, 2, 0)).save(inner / f"{index:03d}.png")
        return folder

    return write
