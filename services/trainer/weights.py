"""ImageNet weights of MobileNetV1 from a TF-slim frozen graph: `python -m services.trainer.weights fetch`.

    address or path ──► cache_dir ──► sha256 ──► constants (graphdef.py) ──► 27 layers in torch layout ──► slimming.py

Batch normalisation is kept unfolded, so that fine-tuning goes on where the original training ended. The node names are
those of tensorflow/models, research/slim/nets/mobilenet_v1.py:

    MobilenetV1/Conv2d_0/weights                           (3, 3, 3, c)  HWIO
    MobilenetV1/Conv2d_<1..13>_depthwise/depthwise_weights (3, 3, c, 1)
    MobilenetV1/Conv2d_<1..13>_pointwise/weights           (1, 1, ic, oc)
    …/BatchNorm/{gamma, beta, moving_mean, moving_variance} (c,)

The default weights are MobileNetV1-1.0 (services.trainer.published).
"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import numpy.typing as npt

from services.common.errors import BoardloopError, InvalidInput, NotFound, Unavailable
from services.trainer.graph import Activation, Conv, FullyConnected, GlobalAveragePool, Graph, InputSpec, Layer
from services.trainer.graphdef import float_constants
from services.trainer.published import MOBILENET_V1, fetch, place, verify, written_whole
from services.trainer.settings import TrainerSettings

__all__ = [
    "ConvNorm",
    "PretrainedBackbone",
    "default_weights",
    "fetch_default",
    "imagenet_classifier",
    "load",
    "load_file",
    "local_copy",
]

Array = npt.NDArray[np.float32]

MAX_WEIGHTS_BYTES = 256 * 1024 * 1024
BLOCKS = 13  # depthwise separable blocks after the first convolution
_STRIDE_2 = (2, 4, 6, 12)  # blocks whose depthwise convolution halves the map
_BN_EPSILON = 1e-3  # TF-slim's
_STEM = 32  # output channels of the first convolution at alpha 1.0


@dataclass(frozen=True, eq=False)
class ConvNorm:
    """A convolution without bias and its batch normalisation; weight (oc, ic, k, k), or (c, 1, 3, 3) when depthwise."""

    name: str
    weight: Array
    gamma: Array
    beta: Array
    mean: Array
    variance: Array

    @property
    def depthwise(self) -> bool:
        return self.name.endswith("_depthwise")


@dataclass(frozen=True, eq=False)
class PretrainedBackbone:
    """The 27 convolutions of MobileNetV1 in order. They expect pixels scaled to x = u8/127.5 - 1."""

    alpha: float
    layers: tuple[ConvNorm, ...]


def load(source: str, cache_dir: Path, sha256: str = "") -> PretrainedBackbone:
    """Weights from a path or an http(s) address (kept in `cache_dir`); errors as in `local_copy` and `load_file`."""
    return load_file(local_copy(source, cache_dir, sha256))


def load_file(path: Path) -> PretrainedBackbone:
    """Read a frozen TF-slim MobileNetV1 of any width.

    InvalidInput names the file and, where there is one, the tensor: WEIGHTS_NOT_A_GRAPH, WEIGHTS_TRUNCATED,
    WEIGHTS_MISSING (a tensor is absent), WEIGHTS_SHAPE (a tensor does not fit its neighbours).
    """
    constants = float_constants(path.read_bytes(), path.name)
    by_name = {name.rpartition("MobilenetV1/")[2]: array for name, array in constants.items() if "MobilenetV1/" in name}
    layers = [_layer("Conv2d_0", "weights", 3, by_name, path.name)]
    for block in range(1, BLOCKS + 1):
        for name, kind in (
            (f"Conv2d_{block}_depthwise", "depthwise_weights"),
            (f"Conv2d_{block}_pointwise", "weights"),
        ):
            layers.append(_layer(name, kind, layers[-1].weight.shape[0], by_name, path.name))
    return PretrainedBackbone(layers[0].weight.shape[0] / _STEM, tuple(layers))


def _layer(name: str, kind: str, channels_in: int, arrays: dict[str, Array], file: str) -> ConvNorm:
    def tensor(suffix: str, shape: tuple[int | None, ...]) -> Array:
        full = f"{name}/{suffix}"
        if full not in arrays:
            raise InvalidInput(
                "WEIGHTS_MISSING",
                f"{file} has no tensor MobilenetV1/{full}.",
                fix="Give a frozen TF-slim MobileNetV1 whose batch normalisation is not folded.",
                file=file,
                tensor=full,
            )
        array = arrays[full]
        expected = ["any" if n is None else n for n in shape]
        if array.ndim != len(shape) or any(w is not None and w != h for w, h in zip(shape, array.shape, strict=True)):
            raise InvalidInput(
                "WEIGHTS_SHAPE",
                f"{file}: tensor MobilenetV1/{full} is {list(array.shape)}, expected {expected}.",
                fix="Give an unmodified TF-slim MobileNetV1.",
                file=file,
                tensor=full,
            )
        return array

    depthwise = kind == "depthwise_weights"
    size = 1 if name.endswith("_pointwise") else 3
    weight = tensor(kind, (size, size, channels_in, 1 if depthwise else None))
    weight = weight.transpose((2, 3, 0, 1) if depthwise else (3, 2, 0, 1))  # HWIO to OIHW
    norm = [tensor(f"BatchNorm/{n}", (len(weight),)) for n in ("gamma", "beta", "moving_mean", "moving_variance")]
    return ConvNorm(name, np.ascontiguousarray(weight), *norm)


def imagenet_classifier(path: Path, size: int = 128) -> Graph:
    """The whole classifier of a frozen TF-slim MobileNetV1, with the 1001 classes of ImageNet (0: background).

    For pictures of `size` x `size`, x = u8/127.5 - 1; outputs are logits. Errors as in `load_file`.
    """
    layers: list[Layer] = []
    for layer in load_file(path).layers:
        halves = layer.name == "Conv2d_0" or (layer.depthwise and int(layer.name.split("_")[1]) in _STRIDE_2)
        layers.append(_folded(layer, stride=2 if halves else 1))
    constants = float_constants(path.read_bytes(), path.name)
    by_name = {name.rpartition("MobilenetV1/Logits/Conv2d_1c_1x1/")[2]: array for name, array in constants.items()}
    if "weights" not in by_name or "biases" not in by_name:
        raise InvalidInput(
            "WEIGHTS_MISSING",
            f"{path.name} has no tensor MobilenetV1/Logits/Conv2d_1c_1x1/weights, the classifier of ImageNet.",
            fix="Give the default weights: `python -m services.trainer.weights fetch`.",
            file=path.name,
        )
    weight = np.ascontiguousarray(by_name["weights"].reshape(-1, by_name["biases"].size).T)
    layers += [GlobalAveragePool("average"), FullyConnected("logits", weight, by_name["biases"])]
    return Graph("mobilenet_v1_imagenet", InputSpec(3, size, size, (0.5,) * 3, (0.5,) * 3), tuple(layers))


def _folded(layer: ConvNorm, stride: int) -> Conv:
    """With the batch normalisation in it: w*g/sqrt(v+eps), b - m*g/sqrt(v+eps)."""
    scale = layer.gamma / np.sqrt(layer.variance.astype(np.float64) + _BN_EPSILON)
    weight = (layer.weight * scale[:, None, None, None]).astype(np.float32)
    bias = (layer.beta - layer.mean * scale).astype(np.float32)
    return Conv(layer.name, weight, bias, stride, weight.shape[2] // 2, layer.depthwise, Activation.relu6())


def local_copy(source: str, cache_dir: Path, sha256: str = "") -> Path:
    """The file behind a path or http(s) address, downloaded at most once; `sha256` (hex) is checked when given.

    NotFound: no such file. Unavailable: the address does not answer. InvalidInput: too large, or another sha256.
    """
    if not source.startswith(("http://", "https://")):
        path = Path(source)
        if not path.is_file():
            raise NotFound(
                "WEIGHTS_NOT_FOUND",
                f"No weights file at {source}.",
                fix="Run `python -m services.trainer.weights fetch`, or correct the path.",
            )
    else:
        key = hashlib.sha256(source.encode()).hexdigest()[:16]
        path = cache_dir / "weights" / f"{key}-{source.split('?')[0].rstrip('/').rpartition('/')[2] or 'weights.pb'}"
        if not path.is_file():
            _download(source, path)
    if sha256:
        verify(path, sha256)
    return path


def _download(address: str, path: Path) -> None:
    size = 0
    try:
        with written_whole(path) as part, httpx.stream("GET", address, follow_redirects=True, timeout=30) as answer:
            answer.raise_for_status()
            with part.open("wb") as file:
                for chunk in answer.iter_bytes():
                    size += len(chunk)
                    if size > MAX_WEIGHTS_BYTES:
                        raise InvalidInput(
                            "WEIGHTS_TOO_LARGE",
                            f"{address} is larger than {MAX_WEIGHTS_BYTES} bytes.",
                            fix="Give a MobileNetV1 frozen graph; the full width has 17 MB.",
                        )
                    file.write(chunk)
    except httpx.HTTPError as error:
        raise Unavailable(
            "WEIGHTS_UNREACHABLE",
            f"{address} could not be downloaded: {error}.",
            fix="Check the address and the network, or download the file yourself and give its path.",
        ) from error


def default_weights(cache_dir: Path) -> Path:
    """Where `fetch_default` puts (or has put) the MobileNetV1-1.0 weights."""
    return place(MOBILENET_V1, cache_dir)


def fetch_default(cache_dir: Path) -> Path:
    """Download MobileNetV1-1.0 by pip into `cache_dir`, once; returns its path. Unavailable when pip cannot get it."""
    return fetch(MOBILENET_V1, cache_dir)


def main(arguments: list[str]) -> int:
    """The command line: `fetch` puts the default weights into the trainer's cache and prints their path."""
    if arguments != ["fetch"]:
        print("usage: python -m services.trainer.weights fetch", file=sys.stderr)
        return 2
    try:
        print(fetch_default(TrainerSettings().cache_dir))
    except BoardloopError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
