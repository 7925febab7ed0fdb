"""A tiny labelled set of real JPEGs, a small frozen graph, and the true ImageNet weights where they can be had."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from services.common.errors import Unavailable
from services.trainer.graphdef import graph_class
from services.trainer.settings import TrainerSettings
from services.trainer.weights import fetch_default

POINTWISE = (64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024)


def jpeg(label: str, seed: int, size: int = 96) -> bytes:
    """A noisy picture: "ring" has a bright ring in the middle, "bars" has vertical bars."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:size, 0:size] - size / 2 + random.uniform(-6, 6)
    radius = np.hypot(x, y)
    mark = (abs(radius - size / 4) < size / 12) if label == "ring" else (np.mod(x, size / 4) < size / 8)
    pixels = 60 + 120 * mark[..., None] + random.normal(0, 12, (size, size, 3))
    out = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(out, "JPEG", quality=85)
    return out.getvalue()


@pytest.fixture
def job_folder(tmp_path: Path) -> Callable[..., Path]:
    """Writes a job folder of `train` + `validation` pictures, half ring, half bars; keywords go to config.json."""

    def write(train: int = 32, validation: int = 12, **config: Any) -> Path:
        folder = tmp_path / "job"
        (folder / "images").mkdir(parents=True)
        items = []
        for index in range(train + validation):
            label = ("ring", "bars")[index % 2]
            file = f"images/{index:03d}.jpg"
            (folder / file).write_bytes(jpeg(label, index))
            split = "train" if index < train else "validation"
            items.append({"id": f"capture{index:03d}", "file": file, "label": label, "split": split})
        (folder / "items.json").write_text(json.dumps(items))
        settings = {"backbone": "mobilenet_v1_0.25", "input_size": 96, "epochs": 3, "threads": 2} | config
        (folder / "config.json").write_text(json.dumps(settings))
        return folder

    return write


def frozen_arrays(alpha: float, seed: int = 0) -> dict[str, np.ndarray]:
    """Random arrays under the names and in the layout of a TF-slim MobileNetV1."""
    random = np.random.default_rng(seed)
    arrays: dict[str, np.ndarray] = {}

    def layer(name: str, kind: str, shape: tuple[int, ...], channels: int) -> None:
        fan_in = shape[0] * shape[1] * (1 if kind.startswith("depthwise") else shape[2])
        arrays[f"{name}/{kind}"] = random.normal(0, (2 / fan_in) ** 0.5, shape).astype(np.float32)
        for norm, low, high in (
            ("gamma", 0.8, 1.2),
            ("beta", 0, 1),
            ("moving_mean", -0.2, 0.2),
            ("moving_variance", 0.5, 1),
        ):
            arrays[f"{name}/BatchNorm/{norm}"] = random.uniform(low, high, channels).astype(np.float32)

    channels = int(32 * alpha)
    layer("Conv2d_0", "weights", (3, 3, 3, channels), channels)
    for block, width in enumerate(POINTWISE, 1):
        layer(f"Conv2d_{block}_depthwise", "depthwise_weights", (3, 3, channels, 1), channels)
        width = int(width * alpha)
        layer(f"Conv2d_{block}_pointwise", "weights", (1, 1, channels, width), width)
        channels = width
    return arrays


def frozen_graph(arrays: dict[str, np.ndarray], prefix: str = "MobilenetV1/") -> bytes:
    """A GraphDef of float constants."""
    graph = graph_class()()
    for name, array in arrays.items():
        node = graph.node.add(name=prefix + name, op="Const")
        tensor = node.attr.add(key="value").value.tensor
        tensor.dtype = 1
        for size in array.shape:
            tensor.shape.dim.add(size=size)
        tensor.content = array.tobytes()
    return graph.SerializeToString()


@pytest.fixture(scope="session")
def small_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A frozen graph file of alpha 0.25 with random weights."""
    path = tmp_path_factory.mktemp("weights") / "small.pb"
    path.write_bytes(frozen_graph(frozen_arrays(0.25)))
    return path


@pytest.fixture(scope="session")
def imagenet_weights() -> Path:
    """The MobileNetV1-1.0 of `python -m services.trainer.weights fetch`, in the cache that the trainer itself uses."""
    try:
        return fetch_default(TrainerSettings().cache_dir)
    except Unavailable as error:
        pytest.skip(f"no ImageNet weights: {error}")
